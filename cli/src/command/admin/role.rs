//! `watt admin role`.

use ::chain::{
    id::{Address, Height},
    record,
};
use clap::{Args, Subcommand, ValueEnum};
use contracts::call::{Call, GrantRole, RevokeRole};

use crate::{
    command::{CommandError, Context},
    csv::{self, Csv},
    describe,
    render::{Facts, Rows},
};

/// List roles; grant or revoke one (manager)
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  watt admin role list\n  watt admin role grant treasurer watt1...")]
pub enum Role {
    /// List who holds which role
    List(List),
    /// Grant a role from a height on
    Grant(Grant),
    /// End a role at a height
    Revoke(Revoke),
}

/// The roles of a condominium.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Name {
    Manager,
    Treasurer,
    Gateway,
    Scheduler,
    Auditor,
}

impl Name {
    const fn role(self) -> record::Role {
        match self {
            Self::Manager => record::Role::Manager,
            Self::Treasurer => record::Role::Treasurer,
            Self::Gateway => record::Role::Gateway,
            Self::Scheduler => record::Role::Scheduler,
            Self::Auditor => record::Role::Auditor,
        }
    }
}

/// List who holds which role
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt admin role list\n  watt admin role list --condominium 2")]
pub struct List {
    /// Where [default: the only one]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
}

/// Grant a role from a height on
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt admin role grant auditor watt1...
  watt admin role grant treasurer watt1... --from 5000 --until 90000

Where a condominium has more than one manager, a treasurer's role begins after the notice period: the refusal names the first height that is allowed.")]
pub struct Grant {
    /// Which
    #[arg(value_enum, value_name = "ROLE")]
    role: Name,
    /// To whom
    #[arg(value_name = "ADDRESS")]
    account: Address,
    /// Where [default: the only one]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
    /// The first height at which it holds [default: the second from now, which is the first after its own block]
    #[arg(long, value_name = "HEIGHT")]
    from: Option<u64>,
    /// The first height at which it is over
    #[arg(long, value_name = "HEIGHT")]
    until: Option<u64>,
}

/// End a role at a height
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt admin role revoke gateway watt1...\n  watt admin role revoke treasurer watt1... --until 9000")]
pub struct Revoke {
    /// Which
    #[arg(value_enum, value_name = "ROLE")]
    role: Name,
    /// Whose
    #[arg(value_name = "ADDRESS")]
    account: Address,
    /// Where [default: the only one]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
    /// The first height without it [default: the second from now, which is the first after its own block]
    #[arg(long, value_name = "HEIGHT")]
    until: Option<u64>,
}

impl Role {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Grant(command) => command.run(context).await,
            Self::Revoke(command) => command.run(context).await,
        }
    }
}

/// A height that was given, else the soonest; which that is only a node knows.
fn height_or_soonest(context: &Context, given: Option<u64>, flag: &str, newest: Height) -> Result<Height, CommandError> {
    match given {
        Some(height) => Ok(Height(height)),
        None if context.is_offline() => Err(CommandError::Usage(format!("without a node the heights to come are not known: give {flag}"))),
        None => Ok(soonest(newest)),
    }
}

/// The block after the one that takes the call, if that is the next.
const fn soonest(newest: Height) -> Height {
    newest.next().next()
}

impl List {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let condominium = context.condominium(self.condominium).await?;
        // Of a condominium that is not there the node has an empty list.
        let known = context.client().condominiums().await?;
        if !known.iter().any(|view| view.id == condominium) {
            return Err(CommandError::Failed(format!("there is no condominium {condominium} on this chain")));
        }
        let roles = context.client().roles(condominium).await?;
        context.put_list(
            &roles,
            || {
                let mut rows = Rows::new(&["ROLE", "ACCOUNT", "FROM HEIGHT", "BEFORE HEIGHT"], "There is no role.");
                for view in &roles {
                    let until = view.grant.until.map_or_else(|| "-".to_owned(), |until| until.to_string());
                    rows.push([describe::role(view.role).to_owned(), view.account.to_string(), view.grant.from.to_string(), until]);
                }
                rows.text()
            },
            || {
                let mut csv = Csv::new(&["condominium", "role", "account", "from_height", "before_height"]);
                for view in &roles {
                    let until = csv::some(view.grant.until, |height| csv::number(height.0));
                    let role = csv::text(describe::role(view.role));
                    csv.push([csv::number(view.condominium.0), role, csv::text(view.account), csv::number(view.grant.from.0), until]);
                }
                csv
            },
        )
    }
}

impl Grant {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let condominium = context.condominium(self.condominium).await?;
        let status = context.status().await?;
        let role = self.role.role();
        let from = height_or_soonest(context, self.from, "--from", status.height)?;
        let call = GrantRole { condominium, role, account: self.account, from, until: self.until.map(Height) };
        let done = context.submit(&status, Call::GrantRole(call)).await?;
        let facts =
            Facts::new().with("granted", describe::role(role)).with("to", self.account.to_string()).with("from height", from.to_string());
        context.put_done(&done, facts)
    }
}

impl Revoke {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let condominium = context.condominium(self.condominium).await?;
        let status = context.status().await?;
        let role = self.role.role();
        let until = height_or_soonest(context, self.until, "--until", status.height)?;
        let done = context.submit(&status, Call::RevokeRole(RevokeRole { condominium, role, account: self.account, until })).await?;
        let facts = Facts::new()
            .with("revoked", describe::role(role))
            .with("of", self.account.to_string())
            .with("over at height", until.to_string());
        context.put_done(&done, facts)
    }
}
