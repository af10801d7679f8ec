//! Whether a vehicle draws at a point without a switch, and whether that is to start a charge: pure, without clock, chain or disk.
//!
//! A flow begins with the first sample whose power is above the threshold, and is over once power was away for as long as a vehicle needs to count as full. While
//! it lasts and no session is open, the desk asks for one. A session that ended because its money was spent, because somebody stopped it or because something was
//! wrong is not followed by another in the same flow: who set that limit, or said stop, meant it. What flows on is nobody's. The desk keeps a flow on its disk,
//! because a car does not stop when the gateway does.

use chain::{
    record::{EndReason, Fault},
    time::{Duration, Timestamp},
};
use serde::{Deserialize, Serialize};

/// What flows at a point without a switch.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Flow {
    /// Since when, short breaks included.
    since: Option<Timestamp>,
    /// Since when there is a break.
    away_since: Option<Timestamp>,
    /// It starts nothing more.
    is_spent: bool,
}

impl Flow {
    /// A sample, taken then; the flow is over after a break of `patience`.
    pub fn see(&mut self, draws: bool, at: Timestamp, patience: Duration) {
        if draws {
            self.since.get_or_insert(at);
            self.away_since = None;
        } else if self.since.is_some() {
            let away_since = *self.away_since.get_or_insert(at);
            if at.since(away_since) >= patience {
                *self = Self::default();
            }
        }
    }

    /// A session of this flow is over.
    pub fn ended(&mut self, reason: EndReason) {
        self.is_spent |= self.since.is_some() && !may_be_followed(reason);
    }

    /// Since when there is a flow that wants a session, if it does.
    pub fn wants_session(&self) -> Option<Timestamp> {
        self.since.filter(|_| self.away_since.is_none() && !self.is_spent)
    }
}

/// Whether a charge that ended so may be followed by another without a new plug-in: what ended it was neither anybody's will nor anything wrong.
const fn may_be_followed(reason: EndReason) -> bool {
    match reason {
        EndReason::Time | EndReason::GatewayLost | EndReason::NeverStarted | EndReason::Cancelled | EndReason::Anomaly(Fault::UnitLost) => {
            true
        }
        EndReason::Money
        | EndReason::VehicleRemoved
        | EndReason::VehicleFull
        | EndReason::StoppedByResident
        | EndReason::StoppedByManager
        | EndReason::Anomaly(Fault::OverCurrent | Fault::OverTemperature | Fault::OverTime | Fault::MeterFault | Fault::WeldedRelay) => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(second: u64) -> Timestamp {
        Timestamp::from_ms(second * 1_000)
    }

    #[test]
    fn a_flow_begins_with_power_and_is_over_when_power_was_away_long_enough() {
        let patience = Duration::from_secs(120);
        let mut flow = Flow::default();
        flow.see(false, at(0), patience);
        assert_eq!(flow.wants_session(), None);
        flow.see(true, at(60), patience);
        assert_eq!(flow.wants_session(), Some(at(60)));
        flow.see(false, at(120), patience);
        assert_eq!(flow.wants_session(), None, "a break starts nothing");
        flow.see(true, at(180), patience);
        assert_eq!(flow.wants_session(), Some(at(60)), "a short break is no end");
        flow.see(false, at(240), patience);
        flow.see(false, at(360), patience);
        flow.see(true, at(400), patience);
        assert_eq!(flow.wants_session(), Some(at(400)));
        flow.see(false, at(460), Duration::ZERO);
        assert_eq!(flow, Flow::default(), "without patience the first sample ends it");
    }

    #[test]
    fn who_stopped_it_or_set_its_limit_is_obeyed_until_the_next_vehicle() {
        let fault = EndReason::Anomaly;
        for (reason, follows) in [
            (EndReason::Money, false),
            (EndReason::StoppedByResident, false),
            (EndReason::StoppedByManager, false),
            (EndReason::VehicleFull, false),
            (EndReason::VehicleRemoved, false),
            (fault(Fault::OverCurrent), false),
            (fault(Fault::OverTime), false),
            (EndReason::Time, true),
            (EndReason::GatewayLost, true),
            (fault(Fault::UnitLost), true),
        ] {
            let mut flow = Flow::default();
            flow.see(true, at(1), Duration::ZERO);
            flow.ended(reason);
            assert_eq!(flow.wants_session().is_some(), follows, "{reason:?}");
            flow.see(false, at(2), Duration::ZERO);
            flow.see(true, at(3), Duration::ZERO);
            assert_eq!(flow.wants_session(), Some(at(3)), "{reason:?}");
        }
        let mut nothing = Flow::default();
        nothing.ended(EndReason::Money);
        assert_eq!(nothing, Flow::default());
    }
}
