//! `watt wallet accept`.

use std::path::PathBuf;

use ::chain::code::Code;
use clap::Args;
use contracts::call::{Call, RegisterAccount};

use crate::{
    command::{
        CommandError, Context,
        admin::resident::InviteText,
        secret::{Lines, Source},
    },
    render::Facts,
};

/// Register the wallet's account with an invite
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt wallet accept
  watt wallet accept --invite-file invite.txt

An invite is good for whoever shows it first, so it is asked for or read from a file, not given as an argument.")]
pub struct Accept {
    /// Read the invite from this file, which only you may read
    #[arg(long, value_name = "FILE")]
    invite_file: Option<PathBuf>,
    /// Read the invite from this open file descriptor
    #[arg(long, value_name = "N", conflicts_with = "invite_file")]
    invite_fd: Option<u32>,
}

impl Accept {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let source = Source::of(self.invite_file, self.invite_fd);
        let text = source.read("invite, beginning with watt-invite-", "--invite-file FILE or --invite-fd N", Lines::All)?;
        let invite: InviteText = text.parse().map_err(CommandError::Failed)?;
        let status = context.status().await?;
        if invite.chain_id != status.chain_id {
            let text = format!(
                "the invite is for chain {}, the node is of {}: name a node of that chain with --node",
                invite.chain_id, status.chain_id
            );
            return Err(CommandError::Refused { code: Code::WrongChain, text });
        }
        let account = context.entry()?.address;
        let call = RegisterAccount { account, condominium: invite.condominium, invite: Some(invite.invite) };
        let done = context.submit(&status, Call::RegisterAccount(call)).await?;
        context.put_done(&done, Facts::new().with("registered", account.to_string()).with("home", invite.condominium.to_string()))
    }
}
