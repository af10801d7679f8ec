//! What people, gateways and schedulers might send: mostly what makes sense at the moment, often with one thing wrong, sometimes nonsense.
//!
//! It reads the model to be relevant and predicts nothing, except where the bytes do not reach the ledger at all. All choices come from one seed.

use std::{collections::BTreeMap, ops::Range};

use chain::{
    code::Code,
    codec,
    crypto::{self, Domain},
    hash::Hash32,
    id::{Address, ChainId, CondominiumId, Height, RedemptionId, SessionId},
    quantity::Amount,
    record::Role,
    time::Timestamp,
    transaction::MAX_TRANSACTION_BYTES,
};
use contracts::call::{Attest, Body, Call, GrantRole, Transaction, Transfer};
use ed25519_dalek::SigningKey;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::ledger::{Charge, Model};

// What each module thinks of is picked in `sensible`.
mod beginning;
mod clearing;
mod mandates;
mod meters;
mod people;
mod sessions;
mod sites;
mod trust;

/// The condominiums.
pub const SITES: [u32; 3] = [1, 2, 3];
const HOUR: u64 = 3_600_000;
const TOKEN: u64 = 1_000_000;
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
        if let Some(end) = model.next_end_of_mandate().filter(|_| self.one_in(12)) {
            let end = end.ms() + self.rng.random_range(0..2);
            if end < now + 6 * HOUR {
                return end;
            }
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
        match self.rng.random_range(0..1_122) {
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
            372..384 => self.grant_mandate(model),
            384..386 => self.revoke_mandate(model),
            386..395 => self.bind_card(model),
            395..414 => self.tap(model),
            414..418 => self.ask(model),
            418..430 => self.confirm_start(model),
            430..500 => self.open(model),
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
            995..1_000 => self.bulk(model),
            1_000..1_006 => self.clear(model),
            1_006..1_024 => self.report(model),
            1_024..1_044 => self.confirm(model),
            1_044..1_050 => self.limit(model),
            1_050..1_062 => self.unassigned(model),
            1_062..1_086 => self.exchange(model),
            1_086..1_104 => self.accuse(model),
            _ => self.forgive(model),
        }
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
