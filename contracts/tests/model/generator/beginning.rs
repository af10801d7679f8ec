//! Genesis, and what every site is built of first, so that later calls have something to be about.

use chain::{
    hash::Hash32,
    id::{CondominiumId, ConnectorId, GroupId, TariffId},
    params::Params,
    quantity::{Amount, Currents},
    record::{Control, PlugSignal, Role, Service},
    time::{Duration, Timestamp},
};
use contracts::{
    call::{Call, PutConnector, PutGroup, PutTariff},
    genesis::{Genesis, GenesisAccount, GenesisCondominium, GenesisRole, GenesisValidator, NetworkKind},
};
use rand::Rng;

use super::{FAR_TARIFF, Generator, HOUR, SITES, TOKEN};
use crate::ledger::Model;

const RESIDENTS_PER_SITE: u32 = 4;

/// 2026-03-27 and 2026-10-23, noon UTC: days before the clocks change.
const BEGINNINGS: [u64; 2] = [1_774_612_800_000, 1_792_756_800_000];

impl Generator {
    /// Three condominiums with staff and residents; the third's revenue is at home in the second.
    pub fn genesis(&mut self, seed: u64) -> Genesis {
        let mut accounts = Vec::new();
        let mut condominiums = Vec::new();
        for site in SITES {
            let home = CondominiumId(site);
            let roles = [Role::Manager, Role::Treasurer, Role::Gateway, Role::Scheduler];
            let roles: Vec<_> = roles.into_iter().map(|role| GenesisRole { role, account: self.person() }).collect();
            for grant in &roles {
                accounts.push(GenesisAccount { address: grant.account, home, credit_limit: Amount::ZERO });
            }
            let revenue = self.person();
            let revenue_home = if site == 3 { CondominiumId(2) } else { home };
            accounts.push(GenesisAccount { address: revenue, home: revenue_home, credit_limit: Amount::ZERO });
            for resident in 0..RESIDENTS_PER_SITE {
                let credit = if resident % 2 == 0 { 15 * TOKEN } else { 0 };
                accounts.push(GenesisAccount { address: self.person(), home, credit_limit: Amount::from_micro(credit) });
            }
            let cap = if site == 3 { u64::MAX } else { 60 * TOKEN };
            condominiums.push(GenesisCondominium {
                id: home,
                name: format!("SITE-{site}"),
                revenue,
                mint_cap_per_day: Amount::from_micro(cap),
                position_limit: Amount::from_micro(if site == 2 { 60 * TOKEN } else { 25 * TOKEN }),
                roles,
            });
        }
        let validator =
            GenesisValidator { address: self.validator, power: 1, condominium: CondominiumId(1), network_key: Hash32(self.rng.random()) };
        let params = Params {
            max_block_bytes: 80_000,
            resident_txs_per_block: 4,
            role_txs_per_block: 16,
            due_per_block: 3,
            queue_deadline: Duration::from_hours(5),
            max_duration: Duration::from_hours(10),
            max_spend: Amount::from_micro(40 * TOKEN),
            notice_heights: 12,
            ..Params::default()
        };
        Genesis {
            version: 1,
            network: "model".to_owned(),
            kind: NetworkKind::Test,
            timestamp: Timestamp::from_ms(BEGINNINGS[usize::from(seed % 2 == 1)]),
            currency: "EUR".to_owned(),
            params,
            condominiums,
            accounts,
            validators: vec![validator],
        }
    }

    /// What every site is built of first: groups under groups, tariffs and connectors.
    pub fn founding(&mut self, model: &Model) {
        let mut calls = Vec::new();
        for site in SITES {
            let manager = self.holder(model, site, Role::Manager).expect("genesis has one");
            let condominium = CondominiumId(site);
            for (number, parent, amperes) in [(1, None, 160), (2, Some(1), 80), (3, Some(1), 100), (4, Some(3), 64)] {
                let limit = Currents::from_ma([amperes * 1_000; 3]);
                calls.push((manager, Call::PutGroup(PutGroup { group: GroupId::new(condominium, number), parent, limit })));
            }
            for number in 1..=FAR_TARIFF {
                let far = if number == FAR_TARIFF { 300 * 24 * HOUR } else { 0 };
                let valid_from = Timestamp::from_ms(model.now + HOUR + far);
                let tariff = TariffId::new(condominium, number);
                calls.push((manager, Call::PutTariff(PutTariff { tariff, version: 1, valid_from, document: self.document() })));
            }
            for number in 1..=6 {
                calls.push((
                    manager,
                    Call::PutConnector(PutConnector {
                        connector: ConnectorId::new(condominium, number),
                        group: [1, 2, 2, 3, 4, 4][number as usize - 1],
                        control: if number == 1 { Control::MeterOnly } else { Control::Switched },
                        plug_signal: PlugSignal::Reported,
                        rated: if number == 1 { Currents::from_ma([16_000, 0, 0]) } else { Currents::from_ma([32_000; 3]) },
                        tariff: 1 + number % 3,
                        service: Service::InService,
                    }),
                ));
            }
        }
        calls.reverse();
        self.ahead = calls;
    }
}
