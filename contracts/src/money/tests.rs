//! Locks and settlements one by one, and all movements of money together at random.

use std::collections::BTreeMap;

use chain::{hash::Hash32, id::RedemptionId, record::Condominium};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    audit::{CondominiumTotals, conservation},
    call::{Action, ConfirmRedeem, RedeemAnswer, RequestRedeem, SellTokens, Transfer},
    context::CallContext,
    testing::{
        AWAY, AWAY_STAFF, BALANCE, Fixture, HOME, NEIGHBOUR, POSITION_LIMIT, RESIDENT, REVENUE, STRANGER, TREASURER, VISITOR, tokens,
    },
};

/// Works on the ledger, keeps the changes and gives the events; a failure changes nothing.
fn work(chain: &mut Fixture, work: impl FnOnce(&mut Ledger<'_>) -> Result<(), Failure>) -> Result<Vec<Event>, Failure> {
    let mut ledger = Ledger::new(&chain.state);
    work(&mut ledger)?;
    let events = ledger.take_events();
    let changes = ledger.into_changes();
    chain.state.apply(&changes);
    Ok(events)
}

fn assert_conservation(chain: &Fixture) -> Vec<CondominiumTotals> {
    let totals = conservation(&chain.state).unwrap();
    for totals in &totals {
        assert!(totals.holds(), "{totals:?}");
    }
    totals
}

/// Balance, held and debt.
fn purse(chain: &Fixture, address: Address) -> [Amount; 3] {
    let account = chain.account(address);
    [account.balance, account.held, account.debt]
}

fn give_credit(chain: &mut Fixture, address: Address, credit_limit: Amount) {
    let account = chain.account(address);
    chain.put(&Key::Account(address), &Account { credit_limit, ..account });
}

#[test]
fn locks_the_balance_first_and_then_credit_up_to_the_limit_of_debt() {
    let mut chain = Fixture::new();
    give_credit(&mut chain, RESIDENT, tokens(50));
    work(&mut chain, |ledger| lock(ledger, &RESIDENT, tokens(90))).unwrap();
    assert_eq!(purse(&chain, RESIDENT), [tokens(10), tokens(90), tokens(0)]);
    work(&mut chain, |ledger| lock(ledger, &RESIDENT, tokens(40))).unwrap();
    assert_eq!(purse(&chain, RESIDENT), [tokens(0), tokens(130), tokens(30)]);
    let refused = work(&mut chain, |ledger| lock(ledger, &RESIDENT, tokens(21)));
    assert_eq!(refused, Err(Rejection::of(Code::InsufficientFunds, tokens(21).micro(), tokens(20).micro()).into()));
    work(&mut chain, |ledger| lock(ledger, &RESIDENT, tokens(20))).unwrap();
    assert_eq!(purse(&chain, RESIDENT), [tokens(0), tokens(150), tokens(50)]);
    assert_conservation(&chain);
    assert_eq!(work(&mut chain, |ledger| lock(ledger, &STRANGER, tokens(1))), Err(Code::UnknownAccount.into()));
}

#[test]
fn finds_balance_and_free_credit_where_funds_are_short() {
    let mut chain = Fixture::new();
    give_credit(&mut chain, RESIDENT, tokens(50));
    let refused = work(&mut chain, |ledger| lock(ledger, &RESIDENT, tokens(151)));
    assert_eq!(refused, Err(Rejection::of(Code::InsufficientFunds, tokens(151).micro(), tokens(150).micro()).into()));
    // A limit that was lowered below the debt gives no credit, and takes nothing away.
    let account = chain.account(RESIDENT);
    chain.put(&Key::Account(RESIDENT), &Account { debt: tokens(60), ..account });
    let refused = work(&mut chain, |ledger| lock(ledger, &RESIDENT, tokens(101)));
    assert_eq!(refused, Err(Rejection::of(Code::InsufficientFunds, tokens(101).micro(), BALANCE.micro()).into()));
    work(&mut chain, |ledger| lock(ledger, &RESIDENT, BALANCE)).unwrap();
}

#[test]
fn a_settlement_pays_and_the_rest_reduces_debt_before_it_raises_the_balance() {
    let mut chain = Fixture::new();
    give_credit(&mut chain, RESIDENT, tokens(50));
    work(&mut chain, |ledger| lock(ledger, &RESIDENT, tokens(130))).unwrap();
    let settlement = |escrow, paid| Settlement { payer: RESIDENT, escrow, paid, payee: REVENUE };
    let events = work(&mut chain, |ledger| settle(ledger, &settlement(tokens(30), tokens(10)))).unwrap();
    assert_eq!(events, []);
    assert_eq!(purse(&chain, RESIDENT), [tokens(0), tokens(100), tokens(10)]);
    work(&mut chain, |ledger| settle(ledger, &settlement(tokens(100), tokens(75)))).unwrap();
    assert_eq!(purse(&chain, RESIDENT), [tokens(15), tokens(0), tokens(0)]);
    assert_eq!(chain.account(REVENUE).balance, tokens(85));
    assert_conservation(&chain);
}

#[test]
fn an_unlocked_amount_reduces_debt_before_it_raises_the_balance() {
    let mut chain = Fixture::new();
    give_credit(&mut chain, RESIDENT, tokens(50));
    work(&mut chain, |ledger| lock(ledger, &RESIDENT, tokens(120))).unwrap();
    work(&mut chain, |ledger| unlock(ledger, &RESIDENT, tokens(30))).unwrap();
    assert_eq!(purse(&chain, RESIDENT), [tokens(10), tokens(90), tokens(0)]);
    assert_conservation(&chain);
}

#[test]
fn a_settlement_with_oneself_returns_everything() {
    let mut chain = Fixture::new();
    work(&mut chain, |ledger| lock(ledger, &RESIDENT, tokens(40))).unwrap();
    let own = Settlement { payer: RESIDENT, escrow: tokens(40), paid: tokens(30), payee: RESIDENT };
    work(&mut chain, |ledger| settle(ledger, &own)).unwrap();
    assert_eq!(purse(&chain, RESIDENT), [BALANCE, tokens(0), tokens(0)]);
}

#[test]
fn a_settlement_away_from_home_posts_a_position_even_past_the_limit() {
    let mut chain = Fixture::new();
    for _ in 0..2 {
        work(&mut chain, |ledger| {
            check_position(ledger, HOME, AWAY, tokens(20))?;
            lock(ledger, &RESIDENT, tokens(20))
        })
        .unwrap();
    }
    let away = Settlement { payer: RESIDENT, escrow: tokens(20), paid: tokens(19), payee: AWAY_STAFF };
    for _ in 0..2 {
        let events = work(&mut chain, |ledger| settle(ledger, &away)).unwrap();
        assert_eq!(events, [Event::PositionPosted { debtor: HOME, creditor: AWAY, amount: tokens(19) }]);
    }
    assert_eq!(chain.get(&Key::Position(HOME, AWAY)), Some(tokens(38)));
    let refused = work(&mut chain, |ledger| check_position(ledger, HOME, AWAY, Amount::from_micro(1)));
    let found = tokens(38).micro() + 1;
    assert_eq!(refused, Err(Rejection::of(Code::PositionLimit, POSITION_LIMIT.micro(), found).into()));
    // What only reduces a position is never refused, nor what stays at home or costs nothing.
    let back = |ledger: &mut Ledger<'_>| check_position(ledger, AWAY, HOME, tokens(68));
    work(&mut chain, back).unwrap();
    work(&mut chain, |ledger| check_position(ledger, HOME, HOME, Amount::MAX)).unwrap();
    work(&mut chain, |ledger| check_position(ledger, HOME, AWAY, tokens(0))).unwrap();
    let totals = assert_conservation(&chain);
    assert_eq!((totals[0].owed_by, totals[1].owed_to), (tokens(38), tokens(38)));
    let nobody = work(&mut chain, |ledger| check_position(ledger, HOME, CondominiumId(9), tokens(1)));
    assert_eq!(nobody, Err(Code::UnknownCondominium.into()));
}

#[test]
fn no_limit_of_positions_is_higher_than_the_supply() {
    let mut chain = Fixture::new();
    let away: Condominium = chain.get(&Key::Condominium(AWAY)).unwrap();
    chain.put(&Key::Condominium(AWAY), &Condominium { position_limit: Amount::MAX, ..away });
    work(&mut chain, |ledger| check_position(ledger, HOME, AWAY, MAX_SUPPLY)).unwrap();
    let beyond = MAX_SUPPLY.checked_add(Amount::from_micro(1)).unwrap();
    let refused = work(&mut chain, |ledger| check_position(ledger, HOME, AWAY, beyond));
    assert_eq!(refused, Err(Rejection::of(Code::PositionLimit, MAX_SUPPLY.micro(), beyond.micro()).into()));
}

#[test]
fn a_free_settlement_posts_nothing() {
    let mut chain = Fixture::new();
    work(&mut chain, |ledger| lock(ledger, &RESIDENT, tokens(20))).unwrap();
    let free = Settlement { payer: RESIDENT, escrow: tokens(20), paid: tokens(0), payee: AWAY_STAFF };
    assert_eq!(work(&mut chain, |ledger| settle(ledger, &free)), Ok(vec![]));
    assert_eq!(chain.get::<Amount>(&Key::Position(HOME, AWAY)), None);
}

#[test]
fn a_hold_that_is_not_there_is_a_fault_and_no_rejection() {
    let mut chain = Fixture::new();
    work(&mut chain, |ledger| lock(ledger, &RESIDENT, tokens(20))).unwrap();
    let good = Settlement { payer: RESIDENT, escrow: tokens(20), paid: tokens(5), payee: REVENUE };
    let wrong = [
        Settlement { escrow: tokens(21), ..good },
        Settlement { paid: tokens(21), ..good },
        Settlement { payer: STRANGER, ..good },
        Settlement { payee: STRANGER, ..good },
    ];
    for wrong in wrong {
        let outcome = work(&mut chain, |ledger| settle(ledger, &wrong));
        assert!(matches!(outcome, Err(Failure::Fault(_))), "{outcome:?}");
    }
    let outcome = work(&mut chain, |ledger| unlock(ledger, &RESIDENT, tokens(21)));
    assert!(matches!(outcome, Err(Failure::Fault(_))), "{outcome:?}");
}

/// The third condominium of the random test; its treasurer is its revenue account and its only other resident.
const THIRD: CondominiumId = CondominiumId(3);
const THIRD_STAFF: Address = Address([30; 32]);

/// Three condominiums with small limits, so that rejections of every kind come up.
fn three_condominiums() -> Fixture {
    let mut chain = Fixture::new();
    let third: Condominium = chain.get(&Key::Condominium(AWAY)).unwrap();
    let third = Condominium { minted: Amount::ZERO, revenue: THIRD_STAFF, ..third };
    chain.put(&Key::Condominium(THIRD), &third);
    let staff: Account = chain.account(AWAY_STAFF);
    chain.put(&Key::Account(THIRD_STAFF), &Account { home: THIRD, ..staff });
    let grant = chain::record::RoleGrant { from: chain::id::Height(0), until: None };
    chain.put(&Key::Role(THIRD, chain::record::Role::Treasurer, THIRD_STAFF), &grant);
    give_credit(&mut chain, RESIDENT, tokens(40));
    give_credit(&mut chain, VISITOR, tokens(7));
    chain
}

#[test]
fn no_token_appears_or_vanishes_whatever_is_sold_sent_locked_settled_and_redeemed() {
    let people = [RESIDENT, NEIGHBOUR, VISITOR, REVENUE, AWAY_STAFF, THIRD_STAFF];
    let treasurers = [(HOME, TREASURER), (AWAY, AWAY_STAFF), (THIRD, THIRD_STAFF)];
    let mut outcomes: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..12 {
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut chain = three_condominiums();
        let mut escrows: Vec<(Address, Amount)> = Vec::new();
        let mut redemptions: Vec<(Address, RedemptionId, Amount)> = Vec::new();
        for _ in 0..400 {
            let one = people[rng.random_range(0..people.len())];
            let other = people[rng.random_range(0..people.len())];
            let amount = Amount::from_micro(rng.random_range(0..=60_000_000));
            let kind = rng.random_range(0..6);
            let outcome = match kind {
                0 => call(&mut chain, one, &Transfer { to: other, amount }),
                1 => {
                    let (condominium, treasurer) = treasurers[rng.random_range(0..treasurers.len())];
                    let sale = chain.get::<Condominium>(&Key::Condominium(condominium)).unwrap().next_sale;
                    call(&mut chain, treasurer, &SellTokens { condominium, account: one, amount, sale, payment: Hash32::ZERO })
                }
                2 => {
                    let redemption = RedemptionId(chain.next_tx().0);
                    let outcome = call(&mut chain, one, &RequestRedeem { amount, payee: Hash32::ZERO });
                    if outcome.is_ok() {
                        redemptions.push((one, redemption, amount));
                    }
                    outcome
                }
                3 if !redemptions.is_empty() => {
                    let place = rng.random_range(0..redemptions.len());
                    let (holder, redemption, _) = redemptions[place];
                    let home = chain.account(holder).home;
                    let (_, treasurer) = treasurers[rng.random_range(0..treasurers.len())];
                    let paid = RedeemAnswer::Paid { payment: Hash32::ZERO };
                    let answer = if rng.random_bool(0.5) { paid } else { RedeemAnswer::Refused };
                    let outcome = call(&mut chain, treasurer, &ConfirmRedeem { redemption, answer });
                    assert_eq!(outcome.is_ok(), treasurers.contains(&(home, treasurer)));
                    if outcome.is_ok() {
                        redemptions.remove(place);
                    }
                    outcome
                }
                5 if !escrows.is_empty() => {
                    let (payer, escrow) = escrows.swap_remove(rng.random_range(0..escrows.len()));
                    let paid = Amount::from_micro(rng.random_range(0..=escrow.micro()));
                    let outcome = work(&mut chain, |ledger| settle(ledger, &Settlement { payer, escrow, paid, payee: other }));
                    assert!(outcome.is_ok(), "money that is locked always comes back: {outcome:?}");
                    outcome
                }
                _ => {
                    let outcome = work(&mut chain, |ledger| lock(ledger, &one, amount));
                    if outcome.is_ok() {
                        escrows.push((one, amount));
                    }
                    outcome
                }
            };
            let result = match outcome {
                Ok(_) => "applied".to_owned(),
                Err(Failure::Reject(rejection)) => rejection.code.to_string(),
                Err(Failure::Fault(fault)) => panic!("{fault}"),
            };
            *outcomes.entry(format!("{kind} {result}")).or_default() += 1;
            assert_conservation(&chain);
            for person in people {
                let escrowed = escrows.iter().filter(|(payer, _)| *payer == person).map(|(_, amount)| *amount);
                let pending = redemptions.iter().filter(|(holder, ..)| *holder == person).map(|(.., amount)| *amount);
                assert_eq!(Some(chain.account(person).held), Amount::sum(escrowed.chain(pending)), "held by {person}");
                let account = chain.account(person);
                assert!(account.debt <= account.credit_limit, "debt of {person}");
            }
        }
        // Everything open ends: then nothing is held any more.
        for (payer, escrow) in escrows {
            work(&mut chain, |ledger| unlock(ledger, &payer, escrow)).unwrap();
        }
        for (holder, redemption, _) in redemptions {
            let home = chain.account(holder).home;
            let (_, treasurer) = treasurers.into_iter().find(|(condominium, _)| *condominium == home).unwrap();
            call(&mut chain, treasurer, &ConfirmRedeem { redemption, answer: RedeemAnswer::Refused }).unwrap();
        }
        assert!(assert_conservation(&chain).iter().all(|totals| totals.held.is_zero()));
    }
    println!("{outcomes:#?}");
    for expected in
        ["0 applied", "0 position_limit", "0 insufficient_funds", "1 applied", "1 not_home", "2 applied", "3 applied", "5 applied"]
    {
        assert!(outcomes.get(expected).is_some_and(|count| *count >= 20), "{expected} came up too rarely: {outcomes:?}");
    }
}

/// Carries out a call without asking who owns the holds, which the test keeps itself.
fn call(chain: &mut Fixture, account: Address, call: &impl Action) -> Result<Vec<Event>, Failure> {
    let (block, tx_id) = (chain.block(), chain.next_tx());
    chain.height = chain.height.next();
    chain.wait(chain::time::Duration::from_mins(10));
    call.check()?;
    work(chain, |ledger| call.apply(&CallContext { block: &block, index: 0, tx_id, account, signer: account }, ledger))
}
