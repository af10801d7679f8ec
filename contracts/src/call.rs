//! Every transaction kind, in one place: the wire tag is the position here.
//!
//! A new kind is one file in `calls/`, one variant at the end and one line in [`Call::action`]. Positions are never changed or reused.

use chain::code::Rejection;
use serde::{Deserialize, Serialize};

pub use crate::calls::{
    answer_payment::{AnswerPayment, PaymentAnswer},
    ask_start::AskStart,
    attest::{Attest, Reading, ReadingFlags},
    attest_unassigned::AttestUnassigned,
    bind_card::BindCard,
    cancel_session::CancelSession,
    clear_positions::ClearPositions,
    confirm_redeem::{ConfirmRedeem, RedeemAnswer},
    confirm_start::ConfirmStart,
    grant_charge::{GrantCharge, Skipped},
    grant_mandate::GrantMandate,
    grant_role::GrantRole,
    lift_suspension::LiftSuspension,
    open_session::{OpenSession, Priority, Window},
    open_session_by_mandate::OpenSessionByMandate,
    pause_charge::PauseCharge,
    prove_equivocation::{Contradiction, ProveEquivocation, contradiction},
    put_connector::PutConnector,
    put_group::PutGroup,
    put_tariff::PutTariff,
    register_account::{Invite, RegisterAccount},
    replace_meter::{ReplaceMeter, STANDS as METER_PROPOSAL_STANDS},
    report_fault::ReportFault,
    report_payment::ReportPayment,
    request_redeem::RequestRedeem,
    resume_charge::ResumeCharge,
    revoke_mandate::RevokeMandate,
    revoke_role::RevokeRole,
    sell_tokens::SellTokens,
    set_position_limit::SetPositionLimit,
    settle_session::SettleSession,
    stop_session::StopSession,
    top_up_session::TopUpSession,
    transfer::Transfer,
};
use crate::{context::CallContext, failure::Failure, ledger::Ledger};

/// A signed request to the ledger.
pub type Transaction = chain::transaction::Transaction<Call>;

/// The signed part of one.
pub type Body = chain::transaction::Body<Call>;

/// What a transaction asks for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Tag 0: [`RegisterAccount`].
    RegisterAccount(RegisterAccount),
    /// Tag 1: [`SellTokens`].
    SellTokens(SellTokens),
    /// Tag 2: [`RequestRedeem`].
    RequestRedeem(RequestRedeem),
    /// Tag 3: [`ConfirmRedeem`].
    ConfirmRedeem(ConfirmRedeem),
    /// Tag 4: [`Transfer`].
    Transfer(Transfer),
    /// Tag 5: [`GrantRole`].
    GrantRole(GrantRole),
    /// Tag 6: [`RevokeRole`].
    RevokeRole(RevokeRole),
    /// Tag 7: [`PutGroup`].
    PutGroup(PutGroup),
    /// Tag 8: [`PutConnector`].
    PutConnector(PutConnector),
    /// Tag 9: [`PutTariff`].
    PutTariff(PutTariff),
    /// Tag 10: [`OpenSession`].
    OpenSession(OpenSession),
    /// Tag 11: [`TopUpSession`].
    TopUpSession(TopUpSession),
    /// Tag 12: [`CancelSession`].
    CancelSession(CancelSession),
    /// Tag 13: [`StopSession`].
    StopSession(StopSession),
    /// Tag 14: [`GrantCharge`].
    GrantCharge(GrantCharge),
    /// Tag 15: [`PauseCharge`].
    PauseCharge(PauseCharge),
    /// Tag 16: [`ResumeCharge`].
    ResumeCharge(ResumeCharge),
    /// Tag 17: [`Attest`].
    Attest(Attest),
    /// Tag 18: [`ReportFault`].
    ReportFault(ReportFault),
    /// Tag 19: [`SettleSession`].
    SettleSession(SettleSession),
    /// Tag 20: [`ClearPositions`].
    ClearPositions(ClearPositions),
    /// Tag 21: [`ReportPayment`].
    ReportPayment(ReportPayment),
    /// Tag 22: [`AnswerPayment`].
    AnswerPayment(AnswerPayment),
    /// Tag 23: [`SetPositionLimit`].
    SetPositionLimit(SetPositionLimit),
    /// Tag 24: [`GrantMandate`].
    GrantMandate(GrantMandate),
    /// Tag 25: [`RevokeMandate`].
    RevokeMandate(RevokeMandate),
    /// Tag 26: [`BindCard`].
    BindCard(BindCard),
    /// Tag 27: [`OpenSessionByMandate`].
    OpenSessionByMandate(OpenSessionByMandate),
    /// Tag 28: [`AskStart`].
    AskStart(AskStart),
    /// Tag 29: [`ConfirmStart`].
    ConfirmStart(ConfirmStart),
    /// Tag 30: [`AttestUnassigned`].
    AttestUnassigned(AttestUnassigned),
    /// Tag 31: [`ReplaceMeter`].
    ReplaceMeter(ReplaceMeter),
    /// Tag 32: [`ProveEquivocation`].
    ProveEquivocation(ProveEquivocation),
    /// Tag 33: [`LiftSuspension`].
    LiftSuspension(LiftSuspension),
}

/// What every call can do.
pub trait Action {
    /// Its name, `snake_case`, as in JSON and in metrics.
    fn name(&self) -> &'static str;

    /// Whether its values make sense by themselves, without the state.
    ///
    /// # Errors
    /// The [`Rejection`] of the first value that does not.
    fn check(&self) -> Result<(), Rejection>;

    /// Checks it against the state and carries it out; all checks come before the first write.
    ///
    /// # Errors
    /// [`Failure::Reject`] for a broken rule, [`Failure::Fault`] for this machine's own trouble. The caller undoes what was written.
    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure>;
}

impl Call {
    /// The call as something that can be checked and applied.
    #[must_use]
    pub fn action(&self) -> &dyn Action {
        match self {
            Self::RegisterAccount(call) => call,
            Self::SellTokens(call) => call,
            Self::RequestRedeem(call) => call,
            Self::ConfirmRedeem(call) => call,
            Self::Transfer(call) => call,
            Self::GrantRole(call) => call,
            Self::RevokeRole(call) => call,
            Self::PutGroup(call) => call,
            Self::PutConnector(call) => call,
            Self::PutTariff(call) => call,
            Self::OpenSession(call) => call,
            Self::TopUpSession(call) => call,
            Self::CancelSession(call) => call,
            Self::StopSession(call) => call,
            Self::GrantCharge(call) => call,
            Self::PauseCharge(call) => call,
            Self::ResumeCharge(call) => call,
            Self::Attest(call) => call,
            Self::ReportFault(call) => call,
            Self::SettleSession(call) => call,
            Self::ClearPositions(call) => call,
            Self::ReportPayment(call) => call,
            Self::AnswerPayment(call) => call,
            Self::SetPositionLimit(call) => call,
            Self::GrantMandate(call) => call,
            Self::RevokeMandate(call) => call,
            Self::BindCard(call) => call,
            Self::OpenSessionByMandate(call) => call,
            Self::AskStart(call) => call,
            Self::ConfirmStart(call) => call,
            Self::AttestUnassigned(call) => call,
            Self::ReplaceMeter(call) => call,
            Self::ProveEquivocation(call) => call,
            Self::LiftSuspension(call) => call,
        }
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        codec,
        hash::Hash32,
        id::{GroupId, Height, RedemptionId, SessionId},
        quantity::WattHours,
        receipt::PauseReason,
        record::{Control, Fault, PlugSignal, Role, Service},
        transaction::SignedBytes,
    };

    use super::*;
    use crate::testing::{
        AWAY, CARD, GARAGE, HOME, NOON, PLAIN, RESIDENT, THREE_PHASE, connector, mandate, opening, simple_tariff, tap, tokens,
    };

    /// One of each kind, in order of tag.
    fn all() -> Vec<Call> {
        let (account, session) = (RESIDENT, SessionId(Hash32::ZERO));
        let (condominium, amount, role, payment) = (HOME, tokens(1), Role::Auditor, Hash32::ZERO);
        let put_connector = PutConnector {
            connector: connector(1),
            group: GARAGE,
            control: Control::Switched,
            plug_signal: PlugSignal::None,
            rated: THREE_PHASE,
            tariff: PLAIN.number,
            service: Service::InService,
        };
        vec![
            Call::RegisterAccount(RegisterAccount { account, condominium, invite: None }),
            Call::SellTokens(SellTokens { condominium, account, amount, sale: 1, payment }),
            Call::RequestRedeem(RequestRedeem { amount, payee: Hash32::ZERO }),
            Call::ConfirmRedeem(ConfirmRedeem { redemption: RedemptionId(Hash32::ZERO), answer: RedeemAnswer::Refused }),
            Call::Transfer(Transfer { to: account, amount }),
            Call::GrantRole(GrantRole { condominium, role, account, from: Height(1), until: None }),
            Call::RevokeRole(RevokeRole { condominium, role, account, until: Height(1) }),
            Call::PutGroup(PutGroup { group: GroupId::new(HOME, GARAGE), parent: None, limit: THREE_PHASE }),
            Call::PutConnector(put_connector),
            Call::PutTariff(PutTariff { tariff: PLAIN, version: 1, valid_from: NOON, document: simple_tariff(amount, amount) }),
            Call::OpenSession(opening(connector(1))),
            Call::TopUpSession(TopUpSession { session, amount }),
            Call::CancelSession(CancelSession { session }),
            Call::StopSession(StopSession { session }),
            Call::GrantCharge(GrantCharge { session, current: THREE_PHASE, skipped: Vec::new() }),
            Call::PauseCharge(PauseCharge { session, reason: PauseReason::Manual }),
            Call::ResumeCharge(ResumeCharge { session, current: THREE_PHASE }),
            Call::Attest(Attest { readings: Vec::new() }),
            Call::ReportFault(ReportFault { connector: connector(1), session: None, fault: Fault::OverTime, at: NOON }),
            Call::SettleSession(SettleSession { session }),
            Call::ClearPositions(ClearPositions { condominium }),
            Call::ReportPayment(ReportPayment { clearing: 1, debtor: condominium, creditor: AWAY, payment }),
            Call::AnswerPayment(AnswerPayment { clearing: 1, debtor: condominium, creditor: AWAY, answer: PaymentAnswer::Missing }),
            Call::SetPositionLimit(SetPositionLimit { condominium, limit: amount }),
            Call::GrantMandate(mandate()),
            Call::RevokeMandate(RevokeMandate { condominium }),
            Call::BindCard(BindCard { condominium, card: CARD, account: Some(account) }),
            Call::OpenSessionByMandate(tap(connector(1))),
            Call::AskStart(AskStart { start: tap(connector(1)) }),
            Call::ConfirmStart(ConfirmStart { start: tap(connector(1)) }),
            Call::AttestUnassigned(AttestUnassigned { connector: connector(1), at: NOON, register_wh: WattHours::new(1) }),
            Call::ReplaceMeter(ReplaceMeter { connector: connector(1), last: WattHours::ZERO, first: WattHours::ZERO }),
            Call::ProveEquivocation(ProveEquivocation { condominium, first: SignedBytes(vec![7]), second: SignedBytes(Vec::new()) }),
            Call::LiftSuspension(LiftSuspension { condominium, account }),
        ]
    }

    #[test]
    fn every_call_has_its_tag_and_the_name_that_json_gives_it() {
        let all = all();
        assert_eq!(all.len(), 34);
        for (tag, call) in (0_u32..).zip(&all) {
            assert_eq!(codec::encode(call).unwrap()[..4], tag.to_le_bytes(), "{call:?}");
            let json = serde_json::to_value(call).unwrap();
            let names: Vec<_> = json.as_object().unwrap().keys().collect();
            assert_eq!(names, [call.action().name()]);
        }
    }
}
