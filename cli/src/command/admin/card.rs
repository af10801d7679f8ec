//! `watt admin card`: which cards start charges, for whom.
//!
//! The chain gets a commitment; the card's number goes nowhere, and the key of the commitment to the gateway alone.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::PathBuf,
};

use ::chain::{
    card_order::{CardAction, CardOrder},
    crypto,
    hash::Hash32,
    id::{Address, CardId, CondominiumId, ConnectorId},
    record::Control,
};
use clap::{Args, Subcommand};
use contracts::call::{BindCard, Call};
use zeroize::Zeroizing;

use crate::{
    client::Client,
    command::{
        CommandError, Context,
        present::Present,
        secret::{Lines, Source},
    },
    csv::{self, Csv},
    quantity::{parse_hash, time},
    render::{Facts, Rows},
};

/// Where the gateway takes orders, where nobody says.
const DEFAULT_GATEWAY: &str = "http://127.0.0.1:8421";

/// The longest number that a card has, in bytes.
const MAX_UID_BYTES: usize = 10;

/// List cards; bind or erase one (manager)
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:
  watt admin card bind watt1... --wallet manager
  watt admin card list
  watt admin card erase CARD --wallet manager")]
pub enum Card {
    /// Bind a card to an account
    Bind(Bind),
    /// Destroy a card's key at the gateway and release the card on the chain
    Erase(Erase),
    /// List the cards that are bound
    List(List),
}

/// Where the orders go.
#[derive(Args, Debug)]
struct Where {
    /// The condominium [default: the only one]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
    /// The gateway's address [default: http://127.0.0.1:8421]
    #[arg(long, env = "WATT_GATEWAY", value_name = "URL")]
    gateway: Option<String>,
}

impl Where {
    /// The address that was given, or the profile's, or this machine's.
    fn gateway<'a>(&'a self, context: &'a Context) -> &'a str {
        self.gateway.as_deref().or(context.options().gateway.as_deref()).unwrap_or(DEFAULT_GATEWAY)
    }
}

/// Bind a card to an account
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt admin card bind watt1...
  watt admin card bind watt1... --uid-file card.txt --gateway http://10.0.0.5:8421
  watt admin card bind watt1... --point 1-19

With --point there is no card: the account's mandate pays for whoever draws at that connector, which has a meter and no switch (docs/mandates.md).
Otherwise the card's number, as phone apps and readers show it (04:A2:24:…), is asked for and kept nowhere: the chain gets a commitment, the gateway the key of it.
A number can be copied: what a card may start is bounded by its owner's mandate.")]
pub struct Bind {
    /// Whose card it is
    #[arg(value_name = "ADDRESS")]
    account: Address,
    /// Read the card's number from the first line of this file, which only you may read
    #[arg(long, value_name = "FILE")]
    uid_file: Option<PathBuf>,
    /// Read the card's number from this open file descriptor
    #[arg(long, value_name = "N", conflicts_with = "uid_file")]
    uid_fd: Option<u32>,
    /// Bind this connector itself in place of a card: a meter without a switch
    #[arg(long, value_name = "CONNECTOR", conflicts_with_all = ["uid_file", "uid_fd"])]
    point: Option<ConnectorId>,
    #[command(flatten)]
    place: Where,
}

/// Destroy a card's key at the gateway and release the card on the chain
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt admin card erase CARD
  watt admin card erase CARD --gateway http://10.0.0.5:8421

Without the key nobody can tell which card it was. A manager erases any card, its owner his own.")]
pub struct Erase {
    /// The card's commitment, as `watt admin card list` shows it
    #[arg(value_name = "CARD", value_parser = parse_hash)]
    card: Hash32,
    #[command(flatten)]
    place: Where,
}

/// List the cards that are bound
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt admin card list\n  watt admin card list --account watt1...")]
pub struct List {
    /// Only this account's
    #[arg(long, value_name = "ADDRESS")]
    account: Option<Address>,
    /// Where [default: everywhere]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
}

impl Card {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Bind(command) => command.run(context).await,
            Self::Erase(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
        }
    }
}

impl Bind {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let condominium = match self.point {
            Some(point) => self.check_point(context, point).await?,
            None => context.condominium(self.place.condominium).await?,
        };
        let status = context.status().await?;
        let key = Hash32(rand::random());
        let card = match self.point {
            Some(point) => CardId::commit_point(&key, point),
            None => CardId::commit(&key, &self.uid()?),
        };
        // The key first: a card that is bound without it would be bound for nothing.
        order(context, &status, self.place.gateway(context), (condominium, card), CardAction::Keep(key)).await?;
        let call = BindCard { condominium, card, account: Some(self.account) };
        let done = context.submit(&status, Call::BindCard(call)).await?;
        let facts = Facts::new().with("card", card.to_string()).with("bound to", self.account.to_string());
        context.put_done(&done, facts.with_some("for connector", self.point.map(|point| point.to_string())))
    }

    /// The condominium of a connector that can be bound itself.
    async fn check_point(&self, context: &Context, point: ConnectorId) -> Result<CondominiumId, CommandError> {
        if self.place.condominium.is_some_and(|condominium| condominium != point.condominium.0) {
            return Err(CommandError::Usage(format!("connector {point} is not in that condominium")));
        }
        match context.client().connector(point).await?.connector.control {
            Control::MeterOnly => Ok(point.condominium),
            Control::Switched => Err(CommandError::Failed(format!(
                "connector {point} has a switch: a card or a wallet starts a charge there (see `watt admin connector list`)"
            ))),
        }
    }

    fn uid(&self) -> Result<Zeroizing<Vec<u8>>, CommandError> {
        let flags = "--uid-file FILE or --uid-fd N";
        let text = match Source::of(self.uid_file.clone(), self.uid_fd) {
            Source::Prompt if std::io::stdin().is_terminal() => {
                tell_on!("the card's number: ");
                std::io::stderr().flush()?;
                let mut line = Zeroizing::new(String::new());
                std::io::stdin().lock().read_line(&mut line)?;
                line
            }
            Source::Prompt => {
                return Err(CommandError::Usage(format!("there is no terminal to ask for the card's number: give it with {flags}")));
            }
            source @ (Source::File(_) | Source::Descriptor(_)) => source.read("card's number", flags, Lines::First)?,
        };
        parse_uid(&text).ok_or_else(|| {
            CommandError::Failed("a card's number is 1 to 10 bytes in hexadecimal digits, such as 04:A2:24:6F:11:22:33".to_owned())
        })
    }
}

/// The bytes of a card's number; colons, dashes and spaces between them do not matter.
fn parse_uid(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits: Zeroizing<String> = Zeroizing::new(text.trim().chars().filter(|sign| !matches!(sign, ':' | '-' | ' ')).collect());
    let bytes = Zeroizing::new(hex::decode(digits.as_bytes()).ok()?);
    (1..=MAX_UID_BYTES).contains(&bytes.len()).then_some(bytes)
}

impl Erase {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let condominium = context.condominium(self.place.condominium).await?;
        let status = context.status().await?;
        let card = CardId(self.card);
        order(context, &status, self.place.gateway(context), (condominium, card), CardAction::Erase).await?;
        if !context.options().dry_run {
            tell!("the gateway has destroyed the card's key");
        }
        let call = BindCard { condominium, card, account: None };
        let done = context.submit(&status, Call::BindCard(call)).await?;
        context.put_done(&done, Facts::new().with("erased", card.to_string()))
    }
}

/// Signs an order about a card and has the gateway follow it.
async fn order(
    context: &Context,
    status: &Present,
    gateway: &str,
    (condominium, card): (CondominiumId, CardId),
    action: CardAction,
) -> Result<(), CommandError> {
    let entry = context.entry()?;
    let at = status.now;
    let title = match action {
        CardAction::Keep(_) => "Have the gateway keep the key of a card",
        CardAction::Erase => "Have the gateway destroy the key of a card, for good",
    };
    let mut lines = [
        ("condominium", condominium.to_string()),
        ("card", card.to_string()),
        ("at the gateway", gateway.to_owned()),
        ("signed at", time(at)),
        ("as account", entry.address.to_string()),
    ];
    context.name_condominiums(&mut lines).await;
    // What is only tried brings no key to the gateway, and destroys none.
    if context.options().dry_run {
        let facts = lines.iter().fold(Facts::new(), |facts, (name, value)| facts.with(name, value.as_str()));
        tell!("would first be signed and sent to the gateway: {title}\n{}", facts.text());
        return Ok(());
    }
    if context.is_offline() {
        return Err(CommandError::Usage("the gateway must be reached for this: leave out --offline".to_owned()));
    }
    context.confirm(title, &lines)?;
    let key = context.unlock(&entry)?.key();
    let order = CardOrder { chain_id: status.chain_id, signer: crypto::address_of(&key), at, condominium, card, action };
    let bytes = order.sign(&key).ok_or_else(|| CommandError::Failed("the order cannot be encoded".to_owned()))?;
    let done = Client::new(gateway)?.card_order(&bytes).await?;
    if done.card == card { Ok(()) } else { Err(CommandError::Verification(format!("the gateway answers for card {}", done.card))) }
}

impl List {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let cards = context.client().cards(self.condominium.map(CondominiumId), self.account).await?;
        context.put_list(
            &cards,
            || {
                let mut rows = Rows::new(&["CONDOMINIUM", "CARD", "ACCOUNT", "SINCE"], "No card is bound.");
                for view in &cards {
                    rows.push([view.condominium.to_string(), view.id.to_string(), view.card.account.to_string(), time(view.card.bound_at)]);
                }
                rows.text()
            },
            || {
                let mut csv = Csv::new(&["condominium", "card", "account", "bound_at"]);
                for view in &cards {
                    csv.push([
                        csv::number(view.condominium.0),
                        csv::text(view.id),
                        csv::text(view.card.account),
                        csv::at(view.card.bound_at),
                    ]);
                }
                csv
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::parse_uid;

    #[test]
    fn a_cards_number_is_read_however_readers_show_it() {
        let expected = [0x04, 0xa2, 0x24, 0x6f];
        for text in ["04:A2:24:6F", "04a2246f\n", "04-A2-24-6F", " 04 a2 24 6f "] {
            assert_eq!(parse_uid(text).unwrap().as_slice(), expected, "{text:?}");
        }
        for wrong in ["", "04:A", "04:G2", "0102030405060708090a0b"] {
            assert!(parse_uid(wrong).is_none(), "{wrong:?}");
        }
    }
}
