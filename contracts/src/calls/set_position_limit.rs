//! `SetPositionLimit`: says how much any other condominium may owe this one.
//!
//! Checked: a treasurer of the condominium (`UnknownCondominium`, `NotAllowed`). A limit below what is owed already stops more of it and undoes nothing.

use chain::{
    code::{Code, Rejection},
    id::CondominiumId,
    quantity::Amount,
    receipt::Event,
    record::{Condominium, Key, Role},
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, roles};

/// Says how much any other condominium may owe this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetPositionLimit {
    /// Which.
    pub condominium: CondominiumId,
    /// The most; nothing above [`crate::money::MAX_SUPPLY`] counts for more than that.
    pub limit: Amount,
}

impl Action for SetPositionLimit {
    fn name(&self) -> &'static str {
        "set_position_limit"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let Self { condominium, limit } = *self;
        roles::require(ledger, context, condominium, Role::Treasurer)?;
        let record = ledger.condominium(condominium)?.ok_or(Code::UnknownCondominium)?;

        // every check is done: from here on only writes
        ledger.put(&Key::Condominium(condominium), &Condominium { position_limit: limit, ..record })?;
        ledger.emit(Event::PositionLimitSet { condominium, limit });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        call::Transfer,
        testing::{AWAY, AWAY_STAFF, Fixture, HOME, MANAGER, RESIDENT, TREASURER, VISITOR, tokens},
    };

    #[test]
    fn a_treasurer_says_how_much_others_may_owe_and_what_is_owed_stays() {
        let mut chain = Fixture::new();
        let set = |whole| SetPositionLimit { condominium: AWAY, limit: tokens(whole) };
        for other in [RESIDENT, MANAGER, TREASURER] {
            assert_eq!(chain.rejects(other, &set(7)), Code::NotAllowed.into());
        }
        let nowhere = SetPositionLimit { condominium: CondominiumId(9), ..set(7) };
        assert_eq!(chain.rejects(AWAY_STAFF, &nowhere), Code::UnknownCondominium.into());
        let events = chain.applies(AWAY_STAFF, &set(7));
        assert_eq!(events, [Event::PositionLimitSet { condominium: AWAY, limit: tokens(7) }]);
        chain.applies(RESIDENT, &Transfer { to: VISITOR, amount: tokens(7) });
        chain.applies(AWAY_STAFF, &set(3));
        assert_eq!(chain.get(&Key::Position(HOME, AWAY)), Some(tokens(7)));
        let more = Transfer { to: VISITOR, amount: tokens(1) };
        assert_eq!(chain.rejects(RESIDENT, &more), Rejection::of(Code::PositionLimit, 3_000_000, 8_000_000));
    }
}
