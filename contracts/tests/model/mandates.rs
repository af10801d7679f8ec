//! The model's mandates and cards, and what gateways open with them.

use chain::{
    code::Code,
    id::{Address, CardId, SessionId},
    quantity::WattHours,
    receipt::Event,
    record::{Hints, MandateTerms, Role},
    tariff::TariffDimension,
    time::Timestamp,
};
use contracts::call::{AskStart, BindCard, ConfirmStart, GrantMandate, OpenSessionByMandate, RevokeMandate};

use super::ledger::{Model, Ruling, Sender, no, not};

const DAY: u64 = 24 * 3_600_000;

/// Terms, and since when.
#[derive(Clone, Debug)]
pub struct Grant {
    pub terms: MandateTerms,
    pub at: u64,
}

/// The sessions that cards started on one day, each with what it counts for: its first escrow, or once it is settled what it cost of that.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub day: u64,
    pub parts: Vec<(SessionId, u64)>,
}

impl Tally {
    pub fn sum(&self) -> u64 {
        self.parts.iter().map(|(_, amount)| amount).sum()
    }
}

/// How a session was started.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    pub card: CardId,
    pub day: u64,
    pub amount: u64,
}

/// What somebody is to confirm, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub account: Address,
    pub start: OpenSessionByMandate,
    pub until: u64,
}

fn no_zeros(call: &OpenSessionByMandate) -> Ruling<()> {
    if call.max_spend.micro() == 0 || call.max_duration.ms() == 0 || call.energy_target.is_some_and(WattHours::is_zero) {
        return no(Code::ZeroValue);
    }
    Ok(())
}

impl Model {
    pub fn grant_mandate(&mut self, sender: &Sender, call: &GrantMandate) -> Ruling<Vec<Event>> {
        let GrantMandate { condominium, terms } = call;
        if terms.max_per_session.micro() == 0 || terms.max_per_day.micro() == 0 {
            return no(Code::ZeroValue);
        }
        if terms.connectors.len() > 64 {
            return not(Code::TooMany, 64, terms.connectors.len() as u64);
        }
        if !self.wallets.contains_key(&sender.account) {
            return no(Code::UnknownAccount);
        }
        if !self.treasuries.contains_key(&condominium.0) {
            return no(Code::UnknownCondominium);
        }
        let (until, latest) = (terms.expires.ms(), self.now + 366 * DAY);
        if until <= self.now {
            return not(Code::InvalidRange, self.now, until);
        }
        if until > latest {
            return not(Code::OverLimit, latest, until);
        }
        if terms.connectors.iter().any(|number| !self.points.contains_key(&(condominium.0, *number))) {
            return no(Code::UnknownConnector);
        }
        self.mandates.insert((sender.account, condominium.0), Grant { terms: terms.clone(), at: self.now });
        Ok(vec![Event::MandateGranted { account: sender.account, condominium: *condominium, expires: terms.expires }])
    }

    pub fn revoke_mandate(&mut self, sender: &Sender, call: &RevokeMandate) -> Ruling<Vec<Event>> {
        match self.mandates.remove(&(sender.account, call.condominium.0)) {
            Some(_) => Ok(vec![Event::MandateRevoked { account: sender.account, condominium: call.condominium }]),
            None => no(Code::NoMandate),
        }
    }

    pub fn bind_card(&mut self, sender: &Sender, call: &BindCard) -> Ruling<Vec<Event>> {
        let BindCard { condominium, card, account } = *call;
        let place = (condominium.0, card);
        let bound: Option<Address> = self.cards.get(&place).map(|(owner, _)| *owner);
        match (account, bound) {
            (Some(account), bound) => {
                self.only(condominium.0, Role::Manager, sender)?;
                if !self.wallets.contains_key(&account) {
                    return no(Code::UnknownAccount);
                }
                if bound.is_some() {
                    return no(Code::CardBound);
                }
                self.cards.insert(place, (account, self.now));
                Ok(vec![Event::CardBound { condominium, card, account }])
            }
            (None, None) => no(Code::UnknownCard),
            (None, Some(owner)) => {
                if owner != sender.account {
                    self.only(condominium.0, Role::Manager, sender)?;
                }
                self.cards.remove(&place);
                Ok(vec![Event::CardReleased { condominium, card, account: owner }])
            }
        }
    }

    pub fn open_session_by_mandate(&mut self, sender: &Sender, call: &OpenSessionByMandate) -> Ruling<Vec<Event>> {
        no_zeros(call)?;
        self.gateway(call.connector.condominium.0, sender, None)?;
        let account = self.may_start(call)?;
        let mut events = self.start(&Sender { account, ..*sender }, call)?;
        events.push(Event::SessionMandated { session: SessionId(sender.id.0), card: call.card });
        Ok(events)
    }

    pub fn ask_start(&mut self, sender: &Sender, AskStart { start }: &AskStart) -> Ruling<Vec<Event>> {
        no_zeros(start)?;
        self.gateway(start.connector.condominium.0, sender, None)?;
        let account = self.may_start(start)?;
        let until = self.now + 600_000;
        self.asked.insert((start.connector.condominium.0, start.connector.number), Asked { account, start: *start, until });
        let until = Timestamp::from_ms(until);
        Ok(vec![Event::StartAsked { account, connector: start.connector, card: start.card, until }])
    }

    pub fn confirm_start(&mut self, sender: &Sender, ConfirmStart { start }: &ConfirmStart) -> Ruling<Vec<Event>> {
        no_zeros(start)?;
        let place = (start.connector.condominium.0, start.connector.number);
        let waits = |asked: &Asked| asked.account == sender.account && asked.start == *start && self.now < asked.until;
        if !self.asked.get(&place).is_some_and(waits) || self.may_start(start)? != sender.account {
            return no(Code::NothingToConfirm);
        }
        let mut events = self.start(sender, start)?;
        self.asked.remove(&place);
        events.push(Event::StartConfirmed { session: SessionId(sender.id.0), card: start.card });
        Ok(events)
    }

    /// Whose start it is, where card and mandate allow it.
    fn may_start(&self, call: &OpenSessionByMandate) -> Ruling<Address> {
        let (site, amount) = (call.connector.condominium.0, call.max_spend.micro());
        let (account, _) = *self.cards.get(&(site, call.card)).ok_or(Code::UnknownCard)?;
        let terms = self.mandates.get(&(account, site)).ok_or(Code::NoMandate)?.terms.clone();
        if self.now >= terms.expires.ms() {
            return not(Code::MandateExpired, terms.expires.ms(), self.now);
        }
        if !(terms.connectors.is_empty() || terms.connectors.contains(&call.connector.number)) {
            return no(Code::MandateConnector);
        }
        if amount > terms.max_per_session.micro() {
            return not(Code::MandateSession, terms.max_per_session.micro(), amount);
        }
        let today = self.now / DAY;
        let used = self.tallies.get(&(account, site)).filter(|tally| tally.day == today).map_or(0, Tally::sum);
        if u128::from(used) + u128::from(amount) > u128::from(terms.max_per_day.micro()) {
            return not(Code::MandateDay, terms.max_per_day.micro(), used.saturating_add(amount));
        }
        let point = self.points.get(&(site, call.connector.number)).ok_or(Code::UnknownConnector)?;
        let version = self.in_force((site, point.tariff)).ok_or(Code::UnknownTariff)?;
        let document = &self.tariffs[&(site, point.tariff)][version as usize - 1].1;
        let highest = |wanted: &dyn Fn(TariffDimension) -> bool| {
            let prices = document.elements.iter().flat_map(|element| element.price_components.clone());
            prices.filter(|price| wanted(price.dimension)).map(|price| price.price.micro()).max().unwrap_or(0)
        };
        let per_kwh = highest(&|dimension| dimension == TariffDimension::Energy);
        if per_kwh > terms.max_price_per_kwh.micro() {
            return not(Code::MandatePrice, terms.max_price_per_kwh.micro(), per_kwh);
        }
        let per_hour = highest(&|dimension| matches!(dimension, TariffDimension::Time | TariffDimension::ParkingTime));
        if per_hour > terms.max_price_per_hour.micro() {
            return not(Code::MandatePrice, terms.max_price_per_hour.micro(), per_hour);
        }
        Ok(account)
    }

    /// Opens it for the sender, whose start it is.
    fn start(&mut self, payer: &Sender, call: &OpenSessionByMandate) -> Ruling<Vec<Event>> {
        let (account, site, amount, today) = (payer.account, call.connector.condominium.0, call.max_spend.micro(), self.now / DAY);
        let hints = Hints { energy_target: call.energy_target, ..Hints::default() };
        let events = self.open(payer, call.connector, call.tariff_version, (call.max_spend, call.max_duration), hints)?;
        let session = SessionId(payer.id.0);
        self.charges.get_mut(&session).expect("just opened").start = Some(Start { card: call.card, day: today, amount });
        let tally = self.tallies.entry((account, site)).or_default();
        if tally.day != today {
            *tally = Tally { day: today, parts: Vec::new() };
        }
        tally.parts.push((session, amount));
        Ok(events)
    }

    /// A session that a card started has cost so much.
    pub fn tally_paid(&mut self, account: &Address, site: u32, session: SessionId, paid: u64) {
        let Some(tally) = self.tallies.get_mut(&(*account, site)) else { return };
        for (_, amount) in tally.parts.iter_mut().filter(|(counted, _)| *counted == session) {
            *amount = (*amount).min(paid);
        }
    }

    /// When somebody's mandate ends.
    pub fn next_end_of_mandate(&self) -> Option<Timestamp> {
        self.mandates.values().map(|grant| grant.terms.expires).filter(|at| at.ms() > self.now + 1).min()
    }
}
