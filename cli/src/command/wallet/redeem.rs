//! `watt wallet redeem`.

use ::chain::quantity::Amount;
use clap::Args;
use contracts::call::{Call, RequestRedeem};

use crate::{
    command::{CommandError, Context, commitment::Reference},
    quantity::{parse_tokens, tokens},
    render::Facts,
};

/// Ask for tokens to be paid out in money
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt wallet redeem 20
  watt wallet redeem 20 --reference-file iban.txt

The tokens are locked until the treasurer has paid or refused. Where the money shall go is not written to the chain, only a salted commitment to it: give the treasurer
the account number and the salt, both kept in commitments.jsonl beside your wallets.")]
pub struct Redeem {
    /// How many tokens
    #[arg(value_name = "TOKENS", value_parser = parse_tokens)]
    amount: Amount,
    #[command(flatten)]
    reference: Reference,
}

impl Redeem {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let purpose = format!("payee of a redemption of {}", tokens(self.amount, &status.currency));
        let payee = self.reference.commit(context, "account number that the money shall go to", purpose)?;
        let done = context.submit(&status, Call::RequestRedeem(RequestRedeem { amount: self.amount, payee: payee.commitment })).await?;
        let facts = Facts::new()
            .with("locked", tokens(self.amount, &done.currency))
            .with("redemption", done.id.to_string())
            .with("salt", payee.salt.to_string());
        context.put_done(&done, facts)?;
        tell!(
            "\ngive the treasurer the redemption's id, where the money shall go, and the salt: with these he can check that it was you who asked"
        );
        Ok(())
    }
}
