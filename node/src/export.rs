//! Writes the whole chain as an export stream (`chain::export`), from the database of a running node or of a stopped one.
//!
//! It copies what is stored, whether it is sound or not: an audit shall see what is there. It judges nothing and changes nothing. Called by `wattd export`
//! and, through a channel, by the API.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use chain::{
    block::Block,
    codec::CodecError,
    export::{End, FramingError, KeptSamples, MAX_STATE_BYTES, RecordKind, frame, frame_value, preamble},
    hash::Hash32,
    id::{Height, SessionId},
    receipt::{Event, Receipt},
    state::{ReadFault, StateRead as _},
};
use contracts::{
    call::{Call, Transaction},
    genesis::Genesis,
};
use futures::Stream;
use tokio::sync::mpsc;

use crate::store::{Reader, StoreError};

/// Pieces of a stream that may wait for their reader.
const PIECES: usize = 4;

/// The size at which a piece is handed on, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Why an export is not whole.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value of the state is damaged.
    #[error("{0}")]
    State(ReadFault),
    /// A part of a block is not there.
    #[error("the {what} of height {height} is missing: restore the data directory from a backup, or sync it anew")]
    Missing {
        /// Block, certificate or receipts.
        what: &'static str,
        /// Which.
        height: Height,
    },
    /// The gateway's samples cannot be read.
    #[error("raw samples: {0}")]
    Samples(String),
    /// A record cannot be written as one.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// A record cannot be encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The stream cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

impl ExportError {
    /// Whether what is stored is damaged.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::Store(error) => error.is_damage(),
            Self::State(_) | Self::Missing { .. } => true,
            Self::Samples(_) | Self::Framing(_) | Self::Codec(_) | Self::Write(_) => false,
        }
    }
}

/// A whole stream.
#[derive(Debug)]
pub struct Written {
    /// What it holds.
    pub end: End,
    /// The first value that does not match its checksum. It was written as it is, for an audit to see.
    pub damaged: Option<ExportError>,
}

/// Where an export gets raw samples: those of a session's reading, or nothing where they were erased or are not kept.
pub type SamplesOf<'a> = &'a dyn Fn(SessionId, u64) -> Result<KeptSamples, String>;

/// Writes everything from genesis to the newest block at this moment; `progress` is called with the height written and the last one.
///
/// # Errors
/// [`ExportError`]; what was written until then is no whole stream and an audit says so.
pub fn write(
    reader: &Reader,
    genesis: &Genesis,
    samples: SamplesOf<'_>,
    out: &mut dyn Write,
    mut progress: impl FnMut(Height, Height),
) -> Result<Written, ExportError> {
    // One view for all: the state written at the end is that of the last block written.
    let snapshot = reader.snapshot()?;
    let last = snapshot.tip().height;
    let mut end = End::default();
    // A value whose seal does not match is written as it is, for the audit to see; that it was found is told at the end.
    let mut damaged = None;
    out.write_all(&preamble())?;
    out.write_all(&frame_value(RecordKind::Genesis, genesis)?)?;
    for height in (1..=last.0).map(Height) {
        let [block, certificate, receipts] = snapshot.as_stored(height)?;
        let block = block.ok_or(ExportError::Missing { what: "block", height })?;
        let certificate = certificate.ok_or(ExportError::Missing { what: "certificate", height })?;
        let receipts = receipts.ok_or(ExportError::Missing { what: "receipts", height })?;
        let seals = [snapshot.block_bytes(height).err(), snapshot.certificate(height).err(), snapshot.receipts(height).err()];
        damaged = damaged.or(seals.into_iter().flatten().next());
        out.write_all(&frame(RecordKind::Block, &block)?)?;
        out.write_all(&frame(RecordKind::Certificate, &certificate)?)?;
        out.write_all(&frame(RecordKind::Receipts, &receipts)?)?;
        end.blocks += 1;
        if let (Ok(block), Ok(receipts)) = (Block::decode(&block), snapshot.receipts(height)) {
            end.transactions += block.transactions.len() as u64;
            for (session, sequence) in readings_with_samples(&block, &receipts.unwrap_or_default()) {
                if let KeptSamples::Here(found) = samples(session, sequence).map_err(ExportError::Samples)? {
                    out.write_all(&frame_value(RecordKind::Samples, &found)?)?;
                    end.samples += 1;
                }
            }
        }
        progress(height, last);
    }
    let mut page = Vec::new();
    let mut page_bytes = 0_usize;
    let mut pages = Vec::new();
    let mut unsound = None;
    snapshot.each_state_as_stored(&mut |key, value| {
        if unsound.is_none() {
            unsound = snapshot.get(key).err();
        }
        page_bytes += key.len() + value.len();
        page.push((key.to_vec(), value.to_vec()));
        if page_bytes >= MAX_STATE_BYTES {
            page_bytes = 0;
            pages.push(std::mem::take(&mut page));
        }
    })?;
    pages.push(page);
    for page in pages {
        end.state_keys += page.len() as u64;
        out.write_all(&frame_value(RecordKind::State, &page)?)?;
    }
    out.write_all(&frame_value(RecordKind::End, &end)?)?;
    out.flush()?;
    Ok(Written { end, damaged: damaged.map(ExportError::Store).or_else(|| unsound.map(ExportError::State)) })
}

/// Lets `write` fill a file that appears under its name only once it is whole and on the disk.
///
/// # Errors
/// The file is there already, cannot be made, or `write` failed; then nothing is left behind.
pub fn into_new_file<T, E: From<io::Error>>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T, E>) -> Result<T, E> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let name = path.file_name().ok_or_else(|| named(io::Error::new(io::ErrorKind::InvalidInput, "this names no file")))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let free = || match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(named(error)),
        Ok(_) => Err(named(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file already: choose another name, or remove it"))),
    };
    free()?;
    // Beside it, so that the last step only changes a name.
    let partial = Partial(folder.join(format!(".{}.{}.part", name.to_string_lossy(), std::process::id())));
    let file = fs::OpenOptions::new().write(true).create_new(true).open(&partial.0).map_err(named)?;
    let mut out = io::BufWriter::new(file);
    let answer = write(&mut out)?;
    let file = out.into_inner().map_err(|error| named(error.into_error()))?;
    file.sync_all().map_err(named)?;
    free()?;
    fs::rename(&partial.0, path).map_err(named)?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(named)?;
    Ok(answer)
}

/// A file that is removed unless it has got its name.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // After the renaming there is none.
        let _ = fs::remove_file(&self.0);
    }
}

/// The readings of a block that were accepted and name raw samples.
fn readings_with_samples(block: &Block, receipts: &[Receipt]) -> Vec<(SessionId, u64)> {
    let mut found = Vec::new();
    for (bytes, receipt) in block.transactions.iter().zip(receipts) {
        let Ok(transaction) = Transaction::decode(bytes) else { continue };
        let Call::Attest(attest) = &transaction.body().call else { continue };
        let outcomes = receipt
            .events
            .iter()
            .filter_map(|event| if let Event::ReadingHandled { refused, .. } = event { Some(refused.is_none()) } else { None });
        let accepted = attest.readings.iter().zip(outcomes).filter(|(reading, accepted)| *accepted && reading.samples_root != Hash32::ZERO);
        found.extend(accepted.map(|(reading, _)| (reading.session, reading.sequence)));
    }
    found
}

/// The same as a stream of pieces, written by a thread of its own no faster than they are taken; an error ends it.
pub fn stream(
    reader: Reader,
    genesis: Genesis,
    samples: impl Fn(SessionId, u64) -> Result<KeptSamples, String> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send {
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let mut pieces = Pieces { sender: sender.clone(), piece: Vec::with_capacity(PIECE_BYTES) };
        let written = write(&reader, &genesis, &samples, &mut pieces, |_, _| ());
        if let Err(error) = written.and_then(|Written { damaged, .. }| damaged.map_or(Ok(()), Err)) {
            // Whoever reads sees that something is wrong; a reader that has gone away is no error of ours.
            if !matches!(&error, ExportError::Write(write) if write.kind() == io::ErrorKind::BrokenPipe) {
                tracing::error!(%error, "an export was not finished");
            }
            let _gone = sender.blocking_send(Err(io::Error::other("the export was not finished")));
        }
    });
    tokio_stream::wrappers::ReceiverStream::new(receiver)
}

/// Collects what is written into pieces and waits while too many of them wait.
struct Pieces {
    sender: mpsc::Sender<Result<Bytes, io::Error>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = Bytes::from(std::mem::take(&mut self.piece));
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}
