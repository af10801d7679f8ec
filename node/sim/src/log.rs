//! The write-ahead log of a simulated node: entries in the bytes of the real log, of which a crash keeps what was synced and perhaps more.
//!
//! The layout of the file and torn entries are the real log's and are tested with it. Called by `node`.

use arc_malachitebft_app_channel::app::{
    consensus::Input,
    engine::wal::{decode_entry, encode_entry},
};
use consensus::{codec::Wire, context::Context};

use crate::rng::Rng;

#[derive(Debug, Default)]
pub(crate) struct Log {
    height: u64,
    entries: Vec<Vec<u8>>,
    synced: usize,
}

impl Log {
    /// The entries of the height that begins; those of another height are dropped.
    pub(crate) fn begin(&mut self, height: u64) -> std::io::Result<Vec<Input<Context>>> {
        if self.height != height {
            *self = Self { height, ..Self::default() };
        }
        self.entries.iter().map(|bytes| decode_entry(&Wire, bytes.as_slice())).collect()
    }

    /// Forgets everything and stands at this height.
    pub(crate) fn reset(&mut self, height: u64) {
        *self = Self { height, ..Self::default() };
    }

    /// Adds an entry; for another height nothing is added.
    pub(crate) fn append(&mut self, height: u64, entry: Input<Context>) -> std::io::Result<()> {
        if self.height == height {
            let mut bytes = Vec::new();
            encode_entry(entry, &Wire, &mut bytes)?;
            self.entries.push(bytes);
        }
        Ok(())
    }

    pub(crate) const fn sync(&mut self) {
        self.synced = self.entries.len();
    }

    /// What is left after the machine died: everything synced, and as much of the rest as happened to reach the disk. Gives how many entries were lost.
    pub(crate) fn crash(&mut self, rng: &mut Rng) -> usize {
        let kept = self.synced + rng.index(self.entries.len() - self.synced + 1);
        let lost = self.entries.len() - kept;
        self.entries.truncate(kept);
        self.synced = kept;
        lost
    }
}
