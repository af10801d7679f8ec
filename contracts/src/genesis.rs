//! The beginning of a chain: its condominiums, first accounts, roles, validators and parameters.
//!
//! The document's hash is the chain id: two nodes with different documents are on different chains and refuse each other. It never changes; what may change
//! (parameters, validators, roles) is copied into the state and changes there. Called by `wattd init`, by the node at start and by auditors.

use std::collections::BTreeSet;

pub use chain::genesis_kind::NetworkKind;
use chain::{
    certificate::{Validator, ValidatorSet, ValidatorSetError},
    codec,
    hash::{Context, Hash32},
    id::{Address, ChainId, CondominiumId, Height},
    params::Params,
    quantity::Amount,
    record::{Account, Condominium, Key, Role, RoleGrant, Signer, SignerScope},
    state::{Change, MemoryState},
    time::Timestamp,
    words::steers,
};
use serde::{Deserialize, Serialize};

use crate::{failure::Fault, ledger::Ledger, money::MAX_SUPPLY};

/// The version of document that this code reads.
pub const GENESIS_VERSION: u32 = 1;

/// The longest name of a network or a condominium, in bytes.
pub const MAX_NAME_BYTES: usize = 32;

/// The most condominiums and the most accounts of a document.
pub const MAX_CONDOMINIUMS: usize = 1_024;
/// The most accounts of a document.
pub const MAX_ACCOUNTS: usize = 100_000;

/// The first facts of a chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// [`GENESIS_VERSION`].
    pub version: u32,
    /// A name for people; 1 to 32 bytes.
    pub network: String,
    /// Whether it is played or meant.
    pub kind: NetworkKind,
    /// The time before which no block is made.
    pub timestamp: Timestamp,
    /// The accounting currency that one token stands for (ISO 4217, three capital letters).
    pub currency: String,
    /// The first parameters.
    pub params: Params,
    /// The condominiums, in ascending order of id.
    pub condominiums: Vec<GenesisCondominium>,
    /// The first accounts; those named by a condominium or a role must be among them.
    pub accounts: Vec<GenesisAccount>,
    /// The first validators.
    pub validators: Vec<GenesisValidator>,
}

/// A condominium at the beginning.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GenesisCondominium {
    /// Its number.
    pub id: CondominiumId,
    /// A short name for people.
    pub name: String,
    /// The account that settlements pay.
    pub revenue: Address,
    /// The most that may be sold in one UTC day.
    pub mint_cap_per_day: Amount,
    /// The most that any other condominium may owe it.
    pub position_limit: Amount,
    /// Who holds which role from the first height on; at least one manager.
    pub roles: Vec<GenesisRole>,
}

/// A role at the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GenesisRole {
    /// Which.
    pub role: Role,
    /// Whose.
    pub account: Address,
}

/// An account at the beginning; without tokens, because every token was sold by somebody.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// Its key.
    pub address: Address,
    /// Its home.
    pub home: CondominiumId,
    /// The most that its debt may reach.
    pub credit_limit: Amount,
}

/// A validator at the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GenesisValidator {
    /// Its consensus key.
    pub address: Address,
    /// Its weight in votes.
    #[serde(with = "chain::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = chain::openapi::Decimal))]
    pub power: u64,
    /// Whose node it is.
    pub condominium: CondominiumId,
    /// The ed25519 public key of its node in the network, other than its consensus key.
    pub network_key: Hash32,
}

/// A document that is no beginning of a chain.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GenesisError {
    /// Another version.
    #[error("genesis version {found}, expected {GENESIS_VERSION}: use the program that it was made for")]
    Version {
        /// The document's version.
        found: u32,
    },
    /// A name that is empty, too long, or has characters that nobody sees.
    #[error(
        "a name has 1 to {MAX_NAME_BYTES} bytes of UTF-8 (a letter with an accent takes 2) and no character that is not seen, such as controls, line ends and changes of \
         direction; found {found} bytes: {name:?}",
        found = .0.len(),
        name = .0
    )]
    Name(String),
    /// A currency that is none.
    #[error("the currency is three capital letters (ISO 4217), found {0:?}")]
    Currency(String),
    /// None or too many of something.
    #[error("{what}: expected 1 to {limit}, found {found}")]
    Count {
        /// Of what.
        what: &'static str,
        /// The most.
        limit: usize,
        /// How many.
        found: usize,
    },
    /// Condominiums not in ascending order.
    #[error("condominiums are listed in ascending order of id, each once; {0} is not")]
    Order(CondominiumId),
    /// An account listed twice.
    #[error("account {0} is listed twice")]
    AccountTwice(Address),
    /// A condominium that is named and not listed.
    #[error("condominium {0} is named but not listed")]
    UnknownCondominium(CondominiumId),
    /// An account that is named and not listed.
    #[error("account {0} is named by a condominium but not listed among the accounts")]
    UnknownAccount(Address),
    /// Credit that, all of it drawn, could leave no room for what was sold.
    #[error("all credit limits together must not exceed {MAX_SUPPLY} tokens, found {found}: a settlement could leave the range of numbers")]
    Credit {
        /// All limits together, or as much of them as a number holds.
        found: Amount,
    },
    /// A condominium without a manager.
    #[error("condominium {0} has no manager")]
    NoManager(CondominiumId),
    /// Validators that make no set.
    #[error(transparent)]
    Validators(#[from] ValidatorSetError),
    /// One key for voting and for the network.
    #[error("validator {0} uses its consensus key in the network too: make another for the network")]
    SharedKey(Address),
    /// A parameter that cannot work.
    #[error("parameter {0}")]
    Parameter(&'static str),
    /// The state could not be made.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Genesis {
    /// The chain's id: the hash of the document.
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        // Our own types always encode; an empty digest would match no chain.
        ChainId(codec::encode(self).map_or(Hash32::ZERO, |bytes| Context::Genesis.hash(&[&bytes])))
    }

    /// The first validator set.
    ///
    /// # Errors
    /// [`ValidatorSetError`].
    pub fn validator_set(&self) -> Result<ValidatorSet, ValidatorSetError> {
        ValidatorSet::new(self.validators.iter().map(|member| Validator { address: member.address, power: member.power }).collect())
    }

    /// Whether the document is a beginning of a chain.
    ///
    /// # Errors
    /// The first [`GenesisError`].
    pub fn check(&self) -> Result<(), GenesisError> {
        if self.version != GENESIS_VERSION {
            return Err(GenesisError::Version { found: self.version });
        }
        check_name(&self.network)?;
        if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(GenesisError::Currency(self.currency.clone()));
        }
        check_count("condominiums", self.condominiums.len(), MAX_CONDOMINIUMS)?;
        check_count("accounts", self.accounts.len(), MAX_ACCOUNTS)?;
        check_params(&self.params)?;

        let mut condominiums = BTreeSet::new();
        for condominium in &self.condominiums {
            check_name(&condominium.name)?;
            if condominiums.last().is_some_and(|last| *last >= condominium.id) {
                return Err(GenesisError::Order(condominium.id));
            }
            condominiums.insert(condominium.id);
        }
        // Sales are bounded by the same number, so that balances, holds and debts together stay within half the range of an amount.
        let credit = self.accounts.iter().try_fold(Amount::ZERO, |sum, account| sum.checked_add(account.credit_limit));
        if credit.is_none_or(|credit| credit > MAX_SUPPLY) {
            return Err(GenesisError::Credit { found: credit.unwrap_or(Amount::from_micro(u64::MAX)) });
        }
        let mut accounts = BTreeSet::new();
        for account in &self.accounts {
            if !condominiums.contains(&account.home) {
                return Err(GenesisError::UnknownCondominium(account.home));
            }
            if !accounts.insert(account.address) {
                return Err(GenesisError::AccountTwice(account.address));
            }
        }
        for condominium in &self.condominiums {
            let named = condominium.roles.iter().map(|grant| grant.account).chain([condominium.revenue]);
            for address in named {
                if !accounts.contains(&address) {
                    return Err(GenesisError::UnknownAccount(address));
                }
            }
            if !condominium.roles.iter().any(|grant| grant.role == Role::Manager) {
                return Err(GenesisError::NoManager(condominium.id));
            }
        }
        for validator in &self.validators {
            if !condominiums.contains(&validator.condominium) {
                return Err(GenesisError::UnknownCondominium(validator.condominium));
            }
            if validator.network_key.0 == validator.address.0 {
                return Err(GenesisError::SharedKey(validator.address));
            }
        }
        self.validator_set()?;
        Ok(())
    }

    /// The keys that hold more than one role in a condominium: allowed, and worth a warning.
    #[must_use]
    pub fn shared_roles(&self) -> Vec<(CondominiumId, Address, Vec<Role>)> {
        let mut shared = Vec::new();
        for condominium in &self.condominiums {
            let addresses: BTreeSet<_> = condominium.roles.iter().map(|grant| grant.account).collect();
            for address in addresses {
                let roles: Vec<_> = condominium.roles.iter().filter(|grant| grant.account == address).map(|grant| grant.role).collect();
                if roles.len() > 1 {
                    shared.push((condominium.id, address, roles));
                }
            }
        }
        shared
    }

    /// The first state, as changes to an empty one, in order of key.
    ///
    /// # Errors
    /// As [`Genesis::check`], which it makes first.
    pub fn state(&self) -> Result<Vec<Change>, GenesisError> {
        self.check()?;
        let empty = MemoryState::new();
        let mut ledger = Ledger::new(&empty);
        ledger.put(&Key::Params, &self.params)?;
        ledger.put(&Key::Validators, &self.validator_set()?)?;
        for condominium in &self.condominiums {
            let record = Condominium {
                name: condominium.name.clone(),
                revenue: condominium.revenue,
                mint_cap_per_day: condominium.mint_cap_per_day,
                position_limit: condominium.position_limit,
                minted: Amount::ZERO,
                redeemed: Amount::ZERO,
                next_sale: 1,
                mint_day: 0,
                minted_today: Amount::ZERO,
            };
            ledger.put(&Key::Condominium(condominium.id), &record)?;
            for grant in &condominium.roles {
                ledger.put(&Key::Role(condominium.id, grant.role, grant.account), &RoleGrant { from: Height(0), until: None })?;
            }
        }
        for account in &self.accounts {
            let record = Account {
                home: account.home,
                balance: Amount::ZERO,
                held: Amount::ZERO,
                debt: Amount::ZERO,
                credit_limit: account.credit_limit,
            };
            ledger.put(&Key::Account(account.address), &record)?;
            ledger.put(&Key::Signer(account.address), &Signer { account: account.address, scope: SignerScope::Owner, nonce: 0 })?;
        }
        Ok(ledger.into_changes())
    }
}

fn check_name(name: &str) -> Result<(), GenesisError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(steers) {
        return Err(GenesisError::Name(name.to_owned()));
    }
    Ok(())
}

const fn check_count(what: &'static str, found: usize, limit: usize) -> Result<(), GenesisError> {
    if found == 0 || found > limit {
        return Err(GenesisError::Count { what, limit, found });
    }
    Ok(())
}

fn check_params(params: &Params) -> Result<(), GenesisError> {
    let smallest = chain::transaction::MAX_TRANSACTION_BYTES.saturating_add(4_096);
    let block_bytes = usize::try_from(params.max_block_bytes).unwrap_or(usize::MAX);
    let rules = [
        (
            (smallest..=chain::block::MAX_BLOCK_BYTES).contains(&block_bytes),
            "max_block_bytes must hold the largest transaction, at most 4 MiB",
        ),
        (params.resident_txs_per_block > 0, "resident_txs_per_block must be at least 1"),
        (params.role_txs_per_block >= params.resident_txs_per_block, "role_txs_per_block must be at least resident_txs_per_block"),
        ((1..=10_000).contains(&params.due_per_block), "due_per_block must be 1 to 10000"),
        (params.drift.ms() > 0 && params.drift.ms() <= 600_000, "drift must be above 0 and at most 10 minutes"),
        (params.settle_grace >= params.lease, "settle_grace must be at least the lease"),
        (!params.queue_deadline.is_zero() && !params.max_duration.is_zero(), "queue_deadline and max_duration must be above 0"),
        (
            params.queue_deadline.ms() <= MAX_SPAN_MS && params.max_duration.ms() <= MAX_SPAN_MS,
            "queue_deadline and max_duration must be at most 366 days",
        ),
        (!params.max_spend.is_zero(), "max_spend must be above 0"),
    ];
    rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(GenesisError::Parameter(rule)))
}

const MAX_SPAN_MS: u64 = 366 * 24 * 3_600_000;

#[cfg(test)]
mod tests;
