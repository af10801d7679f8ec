//! What the gateway counts for its operator, in Prometheus' text form; `lib.rs` puts it behind `/metrics`.

use std::sync::atomic::AtomicU64;

use chain::{id::ConnectorId, time::Timestamp};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Counters since the start of the process.
#[derive(Debug)]
pub(super) struct Counters {
    registry: Registry,
    /// Times at which current began to flow although no session was granted any.
    pub unbidden: Counter,
    /// Times at which a group's limit held a lease below its grant.
    pub lowered: Counter,
    /// Messages that came more often than a unit may send.
    pub throttled: Counter,
    /// Wh that the chain has recorded as nobody's at our connectors.
    pub unassigned: Counter,
    /// Raw samples that were dropped because of their age.
    pub dropped: Counter,
    heard: Family<UnitLabels, Gauge<u64, AtomicU64>>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct UnitLabels {
    connector: String,
}

impl Default for Counters {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("commonwatt_gateway");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let unbidden = counter("draws_without_grant", "Times at which current began to flow although no session was granted any");
        let lowered = counter("leases_lowered", "Times at which a group's limit held a lease below its grant");
        let throttled = counter("messages_throttled", "Messages of units that were refused with 429");
        let unassigned = counter("unassigned_wh", "Energy recorded as nobody's at this gateway's connectors, in Wh");
        let dropped = counter("samples_dropped", "Raw samples dropped because of their age");
        let heard = Family::default();
        registry.register(
            "unit_heard_timestamp_seconds",
            "When the unit of a connector was last heard; 0 where it never was",
            heard.clone(),
        );
        Self { registry, unbidden, lowered, throttled, unassigned, dropped, heard }
    }
}

impl Counters {
    /// The unit of a connector was heard then, or never yet.
    pub fn heard(&self, connector: ConnectorId, at: Option<Timestamp>) {
        let seconds = at.map_or(0, |at| at.ms() / 1_000);
        self.heard.get_or_create(&UnitLabels { connector: connector.to_string() }).set(seconds);
    }

    /// All of them.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail; the end mark would cut off what follows.
        let _ = encode(&mut text, &self.registry);
        text.trim_end_matches("# EOF\n").to_owned()
    }
}
