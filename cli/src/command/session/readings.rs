//! `watt session readings`.

use clap::Args;

use crate::{
    command::{CommandError, Context},
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
        context.put(&readings, || {
            let mut rows = Rows::new(&["NUMBER", "TIME", "REGISTER", "POWER", "SAMPLES", "BLOCK", "OUTCOME"], "There is no reading yet.");
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
        })
    }
}
