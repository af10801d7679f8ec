//! One target and many inputs: makes them, gives them to the target, and says exactly which one something was wrong with.
//!
//! It judges nothing: what must hold is said by the targets. A panic is caught and told like any other fault; what cannot be caught (a stack that is too small,
//! an allocation that fails) ends the process, so the seed is said before. Called by the program and by the test.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use crate::{
    mutate::{MAX_INPUT_BYTES, mutate},
    random::Random,
    targets::{Read, Target},
};

/// How much more memory a target may ever hold than before, in bytes: an input has at most 96 KiB.
pub const MAX_GROWTH_BYTES: u64 = 192 << 20;

/// How long to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Amount {
    /// So many inputs.
    Inputs(u64),
    /// So long.
    Time(Duration),
}

/// What a run showed.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Inputs tried.
    pub inputs: u64,
    /// Inputs that were read.
    pub accepted: u64,
    /// Inputs that were refused, by the kind of refusal.
    pub refused: BTreeMap<&'static str, u64>,
    /// How long it took.
    pub took: Duration,
}

/// What was wrong, and how to see it again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The target's name.
    pub target: &'static str,
    /// The run's seed and the input's number in it.
    pub place: Option<(u64, u64)>,
    /// The input.
    pub input: Vec<u8>,
    /// What should have held.
    pub wrong: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.target, self.wrong)?;
        if let Some((seed, number)) = self.place {
            writeln!(f, "  seed {seed}, input {number}: ./dev fuzz {} --seed {seed} --from {number} --inputs 1", self.target)?;
        }
        let shown: String = self.input.iter().take(2_048).map(|byte| char::from(*byte)).collect();
        writeln!(f, "  {} bytes, hex {}", self.input.len(), hex::encode(&self.input[..self.input.len().min(4_096)]))?;
        write!(f, "  {shown:?}")
    }
}

/// Gives mutated inputs to a target, from this number of the seed on.
///
/// # Errors
/// The first [`Failure`].
pub fn run(target: &Target, corpus: &[Vec<u8>], seed: u64, from: u64, amount: Amount) -> Result<Report, Box<Failure>> {
    let begun = Instant::now();
    let before = peak_memory_bytes();
    let mut report = Report::default();
    let mut number = from;
    loop {
        let goes_on = match amount {
            Amount::Inputs(inputs) => report.inputs < inputs,
            Amount::Time(time) => begun.elapsed() < time,
        };
        if !goes_on {
            break;
        }
        // The clock is not asked for every input.
        for _ in 0..256 {
            if amount == Amount::Inputs(report.inputs) {
                break;
            }
            let mut input = mutate(&mut Random::of(seed, number), target.shape, corpus);
            if let Some(mend) = target.mend {
                input = mend(input, number);
            }
            let place = Some((seed, number));
            match judge(target, &input) {
                Ok(Read::Accepted) => report.accepted += 1,
                Ok(Read::Refused(kind)) => *report.refused.entry(kind).or_default() += 1,
                Err(wrong) => return Err(Box::new(Failure { target: target.name, place, input, wrong })),
            }
            report.inputs += 1;
            number = number.wrapping_add(1);
        }
        if let (Some(before), Some(now)) = (before, peak_memory_bytes())
            && now > before.saturating_add(MAX_GROWTH_BYTES)
        {
            let wrong = format!(
                "within the 256 inputs before this one the process came to hold {} MiB, before all of them {} MiB",
                now >> 20,
                before >> 20
            );
            return Err(Box::new(Failure { target: target.name, place: Some((seed, number)), input: Vec::new(), wrong }));
        }
    }
    report.took = begun.elapsed();
    Ok(report)
}

/// Gives one input to a target as it is.
///
/// # Errors
/// What should have held.
pub fn judge(target: &Target, input: &[u8]) -> Result<Read, String> {
    debug_assert!(input.len() <= 2 * MAX_INPUT_BYTES);
    catch_unwind(AssertUnwindSafe(|| (target.check)(input))).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("it panicked: {}", words.unwrap_or("without words")))
    })
}

/// The most memory that this process ever held, where the system tells it.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}
