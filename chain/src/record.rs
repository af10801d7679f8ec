//! What the state holds: one record per key, the only things that execution reads.
//!
//! A key is a table's byte and a fixed-width, big-endian id, so that keys sort as ids do; a value is the record's encoding. How records change is
//! `contracts`' matter. Called by `contracts`, by the API and by whoever verifies a proof of a value.

mod key;

use serde::{Deserialize, Serialize};

pub use self::key::Key;
use crate::{
    hash::Hash32,
    id::{Address, CardId, CondominiumId, ConnectorId, Height, SessionId, TariffId, TxId},
    quantity::{Amount, Cost, Currents, WattHours, Watts},
    time::{Duration, Timestamp},
};

/// A holder of tokens; valid in every condominium, at home in one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Account {
    /// The condominium that sold its tokens and holds the money.
    pub home: CondominiumId,
    /// Spendable.
    pub balance: Amount,
    /// Locked: the sum of its open escrows and pending redemptions, each with its owner's record.
    pub held: Amount,
    /// Credit that is drawn and not yet paid back.
    pub debt: Amount,
    /// The most that `debt` may reach by locking.
    pub credit_limit: Amount,
}

/// A key that signs for an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signer {
    /// The account that it acts for.
    pub account: Address,
    /// What it may do.
    pub scope: SignerScope,
    /// The nonce that its next transaction must have.
    #[serde(with = "crate::quantity::decimal")]
    pub nonce: u64,
}

/// What a key may do for its account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SignerScope {
    /// Everything: the account's own key.
    Owner,
}

/// A condominium: one site, one node, one treasury.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Condominium {
    /// A short name for people, such as `TRO`; 1 to 32 bytes.
    pub name: String,
    /// The account that settlements pay.
    pub revenue: Address,
    /// The most that may be sold in one UTC day.
    pub mint_cap_per_day: Amount,
    /// The most that any other condominium may owe this one.
    pub position_limit: Amount,
    /// Sold since genesis, and taken over with the money that other condominiums paid.
    pub minted: Amount,
    /// Redeemed since genesis, and handed on with the money that was paid to other condominiums.
    pub redeemed: Amount,
    /// The number that its next sale must have, from 1.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub next_sale: u64,
    /// Days since the epoch (UTC) that `minted_today` counts for.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub mint_day: u64,
    /// Sold on that day.
    pub minted_today: Amount,
}

/// A privilege in one condominium.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Groups, connectors, tariffs, residents, roles.
    Manager,
    /// Sells tokens and confirms redemptions.
    Treasurer,
    /// Attests readings, reports faults, settles.
    Gateway,
    /// Grants, pauses, resumes.
    Scheduler,
    /// Reads what is the condominium's.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Manager, Self::Treasurer, Self::Gateway, Self::Scheduler, Self::Auditor];

    /// Its place in a state key.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Manager => 0,
            Self::Treasurer => 1,
            Self::Gateway => 2,
            Self::Scheduler => 3,
            Self::Auditor => 4,
        }
    }
}

/// When an account holds a role: at heights from `from` and, where there is an end, before `until`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoleGrant {
    /// The first height.
    pub from: Height,
    /// The first height at which it is over.
    pub until: Option<Height>,
}

impl RoleGrant {
    /// Whether the role is held at `height`.
    #[must_use]
    pub fn holds_at(&self, height: Height) -> bool {
        self.from <= height && self.until.is_none_or(|until| height < until)
    }
}

/// A current limit over connectors and the groups below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Group {
    /// The group above it, by number in the same condominium.
    pub parent: Option<u32>,
    /// The most current, per phase.
    pub limit: Currents,
    /// Granted to sessions in it and in the groups below it.
    pub granted: Currents,
    /// Reserved for points without a switch in it and in the groups below it.
    pub reserved: Currents,
}

/// Whether current can be switched off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// A relay or a wallbox: current flows only where it is granted.
    Switched,
    /// A meter alone: its rated current is reserved in its groups for good.
    MeterOnly,
}

/// Whether the charger says that a plug is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PlugSignal {
    /// It does not: a vehicle's leaving is judged by its power.
    None,
    /// It does.
    Reported,
}

/// Whether a connector may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Sessions may open.
    InService,
    /// A manager took it out.
    OutOfService,
}

/// A place to charge.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Connector {
    /// Its group, by number.
    pub group: u32,
    /// Whether it can switch.
    pub control: Control,
    /// Whether it reports its plug.
    pub plug_signal: PlugSignal,
    /// What each phase is rated for; zero where a phase is not connected.
    pub rated: Currents,
    /// The tariff of its sessions, by number.
    pub tariff: u32,
    /// Whether it may be used.
    pub service: Service,
    /// A fault that keeps it out of use until a manager puts it again.
    pub fault: Option<Fault>,
    /// The session that claims it.
    pub session: Option<SessionId>,
    /// The highest register that was accepted.
    pub last_register: WattHours,
    /// Energy that flowed while no session was open.
    pub unassigned: WattHours,
}

/// What a gateway can find wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// More current than the connector is rated for.
    OverCurrent,
    /// Hotter than the connector may be.
    OverTemperature,
    /// Charging longer than allowed.
    OverTime,
    /// The meter contradicts itself or is silent.
    MeterFault,
    /// Current flows although the relay is open.
    WeldedRelay,
    /// The unit has not been heard of.
    UnitLost,
}

impl Fault {
    /// Whether the connector stays out of use until a manager has looked at it.
    #[must_use]
    pub const fn blocks_connector(self) -> bool {
        match self {
            Self::MeterFault | Self::WeldedRelay => true,
            Self::OverCurrent | Self::OverTemperature | Self::OverTime | Self::UnitLost => false,
        }
    }
}

/// A tariff's newest version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TariffHead {
    /// Its number, from 1.
    pub latest: u32,
}

/// One immutable version of a tariff; in force from `valid_from` until a later version's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TariffVersion {
    /// The block time from which sessions open under it.
    pub valid_from: Timestamp,
    /// The document.
    pub tariff: crate::tariff::Tariff,
}

/// An open charging session (OCPI: session); once settled it lives on in its receipt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// Who pays.
    pub account: Address,
    /// Where.
    pub connector: ConnectorId,
    /// The connector's tariff at the opening.
    pub tariff: TariffId,
    /// The version that its owner was shown and that bills it.
    pub tariff_version: u32,
    /// The block time of the opening.
    pub opened_at: Timestamp,
    /// The height of the opening: with `opened_index` its place in the queue.
    pub opened_height: Height,
    /// The index of the opening transaction in its block.
    pub opened_index: u32,
    /// The locked amount: what the session may cost at most.
    pub escrow: Amount,
    /// How long it may take, counted from the first grant.
    pub max_duration: Duration,
    /// Hints for the scheduler; they end nothing.
    pub hints: Hints,
    /// Where it is in its life.
    pub state: SessionState,
    /// Its next deadline, under which it is found in [`Key::Due`].
    pub due: Timestamp,
    /// The block time of the first grant.
    pub first_granted_at: Option<Timestamp>,
    /// The current that it holds; zero unless charging.
    pub granted: Currents,
    /// The height of its newest grant or resumption: the newest is paused first.
    pub granted_height: Height,
    /// The index of that transaction in its block.
    pub granted_index: u32,
    /// The newest accepted reading, and where it began.
    pub meter: Option<MeterState>,
    /// The exact cost so far, not capped.
    pub cost: CostByComponent,
    /// The energy that the escrow pays for, once the cost has passed it.
    pub billed_at_limit: Option<WattHours>,
}

/// What a driver declares; nothing ends because of it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hints {
    /// The energy that he needs.
    pub energy_target: Option<WattHours>,
    /// The battery's state of charge in percent, 0 to 100.
    pub state_of_charge: Option<u8>,
    /// When he leaves.
    pub depart_by: Option<Timestamp>,
}

/// Where a session is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Waits for a first grant.
    Queued,
    /// Holds a current.
    Charging,
    /// Held one; waits for another.
    Paused,
    /// Full, with the plug in, under a tariff that counts parking.
    Idle,
    /// Over; the last readings and the settlement are awaited until the session's due time.
    Stopping {
        /// Why it ended.
        reason: EndReason,
        /// When it ended.
        at: Timestamp,
    },
}

/// Why a session ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The escrow is spent.
    Money,
    /// The longest duration has passed.
    Time,
    /// The vehicle left before it was full.
    VehicleRemoved,
    /// The vehicle takes no more.
    VehicleFull,
    /// Its owner stopped it.
    StoppedByResident,
    /// A manager stopped it.
    StoppedByManager,
    /// The gateway found something wrong.
    Anomaly(Fault),
    /// The time had passed and the gateway did not settle it.
    GatewayLost,
    /// No grant came before the queue's deadline.
    NeverStarted,
    /// Its owner cancelled it while it waited.
    Cancelled,
}

/// What a session's meter has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MeterState {
    /// The register of the first accepted reading.
    pub start: WattHours,
    /// The sequence number of the newest, from 1.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub sequence: u64,
    /// Its time.
    pub at: Timestamp,
    /// Its register.
    pub register: WattHours,
    /// Its power.
    pub power: Watts,
    /// Raw samples behind all accepted readings, end samples not counted.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub samples: u64,
}

/// When an open session held a grant and since when it is full: what TIME and PARKING_TIME are counted by.
///
/// It is there only where the session's tariff has a price for one of them, from the opening to the settlement.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct SessionTimes {
    /// When it held a grant, in order; spans that ended by its newest accepted reading are counted and gone.
    pub granted: Vec<GrantSpan>,
    /// The time of the reading that showed it full with the plug in.
    pub idle_since: Option<Timestamp>,
}

/// A span of block time in which a session held a grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GrantSpan {
    /// From the block of the grant or the resumption.
    pub from: Timestamp,
    /// To the block of the pause; `None` while it goes on.
    pub until: Option<Timestamp>,
}

/// The exact cost of a session, by dimension of its tariff.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CostByComponent {
    /// ENERGY.
    pub energy: Cost,
    /// TIME.
    pub time: Cost,
    /// PARKING_TIME.
    pub parking_time: Cost,
    /// FLAT.
    pub flat: Cost,
}

impl CostByComponent {
    /// All dimensions together, or `None` above the range.
    #[must_use]
    pub fn total(&self) -> Option<Cost> {
        self.energy.checked_add(self.time)?.checked_add(self.parking_time)?.checked_add(self.flat)
    }
}

/// What accounts of one home did where another home is paid, since the last clearing; money that only came back is not in it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Roaming {
    /// Settled sessions that metered or cost anything.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub sessions: u64,
    /// Their energy, as metered.
    pub energy: WattHours,
    /// What they paid.
    pub charged: Amount,
    /// Transfers from accounts of the one to accounts of the other.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub transfers: u64,
    /// Their sum.
    pub transferred: Amount,
}

/// How many clearings there were.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClearingHead {
    /// The newest one's number, from 1.
    pub latest: u32,
}

/// The end of a period in which condominiums came to owe one another; what was in it stands in the receipt of its transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Clearing {
    /// The block time of the clearing before; `None` for the first.
    pub from: Option<Timestamp>,
    /// Its own block time.
    pub until: Timestamp,
    /// Its own height.
    pub height: Height,
    /// The index of its transaction in the block.
    pub index: u32,
}

/// What one condominium has to pay another after a clearing; it is gone once the creditor's treasurer has confirmed the money.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Payment {
    /// How much.
    pub amount: Amount,
    /// That it was sent, as the debtor's treasurer says.
    pub report: Option<PaymentReport>,
}

/// A treasurer's word that money is on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentReport {
    /// Whose word.
    pub treasurer: Address,
    /// The block time.
    pub at: Timestamp,
    /// A salted commitment to the payment's reference.
    pub payment: Hash32,
}

/// What an account lets a condominium's gateway start in its name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MandateTerms {
    /// The most that one session may lock.
    pub max_per_session: Amount,
    /// The most that sessions opened on one UTC day may cost together; an open one counts with what it locked at its opening.
    pub max_per_day: Amount,
    /// The highest price per kWh that any element of the tariff may have.
    pub max_price_per_kwh: Amount,
    /// The highest price per hour, charging or parked, that any element of the tariff may have.
    pub max_price_per_hour: Amount,
    /// The block time from which it is over.
    pub expires: Timestamp,
    /// The connectors that it is for, by number; empty for all of the condominium.
    pub connectors: Vec<u32>,
    /// How unusual a start must look to the gateway, in thousandths, to need the account's confirmation; above 1,000 none does.
    pub confirm_from: u16,
}

/// A mandate of an account for a condominium.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Mandate {
    /// What it allows.
    pub terms: MandateTerms,
    /// The block time at which these terms were granted.
    pub granted_at: Timestamp,
}

/// What an account's mandates for a condominium were used for on one day; it outlives them, so that granting anew is no new day.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct MandateDay {
    /// Days since the epoch (UTC).
    #[serde(with = "crate::quantity::decimal")]
    pub day: u64,
    /// Locked at their opening by open sessions of that day, and paid by settled ones.
    pub used: Amount,
}

/// A card that starts sessions in an account's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Card {
    /// Whose.
    pub account: Address,
    /// The block time of the binding.
    pub bound_at: Timestamp,
}

/// A start that a card has asked for and that waits for the confirmation of the card's account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AskedStart {
    /// Who has to confirm, and pays.
    pub account: Address,
    /// The card that was shown.
    pub card: CardId,
    /// The version of the tariff that is shown to him.
    pub tariff_version: u32,
    /// What would be locked.
    pub max_spend: Amount,
    /// How long it may take, counted from the first grant.
    pub max_duration: Duration,
    /// The energy that is likely to be needed.
    pub energy_target: Option<WattHours>,
    /// The block time from which it can be confirmed no more.
    pub until: Timestamp,
}

/// What an open session that a card has started counts for in its account's mandate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MandateUse {
    /// The card.
    pub card: CardId,
    /// The day of its opening.
    #[serde(with = "crate::quantity::decimal")]
    pub day: u64,
    /// What it locked at its opening.
    pub amount: Amount,
}

/// Tokens that their holder wants paid out, locked until the treasurer has answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Redemption {
    /// Whose.
    pub account: Address,
    /// How much is held for it.
    pub amount: Amount,
    /// The block time of the request.
    pub requested_at: Timestamp,
    /// A salted commitment to where the money shall go.
    pub payee: Hash32,
}

/// An exchange of a connector's meter that one side has signed and that waits for the other: gateway and manager have to name the same registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MeterProposal {
    /// Who has signed it.
    pub account: Address,
    /// In which role: [`Role::Manager`] or [`Role::Gateway`].
    pub role: Role,
    /// What the old meter shows at its end.
    pub last: WattHours,
    /// What the new meter shows at its beginning.
    pub first: WattHours,
    /// The block time from which it can be agreed to no more.
    pub until: Timestamp,
}

/// The meter that a connector has since its last exchange; absent where it has its first, which shows the connector's register itself.
///
/// The connector's register goes on over all its meters, so that energy is never counted twice or lost: `register = base + (shown − first)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Meter {
    /// How many exchanges there were.
    pub exchanges: u32,
    /// What it showed at its beginning.
    pub first: WattHours,
    /// The connector's register then.
    pub base: WattHours,
    /// The block time of the exchange.
    pub since: Timestamp,
}

impl Meter {
    /// The connector's register where this meter shows so much; `None` where it shows less than at its beginning, or beyond the range.
    #[must_use]
    pub fn register(&self, shown: WattHours) -> Option<WattHours> {
        self.base.checked_add(shown.checked_sub(self.first)?)
    }

    /// What this meter shows where the connector's register is so much; `None` before its beginning, or beyond the range.
    #[must_use]
    pub fn shown(&self, register: WattHours) -> Option<WattHours> {
        self.first.checked_add(register.checked_sub(self.base)?)
    }
}

/// A gateway's key that has contradicted itself; it stays on record when it was lifted, so that old evidence does not count again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Suspension {
    /// The height of the block that the evidence is in.
    pub since: Height,
    /// The session of the two readings.
    pub session: SessionId,
    /// Their number.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub sequence: u64,
    /// The transaction that holds the evidence.
    pub evidence: TxId,
    /// The block time at which a manager lifted it; `None` while it is in force.
    pub lifted_at: Option<Timestamp>,
}
