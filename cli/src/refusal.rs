//! Refusals in the words of whoever meets them: tokens, kWh, amperes and local times instead of the ledger's bare numbers.
//!
//! Called by [`crate::client::ClientError`] alone.

use chain::{
    api::{Problem, Unit},
    code::{Code, Rejection},
    time::Timestamp,
    words::in_words,
};
use contracts::{
    call::{Call, Transaction},
    reason,
};

use crate::quantity::time;

/// What a rejection's numbers are, and which value they are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reason {
    /// What they count.
    pub unit: Option<Unit>,
    /// The field of the transaction.
    pub field: Option<&'static str>,
    /// What is wrong and what to do, where the code's own words miss it.
    pub words: Option<(&'static str, &'static str)>,
}

impl Reason {
    /// Of a rejection of the transaction of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8], rejection: &Rejection) -> Self {
        let Ok(transaction) = Transaction::decode(bytes) else { return Self::default() };
        let call: &Call = &transaction.body().call;
        Self { unit: reason::unit(call, rejection), field: reason::field(call, rejection), words: reason::words(call, rejection) }
    }
}

/// A rejection in words.
#[must_use]
pub fn rejection(rejection: &Rejection, reason: Reason) -> String {
    if let Some((text, advice)) = reason.words {
        return format!("{text}: {advice} ({})", rejection.code.slug());
    }
    words(rejection.code, reason.field, reason.unit, rejection.expected, rejection.found)
}

/// A problem in words, its code at the end.
#[must_use]
pub fn problem(problem: &Problem) -> String {
    let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<u64>().ok());
    let code = Code::ALL.iter().copied().find(|code| code.slug() == problem.code);
    if let (Some(code), Some(unit)) = (code, problem.unit) {
        return words(code, problem.field.as_deref(), Some(unit), number(&problem.expected), number(&problem.found));
    }
    let mut text = if problem.detail.is_empty() { problem.title.clone() } else { problem.detail.clone() };
    // The name of a transaction's field helps whoever builds transactions, not whoever types commands.
    let field = problem.field.as_ref().filter(|_| code.is_some());
    if let Some(rest) = field.and_then(|field| text.strip_prefix(&format!("{field}: "))) {
        text = rest.to_owned();
    }
    let numbers = [("expected", &problem.expected), ("found", &problem.found)];
    for (name, value) in numbers.iter().filter_map(|(name, value)| value.as_ref().map(|value| (name, value))) {
        if !text.contains(name) {
            text = format!("{text}; {name} {value}");
        }
    }
    if text.contains(&problem.code) { text } else { format!("{text} ({})", problem.code) }
}

fn words(code: Code, field: Option<&str>, unit: Option<Unit>, expected: Option<u64>, found: Option<u64>) -> String {
    let say = |number: u64| match unit {
        Some(Unit::UnixMilliseconds) => time(Timestamp::from_ms(number)),
        Some(unit) => in_words(unit, number),
        None => number.to_string(),
    };
    let slug = code.slug();
    if let (Some(expected), Some(found)) = (expected, found) {
        // The codes that residents meet, each in a sentence of its own.
        let sentence = [
            (Code::UnknownTariff, format!("the tariff is not in force yet: it is from {} on; try again then", say(expected))),
            (
                Code::InsufficientFunds,
                format!("this needs {}, and {} can be spent or locked: buy tokens, or spend less", say(expected), say(found)),
            ),
            (
                Code::StaleTariff,
                format!("version {expected} of the tariff is in force now, not version {found}: look at the new price and start again"),
            ),
            (
                Code::PositionLimit,
                format!(
                    "one condominium would owe the other {}, and may owe at most {}: use a smaller amount, charge at home, or have the treasurers clear and pay (`watt clearing --help`)",
                    say(found),
                    say(expected)
                ),
            ),
            (Code::Expired, format!("it was good until {}, and it is {}: do it again", say(found.min(expected)), say(found.max(expected)))),
        ];
        if let Some((_, text)) = sentence.iter().find(|(of, _)| *of == code) {
            return format!("{text} ({slug})");
        }
    }
    let what = match field.map(|field| field.trim_start_matches("call.")) {
        Some("max_spend") if code == Code::OverLimit => "the amount to lock is over its limit",
        Some("max_duration" | "max_duration_ms") if code == Code::OverLimit => "the duration is over its limit",
        Some("energy_wh") if code == Code::OverLimit => "the energy is over its limit",
        Some("state_of_charge") if code == Code::OverLimit => "the state of charge is over its limit",
        Some(_) | None => code.text(),
    };
    let (wanted, unwanted) = if code == Code::OverLimit { ("at most", "asked for") } else { ("expected", "found") };
    let mut text = what.to_owned();
    if let Some(expected) = expected {
        text = format!("{text}; {wanted} {}", say(expected));
    }
    if let Some(found) = found {
        text = format!("{text}, {unwanted} {}", say(found));
    }
    format!("{text}: {} ({slug})", code.advice())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody with 19 tokens was told that he had 19000000 and needed 19000001.
    #[test]
    fn no_bare_number_of_the_ledger_reaches_a_reader() {
        let told = |code, unit, field, expected, found| {
            rejection(&Rejection::of(code, expected, found), Reason { unit: Some(unit), field, words: None })
        };
        let short = told(Code::InsufficientFunds, Unit::MicroTokens, None, 19_000_001, 19_000_000);
        assert!(short.contains("needs 19.000001 tokens") && short.contains("19 tokens can"), "{short}");
        let long = told(Code::OverLimit, Unit::Milliseconds, Some("call.max_duration"), 86_400_000, 90_000_000);
        assert!(long.contains("the duration") && long.contains("at most 1 d, asked for 1 d 1 h"), "{long}");
        let early = told(Code::UnknownTariff, Unit::UnixMilliseconds, None, 1_795_415_400_000, 1_795_415_300_000);
        assert!(early.contains(&time(Timestamp::from_ms(1_795_415_400_000))) && !early.contains("1795415"), "{early}");
        let busy = told(Code::GroupLimit, Unit::Milliamperes, None, 40_000, 40_001);
        assert!(busy.contains("expected 40 A, found 40.001 A") && busy.ends_with("(group_limit)"), "{busy}");
    }
}
