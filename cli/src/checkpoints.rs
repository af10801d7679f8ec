//! The newest blocks that a user's wallets have seen of each chain: what later proofs are checked against.
//!
//! A file `checkpoints.json` beside the folder of wallets. Only blocks that were verified get in; they are public and hold no key. A chain that shows another block
//! at a height that is kept here is refused. Called by the commands that check proofs.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use chain::{hash::Hash32, id::ChainId, verify::Checkpoint};
use serde::{Deserialize, Serialize};

use crate::{keystore::replace_file, render::io_words};

/// The version of file that this code writes and reads.
const VERSION: u32 = 1;

/// The most blocks that are kept of one chain; the lowest are forgotten first.
pub const MAX_KEPT: usize = 256;

/// The most chains; those seen longest ago are forgotten first.
pub const MAX_CHAINS: usize = 64;

/// The most that the file may measure, in bytes.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Why the file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be read or written.
    #[error("{path}: {}", io_words(source), path = .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the machine says.
        source: io::Error,
    },
    /// It is no such file.
    #[error("{path}: {reason}: move it away to begin anew, and name what you trust with --genesis or --checkpoint", path = .path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The chain has another block at a height that is kept.
    #[error("block {height} is {found}, this wallet has seen {expected} in its place: two histories of one chain, tell the operators", height = .kept.height, expected = .kept.hash)]
    Contradicts {
        /// What is kept.
        kept: Checkpoint,
        /// What was shown.
        found: Hash32,
    },
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    /// The chain seen last comes last.
    chains: Vec<Kept>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    chain_id: ChainId,
    /// In ascending order of height, each once.
    seen: Vec<Checkpoint>,
}

/// What a user's wallets have seen.
#[derive(Debug)]
pub struct Checkpoints {
    path: PathBuf,
    document: Document,
}

impl Checkpoints {
    /// Reads `checkpoints.json` in this folder; nothing was seen where there is none.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] or [`CheckpointError::Format`].
    pub fn load(folder: &Path) -> Result<Self, CheckpointError> {
        let path = folder.join("checkpoints.json");
        let format = |reason: String| CheckpointError::Format { path: path.clone(), reason };
        let length = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path, document: Document { version: VERSION, chains: Vec::new() } });
            }
            Err(source) => return Err(CheckpointError::Io { path, source }),
        };
        if length > MAX_FILE_BYTES {
            return Err(format(format!("at most {MAX_FILE_BYTES} bytes, found {length}")));
        }
        let text = fs::read(&path).map_err(|source| CheckpointError::Io { path: path.clone(), source })?;
        let document: Document = serde_json::from_slice(&text).map_err(|error| format(error.to_string()))?;
        if document.version != VERSION {
            return Err(format(format!("version {}, expected {VERSION}", document.version)));
        }
        let ascends = |kept: &Kept| kept.seen.is_sorted_by(|one, next| one.height < next.height);
        if !document.chains.iter().all(ascends) {
            return Err(format("its blocks are not in ascending order".to_owned()));
        }
        Ok(Self { path, document })
    }

    /// What was seen of a chain, lowest first.
    #[must_use]
    pub fn seen(&self, chain: ChainId) -> &[Checkpoint] {
        self.document.chains.iter().find(|kept| kept.chain_id == chain).map_or(&[], |kept| kept.seen.as_slice())
    }

    /// The newest block seen of a chain.
    #[must_use]
    pub fn newest(&self, chain: ChainId) -> Option<Checkpoint> {
        self.seen(chain).last().copied()
    }

    /// Keeps a block that was verified, and writes the file.
    ///
    /// # Errors
    /// [`CheckpointError::Contradicts`] where another block of this height is kept; [`CheckpointError::Io`].
    pub fn keep(&mut self, chain: ChainId, checkpoint: Checkpoint) -> Result<(), CheckpointError> {
        let chains = &mut self.document.chains;
        let place = chains.iter().position(|kept| kept.chain_id == chain);
        let mut kept = place.map_or_else(|| Kept { chain_id: chain, seen: Vec::new() }, |place| chains.remove(place));
        let outcome = match kept.seen.binary_search_by_key(&checkpoint.height, |seen| seen.height) {
            Ok(known) => kept
                .seen
                .get(known)
                .filter(|known| known.hash != checkpoint.hash)
                .map_or(Ok(()), |known| Err(CheckpointError::Contradicts { kept: *known, found: checkpoint.hash })),
            Err(place) => {
                kept.seen.insert(place, checkpoint);
                Ok(())
            }
        };
        kept.seen.drain(..kept.seen.len().saturating_sub(MAX_KEPT));
        chains.push(kept);
        chains.drain(..chains.len().saturating_sub(MAX_CHAINS));
        outcome?;
        let io = |source| CheckpointError::Io { path: self.path.clone(), source };
        let mut text = serde_json::to_vec_pretty(&self.document).map_err(|error| io(io::Error::other(error)))?;
        text.push(b'\n');
        replace_file(&self.path, &text).map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use chain::id::Height;

    use super::*;

    fn block(height: u64, hash: u8) -> Checkpoint {
        Checkpoint { height: Height(height), hash: Hash32([hash; 32]) }
    }

    #[test]
    fn the_newest_blocks_of_each_chain_are_kept_and_another_history_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let chain = |n| ChainId(Hash32([n; 32]));
        let mut checkpoints = Checkpoints::load(folder.path()).unwrap();
        assert_eq!(checkpoints.newest(chain(1)), None);
        for height in [7, 300, 8] {
            checkpoints.keep(chain(1), block(height, 1)).unwrap();
        }
        checkpoints.keep(chain(2), block(5, 2)).unwrap();
        let mut again = Checkpoints::load(folder.path()).unwrap();
        assert_eq!(again.seen(chain(1)), [block(7, 1), block(8, 1), block(300, 1)]);
        assert_eq!(again.newest(chain(2)), Some(block(5, 2)));
        let error = again.keep(chain(1), block(8, 9)).unwrap_err();
        assert!(
            matches!(error, CheckpointError::Contradicts { kept, found } if kept == block(8, 1) && found == block(8, 9).hash),
            "{error}"
        );

        for height in 1_000..1_300 {
            again.keep(chain(1), block(height, 1)).unwrap();
        }
        let seen = Checkpoints::load(folder.path()).unwrap();
        assert_eq!((seen.seen(chain(1)).len(), seen.seen(chain(1))[0]), (MAX_KEPT, block(1_044, 1)));
        fs::write(folder.path().join("checkpoints.json"), "{\"version\":1,\"chains\":[],\"more\":0}").unwrap();
        assert!(matches!(Checkpoints::load(folder.path()), Err(CheckpointError::Format { .. })));
    }
}
