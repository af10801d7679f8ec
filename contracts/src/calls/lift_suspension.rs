//! `LiftSuspension`: a manager trusts a gateway's key again that has contradicted itself.
//!
//! It is his to answer for, and stands on the chain; the key never lifts its own. Evidence of readings from before it counts no more. Checked in this order:
//! a manager of the condominium (`UnknownCondominium`, `NotAllowed`), and not the suspended account itself (`NotAllowed`); it is suspended there
//! (`NotSuspended`).

use chain::{
    code::{Code, Rejection},
    id::{Address, CondominiumId},
    receipt::Event,
    record::{Key, Role, Suspension},
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, roles};

/// Trusts a suspended gateway's key again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LiftSuspension {
    /// Where.
    pub condominium: CondominiumId,
    /// Whose.
    pub account: Address,
}

impl Action for LiftSuspension {
    fn name(&self) -> &'static str {
        "lift_suspension"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let Self { condominium, account } = *self;
        roles::require(ledger, context, condominium, Role::Manager)?;
        if account == context.account {
            return Err(Code::NotAllowed.into());
        }
        let suspension = roles::suspension(ledger, condominium, &account)?.ok_or(Code::NotSuspended)?;

        // every check is done: from here on only writes
        let lifted = Suspension { lifted_at: Some(context.block.timestamp), ..suspension };
        ledger.put(&Key::Suspension(condominium, account), &lifted)?;
        ledger.emit(Event::SuspensionLifted { condominium, account });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        hash::Hash32,
        id::{Height, SessionId, TxId},
        record::RoleGrant,
    };

    use super::*;
    use crate::testing::{AWAY_STAFF, Fixture, GATEWAY, HOME, MANAGER, RESIDENT, SCHEDULER, TREASURER};

    fn suspended(account: Address) -> Fixture {
        let mut chain = Fixture::new();
        let (session, evidence) = (SessionId(Hash32::ZERO), TxId(Hash32::ZERO));
        let record = Suspension { since: Height(1), session, sequence: 4, evidence, lifted_at: None };
        chain.put(&Key::Suspension(HOME, account), &record);
        chain
    }

    #[test]
    fn a_manager_lifts_it_once_and_the_record_stays() {
        let mut chain = suspended(GATEWAY);
        let id = chain.charges(1);
        assert_eq!(chain.reads(id, 1, 1_000), Some(Code::RoleSuspended));
        let lift = LiftSuspension { condominium: HOME, account: GATEWAY };
        assert_eq!(chain.applies(MANAGER, &lift), [Event::SuspensionLifted { condominium: HOME, account: GATEWAY }]);
        let record: Suspension = chain.get(&Key::Suspension(HOME, GATEWAY)).unwrap();
        assert_eq!((record.sequence, record.lifted_at), (4, Some(chain.now)));
        assert_eq!(chain.reads(id, 1, 1_000), None);
        assert_eq!(chain.rejects(MANAGER, &lift), Code::NotSuspended.into());
    }

    #[test]
    fn refuses_others_the_key_itself_and_who_is_not_suspended() {
        let mut chain = suspended(GATEWAY);
        let lift = LiftSuspension { condominium: HOME, account: GATEWAY };
        for other in [RESIDENT, TREASURER, SCHEDULER, AWAY_STAFF] {
            assert_eq!(chain.rejects(other, &lift), Code::NotAllowed.into());
        }
        chain.put(&Key::Role(HOME, Role::Manager, GATEWAY), &RoleGrant { from: Height(0), until: None });
        assert_eq!(chain.rejects(GATEWAY, &lift), Code::NotAllowed.into());
        let nowhere = LiftSuspension { condominium: CondominiumId(9), account: GATEWAY };
        assert_eq!(chain.rejects(MANAGER, &nowhere), Code::UnknownCondominium.into());
        assert_eq!(chain.rejects(MANAGER, &LiftSuspension { account: RESIDENT, ..lift }), Code::NotSuspended.into());
    }
}
