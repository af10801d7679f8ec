//! A validator that watches: the marks in consensus' directory that tell the next process of it, and the rule by which it ends.
//!
//! Whoever may have forgotten what it voted for must not vote in a height that was under way when it began: a second vote could contradict the first. So it
//! follows until a block is committed that cannot have begun before this process did. The mark `watching` is on the disk before anything is set aside and forces
//! every later start to watch too, until watching is over; a flag alone would be forgotten with the process that was given it. The mark `watched` keeps a flag that
//! stays in a supervisor's file from asking for the same again. Nobody votes here. Called by `lib` (marks) and `driver` (rule).

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chain::{id::Height, time::Timestamp};
use tokio::time::Instant;
use tracing::warn;

use super::{BlockTime, ConsensusConfig, LostLog, StartError, Voting, log};
use crate::port::Tip;

/// The file that makes every start watch.
const WATCHING: &str = "watching";
/// The file that says when watching ended.
const WATCHED: &str = "watched";
/// What the first says to whoever looks into the directory.
const WATCHING_TEXT: &str = "This validator may have forgotten what it voted for. While this file is here, it follows without a vote.\n";

/// How much later than this process's start a block's time must be: validators accept a block two seconds ahead of their clocks, and clocks that are kept
/// by NTP and still differ by ten are something to look at.
const MARGIN_MS: u64 = 12_000;
/// How far a block's time may be ahead of this machine's clock when it is committed.
const AHEAD_MS: u64 = 2_000;
/// How often a clock that is behind is told.
const TELL_CLOCK: Duration = Duration::from_secs(60);
/// Under a stepped clock: how long is listened for how far the others are, once one of them was heard.
const LISTEN: Duration = Duration::from_secs(10);
/// How far apart the time written into a mark and the time at which the system last changed the file may be: a file put back from a backup is changed then.
const WRITTEN_WITHIN_MS: u64 = 10_000;

/// Decides from when on this process votes, examines the log accordingly and leaves the marks that outlive it. To be repeated, it decides the same.
///
/// # Errors
/// [`StartError`]: nothing may be started.
pub(super) async fn settle(config: &ConsensusConfig, tip: Height) -> Result<Voting, StartError> {
    let path = log::path_in(&config.directory);
    let marks = Marks::in_directory(&config.directory);
    if config.validator_key.is_none() {
        // It has nothing to forget.
        if config.voting == Voting::AfterWatching {
            warn!("an observer has no vote: --rejoin changes nothing");
        }
        log::examine(&path, tip, log::Policy::BeginNewAtAnyHeight).await?;
        return Ok(Voting::AtOnce);
    }
    if config.lost_log == LostLog::BeginNew {
        if marks.is_watching()? {
            warn!("this validator was to watch; the operator has it vote at once");
        }
        marks.remove()?;
        log::examine(&path, tip, log::Policy::BeginNew).await?;
        return Ok(Voting::AtOnce);
    }
    if marks.is_watching()? {
        if config.voting == Voting::AtOnce {
            warn!(mark = %marks.watching.display(), "an earlier --rejoin has not come to its end: this validator goes on watching");
        }
        log::examine(&path, tip, log::Policy::BeginNewAtAnyHeight).await?;
        return Ok(Voting::AfterWatching);
    }
    match config.voting {
        Voting::AtOnce => {
            // Whoever starts without the flag has done with it: the next one is meant.
            marks.remove()?;
            log::examine(&path, tip, log::Policy::Refuse).await?;
            Ok(Voting::AtOnce)
        }
        Voting::AfterWatching if marks.has_watched(tip) && log::examine(&path, tip, log::Policy::Refuse).await.is_ok() => {
            warn!(
                "this validator has watched already and votes: take --rejoin out of its supervisor's file, where it would be carried out again after a reboot"
            );
            Ok(Voting::AtOnce)
        }
        Voting::AfterWatching => {
            marks.begin()?;
            log::examine(&path, tip, log::Policy::BeginNewAtAnyHeight).await?;
            Ok(Voting::AfterWatching)
        }
    }
}

/// What [`settle`] would find, without carrying anything out: whether this validator watches.
///
/// # Errors
/// [`StartError`] of a validator that votes at once.
pub(super) async fn look(directory: &Path, tip: Height) -> Result<bool, StartError> {
    if Marks::in_directory(directory).is_watching()? {
        return Ok(true);
    }
    log::examine(&log::path_in(directory), tip, log::Policy::Refuse).await?;
    Ok(false)
}

/// The marks of one directory.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    directory: PathBuf,
    watching: PathBuf,
    watched: PathBuf,
}

impl Marks {
    pub(super) fn in_directory(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), watching: directory.join(WATCHING), watched: directory.join(WATCHED) }
    }

    fn is_watching(&self) -> Result<bool, StartError> {
        self.watching.try_exists().map_err(|error| self.failed(&error))
    }

    /// From now on every start watches.
    fn begin(&self) -> Result<(), StartError> {
        let begun = || {
            fs::create_dir_all(&self.directory)?;
            write_durably(&self.watching, WATCHING_TEXT)?;
            remove(&self.watched)?;
            self.sync()
        };
        begun().map_err(|error| self.failed(&error))
    }

    /// Watching is over; `tip` is the block that ended it.
    pub(super) fn end(&self, tip: Height) -> Result<(), StartError> {
        let ended = || {
            write_durably(&self.watched, &format!("{tip} {} {}\n", machine_ms(), boot_id().unwrap_or_default()))?;
            // A process that ends before this watches once more.
            self.sync()?;
            remove(&self.watching)?;
            self.sync()
        };
        ended().map_err(|error| self.failed(&error))
    }

    /// Removes both.
    pub(super) fn remove(&self) -> Result<(), StartError> {
        let removed = || if remove(&self.watching)? | remove(&self.watched)? { self.sync() } else { Ok(()) };
        removed().map_err(|error| self.failed(&error))
    }

    /// Whether watching ended on this very disk since the machine was last started. Where that is not certain, it did not: an older copy of the directory may have
    /// been put back, and its mark with it.
    fn has_watched(&self, tip: Height) -> bool {
        let (Ok(text), Ok(found)) = (fs::read_to_string(&self.watched), fs::metadata(&self.watched)) else { return false };
        let mut words = text.split_whitespace();
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(height), Some(written)) = (number(), number()) else { return false };
        let seconds = u64::try_from(found.ctime()).unwrap_or(0);
        let changed = seconds.saturating_mul(1_000).saturating_add(u64::try_from(found.ctime_nsec()).unwrap_or(0) / 1_000_000);
        let same_boot = boot_id().is_some_and(|boot| words.next() == Some(boot.as_str()));
        same_boot && changed.abs_diff(written) <= WRITTEN_WITHIN_MS && tip.0 >= height
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn failed(&self, error: &io::Error) -> StartError {
        StartError::Directory { path: self.directory.clone(), message: error.to_string() }
    }
}

fn write_durably(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Removes a file and gives whether it was there.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the system calls the time since it was last started; unknown elsewhere than on Linux.
fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

fn machine_ms() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}

/// The rule by which a validator that watches may vote again.
#[derive(Debug)]
pub(super) struct Watching {
    rule: Rule,
    over: bool,
}

#[derive(Debug)]
enum Rule {
    /// Blocks' times are those of machines: one that is later than this process's start by more than clocks differ was proposed after it, and so was every height
    /// that an earlier process of this validator can have voted in decided before.
    Time {
        /// This process's start by the machine's clock, and by one that nobody sets.
        begun: (Timestamp, Instant),
        told: Option<Instant>,
    },
    /// Blocks' times say nothing about when they were made: the height after the highest that is heard of in a while was under way at the start at most.
    Heights {
        /// Until when is listened; not before somebody was heard.
        until: Option<Instant>,
        from: Height,
    },
}

impl Watching {
    /// Begins now, on this tip.
    pub(super) fn begin(time: BlockTime, tip: Height, now: Instant) -> Self {
        let rule = match time {
            BlockTime::Machine => Rule::Time { begun: (Timestamp::from_ms(machine_ms()), now), told: None },
            BlockTime::Stepped => Rule::Heights { until: None, from: tip },
        };
        Self { rule, over: false }
    }

    /// A block was committed.
    pub(super) fn committed(&mut self, tip: &Tip, highest: Height, now: Instant) {
        match &mut self.rule {
            Rule::Time { begun: (begun, then), told } => {
                let passed = u64::try_from(now.saturating_duration_since(*then).as_millis()).unwrap_or(u64::MAX);
                let (time, clock) = (tip.timestamp.ms(), begun.ms().saturating_add(passed));
                if time > clock.saturating_add(AHEAD_MS) {
                    // By a clock that is behind, old blocks would look as if they had begun since.
                    if told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_CLOCK) {
                        warn!(
                            block = %tip.timestamp, here = %Timestamp::from_ms(clock),
                            "a block is of a time that this machine's clock has not reached: this validator goes on watching. Set the clock right (NTP) and \
                             start again"
                        );
                        *told = Some(now);
                    }
                } else if time > begun.ms().saturating_add(MARGIN_MS) {
                    self.over = true;
                }
            }
            Rule::Heights { until, from } => {
                let until = *until.get_or_insert(now + LISTEN);
                if now < until {
                    *from = (*from).max(tip.height).max(highest);
                } else if tip.height > *from {
                    self.over = true;
                }
            }
        }
    }

    /// Whether this validator may vote in the height after its tip, as far as it has heard.
    pub(super) fn is_over(&self, own: Height, highest: Height) -> bool {
        self.over && own >= highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain::hash::Hash32;

    fn block(height: u64, ms: u64) -> Tip {
        Tip { height: Height(height), hash: Hash32::ZERO, timestamp: Timestamp::from_ms(ms) }
    }

    fn watching(begun_ms: u64, now: Instant) -> Watching {
        Watching { rule: Rule::Time { begun: (Timestamp::from_ms(begun_ms), now), told: None }, over: false }
    }

    /// A validator whose network came up late heard of no height in its first ten seconds, and then took the first old block that it fetched for a new one: it
    /// voted in a height in which the log that it had lost had voted already.
    #[test]
    fn an_old_block_never_ends_watching_however_late_the_others_are_heard() {
        let begin = Instant::now();
        let start = 1_000_000;
        let mut late = watching(start, begin);
        let now = begin + Duration::from_secs(60);
        for (height, ms) in [(1, 10), (2, start - 1), (3, start), (4, start + MARGIN_MS)] {
            late.committed(&block(height, ms), Height(0), now);
            assert!(!late.is_over(Height(height), Height(0)), "block {height} of {ms}");
        }
        late.committed(&block(5, start + MARGIN_MS + 1), Height(0), now);
        assert!(late.is_over(Height(5), Height(0)) && late.is_over(Height(5), Height(5)));
        assert!(!late.is_over(Height(5), Height(6)), "it is still behind");
    }

    #[test]
    fn a_clock_that_is_behind_does_not_make_old_blocks_new() {
        let begin = Instant::now();
        let start = 1_000_000;
        let mut behind = watching(start, begin);
        // An hour behind: all blocks of the last hour are later than its start, and than its present.
        for minute in 1..=60 {
            behind.committed(&block(minute, start + minute * 60_000), Height(0), begin + Duration::from_secs(5));
            assert!(!behind.is_over(Height(minute), Height(0)));
        }
        // Nor does one that its present has just reached, while it fetches them.
        behind.committed(&block(61, start + 6_000), Height(0), begin + Duration::from_secs(5));
        assert!(!behind.is_over(Height(61), Height(0)));
    }

    #[test]
    fn under_a_stepped_clock_a_height_counts_that_was_heard_of_by_nobody_in_a_while() {
        let begin = Instant::now();
        let mut stepped = Watching::begin(BlockTime::Stepped, Height(3), begin);
        let heard = begin + Duration::from_secs(100);
        stepped.committed(&block(4, u64::MAX), Height(9), heard);
        stepped.committed(&block(9, u64::MAX), Height(9), heard + LISTEN * 2);
        assert!(!stepped.is_over(Height(9), Height(9)), "it was under way");
        stepped.committed(&block(10, u64::MAX), Height(9), heard + LISTEN * 2);
        assert!(stepped.is_over(Height(10), Height(10)));
    }

    #[test]
    fn the_mark_of_watching_done_counts_for_this_disk_and_this_boot_alone() {
        let folder = tempfile::tempdir().unwrap();
        let marks = Marks::in_directory(&folder.path().join("wal"));
        marks.begin().unwrap();
        assert!(marks.is_watching().unwrap() && !marks.has_watched(Height(9)));
        marks.end(Height(7)).unwrap();
        assert!(!marks.is_watching().unwrap() && marks.has_watched(Height(7)));
        assert!(!marks.has_watched(Height(6)), "an older database was put back");
        let text = fs::read_to_string(&marks.watched).unwrap();
        // A copy made an hour ago and put back now.
        let written: u64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
        fs::write(&marks.watched, text.replace(&written.to_string(), &(written - 3_600_000).to_string())).unwrap();
        assert!(!marks.has_watched(Height(7)));
        fs::write(&marks.watched, text.replace(&boot_id().unwrap_or_default(), "another")).unwrap();
        assert!(!marks.has_watched(Height(7)));
        marks.remove().unwrap();
        marks.remove().unwrap();
        assert!(!marks.watched.exists());
    }
}
