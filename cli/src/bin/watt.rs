//! `watt`: the hand of residents, managers, operators and auditors. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::command::main(std::env::args_os())
}
