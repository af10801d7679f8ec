//! The leases that a unit may still hold: what may flow at a connector by the gateway's own word, until the unit says that its relay is open.
//!
//! An answer may be lost on its way, and then the unit goes on under the lease before; so every lease counts until it is over, whatever was answered since.
//! What ends it earlier is the unit's own word alone: an open relay, or a plug that is gone. It decides nothing. The desk keeps one for each connector, on its
//! disk too, because a unit does not stop when the gateway does.

use chain::{
    record::{Connector, Control, PlugSignal},
    time::Timestamp,
};
use firmware_core::{Flags, NOISE_MA, Sample};
use serde::{Deserialize, Serialize};

/// The most leases that are remembered apart; beyond it the oldest two become one that covers both.
const MAX_LEASES: usize = 4;

/// What a unit may still hold.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Held {
    /// Those given since the relay was last seen open, oldest first; one that is over stays, because something may have flowed under it.
    leases: Vec<Lease>,
    /// The relay was closed in the newest sample.
    closed: bool,
    /// The newest sample says that no plug is in, and no lease was given since.
    unplugged: bool,
    /// A lease may have been given that nobody remembers.
    supposed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Lease {
    limit_ma: [u32; 3],
    until: Timestamp,
}

impl Lease {
    fn covers(&self, other: &Self) -> bool {
        self.until >= other.until && self.limit_ma.iter().zip(other.limit_ma).all(|(own, other)| *own >= other)
    }
}

impl Held {
    /// A lease was given that lasts until then, with these limits per phase in mA.
    pub fn give(&mut self, limit_ma: [u32; 3], now: Timestamp, until: Timestamp) {
        let new = Lease { limit_ma, until };
        self.leases.retain(|lease| lease.until >= now && !new.covers(lease));
        if self.leases.len() >= MAX_LEASES {
            let oldest = self.leases.remove(0);
            if let Some(next) = self.leases.first_mut() {
                next.limit_ma = std::array::from_fn(|phase| next.limit_ma[phase].max(oldest.limit_ma[phase]));
                next.until = next.until.max(oldest.until);
            }
        }
        self.leases.push(new);
        self.unplugged = false;
    }

    /// A lease may have been given that nobody remembers: until the unit says that its relay is open, it may be closed under whatever limit.
    pub const fn suppose(&mut self) {
        self.supposed = true;
    }

    /// Learns from the newest sample of a message: a unit reports each change of its relay, and takes no answer to a request but its last. So an open relay in
    /// the newest sample means that no lease holds; in an earlier one of the same message it means nothing.
    pub fn see(&mut self, connector: &Connector, sample: &Sample) {
        self.closed = is_closed(connector, sample);
        if !self.closed {
            self.leases.clear();
            self.supposed = false;
        }
        let nothing_flows = sample.current_ma.iter().all(|ma| u32::from(*ma) <= NOISE_MA);
        self.unplugged = connector.plug_signal == PlugSignal::Reported && !sample.flags.has(Flags::PLUG_PRESENT) && nothing_flows;
    }

    /// Whether nothing can have flowed since the newest sample: the relay was open in it, or there was none, and no lease was given since.
    pub const fn is_surely_open(&self) -> bool {
        self.leases.is_empty() && !self.closed && !self.supposed
    }

    /// The highest limit per phase of all leases that hold at an instant, in mA; nothing where none does, or where it is not known.
    pub fn limit_ma(&self, at: Timestamp) -> Option<[u32; 3]> {
        if self.supposed {
            return None;
        }
        self.highest_ma(at)
    }

    fn highest_ma(&self, at: Timestamp) -> Option<[u32; 3]> {
        let holding = self.leases.iter().filter(|lease| lease.until >= at).map(|lease| lease.limit_ma);
        holding.reduce(|one, other| std::array::from_fn(|phase| one[phase].max(other[phase])))
    }

    /// What may flow at an instant by leases that hold, in mA: nothing without a plug, because whoever plugs in makes his unit ask at once.
    pub fn load_ma(&self, at: Timestamp) -> [u32; 3] {
        if self.unplugged { [0; 3] } else { self.highest_ma(at).unwrap_or([0; 3]) }
    }
}

/// Whether a relay was closed in a sample; a point without a switch has none.
pub fn is_closed(connector: &Connector, sample: &Sample) -> bool {
    connector.control == Control::Switched && sample.flags.has(Flags::RELAY_CLOSED)
}

#[cfg(test)]
mod tests {
    use chain::{
        quantity::{Currents, WattHours},
        record::Service,
    };

    use super::*;

    fn connector(plug_signal: PlugSignal) -> Connector {
        Connector {
            group: 1,
            control: Control::Switched,
            plug_signal,
            rated: Currents::from_ma([32_000; 3]),
            tariff: 1,
            service: Service::InService,
            fault: None,
            session: None,
            last_register: WattHours::ZERO,
            unassigned: WattHours::ZERO,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_ms(seconds * 1_000)
    }

    fn sample(flags: Flags) -> Sample {
        Sample { flags, ..Sample::default() }
    }

    #[test]
    fn a_lower_lease_does_not_end_the_higher_one_before_because_its_answer_may_be_lost() {
        let mut held = Held::default();
        held.give([32_000; 3], at(0), at(150));
        held.give([6_000; 3], at(60), at(210));
        assert_eq!(held.load_ma(at(150)), [32_000; 3]);
        assert_eq!(held.load_ma(at(151)), [6_000; 3]);
        assert_eq!(held.load_ma(at(211)), [0; 3]);
        assert!(!held.is_surely_open(), "something may have flowed that no sample shows yet");
        held.see(&connector(PlugSignal::None), &sample(Flags::RELAY_CLOSED));
        assert!(!held.is_surely_open());
        held.see(&connector(PlugSignal::None), &sample(Flags::NONE));
        assert!(held.is_surely_open());
    }

    #[test]
    fn without_a_plug_nothing_flows_until_the_next_lease_but_the_relay_is_not_open() {
        let mut held = Held::default();
        held.give([32_000; 3], at(0), at(150));
        held.see(&connector(PlugSignal::Reported), &sample(Flags::RELAY_CLOSED));
        assert_eq!((held.load_ma(at(1)), held.is_surely_open()), ([0; 3], false));
        held.see(&connector(PlugSignal::Reported), &sample(Flags::RELAY_CLOSED | Flags::PLUG_PRESENT));
        assert_eq!(held.load_ma(at(1)), [32_000; 3]);
        held.see(&connector(PlugSignal::None), &sample(Flags::RELAY_CLOSED));
        assert_eq!(held.load_ma(at(1)), [32_000; 3], "a connector that does not report its plug may have one");
    }

    #[test]
    fn what_a_lost_database_may_have_given_ends_with_the_units_own_word_alone() {
        let mut held = Held::default();
        held.suppose();
        held.give([6_000; 3], at(0), at(150));
        assert_eq!((held.limit_ma(at(1)), held.load_ma(at(1)), held.is_surely_open()), (None, [6_000; 3], false));
        held.see(&connector(PlugSignal::Reported), &sample(Flags::PLUG_PRESENT));
        assert!(held.is_surely_open());
    }

    #[test]
    fn however_often_the_limit_changes_the_memory_is_bounded_and_never_forgets_a_current() {
        let mut held = Held::default();
        for second in 0..100_u64 {
            let limit = 40_000 - u32::try_from(second).unwrap() * 100;
            held.give([limit; 3], at(second), at(second + 150));
            assert!(held.leases.len() <= MAX_LEASES);
            assert_eq!(held.load_ma(at(second)), [40_000; 3]);
        }
    }
}
