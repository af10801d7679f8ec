//! `BindCard`: a manager says whose card starts sessions, or that it starts none any more; the account itself may end it too.
//!
//! The chain holds a commitment alone: the card's identifier and the key that it is committed under stay with the gateway, so that destroying the key erases
//! the binding, whoever has copies of the chain. Checked in this order: to bind, a manager (`UnknownCondominium`, `NotAllowed`), a registered account
//! (`UnknownAccount`), a commitment that is not bound (`CardBound`), at most [`mandates::MAX_CARDS`] (`TooMany`); to release, a bound card (`UnknownCard`),
//! then its own account or a manager (`NotAllowed`).

use chain::{
    code::{Code, Rejection},
    id::{Address, CardId, CondominiumId},
    receipt::Event,
    record::{Card, Key, Role},
    state::prefix_end,
};
use serde::{Deserialize, Serialize};

use crate::{
    call::Action,
    context::CallContext,
    failure::{Failure, Fault},
    ledger::Ledger,
    mandates, money, roles,
};

/// Binds a card to an account, or releases it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BindCard {
    /// Where.
    pub condominium: CondominiumId,
    /// The commitment to the card.
    pub card: CardId,
    /// Whose it is; nothing to release it.
    pub account: Option<Address>,
}

impl Action for BindCard {
    fn name(&self) -> &'static str {
        "bind_card"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        match self.account {
            Some(account) => self.bind(context, ledger, account),
            None => self.release(context, ledger),
        }
    }
}

impl BindCard {
    const fn key(&self) -> Key {
        Key::Card(self.condominium, self.card)
    }

    fn bind(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>, account: Address) -> Result<(), Failure> {
        roles::require(ledger, context, self.condominium, Role::Manager)?;
        money::registered(ledger, &account)?;
        if ledger.has(&self.key())? {
            return Err(Code::CardBound.into());
        }
        check_count(ledger, &self.key())?;

        // every check is done: from here on only writes
        ledger.put(&self.key(), &Card { account, bound_at: context.block.timestamp })?;
        ledger.emit(Event::CardBound { condominium: self.condominium, card: self.card, account });
        Ok(())
    }

    fn release(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let Card { account, .. } = ledger.get(&self.key())?.ok_or(Code::UnknownCard)?;
        if context.account != account {
            roles::require(ledger, context, self.condominium, Role::Manager)?;
        }

        // every check is done: from here on only writes
        ledger.delete(&self.key());
        ledger.emit(Event::CardReleased { condominium: self.condominium, card: self.card, account });
        Ok(())
    }
}

const CARD_BYTES: usize = 32;

fn check_count(ledger: &Ledger<'_>, card: &Key) -> Result<(), Failure> {
    let mut prefix = card.bytes();
    prefix.truncate(prefix.len().saturating_sub(CARD_BYTES));
    let end = prefix_end(&prefix).ok_or_else(|| Fault("the table of cards has no end".to_owned()))?;
    if ledger.keys(&prefix, &end, mandates::MAX_CARDS)?.len() as u64 >= u64::from(mandates::MAX_CARDS) {
        return Err(Rejection::of(Code::TooMany, mandates::MAX_CARDS.into(), u64::from(mandates::MAX_CARDS).saturating_add(1)).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chain::hash::Hash32;

    use super::*;
    use crate::testing::{AWAY, AWAY_STAFF, CARD, Fixture, GATEWAY, HOME, MANAGER, NEIGHBOUR, NOON, RESIDENT, STRANGER, VISITOR};

    const BIND: BindCard = BindCard { condominium: HOME, card: CARD, account: Some(RESIDENT) };
    const RELEASE: BindCard = BindCard { account: None, ..BIND };

    fn card(fixture: &Fixture) -> Option<Card> {
        fixture.get(&Key::Card(HOME, CARD))
    }

    #[test]
    fn a_manager_binds_and_the_account_or_a_manager_releases() {
        let mut fixture = Fixture::new();
        for who in [RESIDENT, MANAGER] {
            let events = fixture.applies(MANAGER, &BIND);
            assert_eq!(events, [Event::CardBound { condominium: HOME, card: CARD, account: RESIDENT }]);
            assert_eq!(card(&fixture), Some(Card { account: RESIDENT, bound_at: NOON }));
            assert_eq!(fixture.applies(who, &RELEASE), [Event::CardReleased { condominium: HOME, card: CARD, account: RESIDENT }]);
            assert_eq!(card(&fixture), None);
        }
    }

    #[test]
    fn rejects_who_may_not_who_is_nobody_and_what_is_bound_already_or_not_at_all() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.rejects(GATEWAY, &BIND), Rejection::new(Code::NotAllowed));
        assert_eq!(fixture.rejects(RESIDENT, &BIND), Rejection::new(Code::NotAllowed));
        let nowhere = BindCard { condominium: CondominiumId(9), ..BIND };
        assert_eq!(fixture.rejects(MANAGER, &nowhere), Rejection::new(Code::UnknownCondominium));
        let nobody = BindCard { account: Some(STRANGER), ..BIND };
        assert_eq!(fixture.rejects(MANAGER, &nobody), Rejection::new(Code::UnknownAccount));
        assert_eq!(fixture.rejects(MANAGER, &RELEASE), Rejection::new(Code::UnknownCard));
        fixture.applies(MANAGER, &BIND);
        for account in [RESIDENT, VISITOR] {
            assert_eq!(fixture.rejects(MANAGER, &BindCard { account: Some(account), ..BIND }), Rejection::new(Code::CardBound));
        }
        for who in [NEIGHBOUR, GATEWAY, AWAY_STAFF] {
            assert_eq!(fixture.rejects(who, &RELEASE), Rejection::new(Code::NotAllowed));
        }
        fixture.applies(AWAY_STAFF, &BindCard { condominium: AWAY, ..BIND });
    }

    #[test]
    fn rejects_one_card_too_many() {
        let mut fixture = Fixture::new();
        let bound = Card { account: NEIGHBOUR, bound_at: NOON };
        for number in 0..4_095_u16 {
            let mut other = [0xee; 32];
            other[..2].copy_from_slice(&number.to_be_bytes());
            fixture.put(&Key::Card(HOME, CardId(Hash32(other))), &bound);
        }
        fixture.applies(MANAGER, &BIND);
        let one_more = BindCard { card: CardId(Hash32::ZERO), ..BIND };
        assert_eq!(fixture.rejects(MANAGER, &one_more), Rejection::of(Code::TooMany, 4_096, 4_097));
        fixture.applies(MANAGER, &RELEASE);
        fixture.applies(MANAGER, &one_more);
    }
}
