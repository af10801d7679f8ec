//! `GrantMandate`: an account lets a condominium's gateway start sessions in its name, within limits; granting again replaces the terms.
//!
//! Checked in this order: limits above zero (`ZeroValue`), at most [`mandates::MAX_NAMED_CONNECTORS`] connectors (`TooMany`); a registered account
//! (`UnknownAccount`); the condominium is there (`UnknownCondominium`); it ends after the block (`InvalidRange`) and at most [`mandates::MAX_VALIDITY`] later
//! (`OverLimit`); each connector that it names is there (`UnknownConnector`). What was used today stays used ([`chain::record::MandateDay`]).

use chain::{
    code::{Code, Rejection},
    id::{CondominiumId, ConnectorId},
    receipt::Event,
    record::{Key, Mandate, MandateTerms},
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, mandates, money};

/// Lets a condominium's gateway start sessions in the account's name, within limits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GrantMandate {
    /// Where.
    pub condominium: CondominiumId,
    /// Within which limits.
    pub terms: MandateTerms,
}

impl Action for GrantMandate {
    fn name(&self) -> &'static str {
        "grant_mandate"
    }

    fn check(&self) -> Result<(), Rejection> {
        if self.terms.max_per_session.is_zero() || self.terms.max_per_day.is_zero() {
            return Err(Code::ZeroValue.into());
        }
        let named = self.terms.connectors.len();
        if named > mandates::MAX_NAMED_CONNECTORS {
            return Err(Rejection::of(Code::TooMany, mandates::MAX_NAMED_CONNECTORS as u64, named as u64));
        }
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let (now, expires) = (context.block.timestamp, self.terms.expires);
        money::registered(ledger, &context.account)?;
        if !ledger.has(&Key::Condominium(self.condominium))? {
            return Err(Code::UnknownCondominium.into());
        }
        if expires <= now {
            return Err(Rejection::of(Code::InvalidRange, now.ms(), expires.ms()).into());
        }
        let latest = now.saturating_add(mandates::MAX_VALIDITY);
        if expires > latest {
            return Err(Rejection::of(Code::OverLimit, latest.ms(), expires.ms()).into());
        }
        for number in &self.terms.connectors {
            if !ledger.has(&Key::Connector(ConnectorId::new(self.condominium, *number)))? {
                return Err(Code::UnknownConnector.into());
            }
        }

        // every check is done: from here on only writes
        let mandate = Mandate { terms: self.terms.clone(), granted_at: now };
        ledger.put(&Key::Mandate(context.account, self.condominium), &mandate)?;
        ledger.emit(Event::MandateGranted { account: context.account, condominium: self.condominium, expires });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chain::{id::CondominiumId, quantity::Amount, time::Duration};

    use super::*;
    use crate::{
        call::RevokeMandate,
        testing::{Fixture, HOME, NOON, RESIDENT, STRANGER, VISITOR, mandate, tokens},
    };

    fn granted(fixture: &Fixture, account: chain::id::Address) -> Option<Mandate> {
        fixture.get(&Key::Mandate(account, HOME))
    }

    #[test]
    fn holds_what_was_granted_until_it_is_revoked() {
        let mut fixture = Fixture::new();
        let call = mandate();
        let events = fixture.applies(VISITOR, &call);
        assert_eq!(events, [Event::MandateGranted { account: VISITOR, condominium: HOME, expires: call.terms.expires }]);
        assert_eq!(granted(&fixture, VISITOR), Some(Mandate { terms: call.terms.clone(), granted_at: NOON }));
        assert_eq!(granted(&fixture, RESIDENT), None);
        assert_eq!(fixture.rejects(RESIDENT, &RevokeMandate { condominium: HOME }), Rejection::new(Code::NoMandate));
        let events = fixture.applies(VISITOR, &RevokeMandate { condominium: HOME });
        assert_eq!(events, [Event::MandateRevoked { account: VISITOR, condominium: HOME }]);
        assert_eq!(granted(&fixture, VISITOR), None);
        assert_eq!(fixture.rejects(VISITOR, &RevokeMandate { condominium: HOME }), Rejection::new(Code::NoMandate));
    }

    #[test]
    fn granting_again_replaces_the_terms() {
        let mut fixture = Fixture::new();
        fixture.applies(RESIDENT, &mandate());
        fixture.wait(Duration::from_hours(1));
        let terms = MandateTerms { max_per_day: tokens(50), connectors: vec![2], ..mandate().terms };
        fixture.applies(RESIDENT, &GrantMandate { terms: terms.clone(), ..mandate() });
        let after = granted(&fixture, RESIDENT).unwrap();
        assert_eq!(after, Mandate { terms, granted_at: NOON.saturating_add(Duration::from_hours(1)) });
    }

    #[test]
    fn rejects_limits_of_zero_strangers_unknown_places_and_wrong_ends() {
        let mut fixture = Fixture::new();
        let with = |change: &dyn Fn(&mut MandateTerms)| {
            let mut call = mandate();
            change(&mut call.terms);
            call
        };
        let mut refused = |call: &GrantMandate| fixture.rejects(RESIDENT, call);
        assert_eq!(refused(&with(&|terms| terms.max_per_session = Amount::ZERO)), Rejection::new(Code::ZeroValue));
        assert_eq!(refused(&with(&|terms| terms.max_per_day = Amount::ZERO)), Rejection::new(Code::ZeroValue));
        assert_eq!(refused(&with(&|terms| terms.connectors = vec![1; 65])), Rejection::of(Code::TooMany, 64, 65));
        assert_eq!(refused(&with(&|terms| terms.connectors = vec![1, 99])), Rejection::new(Code::UnknownConnector));
        assert_eq!(refused(&with(&|terms| terms.expires = NOON)), Rejection::of(Code::InvalidRange, NOON.ms(), NOON.ms()));
        let latest = NOON.saturating_add(mandates::MAX_VALIDITY).ms();
        let later = chain::time::Timestamp::from_ms(latest + 1);
        assert_eq!(refused(&with(&|terms| terms.expires = later)), Rejection::of(Code::OverLimit, latest, latest + 1));
        let nowhere = GrantMandate { condominium: CondominiumId(9), ..mandate() };
        assert_eq!(refused(&nowhere), Rejection::new(Code::UnknownCondominium));
        assert_eq!(fixture.rejects(STRANGER, &mandate()), Rejection::new(Code::UnknownAccount));
        fixture.applies(
            RESIDENT,
            &with(&|terms| {
                terms.expires = chain::time::Timestamp::from_ms(latest);
                terms.connectors = vec![1; 64];
            }),
        );
    }
}
