//! Exchanges of meters, and statements of gateways that contradict each other, or do not.

use chain::{
    hash::Hash32,
    id::{Address, ChainId, CondominiumId, ConnectorId},
    quantity::WattHours,
    record::Role,
    time::Timestamp,
    transaction::SignedBytes,
};
use contracts::call::{Attest, Body, Call, LiftSuspension, ProveEquivocation, Reading, ReplaceMeter, Transaction};
use rand::{Rng, seq::IndexedRandom};

use super::{Generator, HOUR};
use crate::ledger::{Local, Model};

impl Generator {
    pub(super) fn exchange(&mut self, model: &Model) -> (Address, Call) {
        let waiting: Vec<Local> = model.words.keys().copied().collect();
        if let Some(place) = waiting.choose(&mut self.rng).copied().filter(|_| self.rng.random_ratio(3, 5)) {
            let word = model.words[&place];
            let other = if word.role == Role::Manager { Role::Gateway } else { Role::Manager };
            let sender = if self.one_in(10) { word.account } else { self.staff(model, place.0, other) };
            let more = u64::from(self.one_in(8));
            return (sender, exchanged(place, word.last.saturating_add(more), word.first));
        }
        let places: Vec<Local> = model.points.keys().copied().collect();
        let Some(place) = places.choose(&mut self.rng).copied().filter(|_| !self.one_in(30)) else {
            return (self.anybody(), exchanged((self.site(), 99), 0, 0));
        };
        let known = u64::try_from(i128::from(model.points[&place].register) + model.ahead(place)).unwrap_or(0);
        let last = match self.rng.random_range(0..12) {
            0 => known.saturating_sub(1),
            1 | 2 => known.saturating_add(self.rng.random_range(1..400)),
            3 => self.pick(&[u64::MAX, 1_000_000_000_000_001]),
            _ => known,
        };
        let first = match self.rng.random_range(0..8) {
            0 => self.pick(&[u64::MAX, 1_000_000_000_000_000]),
            1..4 => 0,
            _ => self.rng.random_range(0..100_000),
        };
        let role = if self.one_in(2) { Role::Manager } else { Role::Gateway };
        (self.staff(model, place.0, role), exchanged(place, last, first))
    }

    pub(super) fn accuse(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let accused = if self.one_in(12) { self.anybody() } else { self.staff(model, site, Role::Gateway) };
        let mut one = self.strange_reading(model);
        one.at = Timestamp::from_ms(match self.rng.random_range(0..10) {
            0 | 1 => model.now - 90 * 24 * HOUR - self.rng.random_range(0..2),
            2 => model.now.saturating_sub(self.rng.random_range(0..3 * HOUR)),
            3 | 4 => model.now + model.params.drift.ms() + self.rng.random_range(0..4) - 2,
            5 => model.now + self.rng.random_range(0..2 * model.params.drift.ms()),
            _ => model.now,
        });
        let mut other = Reading { register_wh: WattHours::new(one.register_wh.get() + 1), ..one };
        match self.rng.random_range(0..12) {
            0 => other.sequence += 1,
            1 => other.at = Timestamp::from_ms(one.at.ms() + 1),
            2 => other.at = Timestamp::from_ms(one.at.ms() - 1),
            3 => other.register_wh = one.register_wh,
            _ => {}
        }
        let stranger = self.strange_reading(model);
        let mut second = vec![other];
        if self.one_in(3) {
            second.insert(0, stranger);
        }
        let mut first = vec![one];
        if self.one_in(4) {
            // What contradicts itself first need not be what counts.
            let days = self.rng.random_range(0..200);
            let decoy =
                Reading { sequence: one.sequence + 1, at: Timestamp::from_ms(model.now + 24 * HOUR * days - 24 * HOUR * 100), ..one };
            first.insert(0, decoy);
            second.insert(0, Reading { register_wh: WattHours::new(decoy.register_wh.get() + 1), ..decoy });
        }
        let mut body = self.body(model, accused, Call::Attest(Attest { readings: first }));
        match self.rng.random_range(0..24) {
            0 => body.chain_id = ChainId(Hash32::ZERO),
            1 => body.account = self.anybody(),
            _ => {}
        }
        let (first, mut second) =
            (self.statement(body.clone()), self.statement(Body { call: Call::Attest(Attest { readings: second }), ..body }));
        match self.rng.random_range(0..16) {
            0 | 1 => second.0[self.rng.random_range(0..32)] ^= 1,
            2 => drop(second.0.pop()),
            3 => second = self.statement(self.plain_body(model, accused)),
            _ => {}
        }
        let call = ProveEquivocation { condominium: CondominiumId(site), first, second };
        (self.resident(model), Call::ProveEquivocation(call))
    }

    pub(super) fn forgive(&mut self, model: &Model) -> (Address, Call) {
        let blamed: Vec<(u32, Address)> = model.blames.iter().filter(|(_, blame)| blame.lifted.is_none()).map(|(key, _)| *key).collect();
        let (site, account) = match blamed.choose(&mut self.rng) {
            Some(chosen) if !self.one_in(12) => *chosen,
            Some(_) | None => (self.site(), self.anybody()),
        };
        let call = LiftSuspension { condominium: CondominiumId(site), account };
        (self.staff(model, site, Role::Manager), Call::LiftSuspension(call))
    }

    fn plain_body(&self, model: &Model, account: Address) -> Body {
        let call = Call::LiftSuspension(LiftSuspension { condominium: CondominiumId(1), account });
        let valid_until = Timestamp::from_ms(model.now);
        Body { chain_id: model.chain_id, account, signer: account, nonce: 0, valid_until, call }
    }

    fn statement(&self, body: Body) -> SignedBytes {
        let key = &self.keys[&body.signer];
        SignedBytes(Transaction::sign(body, key).expect("small enough").bytes().to_vec())
    }
}

fn exchanged((site, number): Local, last: u64, first: u64) -> Call {
    let connector = ConnectorId::new(CondominiumId(site), number);
    Call::ReplaceMeter(ReplaceMeter { connector, last: WattHours::new(last), first: WattHours::new(first) })
}
