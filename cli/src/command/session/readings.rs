//! `watt session readings`.

use clap::Args;

use crate::{
    command::{CommandError, Context},
    csv::{self, Csv},
    named::Named,
    quantity::{kwh, time},
    render::Rows,
};

/// List the meter readings that were attested
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt session readings 5f0c9a\n  watt session readings 5f0c9a --output json")]
pub struct Readings {
    /// The session's id, or its first 6 digits or more
    #[arg(value_name = "SESSION")]
    id: Named,
}

impl Readings {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let readings = context.client().readings(context.session(&self.id).await?).await?;
        context.put_list(
            &readings,
            || {
                let mut rows =
                    Rows::new(&["NUMBER", "TIME", "REGISTER", "POWER", "SAMPLES", "BLOCK", "OUTCOME"], "There is no reading yet.");
                for reading in &readings {
                    rows.push([
                        reading.sequence.to_string(),
                        time(reading.at),
                        kwh(reading.register_wh),
                        format!("{} W", reading.power_w),
                        reading.sample_count.to_string(),
                        reading.height.to_string(),
                        reading.refused.map_or_else(|| "taken".to_owned(), |code| format!("refused: {}", code.text())),
                    ]);
                }
                rows.text()
            },
            || {
                let mut csv = Csv::new(&[
                    "sequence",
                    "at",
                    "register_wh",
                    "power_w",
                    "flags",
                    "samples",
                    "samples_root",
                    "height",
                    "transaction",
                    "refused",
                ]);
                for reading in &readings {
                    csv.push([
                        csv::number(reading.sequence),
                        csv::at(reading.at),
                        csv::wh(reading.register_wh),
                        csv::number(reading.power_w),
                        csv::number(reading.flags),
                        csv::number(reading.sample_count),
                        csv::text(reading.samples_root),
                        csv::number(reading.height.0),
                        csv::text(reading.transaction),
                        csv::some(reading.refused, |code| csv::text(code.slug())),
                    ]);
                }
                csv
            },
        )
    }
}
