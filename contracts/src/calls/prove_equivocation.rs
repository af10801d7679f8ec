//! `ProveEquivocation`: anyone shows two signed attestations of one gateway's key that cannot both be true; the key is suspended.
//!
//! A statement is a whole `Attest` transaction, signature and body, whether it was ever in a block or not. Two readings of one session with one number
//! contradict each other where the meter cannot have shown both: another register at the same time, or a lower one later. Another register at a later time
//! alone is no lie, because a gateway decides a number anew where the chain has refused its reading.
//!
//! Checked in this order: both are `Attest` transactions of one account by one key, for one chain, with a pair of readings that contradict each other
//! (`NoContradiction`); both are signed (`BadSignature`); the condominium is there (`UnknownCondominium`); they are for this chain, and the key signs for the
//! account (`NoContradiction`); the account is a gateway there (`RoleNotGranted`) and not suspended yet (`AlreadySuspended`); the later reading of some
//! such pair is not from the future, but for the drift (`ReadingAhead`), and at most [`EVIDENCE_COUNTS`] old, and from more than the drift after the last
//! lifting (`EvidenceTooOld`; what is wrong is said of the first pair). The two bounds are of one width, so no pair that could suspend a key once does it again
//! after the lifting. Any pair is enough: a gateway would else begin all that it signs with two readings of another year that hide the rest.
//!
//! A suspended key attests nothing, opens nothing and exchanges no meter. It may still report faults of sessions, and settle sessions, that were open when it
//! was suspended or that have no reading: nobody's money waits for its successor.

use chain::{
    code::{Code, Rejection},
    id::{Address, CondominiumId},
    receipt::Event,
    record::{Key, Role, Signer, Suspension},
    time::{Duration, Timestamp},
    transaction::SignedBytes,
};
use serde::{Deserialize, Serialize};

use crate::{
    call::{Action, Attest, Call, Reading, Transaction},
    calls::attest::MAX_READINGS,
    context::CallContext,
    failure::Failure,
    ledger::Ledger,
    roles,
};

/// How old a reading may be to count as evidence.
pub const EVIDENCE_COUNTS: Duration = Duration::from_hours(90 * 24);

/// Shows that a gateway's key has contradicted itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProveEquivocation {
    /// Where the key is a gateway's.
    pub condominium: CondominiumId,
    /// One signed attestation.
    pub first: SignedBytes,
    /// The other; it may be the same, where one contradicts itself.
    pub second: SignedBytes,
}

/// Two readings of one key that cannot both be true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contradiction {
    /// Whose.
    pub account: Address,
    /// Of the first statement.
    pub one: Reading,
    /// Of the second.
    pub other: Reading,
}

impl Contradiction {
    /// The later of the two times.
    fn newest(&self) -> Timestamp {
        self.one.at.max(self.other.at)
    }
}

impl Action for ProveEquivocation {
    fn name(&self) -> &'static str {
        "prove_equivocation"
    }

    fn check(&self) -> Result<(), Rejection> {
        let [first, second] = self.statements()?;
        contradiction(&first, &second)?;
        first.verify().and_then(|()| second.verify()).map_err(|_| Code::BadSignature.into())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let condominium = self.condominium;
        let [first, second] = self.statements()?;
        let foremost = contradiction(&first, &second)?;
        let account = foremost.account;
        if !ledger.has(&Key::Condominium(condominium))? {
            return Err(Code::UnknownCondominium.into());
        }
        let signer: Option<Signer> = ledger.get(&Key::Signer(first.body().signer))?;
        if first.body().chain_id != context.block.chain_id || signer.is_none_or(|signer| signer.account != account) {
            return Err(Code::NoContradiction.into());
        }
        if !roles::holds(ledger, context.block.height, condominium, Role::Gateway, &account)? {
            return Err(Code::RoleNotGranted.into());
        }
        let before: Option<Suspension> = ledger.get(&Key::Suspension(condominium, account))?;
        let drift = context.block.params.drift;
        let mut earliest = context.block.timestamp.saturating_sub(EVIDENCE_COUNTS);
        if let Some(before) = before {
            let lifted_at = before.lifted_at.ok_or(Code::AlreadySuspended)?;
            earliest = earliest.max(lifted_at.saturating_add(drift).saturating_add(Duration::from_ms(1)));
        }
        let latest = context.block.timestamp.saturating_add(drift);
        let mut pairs = contradictions(&first, &second)?;
        let Some(counting) = pairs.find(|pair| (earliest..=latest).contains(&pair.newest())) else {
            let newest = foremost.newest();
            let too_old = Rejection::of(Code::EvidenceTooOld, earliest.ms(), newest.ms());
            return Err(if newest > latest { Code::ReadingAhead.into() } else { too_old.into() });
        };

        // every check is done: from here on only writes
        let Reading { session, sequence, .. } = counting.one;
        let suspension = Suspension { since: context.block.height, session, sequence, evidence: context.tx_id, lifted_at: None };
        ledger.put(&Key::Suspension(condominium, account), &suspension)?;
        ledger.emit(Event::RoleSuspended { condominium, account, session, sequence });
        Ok(())
    }
}

impl ProveEquivocation {
    /// Both statements, decoded; their signatures are not checked here.
    ///
    /// # Errors
    /// [`Code::NoContradiction`] for bytes that are no transaction.
    pub fn statements(&self) -> Result<[Transaction; 2], Rejection> {
        let decode = |bytes: &SignedBytes| Transaction::decode(&bytes.0).map_err(|_| Rejection::from(Code::NoContradiction));
        Ok([decode(&self.first)?, decode(&self.second)?])
    }
}

/// The first pair of readings, in the order of the first statement and then of the second, that contradict each other. The signatures are the caller's matter.
///
/// # Errors
/// [`Code::NoContradiction`].
pub fn contradiction(first: &Transaction, second: &Transaction) -> Result<Contradiction, Rejection> {
    contradictions(first, second)?.next().ok_or(Code::NoContradiction.into())
}

/// Every such pair, in that order; at most [`MAX_READINGS`] squared.
fn contradictions<'a>(first: &'a Transaction, second: &'a Transaction) -> Result<impl Iterator<Item = Contradiction> + 'a, Rejection> {
    let none = Rejection::from(Code::NoContradiction);
    let (one, other) = (first.body(), second.body());
    if (one.chain_id, one.account, one.signer) != (other.chain_id, other.account, other.signer) {
        return Err(none);
    }
    let (ones, others) = (readings(first).ok_or(none)?, readings(second).ok_or(none)?);
    let account = one.account;
    let pairs = ones.iter().flat_map(|one| others.iter().map(move |other| (*one, *other)));
    Ok(pairs.filter(|(one, other)| contradict(one, other)).map(move |(one, other)| Contradiction { account, one, other }))
}

/// Whether two readings of one session with one number cannot both be true.
fn contradict(one: &Reading, other: &Reading) -> bool {
    (one.session, one.sequence) == (other.session, other.sequence)
        && one.register_wh != other.register_wh
        && (one.at == other.at || (one.at < other.at) != (one.register_wh < other.register_wh))
}

/// The readings of a statement, where it is one that the chain would look at.
fn readings(statement: &Transaction) -> Option<&[Reading]> {
    let Call::Attest(Attest { readings }) = &statement.body().call else { return None };
    (!readings.is_empty() && readings.len() <= MAX_READINGS as usize).then_some(readings.as_slice())
}

#[cfg(test)]
mod tests {
    use chain::{
        crypto::address_of,
        hash::Hash32,
        id::{ChainId, Height, SessionId},
        quantity::WattHours,
        record::{EndReason, Fault, RoleGrant, SessionState, SignerScope},
    };
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::{
        call::{AskStart, Body, LiftSuspension, ReportFault, SettleSession, StopSession},
        testing::{
            AWAY_STAFF, Fixture, HOME, MANAGER, NEIGHBOUR, NOON, RESIDENT, STRANGER, bill, connector, opening, outcomes, reading, tap,
        },
    };

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[77; 32])
    }

    fn accused() -> Address {
        address_of(&key())
    }

    const SESSION: SessionId = SessionId(Hash32([5; 32]));

    /// With a gateway whose key we have.
    fn fixture() -> Fixture {
        let mut chain = Fixture::new();
        let account = chain.account(crate::testing::GATEWAY);
        chain.put(&Key::Account(accused()), &account);
        chain.put(&Key::Signer(accused()), &Signer { account: accused(), scope: SignerScope::Owner, nonce: 0 });
        chain.put(&Key::Role(HOME, Role::Gateway, accused()), &RoleGrant { from: Height(0), until: None });
        chain
    }

    fn body(call: Call) -> Body {
        let (account, signer) = (accused(), accused());
        Body { chain_id: ChainId(Hash32::ZERO), account, signer, nonce: 0, valid_until: NOON, call }
    }

    fn signed(body: Body) -> SignedBytes {
        SignedBytes(Transaction::sign(body, &key()).unwrap().bytes().to_vec())
    }

    /// A statement about the session: (number, time in ms after noon, register).
    fn says(readings: &[(u64, u64, u64)]) -> SignedBytes {
        let at = |ms| NOON.saturating_add(Duration::from_ms(ms));
        let readings = readings.iter().map(|(number, ms, register)| reading(SESSION, *number, at(*ms), *register)).collect();
        signed(body(Call::Attest(Attest { readings })))
    }

    fn proof(first: SignedBytes, second: SignedBytes) -> ProveEquivocation {
        ProveEquivocation { condominium: HOME, first, second }
    }

    fn sound() -> ProveEquivocation {
        proof(says(&[(1, 0, 1_000), (2, 10, 1_100)]), says(&[(2, 10, 1_101)]))
    }

    #[test]
    fn anyone_suspends_a_gateway_that_says_two_things_about_one_instant() {
        let mut chain = fixture();
        let evidence = chain.next_tx();
        let suspended = Event::RoleSuspended { condominium: HOME, account: accused(), session: SESSION, sequence: 2 };
        assert_eq!(chain.applies(RESIDENT, &sound()), [suspended]);
        let record: Suspension = chain.get(&Key::Suspension(HOME, accused())).unwrap();
        assert_eq!(record, Suspension { since: Height(1), session: SESSION, sequence: 2, evidence, lifted_at: None });
        assert_eq!(chain.rejects(NEIGHBOUR, &sound()), Code::AlreadySuspended.into());
    }

    #[test]
    fn registers_contradict_where_no_meter_can_have_shown_both() {
        for (one, other, is_contradiction) in [
            ((2, 10, 1_100), (2, 10, 1_100), false),
            ((2, 10, 1_100), (2, 10, 1_099), true),
            ((2, 10, 1_100), (2, 11, 1_100), false),
            ((2, 10, 1_100), (2, 11, 1_101), false),
            ((2, 11, 1_101), (2, 10, 1_100), false),
            ((2, 10, 1_100), (2, 11, 1_099), true),
            ((2, 11, 1_099), (2, 10, 1_100), true),
            ((2, 10, 1_100), (3, 10, 1_099), false),
        ] {
            let mut chain = fixture();
            let outcome = chain.run(RESIDENT, &proof(says(&[one]), says(&[other])));
            let expected = if is_contradiction { Ok(1) } else { Err(Failure::Reject(Code::NoContradiction.into())) };
            assert_eq!(outcome.map(|events| events.len()), expected, "{one:?} {other:?}");
        }
        // One statement can contradict itself.
        let both = says(&[(2, 10, 1_100), (2, 10, 1_101)]);
        fixture().applies(RESIDENT, &proof(both.clone(), both));
    }

    #[test]
    fn what_is_no_attestation_of_one_key_for_this_chain_proves_nothing() {
        let mut chain = fixture();
        let good = says(&[(2, 10, 1_100)]);
        let wrong = reading(SESSION, 2, NOON.saturating_add(Duration::from_ms(10)), 1_101);
        let attest = |readings| Call::Attest(Attest { readings });
        let elsewhere = Body { chain_id: ChainId(Hash32([1; 32])), ..body(attest(vec![wrong])) };
        let for_another = Body { account: RESIDENT, ..body(attest(vec![wrong])) };
        let asking = Call::AskStart(AskStart { start: tap(connector(1)) });
        for other in [
            SignedBytes(Vec::new()),
            SignedBytes(good.0[..good.0.len() - 1].to_vec()),
            signed(body(asking)),
            signed(body(attest(Vec::new()))),
            signed(body(attest(vec![wrong; 257]))),
            signed(elsewhere.clone()),
            signed(for_another.clone()),
        ] {
            assert_eq!(chain.rejects(RESIDENT, &proof(good.clone(), other)), Code::NoContradiction.into());
        }
        // Both for another chain, or both for an account that is not the key's.
        let twice = |body: Body| {
            let Call::Attest(Attest { readings }) = &body.call else { panic!() };
            let other = reading(SESSION, 2, readings[0].at, 1);
            proof(signed(body.clone()), signed(Body { call: attest(vec![other]), ..body }))
        };
        assert_eq!(chain.rejects(RESIDENT, &twice(elsewhere)), Code::NoContradiction.into());
        assert_eq!(chain.rejects(RESIDENT, &twice(for_another)), Code::NoContradiction.into());
        for forged in [0, 63] {
            let mut call = sound();
            call.second.0[forged] ^= 1;
            assert_eq!(chain.rejects(RESIDENT, &call), Code::BadSignature.into());
        }
    }

    #[test]
    fn only_a_gateway_of_the_condominium_is_suspended_there() {
        let mut chain = fixture();
        let elsewhere = |condominium| ProveEquivocation { condominium: CondominiumId(condominium), ..sound() };
        assert_eq!(chain.rejects(RESIDENT, &elsewhere(9)), Code::UnknownCondominium.into());
        assert_eq!(chain.rejects(RESIDENT, &elsewhere(2)), Code::RoleNotGranted.into());
        chain.put(&Key::Role(HOME, Role::Gateway, accused()), &RoleGrant { from: Height(0), until: Some(Height(2)) });
        assert_eq!(chain.rejects(RESIDENT, &sound()), Code::RoleNotGranted.into());
    }

    #[test]
    fn evidence_counts_for_ninety_days_and_not_again_after_it_was_lifted() {
        let mut chain = fixture();
        let at = NOON.saturating_add(Duration::from_ms(10));
        chain.wait(Duration::from_ms(EVIDENCE_COUNTS.ms() + 11));
        let too_old = Rejection::of(Code::EvidenceTooOld, at.ms() + 1, at.ms());
        assert_eq!(chain.rejects(RESIDENT, &sound()), too_old);
        chain.now = chain.now.saturating_sub(Duration::from_ms(1));
        chain.applies(RESIDENT, &sound());

        let mut chain = fixture();
        chain.now = at;
        chain.applies(RESIDENT, &sound());
        chain.applies(MANAGER, &LiftSuspension { condominium: HOME, account: accused() });
        let drift = chain.params.drift;
        let too_old = |newest| Rejection::of(Code::EvidenceTooOld, at.saturating_add(drift).ms() + 1, newest);
        assert_eq!(chain.rejects(RESIDENT, &sound()), too_old(at.ms()));
        let dated = |ms| proof(says(&[(9, ms, 2_000)]), says(&[(9, ms, 1_999)]));
        assert_eq!(chain.rejects(RESIDENT, &dated(10 + drift.ms())), too_old(at.saturating_add(drift).ms()));
        chain.wait(Duration::from_ms(1));
        chain.applies(RESIDENT, &dated(11 + drift.ms()));
    }

    /// Two statements dated years ahead once suspended a key again after every lifting: their date is always after it.
    #[test]
    fn evidence_from_the_future_counts_when_its_time_has_come_and_then_once() {
        let mut chain = fixture();
        let drift = chain.params.drift;
        let ahead = |by| {
            let ms = drift.ms() + by;
            proof(says(&[(9, 0, 2_000)]), says(&[(9, ms, 1_999)]))
        };
        assert_eq!(chain.rejects(RESIDENT, &ahead(1)), Code::ReadingAhead.into());
        assert_eq!(chain.rejects(RESIDENT, &ahead(EVIDENCE_COUNTS.ms())), Code::ReadingAhead.into());
        // As far ahead as can be, lifted in the same instant: the lifting counts for it all the same.
        chain.applies(RESIDENT, &ahead(0));
        let lift = LiftSuspension { condominium: HOME, account: accused() };
        chain.applies(MANAGER, &lift);
        for waited in [Duration::from_ms(0), drift, EVIDENCE_COUNTS] {
            chain.wait(waited);
            assert_eq!(chain.rejects(RESIDENT, &ahead(0)).code, Code::EvidenceTooOld);
        }
    }

    /// A gateway that begins everything it signs with a contradiction that does not count would never be suspended for what comes behind it.
    #[test]
    fn a_contradiction_that_does_not_count_hides_none_that_does() {
        for decoy in [0, 2 * EVIDENCE_COUNTS.ms()] {
            let mut chain = fixture();
            chain.wait(EVIDENCE_COUNTS);
            chain.wait(Duration::from_ms(1));
            let now = EVIDENCE_COUNTS.ms();
            let lie = |register, of_decoy| says(&[(1, decoy, of_decoy), (2, now, register)]);
            let suspended = Event::RoleSuspended { condominium: HOME, account: accused(), session: SESSION, sequence: 2 };
            assert_eq!(chain.applies(RESIDENT, &proof(lie(1_100, 7), lie(1_101, 8))), [suspended], "{decoy}");
            // Beside nothing that counts it is what is said.
            let mut chain = fixture();
            chain.wait(EVIDENCE_COUNTS);
            chain.wait(Duration::from_ms(1));
            let code = if decoy == 0 { Code::EvidenceTooOld } else { Code::ReadingAhead };
            assert_eq!(chain.rejects(RESIDENT, &proof(lie(1_100, 7), lie(1_100, 8))).code, code);
        }
    }

    #[test]
    fn a_suspended_gateway_ends_and_settles_what_runs_and_does_nothing_else() {
        let mut chain = fixture();
        let running = chain.charges(1);
        let read = |chain: &mut Fixture, sequence, register| {
            let call = Attest { readings: vec![reading(running, sequence, chain.now, register)] };
            outcomes(&chain.applies(accused(), &call))[0]
        };
        assert_eq!(read(&mut chain, 1, 1_000), None);
        chain.applies(STRANGER, &sound());
        assert_eq!(read(&mut chain, 2, 1_010), Some(Code::RoleSuspended));
        assert_eq!(chain.rejects(accused(), &AskStart { start: tap(connector(2)) }), Code::RoleSuspended.into());
        assert_eq!(chain.rejects(accused(), &tap(connector(2))), Code::RoleSuspended.into());
        let fault = |number| ReportFault { connector: connector(number), session: None, fault: Fault::OverTime, at: NOON };
        assert_eq!(chain.rejects(accused(), &fault(2)), Code::RoleSuspended.into());
        chain.applies(accused(), &fault(1));
        assert!(matches!(chain.session(running).state, SessionState::Stopping { reason: EndReason::Anomaly(Fault::OverTime), .. }));
        let paid = bill(&chain.applies(accused(), &SettleSession { session: running }));
        assert_eq!(paid.energy, WattHours::ZERO);

        // What another gateway's key has metered since is that key's to end.
        let later = chain.charges(2);
        let call = Attest { readings: vec![reading(later, 1, chain.now, 1_000)] };
        assert_eq!(outcomes(&chain.applies(crate::testing::GATEWAY, &call)), [None]);
        assert_eq!(chain.rejects(accused(), &fault(2)), Code::RoleSuspended.into());
        let owner = chain.session(later).account;
        chain.applies(owner, &StopSession { session: later });
        assert_eq!(chain.rejects(accused(), &SettleSession { session: later }), Code::RoleSuspended.into());
        chain.applies(crate::testing::GATEWAY, &SettleSession { session: later });
        assert_eq!(chain.rejects(AWAY_STAFF, &tap(connector(1))), Code::NotAllowed.into());
    }

    /// A session that was opened while its gateway was suspended once held its escrow and its current until its longest time was over.
    #[test]
    fn a_suspended_gateway_gives_back_what_a_session_opened_since_has_put_in() {
        let mut chain = fixture();
        chain.applies(STRANGER, &sound());
        chain.wait(Duration::from_mins(1));
        let before = chain.account(NEIGHBOUR).balance;
        let later = chain.opens(NEIGHBOUR, &opening(connector(2)));
        chain.grants(later, crate::testing::SIXTEEN);
        let first = Attest { readings: vec![reading(later, 1, chain.now, 1_000)] };
        assert_eq!(outcomes(&chain.applies(accused(), &first)), [Some(Code::RoleSuspended)]);
        let at = chain.now;
        chain.applies(accused(), &ReportFault { connector: connector(2), session: Some(later), fault: Fault::OverTime, at });
        let paid = bill(&chain.applies(accused(), &SettleSession { session: later }));
        assert_eq!((paid.energy, paid.readings, paid.refund), (WattHours::ZERO, 0, paid.escrow));
        assert_eq!(chain.account(NEIGHBOUR).balance, before);
    }
}
