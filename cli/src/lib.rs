//! The hand of residents, managers, operators and auditors: the typed client of a node's API, the wallet, and the commands of `watt`.
//!
//! It knows nothing of how a node works inside: everything passes through `/api/v1`, and what can be checked here is not believed. Called by the
//! program `watt` and, for its client and its wallet, by `testnet`.

/// Says a line on stderr, for people; where nobody can read it there is nobody to tell. The macro of the standard library panics there, after whatever was done.
macro_rules! tell {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}

/// As [`tell!`], without an end of the line.
macro_rules! tell_on {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stderr(), $($words)*);
    }};
}

pub mod audit;
pub mod checkpoints;
pub mod client;
pub mod command;
pub mod csv;
pub mod describe;
pub mod keystore;
pub mod named;
pub mod phrase;
pub mod profile;
pub mod proof;
pub mod quantity;
pub mod refusal;
pub mod render;
pub mod transaction_file;
pub mod verify;
pub mod wallet;
