//! `watt session receipt`.

use std::path::PathBuf;

use ::chain::{
    api::ProvenReceipt,
    certificate::ValidatorSet,
    id::{ChainId, SessionId},
    receipt::Event,
};
use clap::Args;
use contracts::genesis::Genesis;
use serde::{Deserialize, Serialize};

use super::show::bill_facts;
use crate::{
    command::{CommandError, Context},
    named::Named,
    quantity::parse_hash,
    verify::{self, Verdict},
};

/// Fetch a settled session's receipt, check its proof and say what it shows
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt session receipt 5f0c9a
  watt session receipt 5f0c9a --chain-id CHAIN_ID --output json >receipt.json
  watt session receipt 5f0c9a --file receipt.json --chain-id CHAIN_ID

With --file nothing is asked of a node: a receipt that was kept as JSON, the genesis document with it, is checked on this machine alone. Exit code 3: the proof does not hold.")]
pub struct Receipt {
    /// The session's id, or its first 6 digits or more
    #[arg(value_name = "SESSION")]
    id: Named,
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
#[derive(Serialize, Deserialize)]
struct Kept {
    proof: ProvenReceipt,
    /// Its hash is the chain id, and it names the validators.
    genesis: Genesis,
    #[serde(default, skip_deserializing)]
    verdict: Option<Verdict>,
}

/// The most that a kept receipt may measure, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;

impl Receipt {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let (proof, genesis, chain_id, id) = match (&self.file, self.chain_id) {
            (Some(path), Some(chain_id)) => {
                let kept = read(path)?;
                let id = kept_session(&kept.proof, &self.id)
                    .ok_or_else(|| CommandError::Verification(format!("{} holds no receipt of session {}", path.display(), self.id)))?;
                (kept.proof, kept.genesis, chain_id, id)
            }
            (_, expected) => {
                let chain_id = match expected {
                    Some(chain_id) => chain_id,
                    None => context.status().await?.chain_id,
                };
                let id = context.session(&self.id).await?;
                (context.client().session_receipt(id).await?, context.client().genesis().await?, chain_id, id)
            }
        };
        let trusted = validators_of(&genesis, chain_id)?;
        let (bill, mut verdict) = verify::session_receipt(&proof, id, chain_id, &trusted)?;
        if self.chain_id.is_none() {
            verdict.relied_on.push("the node having named the right chain: name it yourself with --chain-id".to_owned());
        }
        let kept = Kept { proof, genesis, verdict: Some(verdict.clone()) };
        context.put(&kept, || {
            let facts = bill_facts(&bill, &kept.genesis.currency).with("block", kept.proof.header.height.to_string());
            let facts = verdict.proved.iter().fold(facts, |facts, line| facts.with("proved", line.as_str()));
            verdict.relied_on.iter().fold(facts, |facts, line| facts.with("relying on", line.as_str())).text()
        })
    }
}

/// The session of this name that a receipt settles.
fn kept_session(proof: &ProvenReceipt, named: &Named) -> Option<SessionId> {
    let mut settled = proof.receipt.events.iter().filter_map(Event::bill).map(|bill| bill.session);
    settled.find(|session| named.fits(session.0))
}

fn read(path: &PathBuf) -> Result<Kept, CommandError> {
    let failed = |reason: String| CommandError::Failed(format!("{}: {reason}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if length > MAX_FILE_BYTES {
        return Err(failed(format!("a kept receipt has at most {MAX_FILE_BYTES} bytes, found {length}")));
    }
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    // A receipt that cannot be read is one that proves nothing.
    serde_json::from_slice(&text).map_err(|error| CommandError::Verification(format!("{}: {error}", path.display())))
}

/// The validators that the genesis document of `chain_id` names.
///
/// They cannot change yet: every chain is decided by those of its genesis.
pub(in crate::command) fn validators_of(genesis: &Genesis, chain_id: ChainId) -> Result<ValidatorSet, CommandError> {
    if genesis.chain_id() != chain_id {
        return Err(CommandError::Verification(format!("the genesis document is of chain {}, not {chain_id}", genesis.chain_id())));
    }
    genesis.validator_set().map_err(|error| CommandError::Verification(error.to_string()))
}
