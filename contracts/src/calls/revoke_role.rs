//! `RevokeRole`: ends a role at a height.

use chain::{
    code::{Code, Rejection},
    id::{Address, CondominiumId, Height},
    receipt::Event,
    record::{Key, Role, RoleGrant},
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, roles};

/// Ends a role at a height.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RevokeRole {
    /// Where.
    pub condominium: CondominiumId,
    /// Which.
    pub role: Role,
    /// Whose.
    pub account: Address,
    /// The first height without it; after the block's own.
    pub until: Height,
}

impl Action for RevokeRole {
    fn name(&self) -> &'static str {
        "revoke_role"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        roles::require(ledger, context, self.condominium, Role::Manager)?;
        let key = Key::Role(self.condominium, self.role, self.account);
        let grant: RoleGrant = ledger.get(&key)?.ok_or(Code::RoleNotGranted)?;
        let earliest = context.block.height.next();
        if self.until < earliest {
            return Err(Rejection::of(Code::NoticeTooShort, earliest.0, self.until.0).into());
        }
        // A grant that is over by then stays as it is: a revocation never lengthens it.
        if grant.until.is_some_and(|end| end <= self.until) {
            return Err(Code::RoleNotGranted.into());
        }
        if self.role == Role::Manager {
            let standing = roles::standing_managers(ledger, self.condominium, self.until)?;
            if !standing.iter().any(|manager| *manager != self.account) {
                return Err(Code::LastManager.into());
            }
        }

        // every check is done: from here on only writes
        if self.until <= grant.from {
            ledger.delete(&key);
        } else {
            ledger.put(&key, &RoleGrant { until: Some(self.until), ..grant })?;
        }
        let Self { condominium, role, account, until } = *self;
        ledger.emit(Event::RoleRevoked { condominium, role, account, until });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{AWAY_STAFF, Fixture, GATEWAY, HOME, MANAGER, NEIGHBOUR, RESIDENT, SCHEDULER, TREASURER};

    fn revoke(role: Role, account: Address, until: u64) -> RevokeRole {
        RevokeRole { condominium: HOME, role, account, until: Height(until) }
    }

    fn kept(chain: &Fixture, role: Role, account: Address) -> Option<RoleGrant> {
        chain.get(&Key::Role(HOME, role, account))
    }

    fn put(chain: &mut Fixture, role: Role, account: Address, from: u64, until: Option<u64>) {
        let grant = RoleGrant { from: Height(from), until: until.map(Height) };
        chain.put(&Key::Role(HOME, role, account), &grant);
    }

    #[test]
    fn ends_a_role_at_the_height_and_takes_back_one_that_has_not_begun() {
        let mut chain = Fixture::new();
        chain.height = Height(10);
        let revoked = Event::RoleRevoked { condominium: HOME, role: Role::Gateway, account: GATEWAY, until: Height(11) };
        assert_eq!(chain.applies(MANAGER, &revoke(Role::Gateway, GATEWAY, 11)), [revoked]);
        assert_eq!(kept(&chain, Role::Gateway, GATEWAY), Some(RoleGrant { from: Height(0), until: Some(Height(11)) }));

        put(&mut chain, Role::Gateway, RESIDENT, 40, Some(60));
        chain.applies(MANAGER, &revoke(Role::Gateway, RESIDENT, 41));
        assert_eq!(kept(&chain, Role::Gateway, RESIDENT), Some(RoleGrant { from: Height(40), until: Some(Height(41)) }));
        chain.applies(MANAGER, &revoke(Role::Gateway, RESIDENT, 40));
        assert_eq!(kept(&chain, Role::Gateway, RESIDENT), None);
    }

    #[test]
    fn refuses_what_the_ledger_forbids_in_the_order_of_its_checks() {
        let mut chain = Fixture::new();
        chain.height = Height(10);
        let nowhere = RevokeRole { condominium: CondominiumId(9), ..revoke(Role::Gateway, RESIDENT, 5) };
        assert_eq!(chain.rejects(RESIDENT, &nowhere), Code::UnknownCondominium.into());
        for other in [RESIDENT, TREASURER, AWAY_STAFF] {
            assert_eq!(chain.rejects(other, &revoke(Role::Gateway, RESIDENT, 5)), Code::NotAllowed.into());
        }
        assert_eq!(chain.rejects(MANAGER, &revoke(Role::Gateway, RESIDENT, 5)), Code::RoleNotGranted.into());
        chain.height = Height(20);
        let late = Rejection::of(Code::NoticeTooShort, 21, 20);
        assert_eq!(chain.rejects(MANAGER, &revoke(Role::Gateway, GATEWAY, 20)), late);
        // Neither ends a role twice nor makes it last longer.
        put(&mut chain, Role::Gateway, GATEWAY, 0, Some(40));
        for until in [40, 41] {
            assert_eq!(chain.rejects(MANAGER, &revoke(Role::Gateway, GATEWAY, until)), Code::RoleNotGranted.into());
        }
        chain.applies(MANAGER, &revoke(Role::Gateway, GATEWAY, 39));
    }

    #[test]
    fn the_last_manager_stays_whoever_else_is_there_for_a_while_or_not_yet() {
        let mut chain = Fixture::new();
        chain.height = Height(10);
        put(&mut chain, Role::Manager, RESIDENT, 0, Some(1_000_000));
        put(&mut chain, Role::Manager, NEIGHBOUR, 50, None);
        for until in [20, 49] {
            assert_eq!(chain.rejects(MANAGER, &revoke(Role::Manager, MANAGER, until)), Code::LastManager.into());
        }
        chain.applies(MANAGER, &revoke(Role::Manager, MANAGER, 50));
        // He has an end now: the one who follows him can neither be ended nor be taken back before he has begun.
        for until in [40, 50, 60] {
            assert_eq!(chain.rejects(MANAGER, &revoke(Role::Manager, NEIGHBOUR, until)), Code::LastManager.into());
        }
        // Somebody who stands in for him in time makes it possible.
        put(&mut chain, Role::Manager, SCHEDULER, 45, None);
        chain.applies(MANAGER, &revoke(Role::Manager, NEIGHBOUR, 50));
        assert_eq!(kept(&chain, Role::Manager, NEIGHBOUR), None);
    }

    #[test]
    fn there_is_a_standing_manager_at_every_height_whatever_is_granted_and_revoked() {
        use rand::{Rng, SeedableRng, rngs::StdRng};

        for seed in 0..40 {
            println!("seed {seed}");
            let mut rng = StdRng::seed_from_u64(seed);
            let mut chain = Fixture::new();
            let people = [MANAGER, RESIDENT, NEIGHBOUR, TREASURER];
            for _ in 0..200 {
                let height = chain.height.0;
                let actor = people[rng.random_range(0..people.len())];
                let account = people[rng.random_range(0..people.len())];
                let at = Height(height + rng.random_range(0..12));
                let outcome = if rng.random_bool(0.5) {
                    let until = rng.random_bool(0.4).then(|| Height(at.0 + rng.random_range(1..12)));
                    let grant = crate::call::GrantRole { condominium: HOME, role: Role::Manager, account, from: at, until };
                    chain.run(actor, &grant)
                } else {
                    chain.run(actor, &revoke(Role::Manager, account, at.0))
                };
                assert!(!matches!(outcome, Err(Failure::Fault(_))), "{outcome:?}");
                let ledger = Ledger::new(&chain.state);
                for ahead in 0..30 {
                    let grants = roles::grants(&ledger, HOME, Role::Manager).unwrap();
                    let held = grants.iter().any(|(_, grant)| grant.holds_at(Height(height + ahead)));
                    assert!(held, "nobody manages at {} of {height}: {grants:?}", height + ahead);
                }
            }
        }
    }
}
