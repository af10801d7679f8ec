//! Charges that cards start: what a card at the reader becomes, once and within the mandate of its owner. At a point without a switch power takes the place of the card:
//! the binding that stands for the point says whose mandate it is.
//!
//! A tap is remembered while its unit asks about it and no longer: a process that dies forgets it, and nothing is started twice. Whether the chain lets the
//! gateway open is asked here first, so that a refusal is said at once; the chain decides. The desk hands in taps, the loop the newest state.

use chain::{
    id::{Address, CardId, ConnectorId, TariffId},
    params::Params,
    quantity::Amount,
    record::{Account, Card, Key, Mandate, Service},
    state::StateRead,
    time::{Duration, Timestamp},
};
use contracts::{
    call::{AskStart, Call, OpenSessionByMandate},
    ledger::Ledger,
    mandates::{check_prices, day_of, used_on},
    tariff::{QuoteRequest, Zone, in_force, quote},
};
use firmware_core::{CardOutcome, Head, Presented};

use super::{Desk, DeskError, Place};
use crate::gateway::{
    estimate::{self, Past},
    habit,
    meter::Present,
    units::KnownUnit,
};

/// A unit forgets a card that it has no answer for after this: nothing is started for it any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tap or a flow, and what has become of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Start {
    by: By,
    at: Timestamp,
    stage: Stage,
    /// The same was refused before: what is refused again is no news.
    again: bool,
}

/// What asks for a charge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    /// A card at the reader.
    Tap { boot: u32, tap: u16 },
    /// Power at a point without a switch, since then.
    Flow { since: Timestamp },
}

/// Where a start is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// The bindings that the card may have; the chain is to be asked.
    Shown(Vec<CardId>),
    /// The chain is to open a session.
    Decided(OpenSessionByMandate),
    /// The chain is to have the card's account confirm it.
    Unusual(OpenSessionByMandate),
    /// The account is asked.
    Asked(OpenSessionByMandate),
    /// It did.
    Opened,
    /// Nothing starts.
    Refused,
}

/// Why a card starts nothing; for the operator's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    UnknownCard,
    Occupied,
    OutOfService,
    NoMandate,
    NotHere,
    NoTariff,
    Price,
    NothingLeft,
}

/// What past charges of an account are asked with.
pub(in crate::gateway) type History<'a> = &'a dyn Fn(Address) -> Result<Vec<Past>, DeskError>;

impl Start {
    /// The chain has opened a session at the connector, started by this card or by none.
    pub(super) fn session_opened(&mut self, by: Option<CardId>) {
        if let Stage::Decided(call) | Stage::Unusual(call) | Stage::Asked(call) = &self.stage {
            self.stage = if by == Some(call.card) { Stage::Opened } else { Stage::Refused };
        }
    }

    /// The chain waits for the account to confirm what this card has asked for.
    pub(super) fn asked(&mut self, card: CardId) {
        if let Stage::Unusual(call) = &self.stage
            && call.card == card
        {
            self.stage = Stage::Asked(*call);
        }
    }

    /// Whether the chain is about to be asked.
    pub(super) fn waits(&self, now: Timestamp) -> bool {
        match self.stage {
            Stage::Shown(_) | Stage::Decided(_) | Stage::Unusual(_) => self.at.saturating_add(PATIENCE) >= now,
            Stage::Asked(_) | Stage::Opened | Stage::Refused => false,
        }
    }

    fn outcome(&self, now: Timestamp) -> CardOutcome {
        let waits = self.at.saturating_add(PATIENCE) >= now;
        match &self.stage {
            Stage::Shown(_) | Stage::Decided(_) | Stage::Unusual(_) | Stage::Asked(_) if waits => CardOutcome::Pending,
            Stage::Opened => CardOutcome::Accepted,
            Stage::Shown(_) | Stage::Decided(_) | Stage::Unusual(_) | Stage::Asked(_) | Stage::Refused => CardOutcome::Refused,
        }
    }
}

impl Desk {
    /// Takes in a card that a unit shows, new or once more; gives what the unit is told.
    pub(super) fn shown(&mut self, unit: &KnownUnit, head: &Head, presented: &Presented, is_new: bool, now: Timestamp) -> CardOutcome {
        let Some(place) = self.places.get_mut(&unit.connector) else { return CardOutcome::Refused };
        let boot = head.boot;
        if !is_new {
            let known = place.start.as_ref().filter(|start| start.by == By::Tap { boot, tap: presented.tap });
            // Where a restart has forgotten the tap, the session tells whether it succeeded.
            let forgotten = if place.open.is_some() { CardOutcome::Accepted } else { CardOutcome::Refused };
            return known.map_or(forgotten, |start| start.outcome(now));
        }
        let cards: Vec<CardId> = self.cards.of_uid(presented.card.uid()).collect();
        let stage = if cards.is_empty() { Stage::Refused } else { Stage::Shown(cards) };
        if stage == Stage::Refused {
            tracing::info!(connector = %unit.connector, reason = ?Reason::UnknownCard, "a card starts nothing");
        }
        let start = Start { by: By::Tap { boot, tap: presented.tap }, at: now, stage, again: false };
        let outcome = start.outcome(now);
        place.start = Some(start);
        outcome
    }

    /// Has a session opened for what flows at a point without a switch, if something does and none is: at the start and with every message until one is, because a
    /// mandate may be granted and money arrive while it flows. An account is asked to confirm once for a flow.
    pub(super) fn drawn(&mut self, id: ConnectorId, now: Timestamp) {
        let Some(place) = self.places.get_mut(&id) else { return };
        let Some(since) = place.memory.flow.wants_session().filter(|_| place.is_unclaimed()) else { return };
        let by = By::Flow { since };
        let again = match &place.start {
            Some(start) if start.waits(now) || (start.by == by && matches!(start.stage, Stage::Asked(_))) => return,
            Some(start) => start.by == by && start.stage == Stage::Refused,
            None => false,
        };
        let cards: Vec<CardId> = self.cards.of_point(id).collect();
        let stage = if cards.is_empty() { Stage::Refused } else { Stage::Shown(cards) };
        if stage == Stage::Refused && !again {
            tracing::warn!(connector = %id, "a vehicle draws at a point without a switch for which no account is bound: its energy is nobody's");
        }
        place.start = Some(Start { by, at: now, stage, again });
    }

    /// After a start of the gateway: what flows by the newest word of units that are not silent wants its session without waiting for their next message.
    pub fn resume_flows(&mut self, now: Timestamp) {
        let lease = Present { now, settings: &self.settings, params: &self.params }.lease();
        let is_heard = |place: &Place| place.heard_at.is_some_and(|at| at.saturating_add(lease) >= now);
        let heard: Vec<ConnectorId> = self.places.iter().filter(|(_, place)| is_heard(place)).map(|(id, _)| *id).collect();
        for id in heard {
            self.drawn(id, now);
        }
    }

    /// Whether a card waits for the chain to be asked.
    pub fn asks_for_starts(&self) -> bool {
        self.places.values().any(|place| matches!(&place.start, Some(Start { stage: Stage::Shown(_), .. })))
    }

    /// Decides what the cards that were shown start.
    pub fn decide_starts(&mut self, state: &dyn StateRead, history: History<'_>, now: Timestamp) -> Result<(), DeskError> {
        let ledger = Ledger::new(state);
        for (id, place) in &mut self.places {
            let Some(Start { stage, again, .. }) = &mut place.start else { continue };
            let Stage::Shown(cards) = &*stage else { continue };
            let confirm_from = self.settings.confirm_from;
            let asked = Asked { ledger: &ledger, id: *id, params: &self.params, confirm_from, history, now };
            *stage = match asked.decide(cards)? {
                Ok((call, Consent::Mandate)) => {
                    let (card, escrow) = (call.card, call.max_spend);
                    tracing::info!(connector = %id, %card, %escrow, "a card asks for a charge");
                    Stage::Decided(call)
                }
                // Without the score: it is about somebody's habits.
                Ok((call, Consent::Owner)) => {
                    tracing::info!(connector = %id, card = %call.card, "a card asks for a charge that its owner is to confirm");
                    Stage::Unusual(call)
                }
                Err(reason) => {
                    if !*again {
                        tracing::info!(connector = %id, ?reason, "a card starts nothing");
                    }
                    Stage::Refused
                }
            };
        }
        Ok(())
    }

    /// The openings, and the questions to accounts, that the chain is to be asked for.
    pub(super) fn starts(&self, now: Timestamp) -> impl Iterator<Item = Call> {
        let waiting = self.places.values().filter(|place| place.open.is_none()).filter_map(|place| place.start.as_ref());
        let decided = waiting.filter(move |start| start.at.saturating_add(PATIENCE) >= now);
        decided.filter_map(|start| match &start.stage {
            Stage::Decided(call) => Some(Call::OpenSessionByMandate(*call)),
            Stage::Unusual(call) => Some(Call::AskStart(AskStart { start: *call })),
            Stage::Shown(_) | Stage::Asked(_) | Stage::Opened | Stage::Refused => None,
        })
    }

    /// The chain would refuse an opening: the card starts nothing.
    pub(super) fn start_refused(&mut self, call: &OpenSessionByMandate) {
        let Some(start) = self.places.get_mut(&call.connector).and_then(|place| place.start.as_mut()) else { return };
        if start.stage == Stage::Decided(*call) || start.stage == Stage::Unusual(*call) {
            start.stage = Stage::Refused;
        }
    }
}

/// Whose consent a start needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Consent {
    /// The mandate is enough.
    Mandate,
    /// Its owner is to confirm it.
    Owner,
}

/// What a start is decided by.
struct Asked<'a> {
    ledger: &'a Ledger<'a>,
    id: ConnectorId,
    params: &'a Params,
    /// The operator's own threshold.
    confirm_from: u16,
    history: History<'a>,
    now: Timestamp,
}

impl Asked<'_> {
    fn decide(&self, cards: &[CardId]) -> Result<Result<(OpenSessionByMandate, Consent), Reason>, DeskError> {
        let Self { ledger, id, now, .. } = *self;
        let site = id.condominium;
        let mut bound = None;
        for card in cards {
            if let Some(record) = ledger.get::<Card>(&Key::Card(site, *card))? {
                bound = Some((*card, record.account));
            }
        }
        let Some((card, account)) = bound else { return Ok(Err(Reason::UnknownCard)) };
        let Some(connector) = ledger.connector(id)? else { return Ok(Err(Reason::OutOfService)) };
        if connector.session.is_some() {
            return Ok(Err(Reason::Occupied));
        }
        if connector.service != Service::InService || connector.fault.is_some() {
            return Ok(Err(Reason::OutOfService));
        }
        let Some(Mandate { terms, .. }) =
            ledger.get::<Mandate>(&Key::Mandate(account, site))?.filter(|mandate| mandate.terms.expires > now)
        else {
            return Ok(Err(Reason::NoMandate));
        };
        if !terms.connectors.is_empty() && !terms.connectors.contains(&id.number) {
            return Ok(Err(Reason::NotHere));
        }
        let tariff = TariffId::new(site, connector.tariff);
        let Some((tariff_version, version)) = in_force(ledger, tariff, now)? else { return Ok(Err(Reason::NoTariff)) };
        if check_prices(&terms, &version.tariff).is_err() {
            return Ok(Err(Reason::Price));
        }
        let past = (self.history)(account)?;
        let need = estimate::need(&past);
        let max_duration = need.duration.min(self.params.max_duration);
        let asked = QuoteRequest { from: now, rated: connector.rated, energy: need.most, max_duration };
        let Ok(quoted) = quote(&version.tariff, &asked) else { return Ok(Err(Reason::NoTariff)) };
        let limits = [
            quoted.maximum,
            terms.max_per_session,
            terms.max_per_day.saturating_sub(used_on(ledger, account, site, day_of(now))?),
            self.params.max_spend,
            self.spendable(account)?,
        ];
        let max_spend = limits.into_iter().min().unwrap_or_default();
        if max_spend.is_zero() {
            return Ok(Err(Reason::NothingLeft));
        }
        // The stricter of both; what has no score is only asked about where everything is.
        let confirm_from = terms.confirm_from.min(self.confirm_from);
        let score = Zone::parse(&version.tariff.time_zone).ok().and_then(|zone| habit::score(&past, &zone, now));
        let is_unusual = confirm_from == 0 || score.is_some_and(|score| score >= confirm_from);
        let call = OpenSessionByMandate { card, connector: id, tariff_version, max_spend, max_duration, energy_target: need.likely };
        Ok(Ok((call, if is_unusual { Consent::Owner } else { Consent::Mandate })))
    }

    /// What an account can lock: its balance and the credit that it has not drawn.
    fn spendable(&self, account: Address) -> Result<Amount, DeskError> {
        let record: Option<Account> = self.ledger.account(&account)?;
        Ok(record.map_or(Amount::ZERO, |record| {
            let credit = record.credit_limit.saturating_sub(record.debt);
            record.balance.checked_add(credit).unwrap_or(Amount::MAX)
        }))
    }
}
