//! Mandates, cards and what gateways open with them.

use chain::{
    hash::Hash32,
    id::{Address, CardId, CondominiumId, ConnectorId},
    quantity::{Amount, WattHours},
    record::{MandateTerms, Role},
    time::{Duration, Timestamp},
};
use contracts::call::{AskStart, BindCard, Call, ConfirmStart, GrantMandate, OpenSessionByMandate, RevokeMandate};
use rand::{Rng, seq::IndexedRandom};

use super::{Generator, HOUR, TOKEN};
use crate::{
    ledger::{Local, Model},
    mandates::Asked,
};

impl Generator {
    pub(super) fn grant_mandate(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let numbers: Vec<u32> = model.points.keys().filter(|(condominium, _)| *condominium == site).map(|(_, number)| *number).collect();
        let connectors = match self.rng.random_range(0..8) {
            0 => vec![1; self.rng.random_range(63..67)],
            1 => vec![1, 77],
            2 | 3 => numbers.choose_multiple(&mut self.rng, 3).copied().collect(),
            _ => Vec::new(),
        };
        let expires = match self.rng.random_range(0..12) {
            0 => model.now - self.rng.random_range(0..2),
            1 => model.now + 366 * 24 * HOUR + self.rng.random_range(0..2),
            2 | 3 => model.now + self.rng.random_range(1..4 * HOUR),
            _ => model.now + self.rng.random_range(24 * HOUR..40 * 24 * HOUR),
        };
        let price = |rng: &mut rand::rngs::StdRng| {
            let tight = rng.random_ratio(1, 6);
            Amount::from_micro(if tight { rng.random_range(0..300_000) } else { 50 * TOKEN })
        };
        let limit = |rng: &mut rand::rngs::StdRng| match rng.random_range(0..14) {
            0 => Amount::ZERO,
            1..6 => Amount::from_micro(rng.random_range(1..3 * TOKEN)),
            _ => Amount::from_micro(rng.random_range(TOKEN..80 * TOKEN)),
        };
        let terms = MandateTerms {
            max_per_session: limit(&mut self.rng),
            max_per_day: limit(&mut self.rng),
            max_price_per_kwh: price(&mut self.rng),
            max_price_per_hour: price(&mut self.rng),
            expires: Timestamp::from_ms(expires),
            connectors,
            confirm_from: self.rng.random_range(0..1_002),
        };
        let sender = if self.one_in(30) { self.anybody() } else { self.resident(model) };
        (sender, Call::GrantMandate(GrantMandate { condominium: CondominiumId(site), terms }))
    }

    pub(super) fn revoke_mandate(&mut self, model: &Model) -> (Address, Call) {
        let granted: Vec<(Address, u32)> = model.mandates.keys().copied().collect();
        let (account, site) = match granted.choose(&mut self.rng) {
            Some(granted) if !self.rng.random_ratio(1, 4) => *granted,
            _ => (self.anybody(), self.site()),
        };
        (account, Call::RevokeMandate(RevokeMandate { condominium: CondominiumId(site) }))
    }

    pub(super) fn bind_card(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let bound: Vec<(CardId, Address)> = model
            .cards
            .iter()
            .filter(|((condominium, _), _)| *condominium == site)
            .map(|((_, card), (account, _))| (*card, *account))
            .collect();
        let condominium = CondominiumId(site);
        let manager = self.staff(model, site, Role::Manager);
        let known = bound.choose(&mut self.rng).copied();
        match (self.rng.random_range(0..10), known) {
            (0 | 1, Some((card, owner))) => {
                let sender = self.pick(&[manager, owner, owner, self.people[0]]);
                (sender, Call::BindCard(BindCard { condominium, card, account: None }))
            }
            (2, Some((card, owner))) => (manager, Call::BindCard(BindCard { condominium, card, account: Some(owner) })),
            (3, _) => (manager, Call::BindCard(BindCard { condominium, card: CardId(Hash32(self.rng.random())), account: None })),
            _ => {
                // Those with a mandate get cards sooner.
                let granted: Vec<Address> =
                    model.mandates.keys().filter(|(_, granted)| *granted == site).map(|(account, _)| *account).collect();
                let account = granted.choose(&mut self.rng).copied().filter(|_| self.rng.random_ratio(3, 4));
                let account = account.unwrap_or_else(|| self.anybody());
                (manager, Call::BindCard(BindCard { condominium, card: CardId(Hash32(self.rng.random())), account: Some(account) }))
            }
        }
    }

    pub(super) fn tap(&mut self, model: &Model) -> (Address, Call) {
        let (sender, opening) = self.open(model);
        let Call::OpenSession(opening) = opening else { return (sender, opening) };
        let place: Local = (opening.connector.condominium.0, opening.connector.number);
        let site = place.0;
        let cards: Vec<(CardId, Address)> = model
            .cards
            .iter()
            .filter(|((condominium, _), _)| *condominium == site)
            .map(|((_, card), (account, _))| (*card, *account))
            .collect();
        // Mostly of somebody whose mandate goes on.
        let ended = self.one_in(8);
        let fits =
            |account: &Address| model.mandates.get(&(*account, site)).is_some_and(|grant| ended || grant.terms.expires.ms() > model.now);
        let good: Vec<(CardId, Address)> = cards.iter().filter(|(_, account)| fits(account)).copied().collect();
        let chosen = if self.one_in(6) { cards.choose(&mut self.rng) } else { good.choose(&mut self.rng) };
        let (card, account) = chosen.copied().unwrap_or((CardId(Hash32([5; 32])), Address([0; 32])));
        let terms = model.mandates.get(&(account, site)).map(|grant| &grant.terms);
        let limit = terms.map_or(TOKEN, |terms| terms.max_per_session.micro().min(terms.max_per_day.micro()));
        let named = terms.and_then(|terms| terms.connectors.choose(&mut self.rng).copied()).filter(|_| self.rng.random_ratio(3, 4));
        let max_spend = match self.rng.random_range(0..8) {
            0 => opening.max_spend,
            1 => Amount::from_micro(limit + 1),
            2 => Amount::from_micro(limit),
            _ => self.amount(limit.min(4 * TOKEN)),
        };
        let number = named.unwrap_or(place.1);
        let in_force = model.points.get(&(site, number)).and_then(|point| model.in_force((site, point.tariff))).unwrap_or(1);
        let call = OpenSessionByMandate {
            card,
            connector: ConnectorId::new(CondominiumId(site), number),
            tariff_version: if self.one_in(20) { opening.tariff_version } else { in_force },
            max_spend,
            max_duration: if self.one_in(20) { opening.max_duration } else { Duration::from_ms(self.rng.random_range(60_000..=10 * HOUR)) },
            energy_target: self.one_in(2).then(|| WattHours::new(self.rng.random_range(0..20))),
        };
        (self.staff(model, site, Role::Gateway), Call::OpenSessionByMandate(call))
    }

    pub(super) fn ask(&mut self, model: &Model) -> (Address, Call) {
        match self.tap(model) {
            (sender, Call::OpenSessionByMandate(start)) => (sender, Call::AskStart(AskStart { start })),
            other => other,
        }
    }

    pub(super) fn confirm_start(&mut self, model: &Model) -> (Address, Call) {
        let asked: Vec<Asked> = model.asked.values().copied().collect();
        let open: Vec<Asked> = asked.iter().filter(|asked| asked.until > model.now).copied().collect();
        let chosen = if self.one_in(8) { asked.choose(&mut self.rng) } else { open.choose(&mut self.rng) };
        let Some(Asked { account, mut start, .. }) = chosen.copied() else { return self.ask(model) };
        if self.one_in(10) {
            start.max_spend = Amount::from_micro(start.max_spend.micro() - 1);
        }
        (if self.one_in(10) { self.anybody() } else { account }, Call::ConfirmStart(ConfirmStart { start }))
    }
}
