//! `config.toml`: one machine's choices. Nothing here can reach the rules of the chain; unknown keys are errors, so that a typing error is not silence.
//!
//! Called by `wattd init`, which writes it, and at start.

mod gateway;

use std::{fs, io, net::SocketAddr, path::Path};

use serde::{Deserialize, Serialize};

pub use self::gateway::{BadSetting, GatewayConfig};
use crate::files;

/// The longest configuration file, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// The file's content; every key may be left out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A name for people, in logs and towards peers.
    pub moniker: String,
    /// Whether the node follows the chain without a vote; it then has no validator key.
    pub observer: bool,
    /// Where the HTTP API listens.
    pub api: ApiConfig,
    /// The network of nodes.
    pub network: NetworkConfig,
    /// The chargers' side.
    pub gateway: GatewayConfig,
    /// Who charges when.
    pub scheduler: SchedulerConfig,
}

/// `[api]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Address and port; loopback unless somebody decides otherwise.
    pub listen: SocketAddr,
    /// Who may read what names people: `by_role`, or `everybody` where all of them are simulated.
    pub reads: Reads,
    /// How many requests a second a network address, and an account that has signed in, may make on the average, in real time; 0: any number.
    pub requests_per_s: u32,
    /// And how many at once after a silence, at least 1.
    pub request_burst: u32,
    /// How many event streams a network address may have open, at least 1; all together have at most 256.
    pub streams_per_client: u32,
    /// How many connections the API keeps open, at least 1; further ones are closed at once.
    pub connections: u32,
    /// And of one network address, at least 1.
    pub connections_per_client: u32,
}

/// Who may read what names people.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    /// Whoever the chain's state lets see it, after signing in.
    #[default]
    ByRole,
    /// Whoever reaches the port.
    Everybody,
}

/// `[network]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// The multiaddress that the node listens on.
    pub listen: String,
    /// The multiaddresses of the other nodes, each ending in `/p2p/<id>`.
    pub peers: Vec<String>,
}

/// `[scheduler]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchedulerConfig {
    /// Whether this node runs one.
    pub enabled: bool,
    /// The policy, by name: `fcfs` or `fcfs-slots`.
    pub policy: String,
    /// How many may charge at once under `fcfs-slots`.
    pub places: u32,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8420)),
            reads: Reads::ByRole,
            requests_per_s: 5_000,
            request_burst: 20_000,
            streams_per_client: 64,
            connections: 384,
            connections_per_client: 192,
        }
    }
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self { listen: "/ip4/127.0.0.1/tcp/8422".to_owned(), peers: Vec::new() }
    }
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self { enabled: true, policy: "fcfs".to_owned(), places: 4 }
    }
}

/// Where a configuration can be had again.
const RESTORE: &str = "restore it from a backup; it holds this node's addresses and those of its peers (docs/operate.md)";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {error}: {}", files::way_on(error, RESTORE))]
    Io {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The file is longer than a configuration may be.
    #[error("{path} has {found} bytes, at most {MAX_FILE_BYTES} are read: {RESTORE}")]
    TooLong {
        /// Which.
        path: String,
        /// How long it is.
        found: u64,
    },
    /// Its content is no configuration; the message says where.
    #[error("{path} is no configuration: {message}: correct it there, or {RESTORE}")]
    Malformed {
        /// Which.
        path: String,
        /// What is wrong and where.
        message: String,
    },
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`]; unknown keys are among them.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let failed = |error| ConfigError::Io { path: name.clone(), error };
        let metadata = fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(files::not_a_file()));
        }
        let found = metadata.len();
        if found > MAX_FILE_BYTES {
            return Err(ConfigError::TooLong { path: name, found });
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        toml::from_str(&text).map_err(|error| ConfigError::Malformed { path: name, message: error.to_string().trim_end().to_owned() })
    }

    /// The file's text.
    ///
    /// # Errors
    /// None for a configuration of ours.
    pub fn text(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        fs::write(&path, Config::default().text().unwrap()).unwrap();
        assert_eq!(Config::read(&path).unwrap(), Config::default());
        fs::write(&path, "[api]\nlisten = \"127.0.0.1:1\"\nlissten = 1\n").unwrap();
        let Err(ConfigError::Malformed { message, .. }) = Config::read(&path) else { panic!("accepted") };
        assert!(message.contains("lissten"), "{message}");
    }
}
