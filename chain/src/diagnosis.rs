//! What a doctor found: one line for each thing that it looked at, with what to do next, shared by `wattd doctor` and `watt doctor`.
//!
//! Names of checks are stable and for programs; the words are for people and never hold a secret. It looks at nothing itself. Called by both doctors.

use serde::{Deserialize, Serialize};

/// How a thing that was looked at stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// As it should be.
    Ok,
    /// It works, and somebody should know this.
    Warning,
    /// Something must be done.
    Wrong,
    /// It could not be looked at.
    Unknown,
}

impl Standing {
    /// The word for it, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
            Self::Unknown => "unknown",
        }
    }

    const fn mark(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong => "WRONG",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What, `snake_case` and stable.
    pub check: String,
    /// How it stands.
    pub standing: Standing,
    /// What was found, for people.
    pub found: String,
    /// What to do, for people; absent where nothing is.
    pub next: Option<String>,
}

/// All of them, in the order in which somebody would look.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Whether nothing is wrong; warnings are not.
    pub healthy: bool,
    /// What was looked at.
    pub findings: Vec<Finding>,
}

impl Default for Diagnosis {
    fn default() -> Self {
        Self { healthy: true, findings: Vec::new() }
    }
}

impl Diagnosis {
    /// Adds something that is as it should be.
    pub fn ok(&mut self, check: &str, found: impl Into<String>) {
        self.push(check, Standing::Ok, found.into(), None);
    }

    /// Adds something that somebody should know.
    pub fn warning(&mut self, check: &str, found: impl Into<String>, next: impl Into<String>) {
        self.push(check, Standing::Warning, found.into(), Some(next.into()));
    }

    /// Adds something about which something must be done.
    pub fn wrong(&mut self, check: &str, found: impl Into<String>, next: impl Into<String>) {
        self.healthy = false;
        self.push(check, Standing::Wrong, found.into(), Some(next.into()));
    }

    /// Adds something that could not be looked at; `found` says why.
    pub fn unknown(&mut self, check: &str, found: impl Into<String>) {
        self.push(check, Standing::Unknown, found.into(), None);
    }

    fn push(&mut self, check: &str, standing: Standing, found: String, next: Option<String>) {
        self.findings.push(Finding { check: check.to_owned(), standing, found, next });
    }

    /// The findings of a check.
    pub fn of<'a>(&'a self, check: &'a str) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(move |finding| finding.check == check)
    }

    /// For people: a line for each finding, below it what to do, and a sentence at the end.
    #[must_use]
    pub fn text(&self) -> String {
        let width = self.findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        let mut text = String::new();
        for Finding { check, standing, found, next } in &self.findings {
            text = format!("{text}{:<8} {check:<width$}  {found}\n", standing.mark());
            if let Some(next) = next {
                text = format!("{text}{:<8} {:<width$}  -> {next}\n", "", "");
            }
        }
        let count = |standing| self.findings.iter().filter(|finding| finding.standing == standing).count();
        let (wrong, warnings, unknown) = (count(Standing::Wrong), count(Standing::Warning), count(Standing::Unknown));
        format!("{text}\n{} looked at: {wrong} wrong, {warnings} to know about, {unknown} not to be seen\n", self.findings.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_makes_it_unhealthy_and_says_what_to_do() {
        let mut diagnosis = Diagnosis::default();
        diagnosis.ok("config", "read");
        diagnosis.warning("validators", "one", "know it");
        diagnosis.unknown("units", "the node does not run");
        assert!(diagnosis.healthy);
        diagnosis.wrong("key_gateway", "mode 644", "chmod 600");
        assert!(!diagnosis.healthy && diagnosis.of("key_gateway").all(|found| found.standing == Standing::Wrong));
        let text = diagnosis.text();
        assert!(text.contains("WRONG    key_gateway  mode 644\n") && text.contains("-> chmod 600"), "{text}");
        assert!(text.ends_with("4 looked at: 1 wrong, 1 to know about, 1 not to be seen\n"), "{text}");
    }
}
