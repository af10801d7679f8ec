//! `watt admin connector`.

use ::chain::{
    id::ConnectorId,
    quantity::Currents,
    record::{Control, PlugSignal, Service},
};
use clap::{Args, Subcommand};
use contracts::call::{Call, PutConnector};

use crate::{
    command::{CommandError, Context},
    csv::{self, Csv},
    describe,
    quantity::{amperes, kwh, parse_currents},
    render::{Facts, Rows},
};

/// List connectors; make or change one (manager)
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  watt admin connector list\n  watt admin connector put 1-17 --group 1 --rated 32 --tariff 1")]
pub enum Connector {
    /// List connectors, free or busy
    List(List),
    /// Make a connector or change it; a fault on it is cleared
    Put(Put),
}

/// List connectors, free or busy
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt admin connector list
  watt admin connector list --output json

UNASSIGNED is energy that flowed while no session was open: nobody pays for it, the condominium bears it.")]
pub struct List {}

/// Make a connector or change it; a fault on it is cleared
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt admin connector put 1-17 --group 1 --rated 32 --tariff 1
  watt admin connector put 1-18 --group 1 --rated 16,0,0 --tariff 1 --plug
  watt admin connector put 1-19 --group 1 --rated 10,0,0 --tariff 1 --meter-only
  watt admin connector put 1-17 --group 1 --rated 32 --tariff 1 --out-of-service

All values are given each time: what is left out is not kept from before.")]
pub struct Put {
    /// Which, as condominium and number
    #[arg(value_name = "CONNECTOR")]
    connector: ConnectorId,
    /// The number of its group in the same condominium
    #[arg(long, value_name = "NUMBER")]
    group: u32,
    /// What each phase is rated for in A: 32, or 32,0,0 for L1 alone
    #[arg(long, value_name = "A", value_parser = parse_currents)]
    rated: Currents,
    /// The number of its tariff in the same condominium
    #[arg(long, value_name = "NUMBER")]
    tariff: u32,
    /// It has a meter and no switch
    #[arg(long)]
    meter_only: bool,
    /// It reports whether a plug is in
    #[arg(long)]
    plug: bool,
    /// Nobody may use it
    #[arg(long)]
    out_of_service: bool,
}

impl Connector {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::List(List {}) => list(context).await,
            Self::Put(command) => command.run(context).await,
        }
    }
}

async fn list(context: &Context) -> Result<(), CommandError> {
    let connectors = context.client().connectors().await?;
    context.put_list(
        &connectors,
        || {
            let columns = ["CONNECTOR", "STATE", "GROUP", "TARIFF", "RATED", "CONTROL", "PLUG", "REGISTER", "UNASSIGNED"];
            let mut rows = Rows::new(&columns, "There is no connector yet: `watt admin connector put` makes one.");
            for view in &connectors {
                let connector = &view.connector;
                let state = match (connector.fault, connector.service) {
                    (Some(found), _) => format!("fault: {}", describe::fault(found)),
                    (None, Service::OutOfService) => describe::service(Service::OutOfService).to_owned(),
                    (None, Service::InService) if connector.session.is_some() => "busy".to_owned(),
                    (None, Service::InService) if view.free => "free".to_owned(),
                    (None, Service::InService) => "not available".to_owned(),
                };
                rows.push([
                    view.id.to_string(),
                    state,
                    connector.group.to_string(),
                    connector.tariff.to_string(),
                    amperes(connector.rated),
                    describe::control(connector.control).to_owned(),
                    describe::plug(connector.plug_signal).to_owned(),
                    kwh(connector.last_register),
                    kwh(connector.unassigned),
                ]);
            }
            rows.text()
        },
        || {
            let mut csv = Csv::new(&[
                "connector",
                "free",
                "service",
                "fault",
                "session",
                "group",
                "tariff",
                "rated_l1_ma",
                "rated_l2_ma",
                "rated_l3_ma",
                "control",
                "plug",
                "register_wh",
                "unassigned_wh",
            ]);
            for view in &connectors {
                let connector = &view.connector;
                let head = [
                    csv::text(view.id),
                    csv::yes(view.free),
                    csv::word(&connector.service),
                    csv::some(connector.fault, |fault| csv::word(&fault)),
                    csv::some(connector.session, csv::text),
                    csv::number(connector.group),
                    csv::number(connector.tariff),
                ];
                let tail = [
                    csv::word(&connector.control),
                    csv::word(&connector.plug_signal),
                    csv::wh(connector.last_register),
                    csv::wh(connector.unassigned),
                ];
                csv.push(head.into_iter().chain(csv::ma(connector.rated)).chain(tail));
            }
            csv
        },
    )
}

impl Put {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let call = PutConnector {
            connector: self.connector,
            group: self.group,
            control: if self.meter_only { Control::MeterOnly } else { Control::Switched },
            plug_signal: if self.plug { PlugSignal::Reported } else { PlugSignal::None },
            rated: self.rated,
            tariff: self.tariff,
            service: if self.out_of_service { Service::OutOfService } else { Service::InService },
        };
        let done = context.submit(&status, Call::PutConnector(call)).await?;
        context.put_done(&done, Facts::new().with("connector", self.connector.to_string()))
    }
}
