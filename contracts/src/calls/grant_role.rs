//! `GrantRole`: gives a role in a condominium from a height on.

use chain::{
    code::{Code, Rejection},
    id::{Address, CondominiumId, Height},
    receipt::Event,
    record::{Key, Role, RoleGrant},
};
use serde::{Deserialize, Serialize};

use crate::{
    call::Action,
    context::CallContext,
    failure::Failure,
    ledger::Ledger,
    money::registered,
    roles::{self, MAX_GRANTS_PER_ROLE},
};

/// Gives a role in a condominium from a height on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GrantRole {
    /// Where.
    pub condominium: CondominiumId,
    /// Which.
    pub role: Role,
    /// To whom.
    pub account: Address,
    /// The first height at which it holds; after the block's own, and after the notice period where one applies.
    pub from: Height,
    /// The first height at which it is over.
    pub until: Option<Height>,
}

impl Action for GrantRole {
    fn name(&self) -> &'static str {
        "grant_role"
    }

    /// [`Code::InvalidRange`].
    fn check(&self) -> Result<(), Rejection> {
        match self.until {
            Some(until) if until <= self.from => Err(Rejection::of(Code::InvalidRange, self.from.0, until.0)),
            Some(_) | None => Ok(()),
        }
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let height = context.block.height;
        roles::require(ledger, context, self.condominium, Role::Manager)?;
        registered(ledger, &self.account)?;
        let key = Key::Role(self.condominium, self.role, self.account);
        let begin = match ledger.get::<RoleGrant>(&key)? {
            // One that follows without a gap continues it, so that the term at hand is not lost.
            Some(RoleGrant { from, until: Some(until) }) if until == self.from => from,
            Some(RoleGrant { until: Some(until), .. }) if until <= height => self.from,
            Some(_) => return Err(Code::RoleAlreadyGranted.into()),
            None => {
                let kept = roles::grants(ledger, self.condominium, self.role)?.len();
                if kept >= MAX_GRANTS_PER_ROLE as usize {
                    let limit = u64::from(MAX_GRANTS_PER_ROLE);
                    return Err(Rejection::of(Code::TooMany, limit, limit.saturating_add(1)).into());
                }
                self.from
            }
        };
        let earliest = self.earliest(context, ledger)?;
        if self.from < earliest {
            return Err(Rejection::of(Code::NoticeTooShort, earliest.0, self.from.0).into());
        }

        // every check is done: from here on only writes
        ledger.put(&key, &RoleGrant { from: begin, until: self.until })?;
        let Self { condominium, role, account, from, until } = *self;
        ledger.emit(Event::RoleGranted { condominium, role, account, from, until });
        Ok(())
    }
}

impl GrantRole {
    /// The first height at which the grant may begin: the next one, or, for a treasurer where managers share their power, after the notice period.
    fn earliest(&self, context: &CallContext<'_>, ledger: &Ledger<'_>) -> Result<Height, Failure> {
        let height = context.block.height;
        match self.role {
            Role::Treasurer if roles::standing_managers(ledger, self.condominium, height)?.len() > 1 => {
                Ok(Height(height.0.saturating_add(context.block.params.notice_heights)).max(height.next()))
            }
            Role::Treasurer | Role::Manager | Role::Gateway | Role::Scheduler | Role::Auditor => Ok(height.next()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{AWAY_STAFF, Fixture, HOME, MANAGER, NEIGHBOUR, RESIDENT, STRANGER, TREASURER};

    fn grant(role: Role, account: Address, from: u64, until: Option<u64>) -> GrantRole {
        GrantRole { condominium: HOME, role, account, from: Height(from), until: until.map(Height) }
    }

    fn kept(chain: &Fixture, role: Role, account: Address) -> Option<RoleGrant> {
        chain.get(&Key::Role(HOME, role, account))
    }

    fn span(from: u64, until: Option<u64>) -> Option<RoleGrant> {
        Some(RoleGrant { from: Height(from), until: until.map(Height) })
    }

    #[test]
    fn holds_from_the_first_height_and_no_longer_at_the_last() {
        let mut chain = Fixture::new();
        chain.height = Height(10);
        let call = grant(Role::Auditor, RESIDENT, 20, Some(30));
        let granted =
            Event::RoleGranted { condominium: HOME, role: Role::Auditor, account: RESIDENT, from: Height(20), until: Some(Height(30)) };
        assert_eq!(chain.applies(MANAGER, &call), [granted]);
        let ledger = Ledger::new(&chain.state);
        let holds = |height| roles::holds(&ledger, Height(height), HOME, Role::Auditor, &RESIDENT).unwrap();
        assert_eq!([19, 20, 29, 30].map(holds), [false, true, true, false]);
    }

    #[test]
    fn refuses_what_the_ledger_forbids_in_the_order_of_its_checks() {
        let mut chain = Fixture::new();
        chain.height = Height(10);
        for until in [4, 5] {
            let backwards = grant(Role::Gateway, STRANGER, 5, Some(until));
            assert_eq!(chain.rejects(RESIDENT, &backwards), Rejection::of(Code::InvalidRange, 5, until));
        }
        let nowhere = GrantRole { condominium: CondominiumId(9), ..grant(Role::Gateway, STRANGER, 5, None) };
        assert_eq!(chain.rejects(RESIDENT, &nowhere), Code::UnknownCondominium.into());
        for other in [RESIDENT, TREASURER, AWAY_STAFF] {
            assert_eq!(chain.rejects(other, &grant(Role::Gateway, STRANGER, 5, None)), Code::NotAllowed.into());
        }
        assert_eq!(chain.rejects(MANAGER, &grant(Role::Gateway, STRANGER, 5, None)), Code::UnknownAccount.into());
        assert_eq!(chain.rejects(MANAGER, &grant(Role::Treasurer, TREASURER, 5, None)), Code::RoleAlreadyGranted.into());
        chain.height = Height(20);
        let late = Rejection::of(Code::NoticeTooShort, 21, 20);
        assert_eq!(chain.rejects(MANAGER, &grant(Role::Gateway, RESIDENT, 20, None)), late);
        chain.height = Height(20);
        chain.applies(MANAGER, &grant(Role::Gateway, RESIDENT, 21, None));
    }

    #[test]
    fn a_grant_in_force_or_pending_is_neither_replaced_nor_shortened() {
        let mut chain = Fixture::new();
        chain.height = Height(10);
        chain.put(&Key::Role(HOME, Role::Gateway, RESIDENT), &span(5, Some(50)).unwrap());
        chain.put(&Key::Role(HOME, Role::Gateway, NEIGHBOUR), &span(40, None).unwrap());
        for (account, from) in [(RESIDENT, 20), (RESIDENT, 49), (RESIDENT, 51), (NEIGHBOUR, 20), (NEIGHBOUR, 60)] {
            assert_eq!(chain.rejects(MANAGER, &grant(Role::Gateway, account, from, None)), Code::RoleAlreadyGranted.into());
        }
        // One that begins where the other ends continues it, and one that is over makes way.
        chain.applies(MANAGER, &grant(Role::Gateway, RESIDENT, 50, Some(60)));
        assert_eq!(kept(&chain, Role::Gateway, RESIDENT), span(5, Some(60)));
        chain.height = Height(60);
        chain.applies(MANAGER, &grant(Role::Gateway, RESIDENT, 70, None));
        assert_eq!(kept(&chain, Role::Gateway, RESIDENT), span(70, None));
    }

    #[test]
    fn a_new_treasurer_is_given_notice_of_where_there_are_several_standing_managers() {
        let mut chain = Fixture::new();
        chain.params.notice_heights = 100;
        chain.height = Height(10);
        let treasurer = |from| grant(Role::Treasurer, RESIDENT, from, None);
        // Neither a manager with an end nor one who has not begun makes a second.
        chain.put(&Key::Role(HOME, Role::Manager, NEIGHBOUR), &span(0, Some(1_000)).unwrap());
        chain.put(&Key::Role(HOME, Role::Manager, TREASURER), &span(11, None).unwrap());
        let state = chain.state.clone();
        chain.applies(MANAGER, &treasurer(11));

        chain.state = state;
        chain.height = Height(11);
        let short = Rejection::of(Code::NoticeTooShort, 111, 110);
        assert_eq!(chain.rejects(MANAGER, &treasurer(110)), short);
        chain.height = Height(11);
        chain.applies(MANAGER, &treasurer(111));
        // Other roles need none.
        chain.applies(MANAGER, &grant(Role::Scheduler, RESIDENT, 13, None));
        // Without a period it is the next height as for everybody.
        chain.params.notice_heights = 0;
        let late = Rejection::of(Code::NoticeTooShort, 14, 13);
        assert_eq!(chain.rejects(MANAGER, &grant(Role::Treasurer, NEIGHBOUR, 13, None)), late);
    }

    #[test]
    fn the_grants_of_a_role_are_bounded() {
        let mut chain = Fixture::new();
        for number in 0..MAX_GRANTS_PER_ROLE - 1 {
            let mut address = [0xee; 32];
            address[..4].copy_from_slice(&number.to_be_bytes());
            chain.put(&Key::Role(HOME, Role::Auditor, Address(address)), &span(0, Some(1)).unwrap());
        }
        chain.applies(MANAGER, &grant(Role::Auditor, RESIDENT, 9, None));
        let limit = u64::from(MAX_GRANTS_PER_ROLE);
        let full = Rejection::of(Code::TooMany, limit, limit + 1);
        assert_eq!(chain.rejects(MANAGER, &grant(Role::Auditor, NEIGHBOUR, 9, None)), full);
    }
}
