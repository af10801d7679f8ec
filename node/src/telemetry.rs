//! Logs: structured lines on stderr. A leaf: anyone may log, only `wattd` sets it up.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

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

/// Sends logs to stderr from now on; a second call changes nothing. `exceptions` are filter directives that hold unless `RUST_LOG` is set.
pub fn start(format: LogFormat, exceptions: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("{DEFAULT_FILTER},{exceptions}")));
    let registry = tracing_subscriber::registry().with(filter);
    // Only a second call can fail, and the first one's choice stays.
    let _ = match format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            registry.with(fmt::layer().with_writer(std::io::stderr).with_ansi(colours)).try_init()
        }
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init(),
    };
}
