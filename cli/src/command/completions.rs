//! `watt completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::{CommandError, Watt};
use crate::render;

/// Write what a shell needs to complete commands
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt completions bash > ~/.local/share/bash-completion/completions/watt
  watt completions zsh > ~/.zfunc/_watt
  watt completions fish > ~/.config/fish/completions/watt.fish

The folder must be there. zsh looks into ~/.zfunc where .zshrc has, before compinit: fpath+=~/.zfunc")]
pub struct Completions {
    /// Which shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let mut script = Vec::new();
        generate(self.shell, &mut Watt::command(), "watt", &mut script);
        Ok(render::out(&script)?)
    }
}
