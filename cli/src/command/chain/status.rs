//! `watt chain status`.

use ::chain::{api::Health, genesis_kind::NetworkKind};
use clap::Args;
use serde::Serialize;

use crate::{
    command::{CommandError, Context},
    quantity::time,
    render::Facts,
};

/// Show the network, its newest block and its validators
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt chain status\n  watt --node http://10.0.0.5:8420 chain status --output json")]
pub struct Status {}

#[derive(Serialize)]
struct Answer {
    status: ::chain::api::Status,
    health: Option<Health>,
}

impl Status {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.client().status().await?;
        // A node that is not ready answers with a problem; the status is worth showing all the same.
        let health = context.client().health().await.ok();
        let answer = Answer { status, health };
        context.put(&answer, || {
            let Answer { status, health } = &answer;
            let kind = match status.kind {
                NetworkKind::Live => "live",
                NetworkKind::Test => "test: tokens are worth nothing",
            };
            let members = status.validators.members().len();
            let ready = match health {
                Some(health) if health.ready => "yes".to_owned(),
                Some(health) => format!("no: {}", health.problems.join("; ")),
                None => "no".to_owned(),
            };
            Facts::new()
                .with("network", format!("{} ({kind})", status.network))
                .with("chain", status.chain_id.to_string())
                .with("currency", status.currency.as_str())
                .with("height", status.height.to_string())
                .with("block", status.hash.to_string())
                .with("block time", time(status.timestamp))
                .with("node's clock", time(status.now))
                .with("state root", status.state_root.to_string())
                .with("validators", format!("{members}, of which {} may fail", status.faults_tolerated))
                .with("waiting", format!("{} transactions", status.pending))
                .with("node", format!("{} version {}", context.client().url(), status.version))
                .with("ready", ready)
                .text()
        })
    }
}
