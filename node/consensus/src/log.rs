//! Consensus' write-ahead log, examined before the engine opens it and before anybody may vote.
//!
//! The log says what this validator has voted for in the height under way. Where it is lost, or says less than it did, a second vote could contradict the
//! first, so a missing or damaged log is refused unless the operator says otherwise. The engine itself would begin a missing log anew, drop everything
//! after a damaged length, and hang on a damaged entry. Nothing is repaired here. Called by `watching`, which decides what is done with a bad one, by `engine`, and
//! by `lib` for what an earlier process signed.
//!
//! A log cut off exactly between two entries looks like one that never had more, and is not told before a certificate shows what is missing from it.

use std::{
    fs,
    io::{self, Cursor, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use arc_malachitebft_app_channel::app::{consensus::Input, engine::wal::decode_entry, types::core::VoteType, wal::Log};
use chain::id::Height;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{
    StartError,
    codec::Wire,
    context::{Address, Context, Vote},
};

/// The log's file in consensus' own directory.
const FILE: &str = "wal";
/// The only version of the log that the engine writes.
const VERSION: [u8; 4] = [0, 0, 0, 1];
/// Version and height.
const HEAD_BYTES: usize = 12;
/// Before an entry's bytes: whether they are compressed (1), their length (8), their CRC-32 (4).
const ENTRY_HEAD_BYTES: usize = 13;
/// How long a thread of an engine that has just been stopped may hold the log.
const HELD_LIMIT: Duration = Duration::from_secs(3);
/// Between two looks at a log that another thread of this process still holds.
const RETRY: Duration = Duration::from_millis(10);
/// Logs that were set aside and are kept at most; nobody does it that often.
const SET_ASIDE_MAX: u32 = 1_000;

/// What is done with a log that does not hold what it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Policy {
    /// Nothing is started.
    Refuse,
    /// A new one is begun.
    BeginNew,
    /// A new one is begun, also where the log is ahead of the database: nobody votes before the others have gone on.
    BeginNewAtAnyHeight,
}

/// Where the log of consensus is in its directory.
pub(super) fn path_in(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// Reads the whole log before the engine does.
///
/// # Errors
/// [`StartError::LogMissing`], [`StartError::LogDamaged`], [`StartError::LogUnreadable`], [`StartError::DatabaseBehindLog`]. Where the operator begins a new
/// log, a damaged one is set aside instead; a log of a height far beyond the database's is refused all the same, because it says that the database is old.
pub(super) async fn examine(path: &Path, tip: Height, policy: Policy) -> Result<(), StartError> {
    match (check(path, tip).await, policy) {
        (Err(error @ (StartError::LogMissing { .. } | StartError::LogDamaged { .. })), Policy::BeginNew | Policy::BeginNewAtAnyHeight)
        | (Err(error @ StartError::DatabaseBehindLog { .. }), Policy::BeginNewAtAnyHeight) => {
            warn!(%error, "a new log of consensus is begun");
            set_aside(path)
        }
        (result, Policy::Refuse | Policy::BeginNew | Policy::BeginNewAtAnyHeight) => result,
    }
}

async fn check(path: &Path, tip: Height) -> Result<(), StartError> {
    let damaged = |place: &str, message: String| StartError::LogDamaged { path: path.to_owned(), place: place.to_owned(), message };
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        // Before the first block a log need not have been begun.
        Err(error) if error.kind() == ErrorKind::NotFound && tip == Height(0) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(StartError::LogMissing { path: path.to_owned(), tip }),
        Err(error) => return Err(StartError::LogUnreadable { path: path.to_owned(), message: error.to_string() }),
    };
    let Some((head, entries)) = bytes.split_at_checked(HEAD_BYTES) else {
        if bytes.is_empty() && tip == Height(0) {
            return Ok(());
        }
        return Err(damaged("its head", format!("expected at least {HEAD_BYTES} bytes, found {}", bytes.len())));
    };
    if !head.starts_with(&VERSION) {
        return Err(damaged("its head", "it is not of the version that this program writes".to_owned()));
    }
    let torn =
        check_lengths(entries).map_err(|entry| damaged(&format!("entry {entry}"), "its length does not fit its bytes".to_owned()))?;
    if let Some(bytes) = torn {
        warn!(
            log = %path.display(), bytes,
            "the log of consensus ends in the middle of an entry and is read up to there. So a crash leaves it, and nothing is lost, as nothing is sent before its \
             entry is whole. If this machine has not crashed, somebody cut the file short, and votes may be missing from it: stop this node and start it with --rejoin"
        );
    }

    let mut log = open(path).await?;
    let height = log.sequence();
    if height > tip.next().0 {
        return Err(StartError::DatabaseBehindLog { log: Height(height), tip });
    }
    let mut heights = Vec::new();
    let iterator = log.iter().map_err(|error| damaged("its head", error.to_string()))?;
    for (index, entry) in iterator.enumerate() {
        let here = |error: io::Error| damaged(&format!("entry {index}"), error.to_string());
        let bytes = entry.map_err(here)?;
        let entry = decode_entry::<Context, _, _>(&Wire, Cursor::new(&bytes)).map_err(here)?;
        heights.extend(height_of(&entry).map(|found| (index, found)));
    }
    // A process that ends while the log is begun for a new height leaves the entries of the one before behind the new height.
    let of = |wanted: u64| heights.iter().find(|(_, found)| *found != wanted);
    match (of(height), of(height.saturating_sub(1))) {
        (Some((index, found)), Some(_)) => Err(damaged(&format!("entry {index}"), format!("it is of height {found}, the log of {height}"))),
        (Some(_), None) | (None, Some(_) | None) => Ok(()),
    }
}

/// The precommits of this validator that the log holds, all of the height under way; none where there is no log. It must have been examined.
///
/// # Errors
/// [`StartError::LogUnreadable`].
pub(super) async fn own_precommits(path: &Path, validator: Address) -> Result<Vec<Vote>, StartError> {
    let failed = |error: io::Error| StartError::LogUnreadable { path: path.to_owned(), message: error.to_string() };
    if fs::metadata(path).map_or(0, |found| found.len()) < HEAD_BYTES as u64 {
        return Ok(Vec::new());
    }
    let mut log = open(path).await?;
    let mut votes = Vec::new();
    for entry in log.iter().map_err(failed)? {
        let bytes = entry.map_err(failed)?;
        if let Input::Vote(vote) = decode_entry::<Context, _, _>(&Wire, Cursor::new(&bytes)).map_err(failed)?
            && vote.message.voter == validator
            && vote.message.kind == VoteType::Precommit
        {
            votes.push(vote.message);
        }
    }
    Ok(votes)
}

/// Opens the log alone; waits a moment for a thread of an engine that has just been stopped.
pub(super) async fn open(path: &Path) -> Result<Log, StartError> {
    let deadline = Instant::now() + HELD_LIMIT;
    loop {
        match Log::open(path) {
            Ok(log) => return Ok(log),
            // The lock's failure has no kind of its own.
            Err(error) if error.kind() == ErrorKind::Other && Instant::now() < deadline => sleep(RETRY).await,
            Err(error) => return Err(StartError::LogUnreadable { path: path.to_owned(), message: error.to_string() }),
        }
    }
}

/// Why nothing can be written beside the log now, where that is the disk's or its rights' doing and says nothing of what the log holds.
pub fn barred(directory: &Path) -> Option<io::Error> {
    let probe = directory.join("probe");
    // More than what is left of a block that is full but for a few bytes.
    let written = fs::write(&probe, [0; 1 << 16]);
    let _ = fs::remove_file(&probe);
    let error = written.err()?;
    let is_disks = matches!(
        error.kind(),
        ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::FileTooLarge
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::PermissionDenied
    );
    is_disks.then_some(error)
}

/// Follows the lengths of all entries and gives how many bytes of one that was cut off are at the end. Such an entry is none, as the engine sends nothing before
/// its entry is whole on the disk; one whose bytes are all there behind a wrong length is damaged, and its index is given as the error.
fn check_lengths(entries: &[u8]) -> Result<Option<usize>, usize> {
    let mut rest = entries;
    for index in 0.. {
        let Some((head, behind)) = rest.split_at_checked(ENTRY_HEAD_BYTES) else { break };
        let number = |range: std::ops::Range<usize>| {
            head.get(range).unwrap_or_default().iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte))
        };
        let length = usize::try_from(number(1..9)).unwrap_or(usize::MAX);
        match behind.split_at_checked(length) {
            Some((_, next)) => rest = next,
            None if is_whole(behind, number(9..13)) => return Err(index),
            None => break,
        }
    }
    Ok(Some(rest.len()).filter(|left| *left > 0))
}

/// Whether some beginning of these bytes has this CRC-32.
fn is_whole(bytes: &[u8], expected: u64) -> bool {
    let mut crc = u32::MAX;
    bytes.iter().any(|byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
        u64::from(!crc) == expected
    })
}

/// The height that an entry is of, where it names one.
fn height_of(entry: &Input<Context>) -> Option<u64> {
    match entry {
        Input::Vote(vote) => Some(vote.message.height.0),
        Input::Proposal(proposal) => Some(proposal.message.height.0),
        Input::ProposedValue(value, _) => Some(value.height.0),
        Input::PolkaCertificate(certificate) => Some(certificate.height.0),
        Input::StartHeight(..)
        | Input::RoundCertificate(_)
        | Input::Propose(_)
        | Input::TimeoutElapsed(_)
        | Input::SyncValueResponse(..) => None,
    }
}

/// Gives a damaged log another name, so that it can still be looked at.
fn set_aside(path: &Path) -> Result<(), StartError> {
    let failed = |message: String| StartError::LogUnreadable { path: path.to_owned(), message };
    if !path.exists() {
        return Ok(());
    }
    let mut names = (1..=SET_ASIDE_MAX).map(|number| path.with_extension(format!("damaged-{number}")));
    let free = names.find(|name| !name.exists()).ok_or_else(|| failed("too many damaged logs are kept beside it".to_owned()))?;
    fs::rename(path, &free).map_err(|error| failed(error.to_string()))?;
    warn!(kept = %free.display(), "the damaged log was set aside");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(data: &[u8], crc: u32) -> Vec<u8> {
        [&[0][..], &(data.len() as u64).to_be_bytes(), &crc.to_be_bytes(), data].concat()
    }

    #[test]
    fn a_torn_entry_is_none_and_a_wrong_length_is_damage() {
        // CRC-32 of "123456789" as the standard's check value has it.
        let whole = entry(b"123456789", 0xCBF4_3926);
        let two = [whole.clone(), whole.clone()].concat();
        assert_eq!(check_lengths(&two), Ok(None));
        for cut in 0..whole.len() {
            let torn = Some(cut).filter(|cut| *cut > 0);
            assert_eq!(check_lengths(&two[..whole.len() + cut]), Ok(torn), "cut after {cut} bytes of the second");
        }
        let mut longer = two;
        longer[whole.len() + 3] ^= 1;
        assert_eq!(check_lengths(&longer), Err(1));
        longer[3] ^= 0x80;
        assert_eq!(check_lengths(&longer), Err(0));
    }
}
