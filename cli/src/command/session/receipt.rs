//! `watt session receipt`.

use std::path::PathBuf;

use ::chain::{
    api::ProvenReceipt,
    certificate::ValidatorSet,
    id::{ChainId, SessionId},
};
use clap::Args;
use serde::Serialize;

use super::show::bill_facts;
use crate::{
    command::{CommandError, Context},
    quantity::parse_hash,
    verify::{self, Trust, Verdict},
};

/// Fetch a settled session's receipt, check its proof and say what it shows
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt session receipt 5f0c...
  watt session receipt 5f0c... --chain-id 77ab... --output json >receipt.json
  watt session receipt 5f0c... --file receipt.json --chain-id 77ab...

With --file nothing is asked of a node: a receipt that was kept as JSON is checked on this machine alone. Exit code 3: the proof does not hold.")]
pub struct Receipt {
    /// The session's id, 64 hexadecimal digits
    #[arg(value_name = "SESSION")]
    id: SessionId,
    /// The chain that the receipt must be of [default: the node's]
    #[arg(long, value_name = "ID", value_parser = parse_chain)]
    chain_id: Option<ChainId>,
    /// Check this file, written with --output json, instead of asking a node
    #[arg(long, value_name = "FILE", requires = "chain_id")]
    file: Option<PathBuf>,
}

fn parse_chain(text: &str) -> Result<ChainId, String> {
    parse_hash(text).map(ChainId)
}

/// What is written as JSON and read again with `--file`.
#[derive(Serialize, serde::Deserialize)]
struct Kept {
    proof: ProvenReceipt,
    #[serde(default, skip_deserializing)]
    verdict: Option<Verdict>,
}

/// The most that a kept receipt may measure, in bytes.
const MAX_FILE_BYTES: u64 = 4 << 20;

impl Receipt {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let (proof, trusted, chain_id, currency) = match (&self.file, self.chain_id) {
            (Some(path), Some(chain_id)) => (read(path)?, Trusted::Given, chain_id, "tokens".to_owned()),
            (_, expected) => {
                let status = context.status().await?;
                let chain_id = expected.unwrap_or(status.chain_id);
                let trusted = trust(context, chain_id).await?;
                (context.client().session_receipt(self.id).await?, trusted, chain_id, status.currency)
            }
        };
        let (bill, mut verdict) = verify::session_receipt(&proof, self.id, chain_id, trusted.trust())?;
        if self.chain_id.is_none() {
            verdict.relied_on.push("the node having named the right chain: name it yourself with --chain-id".to_owned());
        }
        let kept = Kept { proof, verdict: Some(verdict.clone()) };
        context.put(&kept, || {
            let facts = bill_facts(&bill, &currency).with("block", kept.proof.header.height.to_string());
            let facts = verdict.proved.iter().fold(facts, |facts, line| facts.with("proved", line.as_str()));
            verdict.relied_on.iter().fold(facts, |facts, line| facts.with("relying on", line.as_str())).text()
        })
    }
}

fn read(path: &PathBuf) -> Result<ProvenReceipt, CommandError> {
    let failed = |reason: String| CommandError::Failed(format!("{}: {reason}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if length > MAX_FILE_BYTES {
        return Err(failed(format!("a kept receipt has at most {MAX_FILE_BYTES} bytes, found {length}")));
    }
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    // A receipt that cannot be read is one that proves nothing.
    let kept: Kept = serde_json::from_slice(&text).map_err(|error| CommandError::Verification(format!("{}: {error}", path.display())))?;
    Ok(kept.proof)
}

/// Whom to take for the chain's validators.
pub(in crate::command) enum Trusted {
    /// Those of the genesis document whose hash is the chain id.
    Genesis(ValidatorSet),
    /// Those that come with the proof.
    Given,
}

impl Trusted {
    /// The same, borrowed.
    pub(in crate::command) const fn trust(&self) -> Trust<'_> {
        match self {
            Self::Genesis(set) => Trust::Set(set),
            Self::Given => Trust::Given,
        }
    }
}

/// The validators that the genesis document of `chain_id` names.
///
/// They cannot change yet: every chain is decided by those of its genesis.
pub(in crate::command) async fn trust(context: &Context, chain_id: ChainId) -> Result<Trusted, CommandError> {
    let genesis = context.client().genesis().await?;
    if genesis.chain_id() != chain_id {
        return Err(CommandError::Verification(format!("the node's genesis document is of chain {}, not {chain_id}", genesis.chain_id())));
    }
    let set = genesis.validator_set().map_err(|error| CommandError::Verification(error.to_string()))?;
    Ok(Trusted::Genesis(set))
}
