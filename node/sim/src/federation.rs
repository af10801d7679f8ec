//! The federation that every run begins with: two condominiums, their officers and residents, and validators with keys made from their number.
//!
//! Nothing here is secret or random. Called by `world` once per run.

use chain::{
    crypto::address_of,
    genesis_kind::NetworkKind,
    hash::Hash32,
    id::{Address, CondominiumId},
    params::Params,
    quantity::Amount,
    record::Role,
    time::{Duration, Timestamp},
};
use contracts::genesis::{GENESIS_VERSION, Genesis, GenesisAccount, GenesisCondominium, GenesisRole, GenesisValidator};
use ed25519_dalek::SigningKey;

/// The ledger's time when a run begins: Monday 2026-01-05, 12:00 UTC.
pub(crate) const NOON: Timestamp = Timestamp::from_ms(1_767_614_400_000);
/// How long a session waits for a grant, which nobody gives here: then the block that is due refunds it.
pub(crate) const QUEUE_DEADLINE: Duration = Duration::from_secs(6);
/// From a deadline to the block that is made for it where nothing else makes one.
pub(crate) const DRIFT: Duration = Duration::from_secs(1);
/// The least that the rules allow: what a liar needs to exceed is then as small as can be.
const MAX_BLOCK_BYTES: u32 = 68 << 10;
/// Residents of each condominium.
pub(crate) const RESIDENTS: u8 = 2;

/// Who holds a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holder {
    Validator(u8),
    Manager(CondominiumId),
    Treasurer(CondominiumId),
    Revenue(CondominiumId),
    Resident(CondominiumId, u8),
    /// A manager who is in league with the liars: they may sign in its name.
    Accomplice,
}

pub(crate) const SITES: [CondominiumId; 2] = [CondominiumId(1), CondominiumId(2)];

impl Holder {
    /// The same key in every run.
    pub(crate) fn key(self) -> SigningKey {
        let name = match self {
            Self::Validator(index) => format!("validator {index}"),
            Self::Manager(site) => format!("manager {site}"),
            Self::Treasurer(site) => format!("treasurer {site}"),
            Self::Revenue(site) => format!("revenue {site}"),
            Self::Resident(site, index) => format!("resident {site} {index}"),
            Self::Accomplice => "accomplice".to_owned(),
        };
        SigningKey::from_bytes(blake3::hash(name.as_bytes()).as_bytes())
    }

    pub(crate) fn address(self) -> Address {
        address_of(&self.key())
    }
}

/// The genesis document for validators of these weights.
pub(crate) fn genesis(powers: &[u64]) -> Genesis {
    let mut accounts = Vec::new();
    let condominiums = SITES.map(|site| {
        let [revenue, treasurer, manager] = [Holder::Revenue(site), Holder::Treasurer(site), Holder::Manager(site)].map(Holder::address);
        let mut roles =
            vec![GenesisRole { role: Role::Manager, account: manager }, GenesisRole { role: Role::Treasurer, account: treasurer }];
        let mut at_home = vec![revenue, treasurer, manager];
        if site == SITES[1] {
            roles.push(GenesisRole { role: Role::Manager, account: Holder::Accomplice.address() });
            at_home.push(Holder::Accomplice.address());
        }
        at_home.extend((0..RESIDENTS).map(|index| Holder::Resident(site, index).address()));
        accounts.extend(at_home.into_iter().map(|address| GenesisAccount { address, home: site, credit_limit: Amount::ZERO }));
        let tokens = |tokens: u64| Amount::from_micro(tokens * 1_000_000);
        GenesisCondominium {
            id: site,
            name: format!("Site {site}"),
            revenue,
            mint_cap_per_day: tokens(1_000_000),
            position_limit: tokens(1_000_000),
            roles,
        }
    });
    let validators = powers.iter().zip(0_u8..).map(|(power, index)| {
        let network_key = Hash32(*blake3::hash(&[index]).as_bytes());
        GenesisValidator { address: Holder::Validator(index).address(), power: *power, condominium: SITES[0], network_key }
    });
    let params = Params {
        max_block_bytes: MAX_BLOCK_BYTES,
        queue_deadline: QUEUE_DEADLINE,
        drift: DRIFT,
        heartbeat: Duration::ZERO,
        ..Params::default()
    };
    Genesis {
        version: GENESIS_VERSION,
        network: "simulated".to_owned(),
        kind: NetworkKind::Test,
        timestamp: NOON,
        currency: "EUR".to_owned(),
        params,
        condominiums: condominiums.into(),
        accounts,
        validators: validators.collect(),
    }
}
