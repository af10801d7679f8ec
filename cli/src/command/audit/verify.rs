//! `watt audit verify`.

use std::path::PathBuf;

use ::chain::{
    id::ChainId,
    verify::{Checkpoint, Trust},
};
use clap::Args;

use crate::command::{
    CommandError, Context,
    proof::{self, Typed},
};

/// Check a proof file on this machine alone
///
/// The file is what `watt session receipt --proof` or `watt wallet balance --proof` wrote, whoever it came from. No node is asked. Signatures, paths and the chain
/// of validators are checked, and a bill is computed again; then it says what was proved and what that rests on.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt audit verify receipt.json
  watt audit verify receipt.json --genesis CHAIN_ID
  watt audit verify receipt.json --checkpoint 812:BLOCK_HASH
  watt audit verify receipt.json --output json

Without either, the newest block that this machine's wallets have seen of the chain is what it is checked against. From a genesis hash alone a file is valid only if no
quorum of validators' keys has leaked, retired ones included; from a checkpoint, only keys after it matter.

Exit codes: 0 it holds, 3 it does not, 6 it does not reach the checkpoint (neither holds nor fails: have another made), 2 it is not known what to trust, 1 the file
cannot be read.")]
pub struct Verify {
    /// The proof file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A block that you know: its height and the hash of its header
    #[arg(long, value_name = "HEIGHT:HASH", conflicts_with = "genesis")]
    checkpoint: Option<Checkpoint>,
    /// The chain that you know: its id, which is the hash of its genesis document
    #[arg(long, value_name = "HASH", visible_alias = "chain-id")]
    genesis: Option<ChainId>,
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<(), CommandError> {
        // A file that is checked by asking somebody would be checked by whoever answers.
        if context.options().node_typed {
            return Err(CommandError::Usage(
                "a proof file is checked on this machine alone: leave out --node, and name what you trust with --genesis or --checkpoint"
                    .to_owned(),
            ));
        }
        let file = proof::read(&self.file)?;
        let ((trust, origin), typed) = match (self.checkpoint, self.genesis) {
            (Some(checkpoint), _) => ((Trust::Checkpoint(checkpoint), proof::CHECKPOINT_GIVEN.to_owned()), Typed::ByHand),
            (None, Some(genesis)) => ((Trust::Genesis(genesis), proof::GENESIS_GIVEN.to_owned()), Typed::ByHand),
            (None, None) => (proof::known(context, &file)?, Typed::FromMemory),
        };
        let mut checked = proof::check(&file, trust, typed)?;
        checked.verdict.relied_on.push(origin);
        proof::told(context, &file, &checked, None)
    }
}
