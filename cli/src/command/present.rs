//! What a transaction must know of the chain, from a node or, without one, from a file that was prepared where there is a node, or from flags.
//!
//! A prepared file holds nothing secret and is believed as far as a node would be: a wrong one makes transactions that no chain takes. Called by the context.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use ::chain::{
    api::Status,
    genesis_kind::NetworkKind,
    id::{Address, ChainId, CondominiumId, Height},
    quantity::decimal,
    time::{Duration, Timestamp},
    transaction::MAX_VALIDITY,
};
use serde::{Deserialize, Serialize};

use super::{CommandError, Options, file::read_at_most};
use crate::render::brief;

/// What a prepared file may measure at most, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

const FORMAT: &str = "commonwatt prepared";
const VERSION: u32 = 1;

/// How much earlier than the chain allows a transaction that was made without a node expires: a clock may be ahead of the chain's.
const MARGIN: Duration = Duration::from_mins(5);

/// The chain at this moment, as far as making a transaction needs it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Present {
    /// The chain.
    pub chain_id: ChainId,
    /// What a token stands for.
    pub currency: String,
    /// The newest block.
    pub height: Height,
    /// Its time.
    pub timestamp: Timestamp,
    /// The clock: the node's, or without a node this machine's or that of the file.
    pub now: Timestamp,
}

impl From<Status> for Present {
    fn from(status: Status) -> Self {
        let Status { chain_id, currency, height, timestamp, now, .. } = status;
        Self { chain_id, currency, height, timestamp, now }
    }
}

impl Present {
    /// When a transaction that is carried to a node expires, where nobody says: as late as the chain allows for one that is submitted at once.
    #[must_use]
    pub const fn latest_expiry(&self) -> Timestamp {
        self.now.saturating_add(MAX_VALIDITY).saturating_sub(MARGIN)
    }
}

/// What `watt chain prepare` writes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepared {
    format: String,
    version: u32,
    /// The network's name.
    pub network: String,
    /// Whether it is played or meant.
    pub kind: NetworkKind,
    /// The chain when it was written.
    pub chain: Present,
    /// Whose transactions it is for.
    pub account: Address,
    /// The nonce of the account's next transaction.
    #[serde(with = "decimal")]
    pub next_nonce: u64,
    /// The condominiums and their names.
    pub condominiums: Vec<Named>,
}

/// A condominium and its name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its number.
    pub id: CondominiumId,
    /// Its name.
    pub name: String,
}

impl Prepared {
    /// For an account with this next nonce.
    #[must_use]
    pub fn new(status: Status, account: Address, next_nonce: u64, condominiums: Vec<Named>) -> Self {
        let (network, kind) = (status.network.clone(), status.kind);
        Self { format: FORMAT.to_owned(), version: VERSION, network, kind, chain: status.into(), account, next_nonce, condominiums }
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`CommandError::Failed`] with the file's name.
    pub fn read(path: &Path) -> Result<Self, CommandError> {
        let text = read_at_most(path, "a prepared file", MAX_FILE_BYTES)?;
        let failed = |reason: String| CommandError::Failed(format!("{}: it is no file of `watt chain prepare`: {reason}", path.display()));
        Self::of(&text).map_err(failed)
    }

    /// The content of one.
    ///
    /// # Errors
    /// In words that fit a line.
    pub fn of(text: &[u8]) -> Result<Self, String> {
        let prepared: Self = serde_json::from_slice(text).map_err(|error| brief(&error.to_string()))?;
        if prepared.format != FORMAT || prepared.version != VERSION {
            let Self { format, version, .. } = prepared;
            return Err(brief(&format!("expected {FORMAT:?} version {VERSION}, found {format:?} version {version}")));
        }
        Ok(prepared)
    }
}

/// Whether, and with what, transactions are made without a node.
#[derive(Clone, Debug)]
pub enum Way {
    /// A node is asked, and takes them.
    Node,
    /// No node is asked.
    Offline(Box<Offline>),
}

/// What takes a node's place.
#[derive(Clone, Debug)]
pub struct Offline {
    /// What was prepared.
    pub prepared: Option<Prepared>,
    /// The chain as it is taken to be; nothing where nobody says, which is enough for commands that ask nothing of it.
    present: Option<Present>,
}

impl Offline {
    /// The chain as it is taken to be.
    ///
    /// # Errors
    /// [`CommandError::Usage`] where nothing was given in a node's place.
    pub fn present(&self) -> Result<Present, CommandError> {
        self.present.clone().ok_or_else(|| {
            CommandError::Usage(
                "without a node the chain is not known: give --prepared FILE, which `watt chain prepare` writes where there is one, or --on-chain and --nonce"
                    .to_owned(),
            )
        })
    }
}

impl Way {
    /// What the options say.
    ///
    /// # Errors
    /// [`CommandError::Usage`] where they do not go together. Whether they are enough is asked by what needs them: a command that needs no node needs none.
    pub fn of(options: &Options) -> Result<Self, CommandError> {
        let usage = |text: &str| Err(CommandError::Usage(text.to_owned()));
        if !options.offline {
            let alone = [
                ("--prepared", options.prepared.is_some()),
                ("--on-chain", options.on_chain.is_some()),
                ("--nonce", options.nonce.is_some()),
                ("--valid-until", options.valid_until.is_some()),
                ("--out", options.out.is_some()),
            ];
            return match alone.iter().find(|(_, given)| *given) {
                Some((flag, _)) => usage(&format!("{flag} is for transactions that are made without a node: add --offline")),
                None => Ok(Self::Node),
            };
        }
        if options.dry_run {
            return usage("--dry-run asks the node what would happen, and --offline asks none: leave out one of them");
        }
        if options.node_typed {
            return usage("--offline asks no node: leave out --node");
        }
        let prepared = options.prepared.as_deref().map(Prepared::read).transpose()?;
        let present = match (&prepared, options.on_chain) {
            (Some(prepared), Some(chain_id)) if prepared.chain.chain_id != chain_id => {
                return usage(&format!("the prepared file is for chain {}, --on-chain says {chain_id}", prepared.chain.chain_id));
            }
            (Some(prepared), _) => Some(prepared.chain.clone()),
            (None, Some(chain_id)) => {
                let now = machine_time();
                Some(Present { chain_id, currency: "tokens".to_owned(), height: Height(0), timestamp: now, now })
            }
            (None, None) => None,
        };
        Ok(Self::Offline(Box::new(Offline { prepared, present })))
    }
}

/// This machine's clock.
pub fn machine_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
