use std::convert::Infallible;

use chain::{
    hash::Hash32,
    record::{Condominium, PaymentReport},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    call::{CancelSession, ClearPositions, SettleSession, Transfer},
    testing::{AWAY, AWAY_STAFF, Fixture, GATEWAY, HOME, RESIDENT, SIXTEEN, TREASURER, VISITOR, connector, opening, tokens},
};

const THIRD: CondominiumId = CondominiumId(3);

fn debts<const N: usize>(rows: [(u32, u32, u64); N]) -> Debts {
    rows.into_iter().map(|(debtor, creditor, whole)| ((CondominiumId(debtor), CondominiumId(creditor)), tokens(whole))).collect()
}

fn netted(rows: Debts, room: u64) -> Debts {
    net(rows, |_, _| Ok::<_, Infallible>(tokens(room))).unwrap()
}

#[test]
fn whoever_owes_and_is_owed_steps_out_of_the_middle() {
    assert_eq!(netted(debts([(1, 2, 10), (2, 3, 4)]), 100), debts([(1, 2, 6), (1, 3, 4)]));
    assert_eq!(netted(debts([(1, 2, 4), (2, 3, 10)]), 100), debts([(1, 3, 4), (2, 3, 6)]));
    // A circle is gone, whatever anybody's limit is.
    assert_eq!(netted(debts([(1, 2, 10), (2, 3, 10), (3, 1, 10)]), 0), debts([]));
    assert_eq!(netted(debts([(1, 2, 10), (2, 3, 7), (3, 1, 5)]), 100), debts([(1, 2, 3), (1, 3, 2)]));
    assert_eq!(netted(debts([(1, 2, 3)]), 0), debts([(1, 2, 3)]));
}

#[test]
fn nobody_comes_to_be_owed_more_by_one_than_he_allows() {
    assert_eq!(netted(debts([(1, 2, 10), (2, 3, 8)]), 5), debts([(1, 2, 5), (1, 3, 5), (2, 3, 3)]));
    assert_eq!(netted(debts([(1, 2, 10), (2, 3, 8), (1, 3, 5)]), 5), debts([(1, 2, 10), (1, 3, 5), (2, 3, 8)]));
    // What only reduces what the other owes needs no room.
    assert_eq!(netted(debts([(1, 2, 10), (2, 3, 8), (3, 1, 6)]), 0), debts([(1, 2, 4), (2, 3, 2)]));
}

#[test]
fn netting_changes_nobodys_balance_and_makes_no_debt_larger_than_allowed() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let balances = |debts: &Debts| {
        let mut balances: BTreeMap<CondominiumId, i128> = BTreeMap::new();
        for ((debtor, creditor), amount) in debts {
            *balances.entry(*debtor).or_default() -= i128::from(amount.micro());
            *balances.entry(*creditor).or_default() += i128::from(amount.micro());
        }
        balances.retain(|_, balance| *balance != 0);
        balances
    };
    let gross = |debts: &Debts| debts.values().map(|amount| u128::from(amount.micro())).sum::<u128>();
    for _ in 0..2_000 {
        let members = rng.random_range(2..9);
        let mut before = Debts::new();
        for one in 1..=members {
            for other in one + 1..=members {
                let pair = if rng.random() { (one, other) } else { (other, one) };
                if rng.random_ratio(2, 3) {
                    before.insert((CondominiumId(pair.0), CondominiumId(pair.1)), Amount::from_micro(rng.random_range(1..1_000)));
                }
            }
        }
        let limit = if rng.random() { u64::MAX } else { rng.random_range(0..1_000) };
        let after = net(before.clone(), |_, _| Ok::<_, Infallible>(Amount::from_micro(limit))).unwrap();
        assert_eq!(balances(&after), balances(&before));
        assert!(gross(&after) <= gross(&before));
        for ((debtor, creditor), amount) in &after {
            let was = before.get(&(*debtor, *creditor)).copied().unwrap_or_default();
            assert!(!amount.is_zero() && *amount <= was.max(Amount::from_micro(limit)), "{before:?} {after:?}");
            assert!(!after.contains_key(&(*creditor, *debtor)));
            if limit == u64::MAX {
                assert!(after.keys().all(|(other, _)| other != creditor), "{creditor} owes and is owed in {after:?}");
            }
        }
    }
}

/// A third condominium, that the first owes nothing and the second owes three tokens.
fn three() -> Fixture {
    let mut chain = Fixture::new();
    let record = chain.get::<Condominium>(&Key::Condominium(AWAY)).unwrap();
    chain.put(&Key::Condominium(AWAY), &Condominium { minted: record.minted.checked_add(tokens(3)).unwrap(), ..record.clone() });
    chain.put(&Key::Condominium(THIRD), &Condominium { minted: Amount::ZERO, redeemed: tokens(3), ..record });
    chain.put(&Key::Position(AWAY, THIRD), &tokens(3));
    chain
}

fn cleared(clearing: u32, from: Option<chain::time::Timestamp>, chain: &Fixture) -> Event {
    Event::PositionsCleared { clearing, condominium: HOME, from, until: chain.now }
}

const CLEAR: ClearPositions = ClearPositions { condominium: HOME };

#[test]
fn a_clearing_makes_payments_of_netted_positions_and_closes_what_was_counted() {
    let mut chain = three();
    chain.applies(RESIDENT, &Transfer { to: VISITOR, amount: tokens(5) });
    let roaming = Roaming { transfers: 1, transferred: tokens(5), ..Roaming::default() };
    let first = chain.now;
    let at = (chain.height, chain.index);
    let events = chain.applies(TREASURER, &CLEAR);
    let due = |creditor, amount| Event::PaymentDue { clearing: 1, debtor: HOME, creditor, amount };
    let closed = |clearing, roaming| Event::RoamingClosed { clearing, home: HOME, host: AWAY, roaming };
    assert_eq!(events, [cleared(1, None, &chain), closed(1, roaming), due(AWAY, tokens(2)), due(THIRD, tokens(3))]);
    for (debtor, creditor) in [(HOME, AWAY), (AWAY, THIRD)] {
        assert_eq!(chain.get::<Amount>(&Key::Position(debtor, creditor)), None);
    }
    assert_eq!(chain.get::<Roaming>(&Key::Roaming(HOME, AWAY)), None);
    assert_eq!(chain.get(&Key::Payment(HOME, THIRD, 1)), Some(Payment { amount: tokens(3), report: None }));
    let record = Clearing { from: None, until: first, height: at.0, index: at.1 };
    assert_eq!(chain.get(&Key::Clearing(1)), Some(record));
    assert_eq!(chain.rejects(TREASURER, &CLEAR), Code::NothingToClear.into());

    chain.wait(chain::time::Duration::from_hours(1));
    chain.applies(VISITOR, &Transfer { to: RESIDENT, amount: tokens(1) });
    let events = chain.applies(TREASURER, &CLEAR);
    assert_eq!(events[0], cleared(2, Some(first), &chain));
    assert_eq!(events[2..], [Event::PaymentDue { clearing: 2, debtor: AWAY, creditor: HOME, amount: tokens(1) }]);
    assert_eq!(chain.get(&Key::ClearingHead), Some(ClearingHead { latest: 2 }));
}

#[test]
fn a_clearing_is_for_treasurers_and_closes_what_cost_nothing_too() {
    let mut chain = Fixture::new();
    assert_eq!(chain.rejects(TREASURER, &CLEAR), Code::NothingToClear.into());
    assert_eq!(chain.rejects(RESIDENT, &CLEAR), Code::NotAllowed.into());
    assert_eq!(chain.rejects(TREASURER, &ClearPositions { condominium: AWAY }), Code::NotAllowed.into());
    assert_eq!(chain.rejects(TREASURER, &ClearPositions { condominium: CondominiumId(9) }), Code::UnknownCondominium.into());
    chain.put(&Key::Roaming(AWAY, HOME), &Roaming { sessions: 1, energy: WattHours::new(700), ..Roaming::default() });
    assert_eq!(chain.applies(AWAY_STAFF, &ClearPositions { condominium: AWAY }).len(), 2);
}

/// [`HOME`] owes [`AWAY`] so many payments of a micro-token each, numbered from 100 on, besides what moved since.
fn put_unpaid(chain: &mut Fixture, count: u32) {
    for number in 0..MAX_UNPAID {
        let key = Key::Payment(HOME, AWAY, number + 100);
        if number < count {
            chain.put(&key, &Payment { amount: Amount::from_micro(1), report: None });
        } else {
            chain.state.delete(&key.bytes());
        }
    }
    let sum = Amount::from_micro(count.into());
    let (home, away) = (Key::Condominium(HOME), Key::Condominium(AWAY));
    let record = chain.get::<Condominium>(&home).unwrap();
    chain.put(&home, &Condominium { minted: tokens(200).checked_add(sum).unwrap(), ..record });
    let record = chain.get::<Condominium>(&away).unwrap();
    chain.put(&away, &Condominium { redeemed: sum, ..record });
}

#[test]
fn what_exceeds_the_number_of_payments_stays_a_position() {
    let mut chain = Fixture::new();
    put_unpaid(&mut chain, MAX_UNPAID);
    chain.applies(RESIDENT, &Transfer { to: VISITOR, amount: tokens(5) });
    assert_eq!(chain.applies(TREASURER, &CLEAR).len(), 2);
    assert_eq!(chain.get(&Key::Position(HOME, AWAY)), Some(tokens(5)));
    put_unpaid(&mut chain, MAX_UNPAID - 1);
    chain.applies(VISITOR, &Transfer { to: RESIDENT, amount: tokens(1) });
    chain.applies(TREASURER, &CLEAR);
    assert_eq!(chain.get(&Key::Payment(HOME, AWAY, 2)), Some(Payment { amount: tokens(4), report: None }));
    assert_eq!(chain.get::<Amount>(&Key::Position(HOME, AWAY)), None);
}

#[test]
fn counts_sessions_away_from_home_with_their_energy_and_money_and_none_that_did_nothing() {
    let mut chain = Fixture::new();
    let counted = |chain: &Fixture| chain.get::<Roaming>(&Key::Roaming(AWAY, HOME));
    let idle = chain.opens(VISITOR, &opening(connector(2)));
    chain.applies(VISITOR, &CancelSession { session: idle });
    assert_eq!(counted(&chain), None);
    for round in 1..3 {
        let id = chain.opens(VISITOR, &opening(connector(1)));
        chain.grants(id, SIXTEEN);
        let start = 1_000 + 4_000 * (round - 1);
        assert_eq!(chain.reads(id, 1, start), None);
        chain.wait(chain::time::Duration::from_hours(2));
        assert_eq!(chain.reads(id, 2, start + 4_000), None);
        chain.applies(VISITOR, &crate::call::StopSession { session: id });
        chain.applies(GATEWAY, &SettleSession { session: id });
        let expected = Roaming { sessions: round, energy: WattHours::new(4_000 * round), charged: tokens(round), ..Roaming::default() };
        assert_eq!(counted(&chain), Some(expected));
    }
    let own = chain.opens(RESIDENT, &opening(connector(1)));
    chain.applies(RESIDENT, &CancelSession { session: own });
    assert_eq!(chain.get::<Roaming>(&Key::Roaming(HOME, HOME)), None);
    assert_eq!(due_now(&Ledger::new(&chain.state)).unwrap(), debts([(2, 1, 2)]));
}

#[test]
fn a_free_session_away_from_home_is_counted_by_its_energy() {
    let chain = Fixture::new();
    let mut ledger = Ledger::new(&chain.state);
    count_session(&mut ledger, HOME, AWAY, WattHours::new(5), Amount::ZERO).unwrap();
    count_session(&mut ledger, HOME, AWAY, WattHours::ZERO, tokens(1)).unwrap();
    count_session(&mut ledger, HOME, AWAY, WattHours::ZERO, Amount::ZERO).unwrap();
    count_session(&mut ledger, HOME, HOME, WattHours::new(5), tokens(1)).unwrap();
    let expected = Roaming { sessions: 2, energy: WattHours::new(5), charged: tokens(1), ..Roaming::default() };
    assert_eq!(ledger.get(&Key::Roaming(HOME, AWAY)), Ok(Some(expected)));
    // At the end of the range counting stops and money goes on.
    ledger
        .put(&Key::Roaming(HOME, AWAY), &Roaming { sessions: u64::MAX, energy: WattHours::MAX, charged: Amount::MAX, ..expected })
        .unwrap();
    count_session(&mut ledger, HOME, AWAY, WattHours::new(5), tokens(1)).unwrap();
}

#[test]
fn a_clearing_takes_the_sixty_four_lowest_numbers() {
    let mut chain = Fixture::new();
    let record = chain.get::<Condominium>(&Key::Condominium(AWAY)).unwrap();
    let one = |chain: &mut Fixture, number: u32, redeemed: u64| {
        let made = Condominium { minted: Amount::ZERO, redeemed: Amount::from_micro(redeemed), ..record.clone() };
        chain.put(&Key::Condominium(CondominiumId(number)), &made);
    };
    // Each owes the next: a circle but for its last link, which ends behind the sixty-fourth.
    for number in 10..75 {
        one(&mut chain, number, 0);
        chain.put(&Key::Position(CondominiumId(number), CondominiumId(number + 1)), &Amount::from_micro(1));
    }
    one(&mut chain, 75, 1);
    let first = chain.get::<Condominium>(&Key::Condominium(CondominiumId(10))).unwrap();
    chain.put(&Key::Condominium(CondominiumId(10)), &Condominium { minted: Amount::from_micro(1), ..first });
    let events = chain.applies(TREASURER, &CLEAR);
    let expected = Event::PaymentDue { clearing: 1, debtor: CondominiumId(10), creditor: CondominiumId(73), amount: Amount::from_micro(1) };
    assert_eq!(events[1..], [expected]);
    for number in [73, 74] {
        assert!(chain.get::<Amount>(&Key::Position(CondominiumId(number), CondominiumId(number + 1))).is_some(), "{number}");
    }
}

#[test]
fn unpaid_payments_and_open_escrows_leave_less_room_in_the_netting() {
    let mut chain = three();
    chain.applies(RESIDENT, &Transfer { to: VISITOR, amount: tokens(5) });
    let record = chain.get::<Condominium>(&Key::Condominium(THIRD)).unwrap();
    chain.put(&Key::Condominium(THIRD), &Condominium { position_limit: tokens(4), ..record });
    let room = |chain: &Fixture| due_now(&Ledger::new(&chain.state)).unwrap().get(&(HOME, THIRD)).copied();
    assert_eq!(room(&chain), Some(tokens(3)));
    let report = Some(PaymentReport { treasurer: TREASURER, at: chain.now, payment: Hash32::ZERO });
    chain.put(&Key::Payment(HOME, THIRD, 7), &Payment { amount: tokens(2), report });
    assert_eq!(room(&chain), Some(tokens(2)));
    chain.put(&Key::PendingPosition(HOME, THIRD), &tokens(1));
    assert_eq!(room(&chain), Some(tokens(1)));
    assert_eq!(unpaid(&Ledger::new(&chain.state), HOME, THIRD), Ok(tokens(2)));
    assert_eq!(unpaid(&Ledger::new(&chain.state), THIRD, HOME), Ok(Amount::ZERO));
}
