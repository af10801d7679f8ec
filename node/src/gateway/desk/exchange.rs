//! A connector whose meter was exchanged, or is said to be: what its samples count for, and when the gateway agrees.
//!
//! A manager names on the chain what the old meter showed at its end and the new one at its beginning. The gateway says the same as soon as its unit reports a
//! meter that can be the new one, and not before: until both have, nothing that the new meter shows is metered. It proposes no exchange itself, because what a
//! falling register means is for people to see.

use chain::{
    id::SessionId,
    quantity::WattHours,
    record::{Connector, Meter, MeterProposal, Role},
    time::{Duration, Timestamp},
};
use contracts::{call::METER_PROPOSAL_STANDS, sessions::most_energy};

use super::Place;
use crate::gateway::{meter::Indexed, sample::RawSample};

/// What the chain says of a connector's meters, and what its unit has shown.
#[derive(Default, Debug)]
pub(super) struct Exchange {
    meter: Option<Meter>,
    proposal: Option<MeterProposal>,
    /// When the present meter has shown most, and how much, or where that is not known, when and from where on it is followed.
    seen: Option<(Timestamp, WattHours)>,
    /// The chain refused our word: not again before this.
    wait_until: Option<Timestamp>,
    /// What cannot be carried out while this session is open (or none is): the old meter's end is not the register that the chain has.
    impossible: Option<(MeterProposal, Option<SessionId>)>,
}

impl Exchange {
    /// The chain says so now. `known`: when the unit was last heard, and the connector's register as far as that is certain.
    pub fn is(&mut self, meter: Option<Meter>, proposal: Option<MeterProposal>, known: Option<(Timestamp, WattHours)>) {
        if self.meter != meter {
            *self = Self { meter, ..Self::default() };
        }
        if let Some((at, register)) = known.filter(|_| self.seen.is_none()) {
            self.begin_at(at, register);
        }
        if self.proposal != proposal {
            (self.proposal, self.wait_until) = (proposal, None);
        }
    }

    /// The connector's register was so much then: what the meter has shown since is to be [followed](Exchange::follow) again.
    pub fn begin_at(&mut self, at: Timestamp, register: WattHours) {
        self.seen = self.shown(register).map(|shown| (at, shown));
    }

    /// The chain refused our word.
    pub fn wait(&mut self, until: Timestamp) {
        self.wait_until = Some(until);
    }

    /// The chain refused our word because of the register: while this session is open (or none is) it always will.
    pub fn cannot_be(&mut self, connector: &Connector) {
        self.impossible = self.proposal.map(|proposal| (proposal, connector.session));
    }

    /// Follows samples, oldest first, and gives how many of them are the present meter's: all, or those before the first of a meter that is said to be new. What fell
    /// right before that one is the new meter's too: a unit that was not on line may have sampled it before the manager spoke.
    pub fn follow(&mut self, connector: &Connector, samples: &[Indexed]) -> usize {
        let mut others_from = None;
        for (place, (_, raw)) in samples.iter().enumerate() {
            others_from = if self.is_other(connector, raw) { others_from.or(Some(place)) } else { None };
        }
        let Some(mut from) = others_from else { return samples.len() };
        let known = self.known(connector);
        let fell = |(_, raw): &Indexed| known.is_some_and(|known| raw.sample.register_wh < known.get());
        while from.checked_sub(1).and_then(|before| samples.get(before)).is_some_and(fell) {
            from = from.saturating_sub(1);
        }
        from
    }

    /// Whether a sample is of a meter that is said to be new; what others show counts as the present meter's.
    pub fn is_other(&mut self, connector: &Connector, raw: &RawSample) -> bool {
        let (at, shown) = (Timestamp::from_ms(raw.sample.at_ms), WattHours::new(raw.sample.register_wh));
        if self.is_under_way(connector, raw) {
            return true;
        }
        // What falls, or leaps, is another meter's already, or none's.
        let reached = self.seen.is_none() || self.can_reach(connector, at, shown);
        if reached && self.known(connector).is_some_and(|known| shown >= known) && self.meter.is_none_or(|meter| at >= meter.since) {
            self.seen = Some((at, shown));
        }
        false
    }

    /// Whether the connector has its first meter.
    pub const fn is_first(&self) -> bool {
        self.meter.is_none()
    }

    /// The connector's register at a sample; nothing where it is not the present meter's.
    pub fn register_of(&self, raw: &RawSample) -> Option<WattHours> {
        let shown = WattHours::new(raw.sample.register_wh);
        match &self.meter {
            None => Some(shown),
            Some(meter) if Timestamp::from_ms(raw.sample.at_ms) < meter.since => None,
            Some(meter) => meter.register(shown),
        }
    }

    /// Whether a sample shows the new meter of an exchange that a manager speaks of.
    pub fn is_under_way(&self, connector: &Connector, raw: &RawSample) -> bool {
        self.borne_out(connector, raw).is_some()
    }

    /// The two registers to say the same about, where the newest sample bears the manager out: the old meter's last and the new one's first.
    pub fn agreed(&self, connector: &Connector, newest: &RawSample, now: Timestamp) -> Option<(WattHours, WattHours)> {
        let proposal = self.borne_out(connector, newest).filter(|proposal| now < proposal.until)?;
        let rests = self.wait_until.is_some_and(|until| now < until);
        (!rests).then_some((proposal.last, proposal.first))
    }

    /// The manager's word, where a sample bears it out: it was taken while the word stands, shows at least what the new meter began with, and that is beyond the old
    /// one's end, or the sample is below what the old one is known to have shown; and the old one can have come as far as is said. What the manager says of the old
    /// one's end proves nothing by itself. Where the new one is said to have begun beyond it, agreeing only ever lowers the register: nobody pays more for that.
    fn borne_out(&self, connector: &Connector, raw: &RawSample) -> Option<MeterProposal> {
        let proposal = self.proposal.filter(|proposal| proposal.role == Role::Manager)?;
        let MeterProposal { last, first, until, .. } = proposal;
        let (at, shown) = (Timestamp::from_ms(raw.sample.at_ms), WattHours::new(raw.sample.register_wh));
        let stands = at < until && at > until.saturating_sub(METER_PROPOSAL_STANDS);
        let falls = self.known(connector).is_some_and(|known| shown < known);
        let can_be = self.impossible != Some((proposal, connector.session));
        let is_other = falls || first > last;
        (stands && can_be && shown >= first && is_other && self.can_reach(connector, at, last)).then_some(proposal)
    }

    /// What the present meter shows where the connector's register is so much.
    fn shown(&self, register: WattHours) -> Option<WattHours> {
        self.meter.map_or(Some(register), |meter| meter.shown(register))
    }

    /// The most that the present meter is known to have shown, by the chain or by its unit.
    fn known(&self, connector: &Connector) -> Option<WattHours> {
        self.shown(connector.last_register).max(self.seen.map(|(_, most)| most))
    }

    /// Whether the present meter can show so much by then, after what it is known to have shown. Where nothing is known of when it did, no time has passed.
    fn can_reach(&self, connector: &Connector, at: Timestamp, shown: WattHours) -> bool {
        let time = self.seen.map_or(Duration::ZERO, |(seen_at, _)| at.since(seen_at));
        let more = most_energy(connector.rated, time).unwrap_or(WattHours::ZERO);
        self.known(connector).and_then(|known| shown.checked_sub(known)).is_some_and(|since| since <= more)
    }
}

impl Place {
    /// When its unit was last heard, and the connector's register as far as that is certain: what the chain has, or what the first meter showed first.
    pub(super) fn known(&self, connector: &Connector, is_first_meter: bool) -> Option<(Timestamp, WattHours)> {
        let (_, newest) = self.newest?;
        let begun = self.memory.begun_wh.filter(|_| connector.last_register.is_zero() && is_first_meter);
        Some((Timestamp::from_ms(newest.sample.at_ms), begun.map_or(connector.last_register, WattHours::new)))
    }
}
