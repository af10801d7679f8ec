//! `watt admin sell`.

use ::chain::{id::Address, quantity::Amount};
use clap::Args;
use contracts::call::{Call, SellTokens};

use crate::{
    command::{CommandError, Context, commitment::Reference},
    quantity::{parse_tokens, tokens},
    render::Facts,
};

/// Sell tokens that a resident has paid for (treasurer)
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt admin sell watt1... 50
  watt admin sell watt1... 50 --reference-file payment.txt
  watt admin sell watt1... 10 --no-reference --yes

A first sale registers the buyer's account. Of the payment's reference only a salted commitment goes to the chain; both are kept in commitments.jsonl beside the wallets.")]
pub struct Sell {
    /// Who buys
    #[arg(value_name = "ADDRESS")]
    account: Address,
    /// How many tokens
    #[arg(value_name = "TOKENS", value_parser = parse_tokens)]
    amount: Amount,
    /// Who sells: the buyer's home [default: the only one]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
    /// The number of the sale, so that one that is sent twice is booked once [default: the next]
    #[arg(long, value_name = "NUMBER")]
    sale: Option<u64>,
    #[command(flatten)]
    reference: Reference,
}

impl Sell {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let condominium = context.condominium(self.condominium).await?;
        let sale = match self.sale {
            Some(sale) => sale,
            None => {
                let known = context.client().condominiums().await?;
                let seller = known.iter().find(|view| view.id == condominium);
                seller.ok_or_else(|| CommandError::Failed(format!("there is no condominium {condominium}")))?.condominium.next_sale
            }
        };
        let purpose = format!("payment of sale {sale} of condominium {condominium}, {}", tokens(self.amount, &status.currency));
        let payment = self.reference.commit(context, "payment's reference", purpose)?;
        let call = SellTokens { condominium, account: self.account, amount: self.amount, sale, payment: payment.commitment };
        let done = context.submit(&status, Call::SellTokens(call)).await?;
        let facts = Facts::new()
            .with("sold", tokens(self.amount, &done.currency))
            .with("to", self.account.to_string())
            .with("sale", sale.to_string())
            .with("salt", payment.salt.to_string());
        context.put_done(&done, facts)
    }
}
