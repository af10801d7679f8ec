//! The ledger once more, naively: plain numbers in plain maps, every sum recomputed whenever it is asked for.
//!
//! Written from the rules in words, not from the code under test, with which it shares calls, ids, records and codes and no function. What a real record
//! caches (a hold, a group's current, a deadline's index) is derived here from its owners, so that a cache that goes stale shows as a difference. It predicts
//! each transaction's verdict and events. Calls are in [`super::money`], [`super::clearing`] and [`super::sessions`], the records of a block in [`super::records`].

use std::collections::BTreeMap;

use chain::{
    certificate::ValidatorSet,
    code::{Code, Rejection},
    crypto::{self, Domain},
    id::{Address, CardId, ChainId, CondominiumId, RedemptionId, SessionId, TxId},
    params::Params,
    quantity::{Cost, Currents},
    receipt::Event,
    record::{Control, CostByComponent, Fault, Hints, PlugSignal, Role, Service, SessionState},
    tariff::Tariff,
};
use contracts::{
    call::{Call, Invite, Transaction},
    genesis::Genesis,
};

use super::{
    clearing::{Abroad, Owing, Period},
    mandates::{Asked, Grant, Start, Tally},
    prices::Costs,
    trust::{Blame, Successor, Word},
};

/// Three phases, in milliamperes.
pub type Phases = [u64; 3];
/// A number within a condominium.
pub type Local = (u32, u32);

/// A rejection with its numbers, or nothing to complain about.
pub type Ruling<T = ()> = Result<T, Rejection>;

/// A rejection without numbers.
pub fn no<T>(code: Code) -> Ruling<T> {
    Err(Rejection { code, expected: None, found: None })
}

/// A rejection of what was found where something else was expected or is the bound.
pub fn not<T>(code: Code, expected: u64, found: u64) -> Ruling<T> {
    Err(Rejection { code, expected: Some(expected), found: Some(found) })
}

#[derive(Clone, Debug)]
pub struct Wallet {
    pub home: u32,
    pub balance: u64,
    pub debt: u64,
    pub credit_limit: u64,
}

#[derive(Clone, Debug)]
pub struct Treasury {
    pub name: String,
    pub revenue: Address,
    pub cap: u64,
    pub position_limit: u64,
    pub minted: u64,
    pub redeemed: u64,
    pub next_sale: u64,
    pub mint_day: u64,
    pub minted_today: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Term {
    pub from: u64,
    pub until: Option<u64>,
}

impl Term {
    pub fn covers(self, height: u64) -> bool {
        height >= self.from && self.until.is_none_or(|until| height < until)
    }
}

#[derive(Clone, Debug)]
pub struct Limit {
    pub parent: Option<u32>,
    pub limit: Phases,
}

#[derive(Clone, Debug)]
pub struct Point {
    pub group: u32,
    pub control: Control,
    pub plug_signal: PlugSignal,
    pub rated: Phases,
    pub tariff: u32,
    pub service: Service,
    pub fault: Option<Fault>,
    pub register: u64,
    pub unassigned: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Meter {
    pub start: u64,
    pub sequence: u64,
    pub at: u64,
    pub register: u64,
    pub power: u32,
    pub samples: u64,
}

#[derive(Clone, Debug)]
pub struct Charge {
    pub account: Address,
    pub connector: Local,
    pub tariff: u32,
    pub version: u32,
    pub opened_at: u64,
    pub place: (u64, u32),
    pub escrow: u64,
    pub max_duration: u64,
    pub hints: Hints,
    pub state: SessionState,
    pub due: u64,
    pub granted_at: Option<u64>,
    pub current: Phases,
    pub grant_place: (u64, u32),
    pub meter: Option<Meter>,
    pub costs: Costs,
    /// Spans with a grant that no reading has reached the end of, the newest sixteen.
    pub granted: Vec<(u64, Option<u64>)>,
    /// Since when it is full with the plug in.
    pub full_at: Option<u64>,
    /// How much of the energy is paid for, once the bill has passed the escrow.
    pub billed_at_limit: Option<u64>,
    /// Where a card has started it.
    pub start: Option<Start>,
}

impl Charge {
    pub fn is_over(&self) -> bool {
        matches!(self.state, SessionState::Stopping { .. })
    }

    /// It holds a grant from now on, and did not before.
    pub fn begin_grant(&mut self, now: u64) {
        self.granted.push((now, None));
        let forgotten = self.granted.len().saturating_sub(16);
        self.granted.drain(..forgotten);
    }

    /// It holds none from now on.
    pub fn end_grant(&mut self, now: u64) {
        self.granted.last_mut().expect("it held one").1 = Some(now);
    }
}

#[derive(Clone, Debug)]
pub struct Payout {
    pub account: Address,
    pub amount: u64,
    pub requested_at: u64,
    pub payee: chain::hash::Hash32,
}

/// What becomes of a candidate for a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It stands in the block and took effect.
    Applied(Vec<Event>),
    /// It stands in the block with a rejection.
    Rejected(Rejection),
    /// It may not stand in the block.
    Refused(Rejection),
    /// It finds no room.
    NoRoom,
}

/// The whole state, and the block in the making.
#[derive(Clone, Debug)]
pub struct Model {
    pub chain_id: ChainId,
    pub params: Params,
    pub validators: ValidatorSet,
    pub wallets: BTreeMap<Address, Wallet>,
    pub nonces: BTreeMap<Address, u64>,
    pub treasuries: BTreeMap<u32, Treasury>,
    pub terms: BTreeMap<(u32, Role, Address), Term>,
    pub groups: BTreeMap<Local, Limit>,
    pub points: BTreeMap<Local, Point>,
    pub tariffs: BTreeMap<Local, Vec<(u64, Tariff)>>,
    pub charges: BTreeMap<SessionId, Charge>,
    pub payouts: BTreeMap<RedemptionId, Payout>,
    /// What the first owes the second, negative where the second owes; the first has the lower number.
    pub positions: BTreeMap<(u32, u32), i128>,
    /// What residents of the first did where the second is paid, since the last clearing.
    pub abroad: BTreeMap<(u32, u32), Abroad>,
    /// The clearings.
    pub periods: Vec<Period>,
    /// Payments that are not confirmed: from, to, after which clearing.
    pub owing: BTreeMap<(u32, u32, u32), Owing>,
    pub invites: BTreeMap<(Address, u64), u64>,
    pub mandates: BTreeMap<(Address, u32), Grant>,
    pub tallies: BTreeMap<(Address, u32), Tally>,
    /// The last start at each connector that somebody was to confirm.
    pub asked: BTreeMap<Local, Asked>,
    /// Whose, and since when.
    pub cards: BTreeMap<(u32, CardId), (Address, u64)>,
    /// Meters that are not a connector's first, and who last spoke of another one.
    pub successors: BTreeMap<Local, Successor>,
    pub words: BTreeMap<Local, Word>,
    pub blames: BTreeMap<(u32, Address), Blame>,
    pub height: u64,
    pub now: u64,
    index: u32,
    bytes: usize,
    sent: BTreeMap<Address, u32>,
}

/// Who asks, and by which transaction.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    pub account: Address,
    pub signer: Address,
    pub id: TxId,
}

const DAY: u64 = 24 * 3_600_000;

impl Model {
    pub fn new(genesis: &Genesis) -> Self {
        let mut model = Self {
            chain_id: genesis.chain_id(),
            params: genesis.params,
            validators: genesis.validator_set().expect("a genesis of ours"),
            wallets: BTreeMap::new(),
            nonces: BTreeMap::new(),
            treasuries: BTreeMap::new(),
            terms: BTreeMap::new(),
            groups: BTreeMap::new(),
            points: BTreeMap::new(),
            tariffs: BTreeMap::new(),
            charges: BTreeMap::new(),
            payouts: BTreeMap::new(),
            positions: BTreeMap::new(),
            abroad: BTreeMap::new(),
            periods: Vec::new(),
            owing: BTreeMap::new(),
            invites: BTreeMap::new(),
            mandates: BTreeMap::new(),
            tallies: BTreeMap::new(),
            asked: BTreeMap::new(),
            cards: BTreeMap::new(),
            successors: BTreeMap::new(),
            words: BTreeMap::new(),
            blames: BTreeMap::new(),
            height: 0,
            now: genesis.timestamp.ms(),
            index: 0,
            bytes: 0,
            sent: BTreeMap::new(),
        };
        for condominium in &genesis.condominiums {
            let treasury = Treasury {
                name: condominium.name.clone(),
                revenue: condominium.revenue,
                cap: condominium.mint_cap_per_day.micro(),
                position_limit: condominium.position_limit.micro(),
                minted: 0,
                redeemed: 0,
                next_sale: 1,
                mint_day: 0,
                minted_today: 0,
            };
            model.treasuries.insert(condominium.id.0, treasury);
            for grant in &condominium.roles {
                model.terms.insert((condominium.id.0, grant.role, grant.account), Term { from: 0, until: None });
            }
        }
        for account in &genesis.accounts {
            let wallet = Wallet { home: account.home.0, balance: 0, debt: 0, credit_limit: account.credit_limit.micro() };
            model.wallets.insert(account.address, wallet);
            model.nonces.insert(account.address, 0);
        }
        model
    }

    /// Begins a block; `header_bytes` is what it measures without transactions.
    pub fn begin(&mut self, now: u64, header_bytes: usize) {
        self.height += 1;
        self.now = now;
        self.index = 0;
        self.bytes = header_bytes;
        self.sent.clear();
    }

    /// The place of the transaction at hand.
    pub fn place(&self) -> (u64, u32) {
        (self.height, self.index)
    }

    /// Carries out one candidate.
    pub fn transaction(&mut self, transaction: &Transaction) -> Verdict {
        let bytes = self.bytes + 8 + transaction.bytes().len();
        if bytes > usize::try_from(self.params.max_block_bytes).expect("32 bits") {
            return Verdict::NoRoom;
        }
        let newcomer = match self.admit(transaction) {
            Ok(newcomer) => newcomer,
            Err(rejection) => return Verdict::Refused(rejection),
        };
        self.bytes = bytes;
        let body = transaction.body();
        *self.sent.entry(body.signer).or_default() += 1;
        if !newcomer {
            *self.nonces.get_mut(&body.signer).expect("admitted") += 1;
        }
        let sender = Sender { account: body.account, signer: body.signer, id: transaction.id() };
        let ruling = self.call(&sender, &body.call);
        if newcomer {
            self.nonces.insert(body.signer, 1);
        }
        self.index += 1;
        match ruling {
            Ok(events) => Verdict::Applied(events),
            Err(rejection) => Verdict::Rejected(rejection),
        }
    }

    /// Whether it may stand in a block; true where it registers its own signer.
    fn admit(&self, transaction: &Transaction) -> Ruling<bool> {
        let body = transaction.body();
        if body.chain_id != self.chain_id {
            return no(Code::WrongChain);
        }
        let until = body.valid_until.ms();
        if until < self.now {
            return not(Code::Expired, self.now, until);
        }
        if until > self.now + DAY {
            return not(Code::ValidTooLong, self.now + DAY, until);
        }
        let newcomer = match self.nonces.get(&body.signer) {
            // Every key is its account's own for now.
            Some(_) if body.signer != body.account => return no(Code::UnknownSigner),
            Some(nonce) if *nonce != body.nonce => return not(Code::WrongNonce, *nonce, body.nonce),
            Some(_) => false,
            None => {
                let Call::RegisterAccount(call) = &body.call else { return no(Code::UnknownSigner) };
                let Some(invite) = &call.invite else { return no(Code::UnknownSigner) };
                let himself = call.account == body.signer && body.account == body.signer && body.nonce == 0;
                if !himself || self.invited(call.account, call.condominium, invite).is_err() {
                    return no(Code::UnknownSigner);
                }
                true
            }
        };
        let sent = self.sent.get(&body.signer).copied().unwrap_or(0);
        let home = self.wallets.get(&body.account).map(|wallet| wallet.home);
        let staff = home.is_some_and(|home| Role::ALL.iter().any(|role| self.has(home, *role, &body.account)));
        let share = if staff { self.params.role_txs_per_block } else { self.params.resident_txs_per_block };
        if sent >= share { not(Code::TooManyFromSigner, share.into(), sent.into()) } else { Ok(newcomer) }
    }

    /// Whether an invite registers this account now.
    pub fn invited(&self, account: Address, condominium: CondominiumId, invite: &Invite) -> Ruling {
        if !self.treasuries.contains_key(&condominium.0) {
            return no(Code::UnknownCondominium);
        }
        if self.wallets.contains_key(&account) {
            return no(Code::AccountExists);
        }
        if ![Role::Manager, Role::Treasurer].iter().any(|role| self.has(condominium.0, *role, &invite.issuer)) {
            return no(Code::NotAllowed);
        }
        if invite.expires.ms() < self.now {
            return no(Code::Expired);
        }
        if invite.expires.ms() > self.now + 90 * DAY {
            return no(Code::OverLimit);
        }
        if self.invites.contains_key(&(invite.issuer, invite.serial)) {
            return no(Code::NotAllowed);
        }
        let mut signed = self.chain_id.0.0.to_vec();
        signed.extend(condominium.0.to_le_bytes());
        signed.extend(invite.issuer.0);
        signed.extend(invite.serial.to_le_bytes());
        signed.extend(invite.expires.ms().to_le_bytes());
        crypto::verify(&invite.issuer, Domain::Invite, &signed, &invite.signature).map_err(|_| Code::BadSignature.into())
    }

    fn call(&mut self, sender: &Sender, call: &Call) -> Ruling<Vec<Event>> {
        match call {
            Call::RegisterAccount(call) => self.register_account(sender, call),
            Call::SellTokens(call) => self.sell_tokens(sender, call),
            Call::RequestRedeem(call) => self.request_redeem(sender, call),
            Call::ConfirmRedeem(call) => self.confirm_redeem(sender, call),
            Call::Transfer(call) => self.transfer(sender, call),
            Call::GrantRole(call) => self.grant_role(sender, call),
            Call::RevokeRole(call) => self.revoke_role(sender, call),
            Call::PutGroup(call) => self.put_group(sender, call),
            Call::PutConnector(call) => self.put_connector(sender, call),
            Call::PutTariff(call) => self.put_tariff(sender, call),
            Call::OpenSession(call) => self.open_session(sender, call),
            Call::TopUpSession(call) => self.top_up_session(sender, call),
            Call::CancelSession(call) => self.cancel_session(sender, call),
            Call::StopSession(call) => self.stop_session(sender, call),
            Call::GrantCharge(call) => self.grant_charge(sender, call),
            Call::PauseCharge(call) => self.pause_charge(sender, call),
            Call::ResumeCharge(call) => self.resume_charge(sender, call),
            Call::Attest(call) => self.attest(sender, call),
            Call::ReportFault(call) => self.report_fault(sender, call),
            Call::SettleSession(call) => self.settle_session(sender, call),
            Call::ClearPositions(call) => self.clear_positions(sender, call),
            Call::ReportPayment(call) => self.report_payment(sender, call),
            Call::AnswerPayment(call) => self.answer_payment(sender, call),
            Call::SetPositionLimit(call) => self.set_position_limit(sender, call),
            Call::GrantMandate(call) => self.grant_mandate(sender, call),
            Call::RevokeMandate(call) => self.revoke_mandate(sender, call),
            Call::BindCard(call) => self.bind_card(sender, call),
            Call::OpenSessionByMandate(call) => self.open_session_by_mandate(sender, call),
            Call::AskStart(call) => self.ask_start(sender, call),
            Call::ConfirmStart(call) => self.confirm_start(sender, call),
            Call::AttestUnassigned(call) => self.attest_unassigned(sender, call),
            Call::ReplaceMeter(call) => self.replace_meter(sender, call),
            Call::ProveEquivocation(call) => self.prove_equivocation(sender, call),
            Call::LiftSuspension(call) => self.lift_suspension(sender, call),
        }
    }

    /// Whether somebody holds a role at this height.
    pub fn has(&self, condominium: u32, role: Role, who: &Address) -> bool {
        self.terms.get(&(condominium, role, *who)).is_some_and(|term| term.covers(self.height))
    }

    /// Goes on only for who holds the role at this height.
    pub fn only(&self, condominium: u32, role: Role, sender: &Sender) -> Ruling {
        if !self.treasuries.contains_key(&condominium) {
            return no(Code::UnknownCondominium);
        }
        if self.has(condominium, role, &sender.account) { Ok(()) } else { no(Code::NotAllowed) }
    }

    /// All that an account has locked: its escrows and its payouts.
    pub fn held(&self, account: &Address) -> u64 {
        let escrows = self.charges.values().filter(|charge| charge.account == *account).map(|charge| charge.escrow);
        let payouts = self.payouts.values().filter(|payout| payout.account == *account).map(|payout| payout.amount);
        escrows.chain(payouts).sum()
    }

    /// What one condominium owes another; negative where it is owed.
    pub fn owes(&self, debtor: u32, creditor: u32) -> i128 {
        if debtor < creditor {
            self.positions.get(&(debtor, creditor)).copied().unwrap_or(0)
        } else {
            -self.positions.get(&(creditor, debtor)).copied().unwrap_or(0)
        }
    }

    /// What open sessions may yet make one condominium owe another.
    pub fn pending(&self, debtor: u32, creditor: u32) -> u64 {
        let between = |charge: &&Charge| {
            let revenue = self.treasuries[&charge.connector.0].revenue;
            (self.wallets[&charge.account].home, self.wallets[&revenue].home) == (debtor, creditor)
        };
        self.charges.values().filter(between).map(|charge| charge.escrow).sum()
    }

    /// A group and all above it.
    pub fn path(&self, condominium: u32, group: Option<u32>) -> Vec<u32> {
        let mut path = Vec::new();
        let mut next = group;
        while let Some(number) = next {
            assert!(!path.contains(&number), "a circle of groups");
            path.push(number);
            next = self.groups[&(condominium, number)].parent;
        }
        path
    }

    fn is_in(&self, condominium: u32, group: u32, top: u32) -> bool {
        self.path(condominium, Some(group)).contains(&top)
    }

    /// All current that sessions in a group and below it hold.
    pub fn granted(&self, (condominium, group): Local) -> Phases {
        let inside = self
            .charges
            .values()
            .filter(|charge| charge.connector.0 == condominium && self.is_in(condominium, self.points[&charge.connector].group, group));
        inside.fold([0; 3], |sum, charge| plus(sum, charge.current))
    }

    /// All current that points without a switch have in a group and below it.
    pub fn reserved(&self, (condominium, group): Local) -> Phases {
        let fixed = self.points.iter().filter(|((site, _), point)| {
            *site == condominium && point.control == Control::MeterOnly && self.is_in(condominium, point.group, group)
        });
        fixed.fold([0; 3], |sum, (_, point)| plus(sum, point.rated))
    }

    /// The session that is open on a connector.
    pub fn session_on(&self, connector: Local) -> Option<SessionId> {
        let mut open = self.charges.iter().filter(|(_, charge)| charge.connector == connector).map(|(id, _)| *id);
        let first = open.next();
        assert!(open.next().is_none(), "two sessions on connector {connector:?}");
        first
    }

    /// The version in force, from 1.
    pub fn in_force(&self, tariff: Local) -> Option<u32> {
        let versions = self.tariffs.get(&tariff)?;
        let newest = versions.iter().rposition(|(from, _)| *from <= self.now)?;
        Some(u32::try_from(newest).expect("few versions") + 1)
    }
}

/// The exact cost by dimension.
pub fn components(charge: &Charge) -> CostByComponent {
    CostByComponent {
        energy: Cost::from_parts(charge.costs.energy),
        time: Cost::from_parts(charge.costs.time),
        parking_time: Cost::from_parts(charge.costs.parking),
        flat: Cost::from_parts(charge.costs.flat),
    }
}

pub fn plus(one: Phases, other: Phases) -> Phases {
    [one[0] + other[0], one[1] + other[1], one[2] + other[2]]
}

pub fn currents(phases: Phases) -> Currents {
    Currents::from_ma(phases.map(|ma| u32::try_from(ma).expect("a sum of currents fits")))
}

pub fn phases(currents: Currents) -> Phases {
    currents.ma().map(u64::from)
}
