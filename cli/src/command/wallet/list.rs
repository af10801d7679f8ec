//! `watt wallet list`.

use clap::Args;

use super::show::origin;
use crate::{
    command::{CommandError, Context},
    csv::{self, Csv},
    render::Rows,
};

/// List the wallets of this machine
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt wallet list\n  watt wallet list --output json")]
pub struct List {}

impl List {
    pub(super) fn run(self, context: &Context) -> Result<(), CommandError> {
        let keystore = context.keystore()?;
        let mut entries = Vec::new();
        for name in keystore.names()? {
            match keystore.entry(&name) {
                Ok(entry) => entries.push(entry),
                // One bad file must not hide the others.
                Err(error) => tell!("warning: {error}"),
            }
        }
        context.put_list(
            &entries,
            || {
                let mut rows = Rows::new(&["NAME", "ADDRESS", "KEY"], "There is no wallet yet: `watt wallet new` makes one.");
                for entry in &entries {
                    rows.push([entry.name.clone(), entry.address.to_string(), origin(entry.origin)]);
                }
                rows.text()
            },
            || {
                let mut csv = Csv::new(&["name", "address", "key"]);
                for entry in &entries {
                    csv.push([csv::text(&entry.name), csv::text(entry.address), csv::text(origin(entry.origin))]);
                }
                csv
            },
        )
    }
}
