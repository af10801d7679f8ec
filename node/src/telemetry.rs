//! Logs: structured lines on stderr. A leaf: anyone may log, only `wattd` sets it up.
//!
//! What libraries warn of again and again is said once a minute: a peer that is not configured here would otherwise fill the log of a node that is well.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    io::IsTerminal as _,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    fmt::layer,
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// What is logged unless `RUST_LOG` says otherwise: our own lifecycle and blocks, the libraries' warnings.
const DEFAULT_FILTER: &str = "warn,node=info,consensus=info,wattd=info";

/// How often such a line about one peer is logged.
const AGAIN: Duration = Duration::from_secs(60);

/// Kinds of lines that are remembered at most; where there are more, all are forgotten.
const REMEMBERED_MAX: usize = 1_024;

/// Sends logs to stderr from now on; a second call changes nothing. `exceptions` are filter directives, and `repeating` the beginnings of targets that are limited;
/// both hold unless `RUST_LOG` is set.
pub fn start(format: LogFormat, exceptions: &str, repeating: &'static [&'static str]) {
    let (filter, repeats) = match EnvFilter::try_from_default_env() {
        // Whoever asks for lines gets them all.
        Ok(filter) => (filter, None),
        Err(_) => (EnvFilter::new(format!("{DEFAULT_FILTER},{exceptions}")), Some(Repeats::of(repeating))),
    };
    let registry = tracing_subscriber::registry().with(filter).with(repeats);
    // Only a second call can fail, and the first one's choice stays.
    let _ = match format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            registry.with(layer().with_writer(std::io::stderr).with_ansi(colours)).try_init()
        }
        LogFormat::Json => registry.with(layer().json().with_writer(std::io::stderr)).try_init(),
    };
}

/// Leaves out what a library has said about the same peer in the last minute.
#[derive(Debug)]
struct Repeats {
    /// The beginnings of targets that are limited.
    targets: &'static [&'static str],
    /// When a line was last logged, by its place in the source and its peer.
    logged: Mutex<HashMap<(tracing::callsite::Identifier, String), Instant>>,
}

impl Repeats {
    fn of(targets: &'static [&'static str]) -> Self {
        Self { targets, logged: Mutex::default() }
    }

    fn allows(&self, key: (tracing::callsite::Identifier, String), now: Instant) -> bool {
        // A poisoned lock still holds a whole map.
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.get(&key).is_some_and(|last| now.saturating_duration_since(*last) < AGAIN) {
            return false;
        }
        if logged.len() >= REMEMBERED_MAX {
            logged.clear();
        }
        logged.insert(key, now);
        true
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if !self.targets.iter().any(|library| metadata.target().starts_with(library)) {
            return true;
        }
        let mut peer = PeerOf::default();
        event.record(&mut peer);
        self.allows((metadata.callsite(), peer.0), Instant::now())
    }
}

/// Whom a line is about: the fields that the engine names a peer by.
#[derive(Default)]
struct PeerOf(String);

impl Visit for PeerOf {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if matches!(field.name(), "from" | "peer" | "peer_id" | "status.peer_id") {
            // Writing into a string cannot fail.
            let _ = write!(self.0, "{value:?} ");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Counts what is left.
    struct Count(Arc<Mutex<usize>>);

    impl<S: Subscriber> Layer<S> for Count {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            *self.0.lock().unwrap() += 1;
        }
    }

    /// An observer whom two of four nodes named made the engine of all four log an error every second.
    #[test]
    fn what_the_engine_says_of_a_peer_is_logged_once_a_minute_and_our_own_lines_always() {
        let count = Arc::new(Mutex::new(0));
        let subscriber = tracing_subscriber::registry().with(Some(Repeats::of(&["engine"]))).with(Count(Arc::clone(&count)));
        tracing::subscriber::with_default(subscriber, || {
            for round in 0..10 {
                for peer in ["one", "other"] {
                    tracing::error!(target: "engine::network", from = %peer, round, "mismatched");
                }
                tracing::warn!(target: "consensus::peers", round, "ours");
            }
        });
        assert_eq!(*count.lock().unwrap(), 12);
    }
}
