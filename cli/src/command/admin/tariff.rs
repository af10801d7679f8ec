//! `watt admin tariff`.

mod document;
mod table;

use std::path::PathBuf;

use ::chain::{id::TariffId, quantity::Amount, tariff::Tariff as Document, time::Duration};
use clap::{Args, Subcommand};
use contracts::{
    call::{Call, PutTariff},
    tariff::find_flaw,
};

pub use self::document::read_tariff;
use crate::{
    command::{CommandError, Context},
    describe,
    quantity::{Instant, parse_clock, parse_duration, parse_instant, parse_tokens, time},
    render::{Facts, Rows},
};

/// List tariffs; add a version (manager)
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  watt admin tariff list\n  watt admin tariff put 1-1 --price 0.25 --zone UTC0")]
pub enum Tariff {
    /// List tariffs
    List(List),
    /// Show all versions of a tariff
    Show(Show),
    /// Add a version; sessions that are open keep theirs
    Put(Box<Put>),
}

/// List tariffs
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt admin tariff list\n  watt admin tariff list --output json")]
pub struct List {}

/// Show all versions of a tariff
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt admin tariff show 1-1
  watt admin tariff show 1-1 --output json

Each row is an element. For each price, the first row that has one and whose conditions hold counts; where none does, it costs nothing.")]
pub struct Show {
    /// Which, as condominium and number
    #[arg(value_name = "TARIFF")]
    tariff: TariffId,
}

/// Add a version; sessions that are open keep theirs
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt admin tariff put 1-1 --price 0.25 --zone UTC0
  watt admin tariff put 1-1 --price 0.25 --night-price 0.15 --night 22:00-07:00 --zone CET-1CEST,M3.5.0,M10.5.0/3
  watt admin tariff put 1-1 --price 0.25 --parking 2 --grace 30m --min-price 0.50 --max-price 20
  watt admin tariff put 1-1 --file tariff.json --from 2026-12-01T00:00

The file can say everything that a tariff may say: elements with prices of ENERGY (per kWh), TIME and PARKING_TIME (per hour) and FLAT (once), each under restrictions.
It holds a document as `watt admin tariff show --output json` writes it under \"tariff\"; what is left out does not restrict. Prices are micro-tokens (\"250000\") or tokens
with a point (\"0.25\"), energies watt-hours (\"10000\") or \"10 kWh\", times of day minutes (1320) or \"22:00\", spans milliseconds (\"1800000\") or \"30m\", powers watts:

  { \"time_zone\": \"CET-1CEST,M3.5.0,M10.5.0/3\", \"parking_grace\": \"30m\",
    \"elements\": [
      { \"price_components\": [{ \"dimension\": \"ENERGY\", \"price\": \"0.15\" }],
        \"restrictions\": { \"start_time\": \"22:00\", \"end_time\": \"07:00\", \"day_of_week\": [\"SATURDAY\", \"SUNDAY\"] } },
      { \"price_components\": [{ \"dimension\": \"ENERGY\", \"price\": \"0.25\" }, { \"dimension\": \"PARKING_TIME\", \"price\": \"2.00\" }] } ] }

Restrictions: start_time, end_time, day_of_week, min_energy, max_energy, min_power, max_power, min_duration, max_duration. Prices include tax. The zone is a POSIX TZ rule,
because the chain knows no others. Parking is accepted where all connectors of the tariff report their plug.")]
pub struct Put {
    /// Which, as condominium and number
    #[arg(value_name = "TARIFF")]
    tariff: TariffId,
    /// Read the document from this JSON file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["price", "flat", "zone", "night_price", "vat", "per_hour", "parking", "min_price", "max_price"])]
    file: Option<PathBuf>,
    /// The price of a kWh in tokens
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens, required_unless_present_any = ["file", "per_hour"])]
    price: Option<Amount>,
    /// The price of a kWh by night
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens, requires = "night")]
    night_price: Option<Amount>,
    /// When the night is, in local time
    #[arg(long, value_name = "HH:MM-HH:MM", value_parser = parse_night, requires = "night_price")]
    night: Option<(u16, u16)>,
    /// The price of an hour of charging
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens)]
    per_hour: Option<Amount>,
    /// The price of an hour in which a full vehicle stays plugged in
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens)]
    parking: Option<Amount>,
    /// How long a full vehicle may stay before that
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "parking")]
    grace: Option<Duration>,
    /// The least that a session costs that has used anything
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens)]
    min_price: Option<Amount>,
    /// The most that a session costs
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens)]
    max_price: Option<Amount>,
    /// What a session costs once
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens)]
    flat: Option<Amount>,
    /// The local time of the prices, a POSIX TZ rule
    #[arg(long, value_name = "RULE", default_value = "UTC0")]
    zone: String,
    /// The tax that the prices contain, in whole percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    vat: u32,
    /// The version's number [default: the next]
    #[arg(long, value_name = "N")]
    number: Option<u32>,
    /// From when it is in force: +10m, 22:00 or 2026-12-01T00:00
    #[arg(long, value_name = "TIME", value_parser = parse_instant, default_value = "+1m")]
    from: Instant,
}

fn parse_night(text: &str) -> Result<(u16, u16), String> {
    let (start, end) = text.split_once('-').ok_or("expected two times of day such as 22:00-07:00")?;
    Ok((parse_clock(start)?, parse_clock(end)?))
}

impl Tariff {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::List(List {}) => put_list(context, context.client().tariffs().await?).await,
            Self::Show(command) => {
                let versions = context.client().tariff_versions(command.tariff).await?;
                let currency = context.status().await?.currency;
                context.put_list(&versions, || table::versions(&versions, &currency), || table::csv(&versions))
            }
            Self::Put(command) => command.run(context).await,
        }
    }
}

async fn put_list(context: &Context, tariffs: Vec<::chain::api::TariffView>) -> Result<(), CommandError> {
    let currency = context.status().await?.currency;
    context.put_list(
        &tariffs,
        || {
            let mut rows =
                Rows::new(&["TARIFF", "VERSION", "FROM", "STATE", "", ""], "There is no tariff yet: `watt admin tariff put` makes one.");
            for view in &tariffs {
                let state = if view.in_force { "in force" } else { "-" };
                let mut head = [view.id.to_string(), view.version.to_string(), time(view.valid_from), state.to_owned()];
                for (name, value) in describe::tariff(&view.tariff, &currency) {
                    let [id, version, from, state] = head;
                    rows.push([id, version, from, state, name.to_owned(), value]);
                    head = Default::default();
                }
            }
            rows.text()
        },
        || table::csv(&tariffs),
    )
}

/// The version after all that there are.
async fn next_version(context: &Context, tariff: TariffId) -> Result<u32, CommandError> {
    match context.client().tariff_versions(tariff).await {
        Ok(versions) => Ok(versions.iter().map(|view| view.version).max().unwrap_or(0).saturating_add(1)),
        Err(error) if error.problem().is_some_and(|problem| problem.status == 404) => Ok(1),
        Err(error) => Err(error.into()),
    }
}

impl Put {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let document = match &self.file {
            Some(path) => document::read(path)?,
            None => self.document(),
        };
        // The chain would refuse it too, without the place.
        find_flaw(&document).map_err(|flaw| {
            let text = format!("the tariff cannot be billed: {flaw}");
            if self.file.is_some() { CommandError::Failed(text) } else { CommandError::Usage(text) }
        })?;
        let status = context.status().await?;
        let version = match self.number {
            Some(number) => number,
            None => next_version(context, self.tariff).await?,
        };
        let valid_from = self.from.resolve(status.now.max(status.timestamp));
        let call = PutTariff { tariff: self.tariff, version, valid_from, document };
        let done = context.submit(&status, Call::PutTariff(call)).await?;
        let facts = Facts::new()
            .with("tariff", self.tariff.to_string())
            .with("version", version.to_string())
            .with("in force from", time(valid_from));
        context.put_done(&done, facts)
    }

    fn document(&self) -> Document {
        document::Simple {
            price: self.price,
            night: self.night_price.zip(self.night),
            per_hour: self.per_hour,
            parking: self.parking,
            grace: self.grace.unwrap_or_default(),
            flat: self.flat,
            min_price: self.min_price,
            max_price: self.max_price,
            zone: &self.zone,
            vat_percent: self.vat,
        }
        .document()
    }
}
