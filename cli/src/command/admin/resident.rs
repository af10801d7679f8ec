//! `watt admin resident`.

use std::{fmt, str::FromStr};

use ::chain::{
    codec,
    crypto::{self, Domain},
    id::{Address, ChainId, CondominiumId},
    time::Duration,
};
use clap::{Args, Subcommand};
use contracts::call::{Call, Invite, RegisterAccount};
use serde::Serialize;

use crate::{
    command::{CommandError, Context},
    quantity::{parse_duration, time},
    render::Facts,
};

/// Register a resident or write an invite (manager or treasurer)
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  watt admin resident add watt1...\n  watt admin resident invite")]
pub enum Resident {
    /// Register an account
    Add(Add),
    /// Write an invite with which somebody registers himself, once
    Invite(MakeInvite),
}

/// Register an account
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt admin resident add watt1...\n  watt admin resident add watt1... --condominium 2")]
pub struct Add {
    /// The account's address
    #[arg(value_name = "ADDRESS")]
    account: Address,
    /// Its home [default: the only one]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
}

/// Write an invite with which somebody registers himself, once
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt admin resident invite >invite.txt
  watt admin resident invite --valid 7d --condominium 2

The invite is good for whoever shows it first: give it to one person, on paper or in a message, who uses it with `watt wallet accept`. Nothing is sent to the chain.")]
pub struct MakeInvite {
    /// How long it is good, at most 90 days
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "14d")]
    valid: Duration,
    /// The home of the account [default: the only one]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
}

/// The longest that an invite may be good for.
const MAX_VALID: Duration = Duration::from_hours(90 * 24);

impl Resident {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Add(command) => command.run(context).await,
            Self::Invite(command) => command.run(context).await,
        }
    }
}

impl Add {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let condominium = context.condominium(self.condominium).await?;
        let status = context.status().await?;
        let call = RegisterAccount { account: self.account, condominium, invite: None };
        let done = context.submit(&status, Call::RegisterAccount(call)).await?;
        context.put_done(&done, Facts::new().with("registered", self.account.to_string()).with("home", condominium.to_string()))
    }
}

#[derive(Serialize)]
struct Made {
    invite: String,
    condominium: CondominiumId,
    expires: ::chain::time::Timestamp,
}

impl MakeInvite {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        if context.options().dry_run {
            context.require_neither_dry_nor_offline()?;
        }
        if self.valid > MAX_VALID {
            return Err(CommandError::Usage("an invite is good for at most 90 days: give --valid 90d or less".to_owned()));
        }
        let condominium = context.condominium(self.condominium).await?;
        let status = context.status().await?;
        let entry = context.entry()?;
        // The newest block may be ahead of the clock; an expiry counted from the earlier of both is never too far.
        let expires = status.now.min(status.timestamp).saturating_add(self.valid);
        let serial = rand::random();
        let mut lines = [
            ("home condominium", condominium.to_string()),
            ("number", u64::to_string(&serial)),
            ("good until", time(expires)),
            ("as account", entry.address.to_string()),
            ("on chain", status.chain_id.to_string()),
        ];
        context.name_condominiums(&mut lines).await;
        context.confirm("Write an invite", &lines)?;
        let key = context.unlock(&entry)?.key();
        let signed = Invite::bytes(status.chain_id, condominium, entry.address, serial, expires);
        let signature = crypto::sign(&key, Domain::Invite, &signed);
        let text =
            InviteText { chain_id: status.chain_id, condominium, invite: Invite { issuer: entry.address, serial, expires, signature } };
        let made = Made { invite: text.to_string(), condominium, expires };
        context.put(&made, || format!("{}\n", made.invite))
    }
}

/// An invite as it is handed over: `watt-invite-` and the hexadecimal digits of chain id, condominium and invite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InviteText {
    /// The chain that it is for.
    pub chain_id: ChainId,
    /// The home of the account.
    pub condominium: CondominiumId,
    /// What the issuer signed.
    pub invite: Invite,
}

const INVITE_PREFIX: &str = "watt-invite-";

impl fmt::Display for InviteText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = codec::encode(&(self.chain_id, self.condominium, self.invite)).map_err(|_| fmt::Error)?;
        write!(f, "{INVITE_PREFIX}{}", hex::encode(bytes))
    }
}

impl FromStr for InviteText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected an invite that begins with {INVITE_PREFIX}, copied whole");
        let digits = text.trim().strip_prefix(INVITE_PREFIX).ok_or_else(expected)?;
        let bytes = hex::decode(digits).map_err(|_| expected())?;
        let (chain_id, condominium, invite): (ChainId, CondominiumId, Invite) = codec::decode(&bytes, 1_024).map_err(|_| expected())?;
        let signed = Invite::bytes(chain_id, condominium, invite.issuer, invite.serial, invite.expires);
        crypto::verify(&invite.issuer, Domain::Invite, &signed, &invite.signature).map_err(|_| expected())?;
        Ok(Self { chain_id, condominium, invite })
    }
}
