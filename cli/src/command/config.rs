//! `watt config`: profiles.

use clap::{Args, Subcommand, ValueEnum};

use super::{CommandError, Context};
use crate::{
    client::Client,
    csv::{self, Csv},
    profile::{DEFAULT_PROFILE, Profile, Profiles},
    render::{Output, Rows},
};

/// Keep what you do not want to type each time
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:
  watt config set node http://10.0.0.5:8420
  watt config set wallet treasurer --profile office
  watt config list
  watt --profile office admin redeem list

A flag goes before its environment variable, that before the profile, and the profile before the default. Secrets have no place here.")]
pub enum Config {
    /// Keep a value in a profile
    Set(Set),
    /// Forget a value of a profile
    Unset(Unset),
    /// List profiles and what they say
    List(List),
}

/// What a profile may say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Key {
    /// The node's address
    Node,
    /// The wallet that acts
    Wallet,
    /// The form of results: table, json or csv
    Output,
    /// The gateway's address, for orders about cards
    Gateway,
}

/// Keep a value in a profile
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt config set node http://10.0.0.5:8420\n  watt config set output json --profile script")]
pub struct Set {
    /// Which
    #[arg(value_enum, value_name = "KEY")]
    key: Key,
    /// What it shall be
    #[arg(value_name = "VALUE")]
    value: String,
}

/// Forget a value of a profile
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt config unset node\n  watt config unset wallet --profile office")]
pub struct Unset {
    /// Which
    #[arg(value_enum, value_name = "KEY")]
    key: Key,
}

/// List profiles and what they say
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt config list\n  watt config list --output json")]
pub struct List {}

impl Config {
    pub(super) fn run(self, context: &Context) -> Result<(), CommandError> {
        context.require_neither_dry_nor_offline()?;
        let mut profiles = Profiles::load(context.keystore()?.home())?;
        let name = context.options().profile.as_deref().unwrap_or(DEFAULT_PROFILE);
        match self {
            Self::Set(Set { key, value }) => {
                let mut profile = existing(&profiles, name);
                change(&mut profile, key, Some(value))?;
                profiles.put(name, profile)?;
            }
            Self::Unset(Unset { key }) => {
                let mut profile = existing(&profiles, name);
                change(&mut profile, key, None)?;
                profiles.put(name, profile)?;
            }
            Self::List(List {}) => {}
        }
        let all: std::collections::BTreeMap<&str, &Profile> = profiles.iter().collect();
        context.put_list(
            &all,
            || {
                let mut rows = Rows::new(&["PROFILE", "KEY", "VALUE"], "No profile says anything.");
                for (name, profile) in &all {
                    for (key, value) in said(profile) {
                        rows.push([(*name).to_owned(), key.to_owned(), value]);
                    }
                }
                rows.text()
            },
            || {
                let mut csv = Csv::new(&["profile", "key", "value"]);
                for (name, profile) in &all {
                    for (key, value) in said(profile) {
                        csv.push([csv::text(name), csv::text(key), csv::text(value)]);
                    }
                }
                csv
            },
        )
    }
}

fn existing(profiles: &Profiles, name: &str) -> Profile {
    profiles.iter().find(|(known, _)| *known == name).map(|(_, profile)| profile.clone()).unwrap_or_default()
}

fn change(profile: &mut Profile, key: Key, value: Option<String>) -> Result<(), CommandError> {
    let refused = |reason: String| CommandError::Usage(reason);
    match key {
        // Found now, not at the next command.
        Key::Node | Key::Gateway => {
            if let Some(url) = &value {
                Client::new(url)?;
            }
            if key == Key::Node { profile.node = value } else { profile.gateway = value }
        }
        Key::Wallet => profile.wallet = value,
        Key::Output => profile.output = value.map(|text| Output::from_str(&text, false)).transpose().map_err(refused)?,
    }
    Ok(())
}

/// What a profile says, by key.
fn said(profile: &Profile) -> Vec<(&'static str, String)> {
    let Profile { node, wallet, output, gateway } = profile;
    let output = output.and_then(|output| output.to_possible_value()).map(|value| value.get_name().to_owned());
    let all = [("node", node.clone()), ("wallet", wallet.clone()), ("output", output), ("gateway", gateway.clone())];
    all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}
