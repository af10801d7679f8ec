//! What people, gateways and schedulers might send: mostly what makes sense at the moment, often with one thing wrong, sometimes nonsense.
//!
//! It reads the model to be relevant and predicts nothing, except where the bytes do not reach the ledger at all. All choices come from one seed.

use std::{collections::BTreeMap, ops::Range};

use chain::{
    code::Code,
    codec,
    crypto::{self, Domain},
    hash::Hash32,
    id::{Address, ChainId, CondominiumId, ConnectorId, GroupId, Height, RedemptionId, SessionId, TariffId},
    params::Params,
    quantity::{Amount, Currents, WattHours, Watts},
    receipt::{PauseReason, SkipReason},
    record::{Control, Fault, PlugSignal, Role, Service, SessionState},
    tariff::{DayOfWeek, PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::{Duration, Timestamp},
    transaction::MAX_TRANSACTION_BYTES,
};
use contracts::{
    call::{
        Attest, Body, Call, CancelSession, ConfirmRedeem, GrantCharge, GrantRole, Invite, OpenSession, PauseCharge, Priority, PutConnector,
        PutGroup, PutTariff, Reading, ReadingFlags, RedeemAnswer, RegisterAccount, ReportFault, RequestRedeem, ResumeCharge, RevokeRole,
        SellTokens, SettleSession, Skipped, StopSession, TopUpSession, Transaction, Transfer, Window,
    },
    genesis::{Genesis, GenesisAccount, GenesisCondominium, GenesisRole, GenesisValidator, NetworkKind},
};
use ed25519_dalek::SigningKey;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::{
    ledger::{Charge, Local, Model},
    prices,
};

/// The condominiums.
pub const SITES: [u32; 3] = [1, 2, 3];
const RESIDENTS_PER_SITE: u32 = 4;
const HOUR: u64 = 3_600_000;
const TOKEN: u64 = 1_000_000;
/// 2026-03-27 and 2026-10-23, noon UTC: days before the clocks change.
const BEGINNINGS: [u64; 2] = [1_774_612_800_000, 1_792_756_800_000];
/// Comes into force when the run is long over.
const FAR_TARIFF: u32 = 4;

pub struct Generator {
    pub rng: StdRng,
    keys: BTreeMap<Address, SigningKey>,
    /// Everybody who has a key, registered or not.
    people: Vec<Address>,
    validator: Address,
    serial: u64,
    /// What is sent next, before anything else is thought of.
    ahead: Vec<(Address, Call)>,
    /// Sessions and redemptions that were there once.
    past_sessions: Vec<SessionId>,
    past_payouts: Vec<RedemptionId>,
}

/// Bytes that somebody sends, and the code where they are refused before the ledger sees them.
pub struct Sent {
    pub bytes: Vec<u8>,
    pub at_the_door: Option<Code>,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        let mut generator = Self {
            rng: StdRng::seed_from_u64(seed),
            keys: BTreeMap::new(),
            people: Vec::new(),
            validator: Address([0; 32]),
            serial: 0,
            ahead: Vec::new(),
            past_sessions: Vec::new(),
            past_payouts: Vec::new(),
        };
        generator.validator = generator.person();
        generator.people.clear();
        generator
    }

    /// The one validator.
    pub const fn validator(&self) -> Address {
        self.validator
    }

    fn person(&mut self) -> Address {
        let key = SigningKey::from_bytes(&self.rng.random());
        let address = crypto::address_of(&key);
        self.keys.insert(address, key);
        self.people.push(address);
        address
    }

    /// Three condominiums with staff and residents; the third's revenue is at home in the second.
    pub fn genesis(&mut self, seed: u64) -> Genesis {
        let mut accounts = Vec::new();
        let mut condominiums = Vec::new();
        for site in SITES {
            let home = CondominiumId(site);
            let roles = [Role::Manager, Role::Treasurer, Role::Gateway, Role::Scheduler];
            let roles: Vec<_> = roles.into_iter().map(|role| GenesisRole { role, account: self.person() }).collect();
            for grant in &roles {
                accounts.push(GenesisAccount { address: grant.account, home, credit_limit: Amount::ZERO });
            }
            let revenue = self.person();
            let revenue_home = if site == 3 { CondominiumId(2) } else { home };
            accounts.push(GenesisAccount { address: revenue, home: revenue_home, credit_limit: Amount::ZERO });
            for resident in 0..RESIDENTS_PER_SITE {
                let credit = if resident % 2 == 0 { 15 * TOKEN } else { 0 };
                accounts.push(GenesisAccount { address: self.person(), home, credit_limit: Amount::from_micro(credit) });
            }
            let cap = if site == 3 { u64::MAX } else { 60 * TOKEN };
            condominiums.push(GenesisCondominium {
                id: home,
                name: format!("SITE-{site}"),
                revenue,
                mint_cap_per_day: Amount::from_micro(cap),
                position_limit: Amount::from_micro(if site == 2 { 60 * TOKEN } else { 25 * TOKEN }),
                roles,
            });
        }
        let validator =
            GenesisValidator { address: self.validator, power: 1, condominium: CondominiumId(1), network_key: Hash32(self.rng.random()) };
        let params = Params {
            max_block_bytes: 80_000,
            resident_txs_per_block: 4,
            role_txs_per_block: 16,
            due_per_block: 3,
            queue_deadline: Duration::from_hours(5),
            max_duration: Duration::from_hours(10),
            max_spend: Amount::from_micro(40 * TOKEN),
            notice_heights: 12,
            ..Params::default()
        };
        Genesis {
            version: 1,
            network: "model".to_owned(),
            kind: NetworkKind::Test,
            timestamp: Timestamp::from_ms(BEGINNINGS[usize::from(seed % 2 == 1)]),
            currency: "EUR".to_owned(),
            params,
            condominiums,
            accounts,
            validators: vec![validator],
        }
    }

    /// What every site is built of first: groups under groups, tariffs and connectors.
    pub fn founding(&mut self, model: &Model) {
        let mut calls = Vec::new();
        for site in SITES {
            let manager = self.holder(model, site, Role::Manager).expect("genesis has one");
            let condominium = CondominiumId(site);
            for (number, parent, amperes) in [(1, None, 160), (2, Some(1), 80), (3, Some(1), 100), (4, Some(3), 64)] {
                let limit = Currents::from_ma([amperes * 1_000; 3]);
                calls.push((manager, Call::PutGroup(PutGroup { group: GroupId::new(condominium, number), parent, limit })));
            }
            for number in 1..=FAR_TARIFF {
                let far = if number == FAR_TARIFF { 300 * 24 * HOUR } else { 0 };
                let valid_from = Timestamp::from_ms(model.now + HOUR + far);
                let tariff = TariffId::new(condominium, number);
                calls.push((manager, Call::PutTariff(PutTariff { tariff, version: 1, valid_from, document: self.document() })));
            }
            for number in 1..=6 {
                calls.push((
                    manager,
                    Call::PutConnector(PutConnector {
                        connector: ConnectorId::new(condominium, number),
                        group: [1, 2, 2, 3, 4, 4][number as usize - 1],
                        control: if number == 1 { Control::MeterOnly } else { Control::Switched },
                        plug_signal: PlugSignal::Reported,
                        rated: if number == 1 { Currents::from_ma([16_000, 0, 0]) } else { Currents::from_ma([32_000; 3]) },
                        tariff: 1 + number % 3,
                        service: Service::InService,
                    }),
                ));
            }
        }
        calls.reverse();
        self.ahead = calls;
    }

    /// Whether nothing is laid out to be sent next.
    const fn is_idle(&self) -> bool {
        self.ahead.is_empty()
    }

    /// How many transactions the next block is offered.
    pub fn size(&mut self) -> usize {
        if self.one_in(20) { self.rng.random_range(0..3) } else { self.rng.random_range(5..45) }
    }

    /// A place in a range.
    pub fn place_in(&mut self, range: &Range<usize>) -> usize {
        self.rng.random_range(range.clone())
    }

    /// One bit.
    pub fn flip(&mut self) -> u8 {
        1 << self.rng.random_range(0..8)
    }

    /// The time of the next block.
    pub fn next_time(&mut self, model: &Model) -> u64 {
        let now = model.now;
        // Often the very instant of the next deadline, or the one before or after it.
        let next_due = model.charges.values().map(|charge| charge.due).min();
        if let Some(due) = next_due.filter(|due| *due > now + 1)
            && self.one_in(6)
        {
            return due - 1 + self.rng.random_range(0..3);
        }
        let step = match self.rng.random_range(0..100) {
            0..50 => self.rng.random_range(1..60_000),
            50..80 => self.rng.random_range(60_000..20 * 60_000),
            80..95 => self.rng.random_range(20 * 60_000..HOUR),
            95..99 => self.rng.random_range(HOUR..4 * HOUR),
            _ => self.rng.random_range(6 * HOUR..14 * HOUR),
        };
        now + step
    }

    /// Remembers what was there, for those who ask for it later.
    pub fn remember(&mut self, model: &Model) {
        self.past_sessions = model.charges.keys().copied().chain(self.past_sessions.iter().copied()).take(60).collect();
        self.past_payouts = model.payouts.keys().copied().chain(self.past_payouts.iter().copied()).take(60).collect();
    }

    /// What somebody sends now.
    pub fn next(&mut self, model: &Model) -> Sent {
        let (account, call) = match self.ahead.pop() {
            Some(next) => next,
            None => self.sensible(model),
        };
        if self.is_idle() && self.one_in(12) {
            return self.spoilt(model, account, call);
        }
        let body = self.body(model, account, call);
        self.signed(&body)
    }

    fn body(&mut self, model: &Model, account: Address, call: Call) -> Body {
        let ahead = match self.rng.random_range(0..10) {
            0 => 0,
            1 => 24 * HOUR,
            _ => self.rng.random_range(0..=24 * HOUR),
        };
        let valid_until = Timestamp::from_ms(model.now + ahead);
        let nonce = model.nonces.get(&account).copied().unwrap_or(0);
        Body { chain_id: model.chain_id, account, signer: account, nonce, valid_until, call }
    }

    fn signed(&self, body: &Body) -> Sent {
        let transaction = Transaction::sign(body.clone(), &self.keys[&body.signer]).expect("small enough");
        Sent { bytes: transaction.bytes().to_vec(), at_the_door: None }
    }

    /// A transaction with something wrong about the transaction itself.
    fn spoilt(&mut self, model: &Model, account: Address, call: Call) -> Sent {
        let mut body = self.body(model, account, call);
        match self.rng.random_range(0..10) {
            0 => body.chain_id = ChainId(Hash32(self.rng.random())),
            1 => body.valid_until = Timestamp::from_ms(model.now - self.rng.random_range(1..HOUR)),
            2 => body.valid_until = Timestamp::from_ms(model.now + 24 * HOUR + self.rng.random_range(1..HOUR)),
            3 => body.nonce += 1 + u64::from(self.rng.random::<u8>()),
            4 => body.nonce = body.nonce.wrapping_sub(1),
            5 => body.signer = self.anybody(),
            6 => body.account = self.anybody(),
            7 => {
                let mut sent = self.signed(&body);
                let place = self.rng.random_range(0..64);
                sent.bytes[place] ^= 1 << self.rng.random_range(0..8);
                return Sent { at_the_door: Some(Code::BadSignature), ..sent };
            }
            8 => {
                let mut encoded = codec::encode(&body).expect("encodes");
                if self.rng.random() {
                    encoded.push(self.rng.random())
                } else {
                    encoded.truncate(encoded.len() - 1)
                }
                return Sent { bytes: self.seal(&body.signer, &encoded), at_the_door: Some(Code::Malformed) };
            }
            _ => {
                let reading = self.strange_reading(model);
                body.call = Call::Attest(Attest { readings: vec![reading; self.rng.random_range(660..700)] });
                let encoded = codec::encode(&body).expect("encodes");
                assert!(encoded.len() > MAX_TRANSACTION_BYTES, "it is too large");
                return Sent { bytes: self.seal(&body.signer, &encoded), at_the_door: Some(Code::TooLarge) };
            }
        }
        self.signed(&body)
    }

    /// Signs bytes that need not be a body.
    fn seal(&self, signer: &Address, encoded: &[u8]) -> Vec<u8> {
        let signature = crypto::sign(&self.keys[signer], Domain::Transaction, encoded);
        [signature.0.as_slice(), encoded].concat()
    }

    fn one_in(&mut self, times: u32) -> bool {
        self.rng.random_ratio(1, times)
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        *choices.choose(&mut self.rng).expect("there is a choice")
    }

    fn site(&mut self) -> u32 {
        if self.one_in(40) { 9 } else { self.pick(&SITES) }
    }

    fn anybody(&mut self) -> Address {
        let people = self.people.clone();
        self.pick(&people)
    }

    fn holder(&mut self, model: &Model, site: u32, role: Role) -> Option<Address> {
        let holders: Vec<Address> = self.people.iter().filter(|who| model.has(site, role, who)).copied().collect();
        holders.choose(&mut self.rng).copied()
    }

    /// Somebody with the role, or, now and then, somebody else.
    fn staff(&mut self, model: &Model, site: u32, role: Role) -> Address {
        let other = self.one_in(25);
        let holder = self.holder(model, site, role);
        holder.filter(|_| !other).unwrap_or_else(|| self.anybody())
    }

    fn resident(&mut self, model: &Model) -> Address {
        let registered: Vec<Address> = self.people.iter().filter(|who| model.wallets.contains_key(who)).copied().collect();
        self.pick(&registered)
    }

    fn amount(&mut self, most: u64) -> Amount {
        Amount::from_micro(self.rng.random_range(1..=most.max(1)))
    }

    fn session_where(&mut self, model: &Model, wanted: impl Fn(&Charge) -> bool) -> SessionId {
        let fitting: Vec<SessionId> = model.charges.iter().filter(|(_, charge)| wanted(charge)).map(|(id, _)| *id).collect();
        let all: Vec<SessionId> = model.charges.keys().copied().collect();
        match self.rng.random_range(0..12) {
            0 => all.choose(&mut self.rng).copied(),
            1 if self.one_in(2) => self.past_sessions.choose(&mut self.rng).copied(),
            _ => fitting.choose(&mut self.rng).copied(),
        }
        .unwrap_or(SessionId(Hash32([7; 32])))
    }

    fn sensible(&mut self, model: &Model) -> (Address, Call) {
        // A site whose staff was revoked gets new staff before all else.
        for site in SITES {
            for role in [Role::Treasurer, Role::Gateway, Role::Scheduler] {
                let served = model.terms.iter().any(|((condominium, held, _), term)| {
                    (*condominium, *held) == (site, role) && term.until.is_none_or(|until| until > model.height + 1)
                });
                if !served {
                    let manager = self.holder(model, site, Role::Manager).expect("the last manager stays");
                    let account = self.resident(model);
                    let from = Height(model.height + model.params.notice_heights);
                    let call = GrantRole { condominium: CondominiumId(site), role, account, from, until: None };
                    return (manager, Call::GrantRole(call));
                }
            }
        }
        match self.rng.random_range(0..1_000) {
            0..15 => self.register(model),
            15..35 => self.invite(model),
            35..105 => self.sale(model),
            105..130 => self.redeem(model),
            130..160 => self.answer(model),
            160..210 => self.transfer(model),
            210..240 => self.grant_role(model),
            240..265 => self.revoke_role(model),
            265..305 => self.group(model),
            305..350 => self.connector(model),
            350..372 => self.tariff(model),
            372..500 => self.open(model),
            500..535 => self.top_up(model),
            535..548 => self.cancel(model),
            548..565 => self.stop(model),
            565..705 => self.grant(model),
            705..735 => self.pause(model),
            735..775 => self.resume(model),
            775..905 => self.attest(model),
            905..935 => self.fault(model),
            935..990 => self.settle(model),
            990..995 => self.flood(model),
            _ => self.bulk(model),
        }
    }

    fn register(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let manager = if self.one_in(2) { Role::Manager } else { Role::Treasurer };
        let sender = self.staff(model, site, manager);
        let account = if self.people.len() < 60 && self.one_in(6) { self.person() } else { self.anybody() };
        (sender, Call::RegisterAccount(RegisterAccount { account, condominium: CondominiumId(site), invite: None }))
    }

    fn invite(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let issuer = self.staff(model, site, Role::Manager);
        let account = if self.people.len() < 60 && self.one_in(2) { self.person() } else { self.anybody() };
        self.serial += 1;
        let serial = if self.one_in(4) { self.rng.random_range(0..self.serial) } else { self.serial };
        let expires = match self.rng.random_range(0..8) {
            0 => model.now - 1,
            1 => model.now,
            2 => model.now + 90 * 24 * HOUR,
            3 => model.now + 90 * 24 * HOUR + 1,
            _ => model.now + self.rng.random_range(0..90 * 24 * HOUR),
        };
        let expires = Timestamp::from_ms(expires);
        let condominium = CondominiumId(site);
        let signed_for = if self.one_in(10) { CondominiumId(self.pick(&SITES)) } else { condominium };
        let signed = Invite::bytes(model.chain_id, signed_for, issuer, serial, expires);
        let signature = crypto::sign(&self.keys[&issuer], Domain::Invite, &signed);
        let invite = Some(Invite { issuer, serial, expires, signature });
        let sender = if self.one_in(6) { self.anybody() } else { account };
        (sender, Call::RegisterAccount(RegisterAccount { account, condominium, invite }))
    }

    fn sale(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let sender = self.staff(model, site, Role::Treasurer);
        let at_home: Vec<Address> =
            self.people.iter().filter(|who| model.wallets.get(who).is_some_and(|wallet| wallet.home == site)).copied().collect();
        let account = match self.rng.random_range(0..16) {
            0 => self.anybody(),
            1 if self.people.len() < 60 => self.person(),
            _ => at_home.choose(&mut self.rng).copied().unwrap_or(sender),
        };
        let next = model.treasuries.get(&site).map_or(1, |treasury| treasury.next_sale);
        let sale = if self.one_in(20) { next + 1 - u64::from(self.rng.random_range(0..3_u32)).min(next) } else { next };
        let amount = match self.rng.random_range(0..25) {
            0 => Amount::ZERO,
            1 | 2 => Amount::from_micro((1 << 62) + self.rng.random_range(1..1_000)),
            _ => self.amount(12 * TOKEN),
        };
        // All that may still be sold today, or one more.
        let rest = model.treasuries.get(&site).filter(|treasury| treasury.mint_day == model.now / (24 * HOUR));
        let rest = rest.map(|treasury| treasury.cap - treasury.minted_today).filter(|rest| *rest < 12 * TOKEN && *rest > 0);
        let amount = match rest {
            Some(rest) if self.one_in(4) => Amount::from_micro(rest + self.rng.random_range(0..2)),
            Some(_) | None => amount,
        };
        let payment = Hash32(self.rng.random());
        (sender, Call::SellTokens(SellTokens { condominium: CondominiumId(site), account, amount, sale, payment }))
    }

    fn balance_of(&self, model: &Model, who: &Address) -> u64 {
        model.wallets.get(who).map_or(0, |wallet| wallet.balance)
    }

    /// Something up to a balance, often all of it, sometimes more or nothing.
    fn part_of(&mut self, balance: u64) -> Amount {
        match self.rng.random_range(0..10) {
            0 => Amount::ZERO,
            1 => Amount::from_micro(balance + 1),
            2 => Amount::from_micro(balance),
            _ => self.amount(balance / 4),
        }
    }

    fn redeem(&mut self, model: &Model) -> (Address, Call) {
        // Some have a balance and a debt at once.
        let debtor = model.wallets.iter().find(|(_, wallet)| wallet.debt > 0 && wallet.balance > 0).map(|(who, _)| *who);
        let sender = debtor.filter(|_| self.one_in(2)).unwrap_or_else(|| self.resident(model));
        let amount = self.part_of(self.balance_of(model, &sender));
        (sender, Call::RequestRedeem(RequestRedeem { amount, payee: Hash32(self.rng.random()) }))
    }

    fn answer(&mut self, model: &Model) -> (Address, Call) {
        let pending: Vec<RedemptionId> = model.payouts.keys().copied().collect();
        let gone = self.one_in(10);
        let redemption = pending.choose(&mut self.rng).copied().filter(|_| !gone);
        let redemption = redemption.or_else(|| self.past_payouts.choose(&mut self.rng).copied()).unwrap_or(RedemptionId(Hash32::ZERO));
        let home = model.payouts.get(&redemption).map_or(1, |payout| model.wallets[&payout.account].home);
        let site = if self.one_in(10) { self.pick(&SITES) } else { home };
        let sender = self.staff(model, site, Role::Treasurer);
        let answer = if self.one_in(3) { RedeemAnswer::Refused } else { RedeemAnswer::Paid { payment: Hash32(self.rng.random()) } };
        (sender, Call::ConfirmRedeem(ConfirmRedeem { redemption, answer }))
    }

    fn transfer(&mut self, model: &Model) -> (Address, Call) {
        let sender = self.resident(model);
        let to = if self.one_in(15) { sender } else { self.anybody() };
        let mut amount = self.part_of(self.balance_of(model, &sender));
        // All that the other home may still be owed, or one more.
        if let (Some(from), Some(payee)) = (model.wallets.get(&sender), model.wallets.get(&to))
            && from.home != payee.home
            && self.one_in(4)
        {
            let limit = i128::from(model.treasuries[&payee.home].position_limit);
            let room = limit - model.owes(from.home, payee.home) - i128::from(model.pending(from.home, payee.home));
            amount = Amount::from_micro(u64::try_from(room + self.rng.random_range(0..2)).unwrap_or(1));
        }
        (sender, Call::Transfer(Transfer { to, amount }))
    }

    fn role(&mut self) -> Role {
        self.pick(&[Role::Manager, Role::Manager, Role::Treasurer, Role::Gateway, Role::Scheduler, Role::Auditor])
    }

    fn grant_role(&mut self, model: &Model) -> (Address, Call) {
        // A term that ends at this very height is over: another may be granted.
        let ends_now = model.terms.iter().find(|(_, term)| term.until == Some(model.height)).map(|(key, _)| *key);
        if let Some((site, role, account)) = ends_now
            && self.one_in(2)
        {
            let sender = self.staff(model, site, Role::Manager);
            let from = Height(model.height + self.rng.random_range(0..20));
            return (sender, Call::GrantRole(GrantRole { condominium: CondominiumId(site), role, account, from, until: None }));
        }
        let site = self.site();
        let sender = self.staff(model, site, Role::Manager);
        let (role, mut account) = (self.role(), self.anybody());
        let mut from = model.height + if self.one_in(3) { model.params.notice_heights } else { self.rng.random_range(0..5) };
        // Now and then a term is continued, or somebody asks again for what he has.
        let held: Vec<_> = model.terms.iter().filter(|((condominium, held, _), _)| (*condominium, *held) == (site, role)).collect();
        if self.one_in(3)
            && let Some(((_, _, holder), term)) = held.choose(&mut self.rng)
        {
            account = *holder;
            from = term.until.unwrap_or(from);
        }
        let until = match self.rng.random_range(0..6) {
            0 => Some(Height(from)),
            1 | 2 => Some(Height(from + self.rng.random_range(1..40))),
            _ => None,
        };
        (sender, Call::GrantRole(GrantRole { condominium: CondominiumId(site), role, account, from: Height(from), until }))
    }

    fn revoke_role(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let sender = self.staff(model, site, Role::Manager);
        let held: Vec<(Role, Address)> =
            model.terms.keys().filter(|(condominium, _, _)| *condominium == site).map(|(_, role, who)| (*role, *who)).collect();
        let standing = model.standing(site, model.height + 1);
        let (role, account) = match self.rng.random_range(0..8) {
            0 => (self.role(), self.anybody()),
            1 | 2 if !standing.is_empty() => (Role::Manager, self.pick(&standing)),
            _ => held.choose(&mut self.rng).copied().unwrap_or((Role::Auditor, sender)),
        };
        let mut until = Height(model.height + self.rng.random_range(0..15));
        // One that has not begun, at its very beginning.
        if let Some(term) = model.terms.get(&(site, role, account)).filter(|term| term.from > model.height)
            && self.one_in(2)
        {
            until = Height(term.from);
        }
        (sender, Call::RevokeRole(RevokeRole { condominium: CondominiumId(site), role, account, until }))
    }

    fn group(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let sender = self.staff(model, site, Role::Manager);
        let numbers: Vec<u32> = model.groups.keys().filter(|(condominium, _)| *condominium == site).map(|(_, number)| *number).collect();
        let number = self.rng.random_range(1..=14);
        let parent = match self.rng.random_range(0..12) {
            0 => Some(99),
            1 => Some(number),
            2 => None,
            // Downwards, to where the tree is deepest.
            3..6 => numbers.iter().copied().max_by_key(|number| model.path(site, Some(*number)).len()),
            6..9 => model.groups.get(&(site, number)).and_then(|group| group.parent),
            _ => numbers.choose(&mut self.rng).copied(),
        };
        let amperes = self.pick(&[10, 20, 40, 64, 100, 160, 160, 200]);
        let limit = if self.one_in(6) { [amperes, amperes / 2, amperes] } else { [amperes; 3] };
        let mut limit = Currents::from_ma(limit.map(|amperes| amperes * 1_000));
        // Now and then a little less than is granted, so that the newest alone is paused.
        if model.groups.contains_key(&(site, number)) && self.one_in(3) {
            let used = super::ledger::plus(model.granted((site, number)), model.reserved((site, number)));
            limit = super::ledger::currents(used.map(|ma| ma.saturating_sub(self.rng.random_range(0..3_000))));
        }
        (sender, Call::PutGroup(PutGroup { group: GroupId::new(CondominiumId(site), number), parent, limit }))
    }

    fn connector(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let sender = self.staff(model, site, Role::Manager);
        let number = self.rng.random_range(1..=8);
        let numbers: Vec<u32> = model.groups.keys().filter(|(condominium, _)| *condominium == site).map(|(_, number)| *number).collect();
        let unknown = self.one_in(15);
        let group = numbers.choose(&mut self.rng).copied().filter(|_| !unknown).unwrap_or(99);
        let rated = match self.rng.random_range(0..14) {
            0 => [0; 3],
            1 => [5_999, 16_000, 0],
            2 => [1_000_001, 0, 0],
            3..5 => [16_000, 0, 0],
            5..7 => [16_000, 32_000, 0],
            _ => [32_000; 3],
        };
        let mut call = PutConnector {
            connector: ConnectorId::new(CondominiumId(site), number),
            group,
            control: if self.one_in(4) { Control::MeterOnly } else { Control::Switched },
            plug_signal: if self.one_in(2) { PlugSignal::None } else { PlugSignal::Reported },
            rated: Currents::from_ma(rated),
            tariff: if self.one_in(20) { 77 } else { self.rng.random_range(1..=FAR_TARIFF) },
            service: if self.one_in(6) { Service::OutOfService } else { Service::InService },
        };
        // Often the same place put again as it is: back into service, its fault cleared.
        if let Some(point) = model.points.get(&(site, number))
            && self.one_in(2)
        {
            let rated = super::ledger::currents(point.rated);
            call = PutConnector { group: point.group, control: point.control, plug_signal: point.plug_signal, rated, ..call };
            call.tariff = point.tariff;
        }
        (sender, Call::PutConnector(call))
    }

    fn tariff(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let sender = self.staff(model, site, Role::Manager);
        let number = self.rng.random_range(1..=FAR_TARIFF);
        let versions = model.tariffs.get(&(site, number));
        let next = versions.map_or(1, |versions| u32::try_from(versions.len()).expect("few") + 1);
        let latest = versions.and_then(|versions| versions.last()).map_or(0, |(from, _)| *from);
        let version = if self.one_in(4) { next + 1 - self.rng.random_range(0..3).min(next) } else { next };
        let valid_from = match self.rng.random_range(0..10) {
            0 => model.now - 1,
            1 => latest.saturating_sub(1),
            2..6 => model.now.max(latest),
            _ => model.now.max(latest) + self.rng.random_range(0..HOUR),
        };
        let mut document = self.document();
        if self.one_in(3) {
            self.spoil(&mut document);
        }
        let tariff = TariffId::new(CondominiumId(site), number);
        (sender, Call::PutTariff(PutTariff { tariff, version, valid_from: Timestamp::from_ms(valid_from), document }))
    }

    /// A tariff that could be meant.
    pub fn document(&mut self) -> Tariff {
        let elements = (0..self.rng.random_range(1..6)).map(|_| self.element()).collect();
        let time_zone = if self.one_in(3) { self.pick(&prices::ZONES) } else { prices::OSLO }.to_owned();
        Tariff { time_zone, elements, min_price: None, max_price: None, vat_basis_points: 2_500, parking_grace: Duration::ZERO }
    }

    fn element(&mut self) -> TariffElement {
        let energy = PriceComponent { dimension: TariffDimension::Energy, price: self.amount(TOKEN) };
        let energy = match self.rng.random_range(0..10) {
            0 => PriceComponent { price: Amount::ZERO, ..energy },
            // A watt-hour costs less than a micro-token, so that a bill can end anywhere within one.
            1 | 2 => PriceComponent { price: self.amount(900), ..energy },
            // Round prices, so that a bill can be exactly the escrow.
            3..6 => PriceComponent { price: Amount::from_micro(self.pick(&[500, 100_000, 250_000])), ..energy },
            _ => energy,
        };
        let flat = PriceComponent { dimension: TariffDimension::Flat, price: self.amount(TOKEN / 2) };
        let price_components = match self.rng.random_range(0..4) {
            0 => vec![flat],
            1 => vec![flat, energy],
            _ => vec![energy],
        };
        let mut restrictions = TariffRestrictions::default();
        if !self.one_in(4) {
            let minute = |rng: &mut StdRng| if rng.random() { rng.random_range(0..24) * 60 } else { rng.random_range(0..1440) };
            restrictions.start_time = self.rng.random::<bool>().then(|| minute(&mut self.rng));
            restrictions.end_time = self.rng.random::<bool>().then(|| minute(&mut self.rng));
            if self.one_in(12) {
                restrictions.end_time = restrictions.start_time;
            }
            if self.one_in(3) {
                restrictions.day_of_week = WEEK.into_iter().filter(|_| self.rng.random()).collect();
            }
        }
        TariffElement { price_components, restrictions }
    }

    /// Breaks one rule of a document.
    fn spoil(&mut self, tariff: &mut Tariff) {
        let last = tariff.elements.len() - 1;
        let element = &mut tariff.elements[last];
        match self.rng.random_range(0..18) {
            0 => tariff.time_zone = "Europe/Oslo".to_owned(),
            1 => tariff.time_zone = "CET-1CEST".to_owned(),
            2 => tariff.vat_basis_points = 10_001,
            3 => tariff.min_price = Some(Amount::from_micro(1)),
            4 => tariff.max_price = Some(Amount::from_micro(1)),
            5 => tariff.parking_grace = Duration::from_ms(1),
            6 => tariff.elements.clear(),
            7 => tariff.elements = vec![element.clone(); 33],
            8 => element.price_components.clear(),
            9 => element.price_components = vec![element.price_components[0]; 5],
            10 => element.price_components[0].dimension = TariffDimension::Time,
            11 => element.price_components[0].dimension = TariffDimension::ParkingTime,
            12 => element.price_components = vec![element.price_components[0]; 2],
            13 => element.price_components[0].price = Amount::from_micro(1_000_000_001),
            14 => element.restrictions.min_energy = Some(WattHours::ZERO),
            15 => element.restrictions.max_power = Some(Watts::ZERO),
            16 => element.restrictions.start_time = Some(1440),
            _ => element.restrictions.day_of_week = vec![DayOfWeek::Tuesday, DayOfWeek::Monday],
        }
    }

    fn open(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let places: Vec<Local> = model.points.keys().filter(|(condominium, _)| *condominium == site).copied().collect();
        let free: Vec<Local> = places.iter().filter(|place| model.session_on(**place).is_none()).copied().collect();
        let usable = |place: &&Local| {
            let point = &model.points[*place];
            point.service == Service::InService && point.fault.is_none() && point.tariff != FAR_TARIFF
        };
        let good: Vec<Local> = free.iter().filter(usable).copied().collect();
        let place = match self.rng.random_range(0..12) {
            0 => places.choose(&mut self.rng),
            1 => free.choose(&mut self.rng),
            _ => good.choose(&mut self.rng),
        };
        let place = place.copied().unwrap_or((site, 55));
        let in_force = model.points.get(&place).and_then(|point| model.in_force((site, point.tariff))).unwrap_or(1);
        let max_spend = match self.rng.random_range(0..24) {
            0 => Amount::ZERO,
            1 => Amount::from_micro(40 * TOKEN + self.rng.random_range(0..2)),
            2..5 => self.amount(TOKEN / 4),
            5..7 => Amount::from_micro(self.rng.random_range(1..400) * 500),
            7..10 => self.amount(30),
            _ => self.amount(6 * TOKEN),
        };
        let max_duration = match self.rng.random_range(0..30) {
            0 => Duration::ZERO,
            1 | 2 => Duration::from_ms(10 * HOUR + self.rng.random_range(0..2)),
            _ => Duration::from_ms(self.rng.random_range(60_000..=10 * HOUR)),
        };
        let window = Window { from: Timestamp::from_ms(model.now), until: Timestamp::from_ms(model.now + HOUR) };
        let call = OpenSession {
            connector: ConnectorId::new(CondominiumId(place.0), place.1),
            tariff_version: if self.one_in(20) { self.rng.random_range(0..in_force + 2) } else { in_force },
            max_spend,
            max_duration,
            energy_target: self.one_in(3).then(|| WattHours::new(self.rng.random_range(0..20))),
            state_of_charge: self.one_in(3).then(|| self.rng.random_range(0..105)),
            depart_by: self.one_in(3).then(|| Timestamp::from_ms(self.rng.random())),
            window: self.one_in(40).then_some(window),
            priority: if self.one_in(40) { Priority::Surcharge { basis_points: 100 } } else { Priority::None },
        };
        (self.resident(model), Call::OpenSession(call))
    }

    /// The owner of a session, or, now and then, somebody else.
    fn owner(&mut self, model: &Model, session: SessionId) -> Address {
        let owner = model.charges.get(&session).map(|charge| charge.account);
        let other = self.one_in(15);
        owner.filter(|_| !other).unwrap_or_else(|| self.anybody())
    }

    /// The site of a session, or any.
    fn site_of(&mut self, model: &Model, session: SessionId) -> u32 {
        match model.charges.get(&session) {
            Some(charge) => charge.connector.0,
            None => self.pick(&SITES),
        }
    }

    fn top_up(&mut self, model: &Model) -> (Address, Call) {
        let session = self.session_where(model, |charge| !charge.is_over());
        let amount = match self.rng.random_range(0..15) {
            0 => Amount::ZERO,
            1 | 2 => {
                let escrow = model.charges.get(&session).map_or(0, |charge| charge.escrow);
                Amount::from_micro(40 * TOKEN - escrow + self.rng.random_range(0..2))
            }
            3..9 => self.amount(2 * TOKEN),
            _ => Amount::from_micro(self.rng.random_range(1..400) * 500),
        };
        (self.owner(model, session), Call::TopUpSession(TopUpSession { session, amount }))
    }

    fn cancel(&mut self, model: &Model) -> (Address, Call) {
        let session = self.session_where(model, |charge| charge.state == SessionState::Queued);
        (self.owner(model, session), Call::CancelSession(CancelSession { session }))
    }

    fn stop(&mut self, model: &Model) -> (Address, Call) {
        let session = self.session_where(model, |charge| !charge.is_over());
        let site = self.site_of(model, session);
        let sender = if self.one_in(3) { self.staff(model, site, Role::Manager) } else { self.owner(model, session) };
        (sender, Call::StopSession(StopSession { session }))
    }

    fn current(&mut self, model: &Model, session: SessionId) -> Currents {
        let rated = model.charges.get(&session).map_or([16_000; 3], |charge| model.points[&charge.connector].rated);
        let rated = rated.map(|ma| u32::try_from(ma).expect("a rating"));
        match self.rng.random_range(0..25) {
            0 => Currents::ZERO,
            1 => Currents::from_ma([5_999, rated[1], 0]),
            2 => Currents::from_ma([rated[0] + 1, rated[1], rated[2]]),
            3..10 => Currents::from_ma(rated),
            10..15 => Currents::from_ma([rated[0], 0, 0].map(|ma| ma.max(6_000) / 6_000 * 6_000)),
            _ => Currents::from_ma(rated.map(|ma| if ma == 0 { 0 } else { self.rng.random_range(6_000..=ma) })),
        }
    }

    fn grant(&mut self, model: &Model) -> (Address, Call) {
        let passed_over = |charge: &Charge| {
            let group = |charge: &Charge| (charge.connector.0, model.points[&charge.connector].group);
            let queued = |charge: &Charge| charge.state == SessionState::Queued;
            let ahead = |other: &Charge| queued(other) && group(other) == group(charge) && other.place < charge.place;
            queued(charge) && model.charges.values().any(ahead)
        };
        let session = match self.rng.random_range(0..4) {
            0 => self.session_where(model, |charge| charge.state == SessionState::Charging),
            1 => self.session_where(model, passed_over),
            _ => self.session_where(model, |charge| charge.state == SessionState::Queued),
        };
        let site = self.site_of(model, session);
        let sender = self.staff(model, site, Role::Scheduler);
        let waiting = model.charges.get(&session).is_some_and(|charge| charge.state == SessionState::Queued);
        let mut skipped = if waiting { model.ahead_of(session) } else { Vec::new() };
        match self.rng.random_range(0..12) {
            0 | 4..7 => drop(skipped.pop()),
            1 => skipped.push(session),
            2 => skipped.extend(skipped.first().copied()),
            3 if self.one_in(4) => skipped = vec![session; 65],
            _ => {}
        }
        let reasons = [SkipReason::NotEnoughCurrent, SkipReason::LaterDeparture, SkipReason::LowerPriority, SkipReason::UnitLost];
        let skipped = skipped.into_iter().map(|session| Skipped { session, reason: self.pick(&reasons) }).collect();
        (sender, Call::GrantCharge(GrantCharge { session, current: self.current(model, session), skipped }))
    }

    fn pause(&mut self, model: &Model) -> (Address, Call) {
        let session = self.session_where(model, |charge| charge.state == SessionState::Charging);
        let site = self.site_of(model, session);
        let sender = self.staff(model, site, Role::Scheduler);
        let reason = self.pick(&[PauseReason::Manual, PauseReason::CheaperLater, PauseReason::LaterDeparture, PauseReason::GroupLimit]);
        (sender, Call::PauseCharge(PauseCharge { session, reason }))
    }

    fn resume(&mut self, model: &Model) -> (Address, Call) {
        let session = self.session_where(model, |charge| charge.state == SessionState::Paused);
        let site = self.site_of(model, session);
        let sender = self.staff(model, site, Role::Scheduler);
        (sender, Call::ResumeCharge(ResumeCharge { session, current: self.current(model, session) }))
    }

    fn attest(&mut self, model: &Model) -> (Address, Call) {
        let site = self.pick(&SITES);
        let sender = self.staff(model, site, Role::Gateway);
        let mut readings = Vec::new();
        for _ in 0..self.rng.random_range(1..6) {
            let over = self.one_in(3);
            let metering = |charge: &Charge| charge.connector.0 == site && charge.granted_at.is_some();
            let session = self.session_where(model, |charge| metering(charge) && (!over || charge.is_over()));
            readings.push(match model.charges.get(&session) {
                Some(charge) => self.reading(model, session, charge),
                None => Reading { session, ..self.strange_reading(model) },
            });
        }
        match self.rng.random_range(0..60) {
            0 => readings.clear(),
            1 => readings = vec![readings[0]; 257],
            _ => {}
        }
        (sender, Call::Attest(Attest { readings }))
    }

    /// What a meter might show next, often enough with something wrong.
    fn reading(&mut self, model: &Model, session: SessionId, charge: &Charge) -> Reading {
        let point = &model.points[&charge.connector];
        let granted_at = charge.granted_at.unwrap_or(model.now);
        let from = charge.meter.map_or(granted_at, |meter| meter.at);
        let mut latest = model.now;
        if let SessionState::Stopping { at, .. } = charge.state {
            latest = latest.min(at.ms() + model.params.lease.ms());
        }
        let latest = latest.max(from);
        let at = if self.one_in(2) { latest } else { self.rng.random_range(from..=latest) };
        // mA · V · ms to watt-hours, at 230 V and at most the rated current.
        let rated: u64 = point.rated.iter().sum();
        let most = u64::try_from(u128::from(rated) * 230 * u128::from(at - from) / 3_600_000_000).expect("small");
        let more = match charge.meter {
            Some(_) => self.rng.random_range(0..=most),
            None => {
                if self.one_in(3) {
                    self.rng.random_range(0..300)
                } else {
                    0
                }
            }
        };
        let register = charge.meter.map_or(point.register, |meter| meter.register);
        let mut reading = Reading {
            session,
            sequence: charge.meter.map_or(1, |meter| meter.sequence + 1),
            at: Timestamp::from_ms(at),
            register_wh: WattHours::new(register + more),
            power_w: Watts::new(self.rng.random_range(0..23_000)),
            flags: ReadingFlags(if self.one_in(12) { self.rng.random_range(1..4) } else { 0 }),
            samples_root: Hash32(self.rng.random()),
            sample_count: self.rng.random_range(0..70),
        };
        if charge.meter.is_some() && self.one_in(6) {
            reading.register_wh = WattHours::new(register + self.energy_to_escrow(model, charge, at));
        }
        // The first and the last instants at which a reading may be taken.
        if charge.meter.is_none() && self.one_in(3) {
            reading.at = Timestamp::from_ms(granted_at - model.params.drift.ms() - self.rng.random_range(0..3));
        } else if charge.is_over() && self.one_in(if latest < model.now { 2 } else { 8 }) {
            reading.at = Timestamp::from_ms(latest + self.rng.random_range(0..2));
        }
        match self.rng.random_range(0..44) {
            0 | 20 => reading.sequence += 1,
            1 | 21 => reading.sequence -= 1,
            2 | 22 => reading.at = Timestamp::from_ms(from - 1),
            3 => reading.at = Timestamp::from_ms(model.now + model.params.drift.ms() + self.rng.random_range(0..2)),
            6 | 23 => reading.register_wh = WattHours::new(register.saturating_sub(1)),
            7 | 8 => {
                // Exactly what electricity can bring, or one watt-hour more.
                let brought = u128::from(rated) * 253 * u128::from(at.saturating_sub(granted_at)) * 105 / 360_000_000_000 + 50;
                let start = charge.meter.map_or(register, |meter| meter.start);
                reading.register_wh = WattHours::new(start + u64::try_from(brought).expect("small") + self.rng.random_range(0..2));
            }
            // A first reading may start anywhere, and nothing could follow this one.
            9 if charge.meter.is_some() => reading.register_wh = WattHours::new(u64::MAX),
            10 => reading.flags = ReadingFlags(4),
            11 => reading.session = self.session_where(model, |other| other.connector != charge.connector),
            12..16 => reading.register_wh = WattHours::new(register + most),
            16..20 => reading.register_wh = WattHours::new(register + self.energy_to_escrow(model, charge, at)),
            _ => {}
        }
        reading
    }

    /// Watt-hours to about where the escrow is spent at the present price.
    fn energy_to_escrow(&mut self, model: &Model, charge: &Charge, at: u64) -> u64 {
        let tariff = &model.tariffs[&(charge.connector.0, charge.tariff)][charge.version as usize - 1].1;
        let one = prices::parts_of(&prices::cut(tariff, at, at, 1));
        let once = if charge.pieces.is_empty() { prices::flat(tariff, charge.granted_at.unwrap_or(at)) } else { 0 };
        let left = (u128::from(charge.escrow.saturating_sub(once)) * prices::PARTS).saturating_sub(charge.cost());
        let wh = u64::try_from(left.checked_div(one).unwrap_or(0)).expect("an escrow's worth");
        if self.one_in(2) { wh } else { wh + self.rng.random_range(0..4) }
    }

    fn strange_reading(&mut self, model: &Model) -> Reading {
        Reading {
            session: self.session_where(model, |_| true),
            sequence: self.rng.random_range(0..4),
            at: Timestamp::from_ms(model.now),
            register_wh: WattHours::new(self.rng.random_range(0..100_000)),
            power_w: Watts::ZERO,
            flags: ReadingFlags::NONE,
            samples_root: Hash32::ZERO,
            sample_count: 0,
        }
    }

    fn fault(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let sender = self.staff(model, site, Role::Gateway);
        let numbers: Vec<u32> =
            model.charges.values().filter(|charge| charge.connector.0 == site).map(|charge| charge.connector.1).collect();
        let number = if self.one_in(3) { self.rng.random_range(1..=9) } else { numbers.choose(&mut self.rng).copied().unwrap_or(1) };
        let open = model.session_on((site, number));
        let session = match self.rng.random_range(0..4) {
            0 => Some(self.session_where(model, |_| true)),
            1 => open,
            _ => None,
        };
        let faults = [Fault::OverCurrent, Fault::OverTemperature, Fault::OverTime, Fault::UnitLost, Fault::MeterFault, Fault::WeldedRelay];
        let at = match self.rng.random_range(0..6) {
            0 => model.now + model.params.drift.ms() + self.rng.random_range(0..2),
            1 => model.now - self.rng.random_range(0..HOUR),
            _ => model.now,
        };
        let connector = ConnectorId::new(CondominiumId(site), number);
        (sender, Call::ReportFault(ReportFault { connector, session, fault: self.pick(&faults), at: Timestamp::from_ms(at) }))
    }

    fn settle(&mut self, model: &Model) -> (Address, Call) {
        let session = self.session_where(model, Charge::is_over);
        let site = self.site_of(model, session);
        (self.staff(model, site, Role::Gateway), Call::SettleSession(SettleSession { session }))
    }

    /// One key that sends more than its share.
    fn flood(&mut self, model: &Model) -> (Address, Call) {
        let (sender, to) = (self.resident(model), self.anybody());
        let call = Call::Transfer(Transfer { to, amount: Amount::from_micro(1) });
        self.ahead = vec![(sender, call.clone()); self.rng.random_range(4..18)];
        (sender, call)
    }

    /// More bytes than a block has room for.
    fn bulk(&mut self, model: &Model) -> (Address, Call) {
        let site = self.pick(&SITES);
        let sender = self.staff(model, site, Role::Gateway);
        let reading = self.strange_reading(model);
        let call = Call::Attest(Attest { readings: vec![reading; 250] });
        self.ahead = vec![(sender, call.clone()); 2];
        (sender, call)
    }
}

const WEEK: [DayOfWeek; 7] = [
    DayOfWeek::Monday,
    DayOfWeek::Tuesday,
    DayOfWeek::Wednesday,
    DayOfWeek::Thursday,
    DayOfWeek::Friday,
    DayOfWeek::Saturday,
    DayOfWeek::Sunday,
];
