//! `watt session receipt`.

use std::path::PathBuf;

use ::chain::{api::ProvenReceipt, certificate::ValidatorSet, id::ChainId, verify::Checkpoint};
use clap::Args;
use contracts::genesis::Genesis;
use serde::Serialize;

use super::show::bill_facts;
use crate::{
    command::{CommandError, Context, file::Target, proof::Ground},
    named::Named,
    proof::Claim,
    quantity::parse_hash,
    verify::{self, Verdict},
};

/// Fetch a settled session's receipt, check its proof and say what it shows
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt session receipt 5f0c9a
  watt session receipt 5f0c9a --chain-id CHAIN_ID
  watt session receipt 5f0c9a --proof receipt.json
  watt session receipt 5f0c9a --proof receipt.json --checkpoint 812:BLOCK_HASH    for somebody who trusts that block
  watt session receipt 5f0c9a --proof - > receipt.json
  watt audit verify receipt.json    checks that file without any node

With --proof the whole session is written to a new file: what was signed, metered and billed, the tariff, and all that proves it to whoever holds the file, years later
too. It is checked before it is written: against the checkpoint that is given, else the newest block that your wallets have seen, else the genesis document. Exit code 3:
the proof does not hold.")]
pub struct Receipt {
    /// The session's id, or its first 6 digits or more
    #[arg(value_name = "SESSION")]
    id: Named,
    /// The chain that the receipt must be of [default: the node's]
    #[arg(long, value_name = "ID", visible_alias = "genesis", value_parser = parse_chain)]
    chain_id: Option<ChainId>,
    /// Write a new file (or "-", stdout) that proves the receipt to whoever checks it with `watt audit verify`
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// A block that the proof must reach: its height and the hash of its header
    #[arg(long, value_name = "HEIGHT:HASH", requires = "proof")]
    checkpoint: Option<Checkpoint>,
}

fn parse_chain(text: &str) -> Result<ChainId, String> {
    parse_hash(text).map(ChainId)
}

/// What is written as JSON.
#[derive(Serialize)]
struct Shown {
    proof: ProvenReceipt,
    /// Its hash is the chain id, and it names the validators.
    genesis: Genesis,
    verdict: Verdict,
}

impl Receipt {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        if let Some(path) = self.proof {
            let target = Target::of(path, context.options().output)?;
            let ground = Ground::of(context, self.chain_id, self.checkpoint).await?;
            let id = context.session(&self.id).await?;
            let answer = context.client().session_proof(id, ground.checkpoint()).await;
            return ground.keep(context, &target, answer.map(|proof| Claim::Session(Box::new(proof))));
        }
        let chain_id = match self.chain_id {
            Some(chain_id) => chain_id,
            None => context.status().await?.chain_id,
        };
        let id = context.session(&self.id).await?;
        let (proof, genesis) = (context.client().session_receipt(id).await?, context.client().genesis().await?);
        let trusted = validators_of(&genesis, chain_id)?;
        let (bill, mut verdict) = verify::session_receipt(&proof, id, chain_id, &trusted)?;
        if self.chain_id.is_none() {
            verdict.relied_on.push("the node having named the right chain: name it yourself with --chain-id".to_owned());
        }
        let shown = Shown { proof, genesis, verdict };
        context.put(&shown, || {
            let facts = bill_facts(&bill, &shown.genesis.currency).with("block", shown.proof.header.height.to_string());
            let facts = shown.verdict.proved.iter().fold(facts, |facts, line| facts.with("proved", line.as_str()));
            shown.verdict.relied_on.iter().fold(facts, |facts, line| facts.with("relying on", line.as_str())).text()
        })
    }
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
