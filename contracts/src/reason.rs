//! What the numbers of a rejection count, and which field of the call they are about.
//!
//! A receipt holds a code and two bare numbers, which are the same on every node for ever; people want amounts, times and names. Nothing here decides
//! anything, and execution never asks it. Called by the API and by the clients.

use chain::{
    api::Unit,
    code::{Code, Rejection},
};

use crate::call::{Call, OpenSession, OpenSessionByMandate};

/// What a code's numbers count, whatever the call.
const UNITS: [(Code, Unit); 25] = [
    (Code::TooLarge, Unit::Bytes),
    (Code::WrongNonce, Unit::Count),
    (Code::Expired, Unit::UnixMilliseconds),
    (Code::TooManyFromSigner, Unit::Count),
    (Code::InsufficientFunds, Unit::MicroTokens),
    (Code::WrongSaleNumber, Unit::Count),
    (Code::MintCapExceeded, Unit::MicroTokens),
    (Code::NotHome, Unit::Count),
    (Code::NoticeTooShort, Unit::Height),
    (Code::PositionLimit, Unit::MicroTokens),
    (Code::GroupDepth, Unit::Count),
    (Code::GroupLimit, Unit::Milliamperes),
    (Code::WrongTariffVersion, Unit::Count),
    (Code::StaleTariff, Unit::Count),
    (Code::TooMany, Unit::Count),
    (Code::InvalidConnector, Unit::Milliamperes),
    (Code::ConnectorRating, Unit::Milliamperes),
    (Code::BelowMinimumCurrent, Unit::Milliamperes),
    (Code::SkipWithoutReason, Unit::Count),
    (Code::MeterRegister, Unit::WattHours),
    (Code::EvidenceTooOld, Unit::UnixMilliseconds),
    (Code::MandateExpired, Unit::UnixMilliseconds),
    (Code::MandateSession, Unit::MicroTokens),
    (Code::MandateDay, Unit::MicroTokens),
    (Code::MandatePrice, Unit::MicroTokens),
];

/// What the numbers of a rejection count; nothing where that cannot be said.
#[must_use]
pub fn unit(call: &Call, rejection: &Rejection) -> Option<Unit> {
    match (rejection.code, call) {
        (Code::OverLimit, Call::OpenSession(call)) => Some(over_limit(call, rejection).1),
        (Code::OverLimit, Call::OpenSessionByMandate(call)) => Some(over_limit_of_tap(call, rejection).1),
        (Code::OverLimit, Call::ConfirmStart(call)) => Some(over_limit_of_tap(&call.start, rejection).1),
        (Code::OverLimit, Call::ReplaceMeter(_)) => Some(Unit::WattHours),
        (Code::OverLimit, Call::TopUpSession(_)) => Some(Unit::MicroTokens),
        (Code::OverLimit | Code::InvalidRange, Call::PutTariff(_) | Call::RegisterAccount(_) | Call::GrantMandate(_)) => {
            Some(Unit::UnixMilliseconds)
        }
        (Code::InvalidRange, Call::GrantRole(_)) => Some(Unit::Height),
        (code, _) => UNITS.iter().find(|(of, _)| *of == code).map(|(_, unit)| *unit),
    }
}

/// What is wrong and what to do, where the code's own words miss what it means for this call.
#[must_use]
pub fn words(call: &Call, rejection: &Rejection) -> Option<(&'static str, &'static str)> {
    match (rejection.code, call) {
        // Both at once: whose word it was stands on the chain, and the answer is the same.
        (Code::NotAllowed, Call::AnswerPayment(_)) => Some((
            "a payment is confirmed, or found missing, by a treasurer of the condominium that is paid, and never by the account that reported it",
            "have another treasurer of that condominium answer",
        )),
        (Code::NotAllowed, Call::LiftSuspension(_)) => Some((
            "a suspension is lifted by a manager of the condominium, and never by the suspended account itself",
            "have another manager of that condominium lift it",
        )),
        (Code::NotAllowed, Call::ReplaceMeter(_)) => Some((
            "an exchange of a meter is signed by a manager and by a gateway of the condominium",
            "have a manager sign it; the gateway agrees by itself once its unit reports the new meter",
        )),
        (Code::BadSignature, Call::ProveEquivocation(_)) => {
            Some(("one of the two statements is not signed by the key that it names", "give the exact bytes that the gateway has signed"))
        }
        (Code::ReadingAhead, Call::ProveEquivocation(_)) => {
            Some(("the later of the two readings is from the future", "keep the two statements, and submit them when its time has come"))
        }
        (Code::NotAllowed, Call::ReportPayment(_)) => {
            Some(("a payment is reported by a treasurer of the condominium that pays", "ask a manager of that condominium for the role"))
        }
        (Code::NotAllowed, call) => who(call),
        _ => None,
    }
}

/// Who may do it, and the next step of whoever may not; nothing where the code's own words say it.
fn who(call: &Call) -> Option<(&'static str, &'static str)> {
    match call {
        Call::GrantRole(_) | Call::RevokeRole(_) | Call::PutGroup(_) | Call::PutConnector(_) | Call::PutTariff(_) | Call::BindCard(_) => {
            Some((
                "this is for the role manager of the condominium, which the account does not hold",
                "act with a manager's account, or ask a manager of the condominium for the role",
            ))
        }
        Call::SellTokens(_) | Call::ConfirmRedeem(_) | Call::ClearPositions(_) | Call::SetPositionLimit(_) => Some((
            "this is for the role treasurer of the condominium, which the account does not hold",
            "act with a treasurer's account, or ask a manager of the condominium for the role",
        )),
        Call::GrantCharge(_) | Call::PauseCharge(_) | Call::ResumeCharge(_) => Some((
            "this is for the role scheduler of the condominium, which the account does not hold",
            "act with the scheduler's key, or ask a manager of the condominium for the role",
        )),
        Call::Attest(_)
        | Call::AttestUnassigned(_)
        | Call::SettleSession(_)
        | Call::ReportFault(_)
        | Call::AskStart(_)
        | Call::OpenSessionByMandate(_) => Some((
            "this is for the role gateway of the condominium, which the account does not hold",
            "act with the gateway's key, or ask a manager of the condominium for the role",
        )),
        Call::RegisterAccount(call) if call.invite.is_some() => Some((
            "the invite was used, is another account's, or was given by somebody who is neither manager nor treasurer of the condominium now",
            "ask a manager of the condominium for another invite",
        )),
        Call::RegisterAccount(_) => Some((
            "this is for the roles manager and treasurer of the condominium, neither of which the account holds",
            "register with an invite of one of them",
        )),
        Call::StopSession(_) => Some((
            "a charge is stopped by whoever opened it, or by a manager of the condominium where it is",
            "act with the owner's account or a manager's",
        )),
        Call::TopUpSession(_) | Call::CancelSession(_) => {
            Some(("this is for whoever opened the charge alone", "act with the owner's account"))
        }
        Call::RequestRedeem(_)
        | Call::Transfer(_)
        | Call::OpenSession(_)
        | Call::ReportPayment(_)
        | Call::AnswerPayment(_)
        | Call::GrantMandate(_)
        | Call::RevokeMandate(_)
        | Call::ConfirmStart(_)
        | Call::ReplaceMeter(_)
        | Call::ProveEquivocation(_)
        | Call::LiftSuspension(_) => None,
    }
}

/// The field of the transaction that a rejection is about, those of the call after `call.`; nothing where it is about no single one.
#[must_use]
pub fn field(call: &Call, rejection: &Rejection) -> Option<&'static str> {
    let of_call: &[(Code, &str)] = match call {
        Call::RegisterAccount(call) if call.invite.is_some() => &[
            (Code::AccountExists, "call.account"),
            (Code::UnknownCondominium, "call.condominium"),
            (Code::OverLimit, "call.invite.expires"),
            (Code::NotAllowed, "call.invite"),
        ],
        Call::RegisterAccount(_) => &[(Code::AccountExists, "call.account"), (Code::UnknownCondominium, "call.condominium")],
        Call::SellTokens(_) => &[
            (Code::ZeroValue, "call.amount"),
            (Code::MintCapExceeded, "call.amount"),
            (Code::Overflow, "call.amount"),
            (Code::WrongSaleNumber, "call.sale"),
            (Code::NotHome, "call.account"),
            (Code::UnknownCondominium, "call.condominium"),
        ],
        Call::RequestRedeem(_) => &[(Code::ZeroValue, "call.amount"), (Code::InsufficientFunds, "call.amount")],
        Call::ConfirmRedeem(_) => &[(Code::UnknownRedemption, "call.redemption")],
        Call::Transfer(_) => &[
            (Code::ZeroValue, "call.amount"),
            (Code::InsufficientFunds, "call.amount"),
            (Code::PositionLimit, "call.amount"),
            (Code::Overflow, "call.amount"),
            (Code::UnknownAccount, "call.to"),
            (Code::SelfTransfer, "call.to"),
        ],
        Call::GrantRole(_) => &[
            (Code::NoticeTooShort, "call.from"),
            (Code::InvalidRange, "call.until"),
            (Code::RoleAlreadyGranted, "call.role"),
            (Code::TooMany, "call.role"),
            (Code::UnknownAccount, "call.account"),
            (Code::UnknownCondominium, "call.condominium"),
        ],
        Call::RevokeRole(_) => &[
            (Code::NoticeTooShort, "call.until"),
            (Code::RoleNotGranted, "call.role"),
            (Code::LastManager, "call.account"),
            (Code::UnknownCondominium, "call.condominium"),
        ],
        Call::PutGroup(_) => &[
            (Code::GroupCycle, "call.parent"),
            (Code::GroupDepth, "call.parent"),
            (Code::UnknownGroup, "call.parent"),
            (Code::GroupLimit, "call.limit"),
            (Code::TooMany, "call.group"),
            (Code::UnknownCondominium, "call.group"),
        ],
        Call::PutConnector(_) => &[
            (Code::InvalidConnector, "call.rated"),
            (Code::GroupLimit, "call.rated"),
            (Code::UnknownGroup, "call.group"),
            (Code::UnknownTariff, "call.tariff"),
            (Code::ConnectorBusy, "call.connector"),
            (Code::TooMany, "call.connector"),
            (Code::PlugNotReported, "call.plug_signal"),
            (Code::UnknownCondominium, "call.connector"),
        ],
        Call::PutTariff(_) => &[
            (Code::WrongTariffVersion, "call.version"),
            (Code::InvalidRange, "call.valid_from"),
            (Code::InvalidTariff, "call.document"),
            (Code::PlugNotReported, "call.document"),
            (Code::OverLimit, "call.document"),
            (Code::NotActive, "call.document"),
            (Code::TooMany, "call.document"),
            (Code::UnknownCondominium, "call.tariff"),
        ],
        Call::OpenSession(call) => {
            if let Some(field) = field_of_opening(call, rejection) {
                return Some(field);
            }
            &[
                (Code::UnknownConnector, "call.connector"),
                (Code::ConnectorBusy, "call.connector"),
                (Code::ConnectorOutOfService, "call.connector"),
                (Code::InsufficientFunds, "call.max_spend"),
                (Code::PositionLimit, "call.max_spend"),
                (Code::StaleTariff, "call.tariff_version"),
                (Code::UnknownTariff, "call.tariff_version"),
            ]
        }
        Call::TopUpSession(_) => &[
            (Code::ZeroValue, "call.amount"),
            (Code::OverLimit, "call.amount"),
            (Code::InsufficientFunds, "call.amount"),
            (Code::PositionLimit, "call.amount"),
            (Code::UnknownSession, "call.session"),
            (Code::WrongSessionState, "call.session"),
        ],
        Call::CancelSession(_) | Call::StopSession(_) | Call::PauseCharge(_) | Call::SettleSession(_) => {
            &[(Code::UnknownSession, "call.session"), (Code::WrongSessionState, "call.session"), (Code::MeterOnly, "call.session")]
        }
        Call::GrantCharge(_) | Call::ResumeCharge(_) => &[
            (Code::ZeroValue, "call.current"),
            (Code::GroupLimit, "call.current"),
            (Code::ConnectorRating, "call.current"),
            (Code::BelowMinimumCurrent, "call.current"),
            (Code::UnknownSession, "call.session"),
            (Code::WrongSessionState, "call.session"),
            (Code::MeterOnly, "call.session"),
            (Code::SkipWithoutReason, "call.skipped"),
            (Code::InvalidSkip, "call.skipped"),
            (Code::TooMany, "call.skipped"),
        ],
        Call::Attest(_) => &[(Code::TooMany, "call.readings"), (Code::ZeroValue, "call.readings")],
        Call::GrantMandate(_) => &[
            (Code::ZeroValue, "call.terms"),
            (Code::TooMany, "call.terms.connectors"),
            (Code::UnknownConnector, "call.terms.connectors"),
            (Code::InvalidRange, "call.terms.expires"),
            (Code::OverLimit, "call.terms.expires"),
            (Code::UnknownCondominium, "call.condominium"),
        ],
        Call::RevokeMandate(_) => &[(Code::NoMandate, "call.condominium")],
        Call::BindCard(_) => &[
            (Code::UnknownAccount, "call.account"),
            (Code::CardBound, "call.card"),
            (Code::UnknownCard, "call.card"),
            (Code::TooMany, "call.card"),
            (Code::UnknownCondominium, "call.condominium"),
        ],
        Call::OpenSessionByMandate(call) => {
            if rejection.code == Code::OverLimit {
                return Some(over_limit_of_tap(call, rejection).0);
            }
            &[
                (Code::UnknownCard, "call.card"),
                (Code::NoMandate, "call.card"),
                (Code::MandateExpired, "call.card"),
                (Code::MandateConnector, "call.connector"),
                (Code::MandatePrice, "call.connector"),
                (Code::UnknownCondominium, "call.connector"),
                (Code::UnknownConnector, "call.connector"),
                (Code::ConnectorBusy, "call.connector"),
                (Code::ConnectorOutOfService, "call.connector"),
                (Code::MandateSession, "call.max_spend"),
                (Code::MandateDay, "call.max_spend"),
                (Code::InsufficientFunds, "call.max_spend"),
                (Code::PositionLimit, "call.max_spend"),
                (Code::StaleTariff, "call.tariff_version"),
                (Code::UnknownTariff, "call.tariff_version"),
            ]
        }
        Call::AskStart(_) | Call::ConfirmStart(_) => &[
            (Code::ZeroValue, "call.start"),
            (Code::NothingToConfirm, "call.start"),
            (Code::UnknownCard, "call.start.card"),
            (Code::NoMandate, "call.start.card"),
            (Code::MandateExpired, "call.start.card"),
            (Code::MandateConnector, "call.start.connector"),
            (Code::MandatePrice, "call.start.connector"),
            (Code::UnknownCondominium, "call.start.connector"),
            (Code::UnknownConnector, "call.start.connector"),
            (Code::ConnectorBusy, "call.start.connector"),
            (Code::ConnectorOutOfService, "call.start.connector"),
            (Code::MandateSession, "call.start.max_spend"),
            (Code::MandateDay, "call.start.max_spend"),
            (Code::InsufficientFunds, "call.start.max_spend"),
            (Code::PositionLimit, "call.start.max_spend"),
            (Code::StaleTariff, "call.start.tariff_version"),
            (Code::UnknownTariff, "call.start.tariff_version"),
        ],
        Call::ReportFault(_) => {
            &[(Code::UnknownConnector, "call.connector"), (Code::ReadingAhead, "call.at"), (Code::SessionMismatch, "call.session")]
        }
        Call::AttestUnassigned(_) => &[
            (Code::UnknownConnector, "call.connector"),
            (Code::ConnectorBusy, "call.connector"),
            (Code::ReadingAhead, "call.at"),
            (Code::ReadingFalling, "call.register_wh"),
            (Code::ZeroValue, "call.register_wh"),
            (Code::Overflow, "call.register_wh"),
        ],
        Call::ReplaceMeter(call) => {
            if rejection.code == Code::OverLimit {
                return Some(if Some(call.last.get()) == rejection.found { "call.last" } else { "call.first" });
            }
            &[(Code::UnknownConnector, "call.connector"), (Code::MeterRegister, "call.last"), (Code::RoleSuspended, "account")]
        }
        Call::ProveEquivocation(_) => &[
            (Code::UnknownCondominium, "call.condominium"),
            (Code::RoleNotGranted, "call.condominium"),
            (Code::AlreadySuspended, "call.condominium"),
            (Code::NoContradiction, "call.second"),
            (Code::ReadingAhead, "call.second"),
            (Code::EvidenceTooOld, "call.second"),
            (Code::BadSignature, "call.second"),
        ],
        Call::LiftSuspension(_) => &[(Code::UnknownCondominium, "call.condominium"), (Code::NotSuspended, "call.account")],
        Call::ClearPositions(_) | Call::SetPositionLimit(_) => &[(Code::UnknownCondominium, "call.condominium")],
        Call::ReportPayment(_) | Call::AnswerPayment(_) => &[
            (Code::UnknownPayment, "call.clearing"),
            (Code::PaymentReported, "call.clearing"),
            (Code::PaymentNotReported, "call.clearing"),
        ],
    };
    let of_any = [
        (Code::WrongChain, "chain_id"),
        (Code::UnknownSigner, "signer"),
        (Code::NotAllowed, "account"),
        (Code::WrongNonce, "nonce"),
        (Code::Expired, "valid_until"),
        (Code::ValidTooLong, "valid_until"),
        (Code::BadSignature, "signature"),
    ];
    of_call.iter().chain(&of_any).find(|(of, _)| *of == rejection.code).map(|(_, field)| *field)
}

/// The field of a session's opening where the code alone does not tell it.
fn field_of_opening(call: &OpenSession, rejection: &Rejection) -> Option<&'static str> {
    let code = rejection.code;
    if code == Code::OverLimit {
        return Some(over_limit(call, rejection).0);
    }
    if code == Code::ZeroValue {
        let zeros = [("call.max_spend", call.max_spend.is_zero()), ("call.max_duration", call.max_duration.is_zero())];
        return Some(zeros.iter().find(|(_, zero)| *zero).map_or("call.energy_target", |(field, _)| field));
    }
    (code == Code::NotActive).then_some(if call.window.is_some() { "call.window" } else { "call.priority" })
}

/// Which value of an opening by a card is over its limit: the one that was found.
fn over_limit_of_tap(call: &OpenSessionByMandate, rejection: &Rejection) -> (&'static str, Unit) {
    if Some(call.max_spend.micro()) == rejection.found {
        ("call.max_spend", Unit::MicroTokens)
    } else {
        ("call.max_duration", Unit::Milliseconds)
    }
}

/// Which value of a session's opening is over its limit: the one that was found.
fn over_limit(call: &OpenSession, rejection: &Rejection) -> (&'static str, Unit) {
    let found = rejection.found;
    if call.state_of_charge.map(u64::from) == found && rejection.expected == Some(100) {
        ("call.state_of_charge", Unit::Percent)
    } else if Some(call.max_spend.micro()) == found {
        ("call.max_spend", Unit::MicroTokens)
    } else {
        ("call.max_duration", Unit::Milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        id::{CondominiumId, ConnectorId, GroupId},
        quantity::{Amount, Currents},
        time::Duration,
    };

    use super::*;
    use crate::call::{ClearPositions, Priority, PutGroup};

    /// Whoever lacked a role was told to ask for it, and not for which.
    #[test]
    fn a_role_that_is_missing_is_named() {
        let told = |call: Call| words(&call, &Rejection::new(Code::NotAllowed)).map(|(what, _)| what).unwrap_or_default();
        let group = PutGroup { group: GroupId::new(CondominiumId(1), 1), parent: None, limit: Currents::ZERO };
        assert!(told(Call::PutGroup(group)).contains("role manager"));
        assert!(told(Call::ClearPositions(ClearPositions { condominium: CondominiumId(1) })).contains("role treasurer"));
    }

    /// One code stands for several values of one call: what was found tells which.
    #[test]
    fn the_value_over_its_limit_is_named_with_its_own_unit() {
        let open = |max_spend, hours, percent| {
            Call::OpenSession(OpenSession {
                connector: ConnectorId::new(CondominiumId(1), 1),
                tariff_version: 1,
                max_spend: Amount::from_micro(max_spend),
                max_duration: Duration::from_hours(hours),
                energy_target: None,
                state_of_charge: Some(percent),
                depart_by: None,
                window: None,
                priority: Priority::None,
            })
        };
        let told = |call: &Call, expected, found| {
            let rejection = Rejection::of(Code::OverLimit, expected, found);
            (field(call, &rejection), unit(call, &rejection))
        };
        let (spend, day) = (300_000_000, Duration::from_hours(25).ms());
        assert_eq!(told(&open(spend, 1, 50), 200_000_000, spend), (Some("call.max_spend"), Some(Unit::MicroTokens)));
        assert_eq!(told(&open(1, 25, 50), day - 1, day), (Some("call.max_duration"), Some(Unit::Milliseconds)));
        assert_eq!(told(&open(1, 1, 101), 100, 101), (Some("call.state_of_charge"), Some(Unit::Percent)));
        let nonce = Rejection::of(Code::WrongNonce, 4, 3);
        assert_eq!((field(&open(1, 1, 1), &nonce), unit(&open(1, 1, 1), &nonce)), (Some("nonce"), Some(Unit::Count)));
    }
}
