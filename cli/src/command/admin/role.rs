//! `watt admin role`.

use ::chain::{
    api::{CondominiumView, RoleView},
    id::{Address, CondominiumId, Height},
    record::{self, RoleGrant},
};
use clap::{Args, Subcommand, ValueEnum};
use contracts::call::{Call, GrantRole, LiftSuspension, RegisterAccount, RevokeRole};

use crate::{
    command::{CommandError, Context},
    csv::{self, Csv},
    describe,
    quantity::time,
    render::{Facts, Rows},
};

/// List roles; grant, revoke or rotate one, lift a suspension (manager)
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:
  watt admin role list
  watt admin role grant treasurer watt1...
  watt admin role rotate gateway --from watt1... --to watt1...")]
pub enum Role {
    /// List who holds which role
    List(List),
    /// Grant a role from a height on
    Grant(Grant),
    /// End a role at a height
    Revoke(Revoke),
    /// Give a role to another key and take it from the one before, without a gap
    Rotate(Rotate),
    /// Trust a gateway's key again that has contradicted itself
    Lift(Lift),
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

/// Give a role to another key and take it from the one before, without a gap
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt admin role rotate gateway --from watt1... --to watt1... --wallet manager
  watt admin role rotate treasurer --from watt1... --to watt1... --at 6000

Registers the new key's account where it is not, grants it the role, then revokes it from the old one: at no height does nobody hold it, and where one step
fails the old key still does; call it again then, as it was: what has been done is not done twice. A grant of either key that has an end and would leave a gap
is refused, with what to do. `wattd key next` makes the next key of a gateway or a scheduler; the running node uses it as
soon as the chain says so. Open sessions, units and cards are bound to no key and go on.")]
pub struct Rotate {
    /// Which
    #[arg(value_enum, value_name = "ROLE")]
    role: Name,
    /// The account that has held it
    #[arg(long, value_name = "ADDRESS")]
    from: Address,
    /// The account that takes it over
    #[arg(long, value_name = "ADDRESS")]
    to: Address,
    /// Where [default: the only one where the old key has the role]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
    /// The first height of the new key, and the first without the old one [default: as soon as can be]
    #[arg(long, value_name = "HEIGHT")]
    at: Option<u64>,
}

/// Trust a gateway's key again that has contradicted itself
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt admin role lift watt1... --wallet manager

Look at the evidence first: `watt audit evidence list`. Where the key may be stolen, appoint another one instead: `watt admin role rotate`.")]
pub struct Lift {
    /// Whose key
    #[arg(value_name = "ADDRESS")]
    account: Address,
    /// Where [default: the only one]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
}

impl Role {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Grant(command) => command.run(context).await,
            Self::Revoke(command) => command.run(context).await,
            Self::Rotate(command) => command.run(context).await,
            Self::Lift(command) => command.run(context).await,
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
                let mut rows = Rows::new(&["ROLE", "ACCOUNT", "FROM HEIGHT", "BEFORE HEIGHT", "SUSPENDED"], "There is no role.");
                for view in &roles {
                    let until = view.grant.until.map_or_else(|| "-".to_owned(), |until| until.to_string());
                    let suspended = match view.suspension {
                        None => "-".to_owned(),
                        Some(suspension) => match suspension.lifted_at {
                            None => format!("since height {}", suspension.since),
                            Some(at) => format!("lifted at {}", time(at)),
                        },
                    };
                    rows.push([
                        describe::role(view.role).to_owned(),
                        view.account.to_string(),
                        view.grant.from.to_string(),
                        until,
                        suspended,
                    ]);
                }
                rows.text()
            },
            || {
                let mut csv = Csv::new(&["condominium", "role", "account", "from_height", "before_height", "suspended_since", "lifted_at"]);
                for view in &roles {
                    let until = csv::some(view.grant.until, |height| csv::number(height.0));
                    let role = csv::text(describe::role(view.role));
                    let since = csv::some(view.suspension, |suspension| csv::number(suspension.since.0));
                    let lifted = csv::some(view.suspension.and_then(|suspension| suspension.lifted_at), csv::at);
                    let from = csv::number(view.grant.from.0);
                    csv.push([csv::number(view.condominium.0), role, csv::text(view.account), from, until, since, lifted]);
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

/// The only condominium in which an account has a role.
///
/// `wattd key next` prints a rotation without a condominium, because a node's directory does not say whose gateway its key is.
async fn only_where(context: &Context, role: record::Role, account: Address) -> Result<CondominiumId, CommandError> {
    let mut found = Vec::new();
    for CondominiumView { id, .. } in context.client().condominiums().await? {
        let is_it = |view: &RoleView| view.condominium == id && view.role == role && view.account == account;
        if context.client().roles(id).await?.iter().any(is_it) {
            found.push(id);
        }
    }
    match found.as_slice() {
        [only] => Ok(*only),
        // Its words name those that there are.
        [] | [_, ..] => context.condominium(None).await,
    }
}

impl Rotate {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { role, from: old, to: new, .. } = self;
        if old == new {
            return Err(CommandError::Usage("--from and --to are one account: a rotation needs another key".to_owned()));
        }
        let role = role.role();
        let condominium = match self.condominium {
            Some(number) => CondominiumId(number),
            None => only_where(context, role, old).await?,
        };
        let status = context.status().await?;
        let next = status.height.next();
        let roles = context.client().roles(condominium).await?;
        let view_of = |account: Address| roles.iter().find(|view| view.role == role && view.account == account);
        let name = describe::role(role);
        let Some(leaving) = view_of(old).filter(|view| view.grant.holds_at(next)) else {
            return Err(CommandError::Failed(format!("{old} is no {name} of condominium {condominium} now")));
        };
        if let Some(suspension) = view_of(new).and_then(|view| view.suspension).filter(|suspension| suspension.lifted_at.is_none()) {
            return Err(CommandError::Failed(format!(
                "{new} is suspended since height {}, and could attest nothing: lift it first (`watt admin role lift {new} --condominium {condominium}`), or take another key",
                suspension.since
            )));
        }
        // What an earlier call has granted stands, also where it has not begun yet: the chain grants nothing twice.
        let granted = match view_of(new).map(|view| view.grant) {
            None => None,
            Some(RoleGrant { from, until: None }) => Some(from),
            Some(RoleGrant { until: Some(end), .. }) if end <= next => None,
            Some(RoleGrant { until: Some(end), .. }) => {
                return Err(CommandError::Failed(format!(
                    "{new} holds the role before height {end} only, and nobody would after it: prolong it (`watt admin role grant {name} {new} --condominium {condominium} --from {end}`), then rotate"
                )));
            }
        };
        let wanted = |newest: Height| self.at.map_or_else(|| soonest(newest), Height);
        let leaves = leaving.grant.until;
        let without_gap = |begins: Height| match leaves {
            Some(end) if end < begins => Err(CommandError::Failed(format!(
                "{old} holds the role before height {end} only, and {new} would from {begins} on: nobody would hold it between them; {}",
                if granted.is_some() { format!("revoke what {new} has, then rotate") } else { format!("give --at {end} or less") }
            ))),
            Some(_) | None => Ok(()),
        };
        without_gap(granted.unwrap_or_else(|| wanted(status.height)))?;
        match context.client().account(new).await {
            Ok(_) => {}
            Err(error) if error.is_code("unknown_account") => {
                context.submit(&status, Call::RegisterAccount(RegisterAccount { account: new, condominium, invite: None })).await?;
            }
            Err(error) => return Err(error.into()),
        }
        // The new key first: where the second step fails both hold the role, and never nobody. Blocks may be made between the steps.
        let mut done = None;
        let begins = if let Some(begins) = granted {
            begins
        } else {
            let status = context.status().await?;
            let from = wanted(status.height);
            without_gap(from)?;
            let call = GrantRole { condominium, role, account: new, from, until: None };
            done = Some(context.submit(&status, Call::GrantRole(call)).await?);
            from
        };
        let status = context.status().await?;
        let until = self.at.map_or(begins, |at| begins.max(Height(at))).max(soonest(status.height));
        // Where the old key's role is over by then anyway, as after an earlier call, nothing is left to revoke.
        let over = match leaves {
            Some(end) if end <= until => end,
            Some(_) | None => {
                let call = RevokeRole { condominium, role, account: old, until };
                done = Some(context.submit(&status, Call::RevokeRole(call)).await?);
                until
            }
        };
        let facts = Facts::new()
            .with("rotated", name)
            .with("from", old.to_string())
            .with("to", new.to_string())
            .with("over for the old key at height", over.to_string());
        match done {
            Some(done) => context.put_done(&done, facts),
            None => context.put(leaving, || facts.text()),
        }
    }
}

impl Lift {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let condominium = context.condominium(self.condominium).await?;
        let status = context.status().await?;
        let account = self.account;
        let done = context.submit(&status, Call::LiftSuspension(LiftSuspension { condominium, account })).await?;
        context.put_done(&done, Facts::new().with("trusted again", account.to_string()).with("in condominium", condominium.to_string()))
    }
}
