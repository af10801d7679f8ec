//! The facts that a block establishes.
//!
//! Called through [`super`], which has the receipts around them.

use serde::{Deserialize, Serialize};

use super::SessionReceipt;
use crate::{
    code::Code,
    id::{Address, CardId, CondominiumId, ConnectorId, GroupId, Height, RedemptionId, SessionId, TariffId},
    quantity::{Amount, Currents, WattHours},
    record::{EndReason, Fault, Roaming, Role},
    time::Timestamp,
};

/// A fact that a block established.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// An account came into being.
    AccountRegistered {
        /// Its address.
        account: Address,
        /// Its home.
        home: CondominiumId,
    },
    /// Tokens were sold for money.
    TokensSold {
        /// Who sold them.
        condominium: CondominiumId,
        /// Who holds them.
        account: Address,
        /// How many.
        amount: Amount,
        /// The part that paid back debt.
        to_debt: Amount,
        /// The sale's number.
        #[serde(with = "crate::quantity::decimal")]
        #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
        sale: u64,
    },
    /// Tokens were locked to be paid out.
    RedemptionRequested {
        /// Which request.
        redemption: RedemptionId,
        /// Whose.
        account: Address,
        /// How many.
        amount: Amount,
    },
    /// Locked tokens were paid out and are gone.
    RedemptionPaid {
        /// Which request.
        redemption: RedemptionId,
        /// Whose.
        account: Address,
        /// How many.
        amount: Amount,
    },
    /// A payout was refused; the tokens are back.
    RedemptionRefused {
        /// Which request.
        redemption: RedemptionId,
        /// Whose.
        account: Address,
        /// How many.
        amount: Amount,
    },
    /// Tokens changed hands.
    Transferred {
        /// Payer.
        from: Address,
        /// Payee.
        to: Address,
        /// How many.
        amount: Amount,
    },
    /// A role was given.
    RoleGranted {
        /// Where.
        condominium: CondominiumId,
        /// Which.
        role: Role,
        /// To whom.
        account: Address,
        /// From which height.
        from: Height,
        /// Before which height.
        until: Option<Height>,
    },
    /// A role ends.
    RoleRevoked {
        /// Where.
        condominium: CondominiumId,
        /// Which.
        role: Role,
        /// Whose.
        account: Address,
        /// The first height without it.
        until: Height,
    },
    /// A group was made or changed.
    GroupPut {
        /// Which.
        group: GroupId,
        /// Its limit.
        limit: Currents,
    },
    /// A connector was made or changed.
    ConnectorPut {
        /// Which.
        connector: ConnectorId,
    },
    /// A tariff has a new version.
    TariffPut {
        /// Which.
        tariff: TariffId,
        /// The version.
        version: u32,
        /// When it comes into force.
        valid_from: Timestamp,
    },
    /// A session was opened and its escrow locked.
    SessionOpened {
        /// Which.
        session: SessionId,
        /// Whose.
        account: Address,
        /// Where.
        connector: ConnectorId,
        /// What is locked.
        escrow: Amount,
    },
    /// A session's escrow grew.
    SessionToppedUp {
        /// Which.
        session: SessionId,
        /// By how much.
        amount: Amount,
        /// To how much.
        escrow: Amount,
    },
    /// A session may draw current; also where a resumption or a change gave it.
    SessionGranted {
        /// Which.
        session: SessionId,
        /// How much, per phase.
        current: Currents,
    },
    /// A session was passed over.
    SessionSkipped {
        /// Which.
        session: SessionId,
        /// Why.
        reason: SkipReason,
    },
    /// A session must stop drawing for now.
    SessionPaused {
        /// Which.
        session: SessionId,
        /// Why.
        reason: PauseReason,
    },
    /// A reading of a session was taken or refused.
    ReadingHandled {
        /// Which session.
        session: SessionId,
        /// The reading's number.
        #[serde(with = "crate::quantity::decimal")]
        #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
        sequence: u64,
        /// Why it was refused; `None` where it was accepted.
        refused: Option<Code>,
    },
    /// Energy flowed at a connector while no session was open.
    EnergyUnassigned {
        /// Where.
        connector: ConnectorId,
        /// How much.
        energy: WattHours,
    },
    /// A gateway found something wrong.
    FaultReported {
        /// Where.
        connector: ConnectorId,
        /// What.
        fault: Fault,
        /// When.
        at: Timestamp,
    },
    /// A session is over; its last readings and its settlement are awaited.
    SessionStopping {
        /// Which.
        session: SessionId,
        /// Why.
        reason: EndReason,
        /// When the chain settles it by itself.
        settle_by: Timestamp,
    },
    /// A session was paid and its rest refunded.
    SessionSettled(SessionReceipt),
    /// What one condominium owes another changed.
    PositionPosted {
        /// Who owes more, or is owed less.
        debtor: CondominiumId,
        /// Who is owed more, or owes less.
        creditor: CondominiumId,
        /// By how much.
        amount: Amount,
    },
    /// A session's vehicle is full and stays plugged in, under a tariff that counts parking.
    SessionIdle {
        /// Which.
        session: SessionId,
        /// The time of the reading that showed it.
        since: Timestamp,
    },
    /// A period of charging away from home has ended: what was owed became payments.
    PositionsCleared {
        /// Its number, from 1.
        clearing: u32,
        /// Whose treasurer ended it.
        condominium: CondominiumId,
        /// The end of the period before; `None` for the first.
        from: Option<Timestamp>,
        /// The block time.
        until: Timestamp,
    },
    /// What accounts of one home did in it where another home is paid.
    RoamingClosed {
        /// The clearing.
        clearing: u32,
        /// Whose accounts.
        home: CondominiumId,
        /// Who was paid.
        host: CondominiumId,
        /// What they did.
        roaming: Roaming,
    },
    /// One condominium has to pay another.
    PaymentDue {
        /// After which clearing.
        clearing: u32,
        /// Who pays.
        debtor: CondominiumId,
        /// Whom.
        creditor: CondominiumId,
        /// How much.
        amount: Amount,
    },
    /// The debtor's treasurer says that the money was sent.
    PaymentReported {
        /// After which clearing.
        clearing: u32,
        /// Who pays.
        debtor: CondominiumId,
        /// Whom.
        creditor: CondominiumId,
        /// How much.
        amount: Amount,
    },
    /// The creditor's treasurer confirms it: nothing is owed any more.
    PaymentReceived {
        /// After which clearing.
        clearing: u32,
        /// Who paid.
        debtor: CondominiumId,
        /// Whom.
        creditor: CondominiumId,
        /// How much.
        amount: Amount,
    },
    /// The creditor's treasurer says that the money did not arrive: it is still owed.
    PaymentMissing {
        /// After which clearing.
        clearing: u32,
        /// Who has to pay.
        debtor: CondominiumId,
        /// Whom.
        creditor: CondominiumId,
        /// How much.
        amount: Amount,
    },
    /// A condominium said how much any other may owe it.
    PositionLimitSet {
        /// Which.
        condominium: CondominiumId,
        /// The most.
        limit: Amount,
    },
    /// An account lets a condominium's gateway start sessions in its name.
    MandateGranted {
        /// Whose.
        account: Address,
        /// Where.
        condominium: CondominiumId,
        /// Until when.
        expires: Timestamp,
    },
    /// It does so no longer.
    MandateRevoked {
        /// Whose.
        account: Address,
        /// Where.
        condominium: CondominiumId,
    },
    /// A card starts sessions in an account's name.
    CardBound {
        /// Where.
        condominium: CondominiumId,
        /// Which.
        card: CardId,
        /// Whose.
        account: Address,
    },
    /// It does so no longer.
    CardReleased {
        /// Where.
        condominium: CondominiumId,
        /// Which.
        card: CardId,
        /// Whose it was.
        account: Address,
    },
    /// A session was opened by a card under its account's mandate.
    SessionMandated {
        /// Which.
        session: SessionId,
        /// The card.
        card: CardId,
    },
    /// A card asks for a session that its account has to confirm.
    StartAsked {
        /// Whose confirmation.
        account: Address,
        /// Where.
        connector: ConnectorId,
        /// The card.
        card: CardId,
        /// The block time from which it can be confirmed no more.
        until: Timestamp,
    },
    /// A session was opened by a card, and its account has confirmed it.
    StartConfirmed {
        /// Which.
        session: SessionId,
        /// The card.
        card: CardId,
    },
    /// One side says that a connector's meter was exchanged; the other has to agree.
    MeterProposed {
        /// Where.
        connector: ConnectorId,
        /// Who says it.
        account: Address,
        /// In which role.
        role: Role,
        /// What the old meter shows at its end.
        last: WattHours,
        /// What the new meter shows at its beginning.
        first: WattHours,
        /// The block time from which it can be agreed to no more.
        until: Timestamp,
    },
    /// Gateway and manager agree: a connector has another meter, and its register goes on.
    MeterReplaced {
        /// Where.
        connector: ConnectorId,
        /// How many exchanges there were, this one included.
        exchanges: u32,
        /// What the old meter showed at its end.
        last: WattHours,
        /// What the new meter showed at its beginning.
        first: WattHours,
        /// The connector's register at the exchange.
        register: WattHours,
    },
    /// A gateway has contradicted itself: it may only end and settle what runs.
    RoleSuspended {
        /// Where.
        condominium: CondominiumId,
        /// Whose key.
        account: Address,
        /// The session of the two readings.
        session: SessionId,
        /// Their number.
        #[serde(with = "crate::quantity::decimal")]
        #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
        sequence: u64,
    },
    /// A manager trusts a gateway's key again.
    SuspensionLifted {
        /// Where.
        condominium: CondominiumId,
        /// Whose key.
        account: Address,
    },
}

impl Event {
    /// The session that it is about, if it is about one.
    #[must_use]
    pub const fn session(&self) -> Option<SessionId> {
        match self {
            Self::SessionOpened { session, .. }
            | Self::SessionToppedUp { session, .. }
            | Self::SessionGranted { session, .. }
            | Self::SessionSkipped { session, .. }
            | Self::SessionPaused { session, .. }
            | Self::ReadingHandled { session, .. }
            | Self::SessionStopping { session, .. }
            | Self::SessionIdle { session, .. }
            | Self::SessionMandated { session, .. }
            | Self::StartConfirmed { session, .. } => Some(*session),
            Self::SessionSettled(bill) => Some(bill.session),
            Self::AccountRegistered { .. }
            | Self::TokensSold { .. }
            | Self::RedemptionRequested { .. }
            | Self::RedemptionPaid { .. }
            | Self::RedemptionRefused { .. }
            | Self::Transferred { .. }
            | Self::RoleGranted { .. }
            | Self::RoleRevoked { .. }
            | Self::GroupPut { .. }
            | Self::ConnectorPut { .. }
            | Self::TariffPut { .. }
            | Self::EnergyUnassigned { .. }
            | Self::FaultReported { .. }
            | Self::PositionPosted { .. }
            | Self::PositionsCleared { .. }
            | Self::RoamingClosed { .. }
            | Self::PaymentDue { .. }
            | Self::PaymentReported { .. }
            | Self::PaymentReceived { .. }
            | Self::PaymentMissing { .. }
            | Self::PositionLimitSet { .. }
            | Self::MandateGranted { .. }
            | Self::MandateRevoked { .. }
            | Self::CardBound { .. }
            | Self::CardReleased { .. }
            | Self::StartAsked { .. }
            | Self::MeterProposed { .. }
            | Self::MeterReplaced { .. }
            | Self::RoleSuspended { .. }
            | Self::SuspensionLifted { .. } => None,
        }
    }

    /// The accounts that it names, at most two; an event within a session names its account only where the session opens and where it is settled.
    pub fn accounts(&self) -> impl Iterator<Item = Address> {
        let (first, second) = match self {
            Self::AccountRegistered { account, .. }
            | Self::TokensSold { account, .. }
            | Self::RedemptionRequested { account, .. }
            | Self::RedemptionPaid { account, .. }
            | Self::RedemptionRefused { account, .. }
            | Self::RoleGranted { account, .. }
            | Self::RoleRevoked { account, .. }
            | Self::SessionOpened { account, .. }
            | Self::MandateGranted { account, .. }
            | Self::MandateRevoked { account, .. }
            | Self::CardBound { account, .. }
            | Self::StartAsked { account, .. }
            | Self::MeterProposed { account, .. }
            | Self::RoleSuspended { account, .. }
            | Self::SuspensionLifted { account, .. }
            | Self::CardReleased { account, .. } => (Some(*account), None),
            Self::Transferred { from, to, .. } => (Some(*from), Some(*to)),
            Self::SessionSettled(bill) => (Some(bill.account), None),
            Self::GroupPut { .. }
            | Self::ConnectorPut { .. }
            | Self::TariffPut { .. }
            | Self::SessionToppedUp { .. }
            | Self::SessionGranted { .. }
            | Self::SessionSkipped { .. }
            | Self::SessionPaused { .. }
            | Self::ReadingHandled { .. }
            | Self::EnergyUnassigned { .. }
            | Self::FaultReported { .. }
            | Self::SessionStopping { .. }
            | Self::SessionIdle { .. }
            | Self::PositionPosted { .. }
            | Self::PositionsCleared { .. }
            | Self::RoamingClosed { .. }
            | Self::PaymentDue { .. }
            | Self::PaymentReported { .. }
            | Self::PaymentReceived { .. }
            | Self::PaymentMissing { .. }
            | Self::PositionLimitSet { .. }
            | Self::SessionMandated { .. }
            | Self::MeterReplaced { .. }
            | Self::StartConfirmed { .. } => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// The bill, where it settles a session.
    #[must_use]
    pub const fn bill(&self) -> Option<&SessionReceipt> {
        if let Self::SessionSettled(bill) = self { Some(bill) } else { None }
    }
}

/// Why a scheduler passed over a session that waits longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// What is free is too little on one of its phases.
    NotEnoughCurrent,
    /// Its driver leaves later than the other's.
    LaterDeparture,
    /// The other has paid for priority.
    LowerPriority,
    /// Its unit does not answer.
    UnitLost,
}

/// Why a session was paused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// A group's limit was lowered below what was granted.
    GroupLimit,
    /// Another session is more urgent.
    LaterDeparture,
    /// Energy is cheaper later.
    CheaperLater,
    /// The manager's wish.
    Manual,
}
