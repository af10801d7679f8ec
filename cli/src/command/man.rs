//! `watt man`.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};

use super::{CommandError, Watt, file::failed};

/// Write manual pages, one for each command
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt man ~/.local/share/man/man1
  watt man pages && man -l pages/watt-charge-start.1

Pages of the same names are replaced.")]
pub struct Man {
    /// The folder for them; it is made where it is missing
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

impl Man {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let written = std::fs::create_dir_all(&self.folder).and_then(|()| clap_mangen::generate_to(Watt::command(), &self.folder));
        written.map_err(|error| failed(&self.folder, &error))
    }
}
