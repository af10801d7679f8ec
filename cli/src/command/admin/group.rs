//! `watt admin group`.

use ::chain::{id::GroupId, quantity::Currents};
use clap::{Args, Subcommand};
use contracts::call::{Call, PutGroup};

use crate::{
    command::{CommandError, Context},
    csv::{self, Csv},
    quantity::{amperes, parse_currents},
    render::{Facts, Rows},
};

/// List groups; make or change one (manager)
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  watt admin group list\n  watt admin group put 1-1 --limit 63")]
pub enum Group {
    /// List groups and what is granted in them
    List(List),
    /// Make a group or change its limit
    Put(Put),
}

/// List groups and what is granted in them
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt admin group list\n  watt admin group list --output json")]
pub struct List {}

/// Make a group or change its limit
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt admin group put 1-1 --limit 63
  watt admin group put 1-2 --limit 32,32,0 --parent 1

Under a limit below what is granted, charges are paused, newest first. A limit of 0 switches the group off.")]
pub struct Put {
    /// Which, as condominium and number
    #[arg(value_name = "GROUP")]
    group: GroupId,
    /// The most current in A: 63 for each phase, or 63,63,32 for L1,L2,L3
    #[arg(long, value_name = "A", value_parser = parse_currents)]
    limit: Currents,
    /// The number of the group above it in the same condominium
    #[arg(long, value_name = "NUMBER")]
    parent: Option<u32>,
}

impl Group {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::List(List {}) => list(context).await,
            Self::Put(command) => command.run(context).await,
        }
    }
}

async fn list(context: &Context) -> Result<(), CommandError> {
    let groups = context.client().groups().await?;
    context.put_list(
        &groups,
        || {
            let mut rows = Rows::new(
                &["GROUP", "INSIDE", "LIMIT", "GRANTED", "RESERVED", "FREE"],
                "There is no group yet: `watt admin group put` makes one.",
            );
            for view in &groups {
                let group = &view.group;
                rows.push([
                    view.id.to_string(),
                    group.parent.map_or_else(|| "-".to_owned(), |parent| parent.to_string()),
                    amperes(group.limit),
                    amperes(group.granted),
                    amperes(group.reserved),
                    amperes(view.free),
                ]);
            }
            rows.text()
        },
        || {
            let names = ["limit", "granted", "reserved", "free"];
            let phases: Vec<String> = names.iter().flat_map(|name| (1..=3).map(move |phase| format!("{name}_l{phase}_ma"))).collect();
            let columns: Vec<&str> = ["group", "parent"].into_iter().chain(phases.iter().map(String::as_str)).collect();
            let mut csv = Csv::new(&columns);
            for view in &groups {
                let group = &view.group;
                let currents = [group.limit, group.granted, group.reserved, view.free];
                csv.push(
                    [csv::text(view.id), csv::some(group.parent, csv::number)].into_iter().chain(currents.into_iter().flat_map(csv::ma)),
                );
            }
            csv
        },
    )
}

impl Put {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        // The chain takes it on purpose: it is how a manager switches a group off.
        if self.limit.is_zero() {
            tell!(
                "warning: under a limit of 0 A nothing charges in group {}: charges that run are paused, others wait until the limit is raised",
                self.group
            );
        }
        let status = context.status().await?;
        let done = context.submit(&status, Call::PutGroup(PutGroup { group: self.group, parent: self.parent, limit: self.limit })).await?;
        context.put_done(&done, Facts::new().with("group", self.group.to_string()).with("limit per phase", amperes(self.limit)))
    }
}
