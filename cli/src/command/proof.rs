//! What the commands that make and check proof files share: what is trusted, and how the answer is told.

use std::path::Path;

use ::chain::{
    hash::Hash32,
    id::{ChainId, Height},
    verify::{Checkpoint, Trust, VerifyError},
};
use contracts::genesis::Genesis;
use serde::Serialize;

use super::{
    CommandError, Context,
    file::{Target, read_at_most},
    session::bill_facts,
};
use crate::{
    checkpoints::Checkpoints,
    client::ClientError,
    proof::{Checked, Claim, Fact, MAX_FILE_BYTES, ProofError, ProofFile},
    render::Facts,
    verify::Verdict,
};

/// What a proof that a node makes is checked against.
pub struct Ground {
    genesis: Genesis,
    trust: Trust,
    seen: Checkpoints,
    /// How the trust came about, in words.
    origin: &'static str,
}

impl Ground {
    /// The checkpoint that is given, else the wallet's newest of the chain; where there is none, the chain that is expected, or the one that the node names.
    pub async fn of(context: &Context, expected: Option<ChainId>, given: Option<Checkpoint>) -> Result<Self, CommandError> {
        let genesis = context.client().genesis().await?;
        let chain_id = genesis.chain_id();
        if let Some(expected) = expected.filter(|expected| *expected != chain_id) {
            return Err(other_genesis("the node", chain_id, expected));
        }
        let seen = Checkpoints::load(context.keystore()?.home())?;
        let (trust, origin) = match (given, seen.newest(chain_id), expected) {
            (Some(checkpoint), _, _) => (Trust::Checkpoint(checkpoint), CHECKPOINT_GIVEN),
            (None, Some(checkpoint), _) => (Trust::Checkpoint(checkpoint), CHECKPOINT_OF_WALLET),
            (None, None, Some(expected)) => (Trust::Genesis(expected), GENESIS_GIVEN),
            (None, None, None) => (
                Trust::Genesis(chain_id),
                "the genesis hash is what this node says, and this wallet has seen no block of it before: name the one that you know with --genesis",
            ),
        };
        Ok(Self { genesis, trust, seen, origin })
    }

    /// The block that the proof shall reach.
    pub const fn checkpoint(&self) -> Option<Height> {
        match self.trust {
            Trust::Checkpoint(checkpoint) => Some(checkpoint.height),
            Trust::Genesis(_) => None,
        }
    }

    /// Checks what the node answered, writes the file, keeps the newest block, and tells all of it.
    pub fn keep(mut self, context: &Context, target: &Target, answer: Result<Claim, ClientError>) -> Result<(), CommandError> {
        let claim = answer.map_err(|error| self.behind(error))?;
        let file = ProofFile::new(claim, self.genesis);
        let mut checked =
            file.check(self.trust).map_err(|error| if self.origin == CHECKPOINT_GIVEN { refuted(&error) } else { error.into() })?;
        let text = file.text()?;
        // What is written is what will be read.
        ProofFile::read(&text)?;
        // Another history than the one that was seen is refused before anything is written.
        self.seen.keep(file.chain_id(), checked.anchor)?;
        target.write(&text)?;
        checked.verdict.relied_on.push(self.origin.to_owned());
        match target {
            Target::New(path) => told(context, &file, &checked, Some((path, text.len()))),
            // The proof is on stdout.
            Target::Stdout => {
                tell!("{}", facts(&file, &checked).text().trim_end());
                Ok(())
            }
        }
    }

    /// A node that lacks a block which this wallet has seen is told apart from one that cannot be reached.
    fn behind(&self, error: ClientError) -> CommandError {
        match (&error, self.trust) {
            (ClientError::Problem(problem), Trust::Checkpoint(checkpoint)) if problem.field.as_deref() == Some("checkpoint") => {
                let height = checkpoint.height;
                let whose = if self.origin == CHECKPOINT_GIVEN { "of the checkpoint that was given" } else { "which this wallet has seen" };
                CommandError::Verification(format!(
                    "this node does not have block {height}, {whose}: it is behind, or follows another chain; ask another node"
                ))
            }
            _ => error.into(),
        }
    }
}

/// What is said of what was typed.
pub const CHECKPOINT_GIVEN: &str = "the checkpoint is the one that was given";

/// See [`CHECKPOINT_GIVEN`].
pub const GENESIS_GIVEN: &str = "the genesis hash is the one that was given";

/// What a wallet says of its own memory.
const CHECKPOINT_OF_WALLET: &str = "the checkpoint is the newest block that this wallet has seen";

/// Where what is trusted comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Typed {
    /// Somebody's fingers, which slip.
    ByHand,
    /// This machine's memory.
    FromMemory,
}

/// Reads a proof file.
pub fn read(path: &Path) -> Result<ProofFile, CommandError> {
    let text = read_at_most(path, "a proof file", MAX_FILE_BYTES)?;
    // A file that cannot be read as a proof is one that proves nothing.
    ProofFile::read(&text).map_err(|error| CommandError::Verification(format!("{}: {error}", path.display())))
}

/// A proof that contradicts what somebody typed: a slip is far more likely than two histories, and must not call anybody a liar.
fn refuted(error: &ProofError) -> CommandError {
    match error {
        ProofError::Verify(VerifyError::Contradicts { height, expected, found }) => CommandError::Verification(format!(
            "block {height} is {found} here, and you gave {expected} for it, {}: compare height and hash as you typed them with those that you were given, character by character. Only where they agree are there two histories of one chain: then trust neither, keep the proof, and tell the operators",
            difference(*expected, *found)
        )),
        ProofError::Verify(VerifyError::OtherGenesis { expected, found }) => other_genesis("it", *found, *expected),
        ProofError::Length(_)
        | ProofError::Format(_)
        | ProofError::OtherText(_)
        | ProofError::Genesis(_)
        | ProofError::Verify(_)
        | ProofError::Transaction { .. }
        | ProofError::Bill(_) => CommandError::Verification(error.to_string()),
    }
}

fn other_genesis(what: &str, found: ChainId, given: ChainId) -> CommandError {
    CommandError::Verification(format!(
        "{what} is of the chain with genesis {found}, and you gave {given}, {}: compare the hash that you typed with the one that you were given, character by character. Only where they agree is this another chain than yours",
        difference(given.0, found.0)
    ))
}

/// Where the digits of two hashes part.
fn difference(given: Hash32, found: Hash32) -> String {
    let (given, found) = (given.to_string(), found.to_string());
    let places: Vec<String> =
        given.chars().zip(found.chars()).zip(1..).filter(|((one, other), _)| one != other).map(|(_, place)| format!("{place}")).collect();
    match places.as_slice() {
        // So few are nobody's other block.
        few @ ([_] | [_, _]) => format!("which differs at character {} alone", few.join(" and ")),
        [first, ..] => format!("which differs from character {first} on"),
        [] => "which is the same".to_owned(),
    }
}

/// Checks a file against what was `typed`, or against what the wallet knows; one that does not have the block that is trusted is told apart from one that lies, with
/// what makes another.
pub fn check(file: &ProofFile, trust: Trust, typed: Typed) -> Result<Checked<'_>, CommandError> {
    file.check(trust).map_err(|error| match (&error, trust) {
        (ProofError::Verify(VerifyError::NotReached { anchor, checkpoint: height }), Trust::Checkpoint(checkpoint)) => {
            let remake = match &file.claim {
                Claim::Session(proof) => format!("watt session receipt {} --proof FILE --checkpoint {checkpoint}", proof.session),
                Claim::Account(proof) => format!("watt wallet balance {} --proof FILE --checkpoint {checkpoint}", proof.address),
            };
            let has = if height > anchor { format!("it ends with block {anchor}") } else { format!("it does not have the header of block {height}") };
            CommandError::NotReached(format!(
                "this file does not reach your checkpoint: {has}, so nothing is proved from there and nothing refuted. Make one that does, with any node: `{remake}`"
            ))
        }
        _ if typed == Typed::ByHand => refuted(&error),
        _ => error.into(),
    })
}

/// What a file is checked against where nothing is named: the newest block that the wallet has seen and the file reaches; else the chain, if the wallet knows it.
pub fn known(context: &Context, file: &ProofFile) -> Result<(Trust, String), CommandError> {
    let chain = file.chain_id();
    let seen = Checkpoints::load(context.keystore()?.home())?;
    let Some(newest) = seen.newest(chain) else {
        return Err(CommandError::Usage(format!(
            "this wallet has seen no block of chain {chain}: say what you trust, --genesis HASH or --checkpoint HEIGHT:HASH, from somebody who does not profit from this file"
        )));
    };
    let reached = seen.seen(chain).iter().rev().find(|checkpoint| file.reaches(checkpoint.height));
    Ok(match reached {
        Some(checkpoint) if *checkpoint == newest => (Trust::Checkpoint(newest), CHECKPOINT_OF_WALLET.to_owned()),
        Some(checkpoint) => (
            Trust::Checkpoint(*checkpoint),
            "the checkpoint is the newest block that this wallet has seen and that the file reaches".to_owned(),
        ),
        None => (
            Trust::Genesis(chain),
            format!(
                "this wallet knows the chain, and its newest checkpoint is block {}, which the file does not reach (it ends with block {}): have the file made anew by any node to rest on it",
                newest.height,
                file.anchor().header.height
            ),
        ),
    })
}

/// An answer as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    verified: bool,
    chain_id: ChainId,
    /// The block that everything hangs on; good as a checkpoint from now on.
    checkpoint: Checkpoint,
    #[serde(flatten)]
    fact: FactJson<'a>,
    verdict: &'a Verdict,
    file: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum FactJson<'a> {
    Bill(&'a ::chain::receipt::SessionReceipt),
    Account { address: ::chain::id::Address, record: Option<&'a ::chain::record::Account> },
}

/// Tells what holds, and why; `written` is a new file and its size.
pub fn told(context: &Context, file: &ProofFile, checked: &Checked<'_>, written: Option<(&Path, usize)>) -> Result<(), CommandError> {
    let Checked { fact, anchor, verdict } = checked;
    let json = Answer {
        verified: true,
        chain_id: file.chain_id(),
        checkpoint: *anchor,
        fact: match fact {
            Fact::Bill(bill, _) => FactJson::Bill(bill),
            Fact::Account(proof, record) => FactJson::Account { address: proof.address, record: *record },
        },
        verdict,
        file: written.map(|(path, _)| path.display().to_string()),
    };
    context.put(&json, || {
        facts(file, checked).with_some("written to", written.map(|(path, bytes)| format!("{} ({bytes} bytes)", path.display()))).text()
    })
}

/// What holds, and why, in words.
fn facts(file: &ProofFile, checked: &Checked<'_>) -> Facts {
    let Checked { fact, anchor, verdict } = checked;
    let facts = match fact {
        Fact::Bill(bill, height) => bill_facts(bill, &file.genesis.currency).with("block", height.to_string()),
        Fact::Account(proof, _) => Facts::new().with("account", proof.address.to_string()),
    };
    let facts = verdict.proved.iter().fold(facts, |facts, line| facts.with("proved", line.as_str()));
    let facts = verdict.relied_on.iter().fold(facts, |facts, line| facts.with("relying on", line.as_str()));
    facts.with("checkpoint", anchor.to_string())
}
