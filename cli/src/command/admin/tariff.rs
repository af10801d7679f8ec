//! `watt admin tariff`.

use std::path::PathBuf;

use ::chain::{
    id::TariffId,
    quantity::Amount,
    tariff::{PriceComponent, Tariff as Document, TariffDimension, TariffElement, TariffRestrictions},
    time::Duration,
};
use clap::{Args, Subcommand};
use contracts::call::{Call, PutTariff};

use crate::{
    command::{CommandError, Context},
    describe,
    quantity::{Instant, parse_clock, parse_instant, parse_tokens, time},
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
    Put(Put),
}

/// List tariffs
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt admin tariff list\n  watt admin tariff list --output json")]
pub struct List {}

/// Show all versions of a tariff
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt admin tariff show 1-1\n  watt admin tariff show 1-1 --output json")]
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
  watt admin tariff put 1-1 --file tariff.json --from 2026-12-01T00:00

The file holds the document as `watt admin tariff show --output json` writes it under \"tariff\". Prices include tax. The zone is a POSIX TZ rule, because the chain
knows no others.")]
pub struct Put {
    /// Which, as condominium and number
    #[arg(value_name = "TARIFF")]
    tariff: TariffId,
    /// Read the document from this JSON file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["price", "flat", "zone", "night_price", "vat"])]
    file: Option<PathBuf>,
    /// The price of a kWh in tokens
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens, required_unless_present = "file")]
    price: Option<Amount>,
    /// The price of a kWh by night
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens, requires = "night")]
    night_price: Option<Amount>,
    /// When the night is, in local time
    #[arg(long, value_name = "HH:MM-HH:MM", value_parser = parse_night, requires = "night_price")]
    night: Option<(u16, u16)>,
    /// What a session costs once
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens)]
    flat: Option<Amount>,
    /// The local time of the prices, a POSIX TZ rule
    #[arg(long, value_name = "RULE", default_value = "UTC0")]
    zone: String,
    /// The tax that the prices contain, in whole percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    vat: u32,
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
            Self::Show(command) => put_list(context, context.client().tariff_versions(command.tariff).await?).await,
            Self::Put(command) => command.run(context).await,
        }
    }
}

async fn put_list(context: &Context, tariffs: Vec<::chain::api::TariffView>) -> Result<(), CommandError> {
    let currency = context.status().await?.currency;
    context.put(&tariffs, || {
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
    })
}

impl Put {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let document = match &self.file {
            Some(path) => read(path)?,
            None => self.document(),
        };
        let status = context.status().await?;
        let version = match context.client().tariff_versions(self.tariff).await {
            Ok(versions) => versions.iter().map(|view| view.version).max().unwrap_or(0).saturating_add(1),
            Err(error) if error.problem().is_some_and(|problem| problem.status == 404) => 1,
            Err(error) => return Err(error.into()),
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

    /// The document that the flags describe: the night's element first, because the first that holds gives the price.
    fn document(&self) -> Document {
        let component = |dimension, price| PriceComponent { dimension, price };
        let energy = |price| component(TariffDimension::Energy, price);
        let mut elements = Vec::new();
        if let (Some(price), Some((start, end))) = (self.night_price, self.night) {
            let restrictions = TariffRestrictions { start_time: Some(start), end_time: Some(end), ..TariffRestrictions::default() };
            elements.push(TariffElement { price_components: vec![energy(price)], restrictions });
        }
        let mut always = vec![energy(self.price.unwrap_or_default())];
        always.extend(self.flat.map(|price| component(TariffDimension::Flat, price)));
        elements.push(TariffElement { price_components: always, restrictions: TariffRestrictions::default() });
        Document {
            time_zone: self.zone.clone(),
            elements,
            min_price: None,
            max_price: None,
            vat_basis_points: self.vat.saturating_mul(100),
            parking_grace: Duration::ZERO,
        }
    }
}

/// The most that a tariff's file may measure, in bytes: more than a transaction holds.
const MAX_FILE_BYTES: u64 = 256 << 10;

fn read(path: &PathBuf) -> Result<Document, CommandError> {
    let failed = |reason: String| CommandError::Failed(format!("{}: {reason}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if length > MAX_FILE_BYTES {
        return Err(failed(format!("a tariff's file has at most {MAX_FILE_BYTES} bytes, found {length}")));
    }
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| failed(format!("it is no tariff document: {error}")))
}
