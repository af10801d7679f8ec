//! A connector whose meter was exchanged, or is said to be: what its samples count for, and when the gateway agrees.
//!
//! A manager names on the chain what the old meter showed at its end and the new one at its beginning. The gateway says the same as soon as its unit reports a
//! meter that can be the new one, and not before: until both have, nothing that the new meter shows is metered. It proposes no exchange itself, because what a
//! falling register means is for people to see.

use chain::{
    quantity::WattHours,
    record::{Connector, Fault, Meter, MeterProposal, Role},
    time::Timestamp,
};
use contracts::{call::METER_PROPOSAL_STANDS, sessions::most_energy};

use crate::gateway::sample::RawSample;

/// What the chain says of a connector's meters, and what its unit has shown.
#[derive(Default, Debug)]
pub(super) struct Exchange {
    meter: Option<Meter>,
    proposal: Option<MeterProposal>,
    /// When the present meter has shown most, and how much, since this process runs.
    seen: Option<(Timestamp, WattHours)>,
    /// The chain refused our word: not again before this.
    wait_until: Option<Timestamp>,
}

impl Exchange {
    /// The chain says so now.
    pub fn is(&mut self, meter: Option<Meter>, proposal: Option<MeterProposal>) {
        if self.meter != meter {
            *self = Self { meter, ..Self::default() };
        }
        if self.proposal != proposal {
            (self.proposal, self.wait_until) = (proposal, None);
        }
    }

    /// The chain refused our word.
    pub fn wait(&mut self, until: Timestamp) {
        self.wait_until = Some(until);
    }

    /// The unit has shown this, and it counts as the present meter's.
    pub fn see(&mut self, connector: &Connector, raw: &RawSample) {
        let (at, shown) = (Timestamp::from_ms(raw.sample.at_ms), WattHours::new(raw.sample.register_wh));
        let known = self.meter.map_or(Some(connector.last_register), |meter| meter.shown(connector.last_register));
        // What falls, or leaps, is another meter's already, or none's.
        if known.is_some_and(|known| shown >= known) && self.can_reach(connector, at, shown) {
            self.seen = Some((at, shown));
        }
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

    /// The manager's word, where a sample bears it out: it was taken while the word stands, shows at least what the new meter began with, and cannot be the old
    /// one's, because it is below what that ended with, or the new one began beyond it, or the old one is known to be at fault; and the old one can have come so far.
    fn borne_out(&self, connector: &Connector, raw: &RawSample) -> Option<MeterProposal> {
        let proposal = self.proposal.filter(|proposal| proposal.role == Role::Manager)?;
        let MeterProposal { last, first, until, .. } = proposal;
        let (at, shown) = (Timestamp::from_ms(raw.sample.at_ms), WattHours::new(raw.sample.register_wh));
        let stands = at < until && at > until.saturating_sub(METER_PROPOSAL_STANDS);
        let is_other = shown < last || first > last || connector.fault == Some(Fault::MeterFault);
        (stands && shown >= first && is_other && self.can_reach(connector, at, last)).then_some(proposal)
    }

    /// Whether the present meter can show so much by then, after what it has shown.
    fn can_reach(&self, connector: &Connector, at: Timestamp, shown: WattHours) -> bool {
        self.seen.is_none_or(|(seen_at, most)| {
            let more = most_energy(connector.rated, at.since(seen_at)).unwrap_or(WattHours::ZERO);
            shown.checked_sub(most).is_some_and(|since| since <= more)
        })
    }
}
