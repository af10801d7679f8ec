//! Whether a unit's connector is one that this node's gateway can serve.
//!
//! Condominiums are those of genesis for ever: one that is not there is refused. Connectors are made by managers, perhaps tomorrow, and keys may get roles
//! elsewhere: what does not fit yet is told with the next step. It writes nothing. Called by `wattd unit add` before it writes.

use chain::{
    crypto::address_of,
    diagnosis::Diagnosis,
    id::{CondominiumId, ConnectorId},
};
use contracts::{genesis::Genesis, ledger::Ledger};

use super::{Known, read_keys, running};
use crate::{
    config::Config,
    data_dir::{DataDir, DataDirError},
    keys::KeyName,
    scheduler,
    store::Reader,
};

/// The most connectors that a warning lists.
const MAX_LISTED: usize = 20;

/// No unit can ever serve a connector there.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("connector {connector} is of no condominium of this chain, which has {known}: nothing was added")]
pub struct NoCondominium {
    /// What was asked for.
    pub connector: ConnectorId,
    /// Those that there are, with their names.
    pub known: String,
}

/// What whoever gives this connector a unit should know; nothing where all is well, or where there is no node yet that could say.
///
/// A running node is asked, the database of a stopped one is read.
///
/// # Errors
/// [`NoCondominium`].
pub fn warn_of_place(data: &DataDir, connector: ConnectorId) -> Result<Option<String>, NoCondominium> {
    let Ok(genesis) = data.genesis() else { return Ok(None) };
    let name = |id: CondominiumId| {
        let of = genesis.condominiums.iter().find(|condominium| condominium.id == id);
        of.map_or_else(|| id.to_string(), |condominium| format!("{id} ({})", condominium.name))
    };
    if genesis.condominiums.iter().all(|condominium| condominium.id != connector.condominium) {
        let known: Vec<String> = genesis.condominiums.iter().map(|condominium| name(condominium.id)).collect();
        return Err(NoCondominium { connector, known: known.join(", ") });
    }
    let Ok(config) = Config::read(&data.config_file()) else { return Ok(None) };
    let keys = read_keys(data, &config, &mut Diagnosis::default());
    let known = Known { data, genesis: &genesis, config: &config, keys };
    let own = condominium_of(&known, &genesis).unwrap_or(connector.condominium);
    let there = connectors(&known, own).ok();
    let has = there.as_ref().map_or_else(String::new, |there| match there.as_slice() {
        [] => format!(" Condominium {} has no connector yet.", name(own)),
        some => {
            let listed: Vec<String> = some.iter().take(MAX_LISTED).map(ToString::to_string).collect();
            let more = if some.len() > MAX_LISTED { format!(" and {} more", some.len() - MAX_LISTED) } else { String::new() };
            format!(" Condominium {} has {}{more}.", name(own), listed.join(", "))
        }
    });
    let undo = "If it is a slip, take the unit out of units.json again";
    if own != connector.condominium {
        return Ok(Some(format!(
            "connector {connector} is of condominium {}, and this node of {}: its gateway serves it only with the role there.{has} {undo}",
            name(connector.condominium),
            name(own)
        )));
    }
    let is_missing = there.is_some_and(|there| !there.contains(&connector));
    Ok(is_missing.then(|| {
        format!("the chain has no connector {connector} yet.{has} {undo}; else a manager makes the connector: watt admin connector put {connector} --help")
    }))
}

/// The condominium whose validator this is or, of an observer, which gave its gateway the role at genesis.
fn condominium_of(known: &Known<'_>, genesis: &Genesis) -> Option<CondominiumId> {
    let [validator, gateway] = [KeyName::Validator, KeyName::Gateway].map(|name| known.key(name).map(address_of));
    let votes = genesis.validators.iter().find(|member| Some(member.address) == validator).map(|member| member.condominium);
    votes.or_else(|| {
        let serves = |condominium: &&contracts::genesis::GenesisCondominium| {
            condominium.roles.iter().any(|held| held.role == chain::record::Role::Gateway && Some(held.account) == gateway)
        };
        genesis.condominiums.iter().find(serves).map(|condominium| condominium.id)
    })
}

/// The connectors of a condominium, as this node has the chain.
fn connectors(known: &Known<'_>, condominium: CondominiumId) -> Result<Vec<ConnectorId>, String> {
    let _lock = match known.data.lock() {
        Ok(lock) => lock,
        Err(DataDirError::InUse { .. }) => return running::connectors_of(known, condominium),
        Err(error) => return Err(error.to_string()),
    };
    if !known.data.database().exists() {
        return Err("there is no chain here yet".to_owned());
    }
    let reader = Reader::open(&known.data.database()).map_err(|error| error.to_string())?;
    let snapshot = reader.snapshot().map_err(|error| error.to_string())?;
    scheduler::connectors(&Ledger::new(&snapshot), condominium).map_err(|fault| fault.to_string())
}
