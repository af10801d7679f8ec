//! `watt chain block`.

use ::chain::id::Height;
use clap::Args;

use crate::{
    command::{CommandError, Context},
    csv::{self, Csv},
    quantity::time,
    render::{Facts, Rows},
};

/// Show a block, or list the newest
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt chain block\n  watt chain block 17\n  watt chain block --before 100 --limit 50")]
pub struct Block {
    /// Its height, or its hash in 64 hexadecimal digits
    #[arg(value_name = "HEIGHT|HASH", value_parser = parse_name)]
    block: Option<String>,
    /// List those below this height
    #[arg(long, value_name = "HEIGHT", conflicts_with = "block")]
    before: Option<u64>,
    /// How many to list
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

fn parse_name(text: &str) -> Result<String, String> {
    let is_height = text.parse::<u64>().is_ok() && text.len() < 21;
    if is_height || ::chain::hash::Hash32::from_hex(text).is_some() {
        Ok(text.to_owned())
    } else {
        Err("expected a height such as 17, or a hash of 64 hexadecimal digits".to_owned())
    }
}

impl Block {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Some(name) = self.block else {
            let page = context.client().blocks(self.before.map(Height), self.limit).await?;
            return context.put_list(
                &page,
                || {
                    let mut rows = Rows::new(&["HEIGHT", "TIME", "TRANSACTIONS", "HASH"], "There is no block yet.");
                    for block in &page.items {
                        let header = &block.header;
                        rows.push([
                            header.height.to_string(),
                            time(header.timestamp),
                            block.transactions.len().to_string(),
                            block.hash.to_string(),
                        ]);
                    }
                    rows.text()
                },
                || {
                    let mut csv = Csv::new(&["height", "time", "transactions", "hash", "proposer", "round"]);
                    for block in &page.items {
                        let header = &block.header;
                        csv.push([
                            csv::number(header.height.0),
                            csv::at(header.timestamp),
                            csv::number(block.transactions.len() as u64),
                            csv::text(block.hash),
                            csv::text(header.proposer),
                            csv::number(block.round),
                        ]);
                    }
                    csv
                },
            );
        };
        let block = context.client().block(&name).await?;
        if block.header.hash() != block.hash {
            return Err(CommandError::Verification(format!("the header's hash is {}, the node says {}", block.header.hash(), block.hash)));
        }
        context.put(&block, || {
            let header = &block.header;
            let facts = Facts::new()
                .with("height", header.height.to_string())
                .with("hash", block.hash.to_string())
                .with("parent", header.parent.to_string())
                .with("time", time(header.timestamp))
                .with("proposer", header.proposer.to_string())
                .with("round", block.round.to_string())
                .with("state root", header.state_root.to_string())
                .with("receipts root", header.receipts_root.to_string())
                .with("transactions root", header.transactions_root.to_string());
            block.transactions.iter().fold(facts, |facts, id| facts.with("transaction", id.to_string())).text()
        })
    }
}
