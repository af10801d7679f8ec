//! Whether a role's next key may take the place of the one in use, by what the node knows of the chain.
//!
//! It moves no file: that is [`keys::adopt_next`]. Called by `wattd key adopt`, through the doctor.

use chain::{
    crypto::address_of,
    diagnosis::Diagnosis,
    id::{Address, CondominiumId, Height},
    record::Role,
};
use contracts::{ledger::Ledger, roles};

use super::{Known, read_keys, running};
use crate::{
    config::Config,
    data_dir::{DataDir, DataDirError},
    keys::{self, KeyError, KeyName},
    store::Reader,
};

/// Why the next key may not take the place of the one in use; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AdoptionError {
    /// The chain has not given it the role.
    #[error(
        "key_without_role: condominium {condominium} has not given {next} the role, as far as this node has the chain (height {height}): in the old key's place it \
         would leave the node without the role there. Nothing was changed. First the manager: watt admin role rotate {role} --from {old} --to {next}; then, once \
         wattd doctor says \"the next key has taken over\", adopt it"
    )]
    NotGranted {
        /// The role's name, as commands take it.
        role: &'static str,
        /// Where.
        condominium: CondominiumId,
        /// The key in use.
        old: Address,
        /// The one that was to take over.
        next: Address,
        /// The newest block that this node knows.
        height: Height,
    },
    /// Nobody here can say who holds the role.
    #[error(
        "role_unknown: whether the chain has given the next key the role cannot be seen: {0}. Nothing was changed, and nothing is urgent: a running node signs \
         with whichever of the two keys holds the role. Start the node, let it reach the others' height, and adopt then"
    )]
    Unknown(String),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Goes on only where the next key holds the role wherever the one in use does, and in the node's own condominium; also where there is no next key, or the
/// name's key has no role of the chain.
///
/// A running node is asked, the database of a stopped one is read.
///
/// # Errors
/// [`AdoptionError`].
pub fn require_granted(data: &DataDir, name: KeyName) -> Result<(), AdoptionError> {
    let role = match name {
        KeyName::Gateway => Role::Gateway,
        KeyName::Scheduler => Role::Scheduler,
        KeyName::Validator | KeyName::Network | KeyName::Manager | KeyName::Treasurer | KeyName::Revenue => return Ok(()),
    };
    let Some(next) = keys::read_next(&name.next_file(data.path()))?.as_ref().map(address_of) else { return Ok(()) };
    let old = address_of(&keys::read(&name.file(data.path()))?);
    let genesis = data.genesis().map_err(|error| AdoptionError::Unknown(error.to_string()))?;
    let config = Config::read(&data.config_file()).map_err(|error| AdoptionError::Unknown(error.to_string()))?;
    let keys = read_keys(data, &config, &mut Diagnosis::default());
    let known = Known { data, genesis: &genesis, config: &config, keys };
    let validator = known.key(KeyName::Validator).map(address_of);
    let own = genesis.validators.iter().find(|member| Some(member.address) == validator).map(|member| member.condominium);

    let (height, held) = held(&known, role, [old, next]).map_err(AdoptionError::Unknown)?;
    let holds = |condominium, account| held.contains(&(condominium, account));
    let somewhere = genesis.condominiums.iter().map(|condominium| condominium.id).find(|id| holds(*id, next));
    let needed = |id: &CondominiumId| Some(*id) == own || holds(*id, old) || somewhere.is_none();
    let lost = genesis.condominiums.iter().map(|condominium| condominium.id).find(|id| needed(id) && !holds(*id, next));
    match lost {
        None => Ok(()),
        Some(condominium) => Err(AdoptionError::NotGranted { role: name.name(), condominium, old, next, height }),
    }
}

/// The newest height, and where these accounts hold the role after it.
fn held(known: &Known<'_>, role: Role, accounts: [Address; 2]) -> Result<(Height, Vec<(CondominiumId, Address)>), String> {
    let _lock = match known.data.lock() {
        Ok(lock) => lock,
        Err(DataDirError::InUse { .. }) => {
            let (height, grants) = running::roles(known)?;
            let ours = |view: &&chain::api::RoleView| view.role == role && view.grant.holds_at(height.next());
            return Ok((height, grants.iter().filter(ours).map(|view| (view.condominium, view.account)).collect()));
        }
        Err(error) => return Err(error.to_string()),
    };
    if !known.data.database().exists() {
        return Err("there is no chain here yet".to_owned());
    }
    let reader = Reader::open(&known.data.database()).map_err(|error| error.to_string())?;
    let snapshot = reader.snapshot().map_err(|error| error.to_string())?;
    let (height, ledger) = (snapshot.tip().height, Ledger::new(&snapshot));
    let mut held = Vec::new();
    for condominium in &known.genesis.condominiums {
        for account in accounts {
            if roles::holds(&ledger, height.next(), condominium.id, role, &account).map_err(|fault| fault.to_string())? {
                held.push((condominium.id, account));
            }
        }
    }
    Ok((height, held))
}
