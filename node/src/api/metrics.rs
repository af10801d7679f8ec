//! What the node counts for its operator, in Prometheus' text form.
//!
//! Names begin with `commonwatt_`. Counters are kept here; what the chain knows by itself (height, pool) is read when it is asked for.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::ApiState;
use crate::app::SubmitError;

/// The type of Prometheus' text form.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: String,
}

/// Counters of the API; shared by all requests.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    submissions: Family<OutcomeLabels, Counter>,
    height: Gauge<u64, AtomicU64>,
    pooled: Gauge<u64, AtomicU64>,
    pooled_bytes: Gauge<u64, AtomicU64>,
    streams: Gauge<u64, AtomicU64>,
    refused: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("commonwatt");
        let metrics = Self {
            requests: Family::default(),
            submissions: Family::default(),
            height: Gauge::default(),
            pooled: Gauge::default(),
            pooled_bytes: Gauge::default(),
            streams: Gauge::default(),
            refused: Counter::default(),
            registry: Registry::default(),
        };
        registry.register("api_requests", "Requests by route and status", metrics.requests.clone());
        registry.register(
            "submissions",
            "Submitted transactions by outcome: accepted, or the code of the refusal",
            metrics.submissions.clone(),
        );
        registry.register("height", "Height of the newest block", metrics.height.clone());
        registry.register("mempool_transactions", "Transactions that wait for a block", metrics.pooled.clone());
        registry.register("mempool_bytes", "Their bytes", metrics.pooled_bytes.clone());
        registry.register("event_streams", "Event streams that are open", metrics.streams.clone());
        let help = "Connections that were closed at once because there were too many";
        registry.register("api_connections_refused", help, metrics.refused.clone());
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// Where the door counts the connections that it refuses.
    #[must_use]
    pub fn refused_connections(&self) -> Counter {
        self.refused.clone()
    }

    /// Counts an answered request.
    pub fn count_request(&self, route: &str, status: u16) {
        self.requests.get_or_create(&RequestLabels { route: route.to_owned(), status }).inc();
    }

    /// Counts a submitted transaction.
    pub fn count_submission(&self, outcome: Result<(), &SubmitError>) {
        let outcome = match outcome {
            Ok(()) => "accepted",
            Err(SubmitError::Rejected(rejection)) => rejection.code.slug(),
            Err(SubmitError::PoolFull) => "pool_full",
            Err(SubmitError::StillPending(_)) => "pending",
            Err(SubmitError::Fault(_)) => "fault",
            Err(SubmitError::Closed) => "closed",
        };
        self.submissions.get_or_create(&OutcomeLabels { outcome: outcome.to_owned() }).inc();
    }

    /// Everything counted, with the present of what the chain knows.
    pub fn text(&self, state: &ApiState) -> Result<String, String> {
        let height = state.app.snapshot().map_err(|error| error.to_string())?.tip().height;
        let pending = state.app.pending();
        self.height.set(height.0);
        self.pooled.set(pending.pooled as u64);
        self.pooled_bytes.set(pending.pooled_bytes as u64);
        self.streams.set(state.shared.streams.taken());
        let mut text = String::new();
        encode(&mut text, &self.registry).map_err(|error| error.to_string())?;
        // The end mark of the OpenMetrics form would cut off what follows.
        Ok(text.trim_end_matches("# EOF\n").to_owned())
    }
}
