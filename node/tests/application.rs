//! The application through its two doors: submitting, deciding, restarting between any two steps, limits and due work.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod solo;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use chain::{
    code::Code,
    crypto::address_of,
    id::{Address, Height, SessionId},
    quantity::Amount,
    receipt::{Cause, Event, Outcome},
    record::{EndReason, Key},
    time::{Duration, Timestamp},
};
use contracts::call::{Call, Transfer};
use node::{
    app::{
        App, Interest, Limits, Standing, SubmitError,
        port::{BlockProposal, Origin, StoredProposal},
    },
    clock::Clock,
    keys::KeyName,
};
use solo::{NOON, Solo, WAIT, commit, resident, stop};

async fn judge(app: &App, height: Height, round: u32, proposer: Address, bytes: Bytes, origin: Origin) -> Option<StoredProposal> {
    app.port.validate(BlockProposal { height, round, proposer, bytes, signature: None }, origin).await.unwrap()
}

fn is_valid(verdict: Option<StoredProposal>) -> bool {
    verdict.unwrap().valid
}

#[tokio::test]
async fn a_transfer_is_committed_and_proven_and_sending_it_again_changes_nothing() {
    let solo = Solo::found();
    let app = solo.start();
    let deciding = solo.decide_on(&app.port);
    let mut commits = app.handle.subscribe(None, Interest::Watches);
    let (payer, payee) = (resident(1), resident(2));
    commit(&app, solo.sell(0, 1, address_of(&payer), 20)).await.unwrap();
    commit(&app, solo.sell(1, 2, address_of(&payee), 1)).await.unwrap();
    let transfer = Transfer { to: address_of(&payee), amount: Amount::from_micro(7_500_000) };
    let bytes = solo.sign(&payer, 0, Call::Transfer(transfer));
    let included = commit(&app, bytes.clone()).await.unwrap();
    assert_eq!(included.receipt.outcome, Outcome::Applied);

    let again = app.handle.submit(bytes.clone()).await.unwrap();
    assert_eq!(again.standing, Standing::Committed(included.location));
    assert_eq!(commit(&app, bytes).await.unwrap(), included);
    assert_eq!(app.handle.next_nonce(address_of(&payer)).await, Ok(Some(1)));
    assert_eq!(app.handle.next_nonce(address_of(&resident(9))).await, Ok(None));

    let snapshot = app.handle.snapshot().unwrap();
    let account = snapshot.account(&address_of(&payer)).unwrap().unwrap();
    assert_eq!(account.balance, Amount::from_micro(12_500_000));
    assert_eq!(snapshot.transaction(included.id).unwrap(), Some(included.location));
    let header = *snapshot.tip_header().unwrap();
    let key = Key::Account(address_of(&payer));
    let value = snapshot.record_bytes(&key).unwrap();
    snapshot.prove_state(&key).verify(header.state_root, &key.bytes(), value.as_deref()).unwrap();
    let (receipt, path) = snapshot.receipt(included.location).unwrap().unwrap();
    path.verify(receipt.leaf(), header.receipts_root).unwrap();
    let first = snapshot.header(Height(1)).unwrap().unwrap();
    snapshot.prove_header(Height(1)).unwrap().unwrap().verify(first.hash(), header.history_root).unwrap();
    let certificate = snapshot.certificate(header.height).unwrap().unwrap();
    certificate.verify(solo.genesis.chain_id(), &snapshot.validators(header.height).unwrap().unwrap()).unwrap();
    let history = snapshot.account_history(&address_of(&payer), None, 1).unwrap();
    assert_eq!(history.entries, [(included.location, ())]);
    let next = history.next.unwrap();
    assert_eq!(snapshot.account_history(&address_of(&payer), Some(next), 10).unwrap().entries.len(), 1);

    for height in 1..=3 {
        assert_eq!(commits.next().await.unwrap().height(), Height(height));
    }
    // Who comes later reads the same from the database.
    let mut later = app.handle.subscribe(Some(Height(1)), Interest::Watches);
    let heights: Vec<_> = [later.next().await.unwrap(), later.next().await.unwrap()].iter().map(|one| one.height()).collect();
    assert_eq!(heights, [Height(1), Height(2)]);
    drop(snapshot);
    stop(app).await;
    deciding.await.unwrap();
}

#[tokio::test]
async fn nothing_is_lost_or_done_twice_whenever_the_process_ends() {
    let solo = Solo::found();
    let buyer = resident(1);

    // Ends after the proposal is durable and before it is decided.
    let app = solo.start();
    app.handle.submit(solo.sell(0, 1, address_of(&buyer), 5)).await.unwrap();
    let proposed = app.port.propose(Height(1), 0).await.unwrap();
    stop(app).await;

    let app = solo.start();
    assert_eq!(app.handle.pending().pooled, 0, "the pool is not kept");
    let stored = app.port.stored_proposals(Height(1), 0).await.unwrap();
    assert_eq!(stored.iter().map(|one| (one.hash, one.valid)).collect::<Vec<_>>(), [(proposed.hash, true)]);
    assert_eq!(app.port.undecided(proposed.hash).await.unwrap().map(|block| block.bytes), Some(proposed.bytes.clone()));
    let again = app.port.propose(Height(1), 0).await.unwrap();
    assert_eq!(again, proposed, "another block for the same round would be equivocation");

    // Decided now, executed from the stored bytes; the same decision again is no second commit.
    let certificate = solo.certify(Height(1), proposed.hash);
    let tip = app.port.commit(certificate.clone()).await.unwrap();
    assert_eq!((tip.height, tip.hash), (Height(1), proposed.hash));
    assert_eq!(app.port.commit(certificate.clone()).await.unwrap(), tip);
    stop(app).await;

    // Ends after the commit and before consensus heard of it.
    let app = solo.start();
    assert_eq!(app.port.tip().await.unwrap(), tip);
    assert_eq!(app.port.commit(certificate.clone()).await.unwrap(), tip);
    assert!(app.port.stored_proposals(Height(2), 0).await.unwrap().is_empty());
    let decided = app.port.decided(Height(1), Height(9)).await.unwrap();
    assert_eq!(decided, [(proposed.bytes, certificate)]);
    let balance = app.handle.snapshot().unwrap().account(&address_of(&buyer)).unwrap().unwrap().balance;
    assert_eq!(balance, Amount::from_micro(5_000_000));
    stop(app).await;
}

#[tokio::test]
async fn a_block_that_reaches_another_node_is_judged_and_a_changed_one_is_not_valid() {
    let solo = Solo::found();
    let app = solo.start();
    app.handle.submit(solo.sell(0, 1, address_of(&resident(1)), 5)).await.unwrap();
    let good = app.port.propose(Height(1), 0).await.unwrap();
    let proposer = address_of(&solo.key(KeyName::Validator));
    stop(app).await;

    // The same chain in another directory, which has never seen the transaction.
    let other = Solo { directory: tempfile::tempdir().unwrap(), genesis: solo.genesis.clone() };
    std::fs::create_dir_all(other.data().keys()).unwrap();
    std::fs::copy(KeyName::Validator.file(solo.data().path()), KeyName::Validator.file(other.data().path())).unwrap();
    let app = other.start();
    for (place, origin) in [(0, Origin::Proposed), (good.bytes.len() / 2, Origin::Synced), (good.bytes.len() - 1, Origin::Synced)] {
        let mut changed = good.bytes.to_vec();
        changed[place] ^= 1;
        let verdict = judge(&app, Height(1), 0, proposer, changed.into(), origin).await;
        assert!(verdict.is_none_or(|stored| !stored.valid), "byte {place}");
    }
    let verdict = judge(&app, Height(1), 0, proposer, good.bytes.clone(), Origin::Proposed).await;
    assert_eq!(verdict.map(|stored| (stored.valid, stored.hash)), Some((true, good.hash)));
    let tip = app.port.commit(other.certify(Height(1), good.hash)).await.unwrap();
    assert_eq!(tip.height, Height(1));
    stop(app).await;
}

/// A liar sent a decided block's header with another body, as a proposal or to a node that fetched blocks. It was stored under the header's hash in place of the
/// block, and the node stopped when it had to commit it; or, fetched, it passed for the certified block, was not valid, and no other was asked for. The simulator
/// found it.
#[tokio::test]
async fn another_body_under_the_same_header_does_not_take_the_blocks_place() {
    let solo = Solo::found();
    let app = solo.start();
    app.handle.submit(solo.sell(0, 1, address_of(&resident(1)), 5)).await.unwrap();
    let proposer = address_of(&solo.key(KeyName::Validator));
    let good = app.port.propose(Height(1), 0).await.unwrap();
    let mut changed = good.bytes.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    for origin in [Origin::Proposed, Origin::Late, Origin::Synced] {
        let verdict = judge(&app, Height(1), 0, proposer, changed.clone().into(), origin).await;
        assert_eq!(verdict, None, "{origin:?}");
    }
    assert_eq!(app.port.undecided(good.hash).await.unwrap().map(|block| block.bytes), Some(good.bytes));
    assert_eq!(app.port.commit(solo.certify(Height(1), good.hash)).await.unwrap().height, Height(1));
    stop(app).await;
}

#[tokio::test]
async fn a_first_proposal_from_a_wrong_clock_is_not_valid_and_a_certified_one_is() {
    let solo = Solo::found();
    let proposer = address_of(&solo.key(KeyName::Validator));
    let ahead = Clock::stepped(NOON.saturating_add(Duration::from_secs(60)));
    let app = solo.start_with(ahead, Limits::default());
    let block = app.port.propose(Height(1), 0).await.unwrap();
    stop(app).await;
    std::fs::remove_dir_all(solo.database()).unwrap();
    let app = solo.start_with(Clock::reading(|| NOON), Limits::default());
    let verdict = judge(&app, Height(1), 0, proposer, block.bytes.clone(), Origin::Proposed).await;
    assert!(!is_valid(verdict));
    let verdict = judge(&app, Height(1), 0, proposer, block.bytes, Origin::Synced).await;
    assert!(is_valid(verdict));
    stop(app).await;
}

/// A liar proposed a block an hour ahead and said that it was sent again, so that no clock was asked. It was decided, and for an hour no honest block could follow:
/// its time had to be later than the liar's and was refused by every clock. The simulator found it.
#[tokio::test]
async fn a_block_of_the_future_is_not_valid_though_its_sender_says_that_it_was_judged_before() {
    let solo = Solo::found();
    let proposer = address_of(&solo.key(KeyName::Validator));
    for (offset_s, valid) in [(3_600_i64, false), (3, false), (2, true), (-3_600, true)] {
        let shifted = |offset_s: i64| Timestamp::from_ms((NOON.ms() + 7_200_000).saturating_add_signed(offset_s * 1_000));
        let app = solo.start_with(Clock::reading(move || shifted(offset_s)), Limits::default());
        let block = app.port.propose(Height(1), 0).await.unwrap();
        stop(app).await;
        std::fs::remove_dir_all(solo.database()).unwrap();
        let app = solo.start_with(Clock::reading(move || shifted(0)), Limits::default());
        let verdict = judge(&app, Height(1), 1, proposer, block.bytes, Origin::Late).await;
        assert_eq!(is_valid(verdict), valid, "{offset_s} s");
        stop(app).await;
        std::fs::remove_dir_all(solo.database()).unwrap();
    }
}

/// A validator sent a good block again in his own round, or when it had grown old: the verdict on it was overwritten, nobody could vote for it any more, and a
/// node that had it committed thought its clock wrong.
#[tokio::test]
async fn a_block_that_was_found_good_stays_good_whoever_sends_it_again() {
    let solo = Solo::found();
    let proposer = address_of(&solo.key(KeyName::Validator));
    let passed = Arc::new(AtomicU64::new(0));
    let hands = Arc::clone(&passed);
    let app = solo.start_with(Clock::reading(|| NOON), Limits::default());
    let good = app.port.propose(Height(1), 0).await.unwrap();
    stop(app).await;
    std::fs::remove_dir_all(solo.database()).unwrap();
    let clock = Clock::reading(move || NOON.saturating_add(Duration::from_ms(hands.load(Ordering::SeqCst))));
    let app = solo.start_with(clock, Limits::default());
    assert!(is_valid(judge(&app, Height(1), 0, proposer, good.bytes.clone(), Origin::Proposed).await));
    passed.store(60_000, Ordering::SeqCst);
    let other = address_of(&resident(1));
    for origin in [Origin::Proposed, Origin::Late] {
        assert_eq!(judge(&app, Height(1), 1, other, good.bytes.clone(), origin).await, None, "of another's round: {origin:?}");
        assert!(is_valid(judge(&app, Height(1), 4, proposer, good.bytes.clone(), origin).await), "{origin:?}");
    }
    assert_eq!(app.port.undecided(good.hash).await.unwrap().map(|block| (block.round, block.proposer)), Some((0, proposer)));
    assert_eq!(app.port.commit(solo.certify(Height(1), good.hash)).await.unwrap().height, Height(1));
    stop(app).await;
}

#[tokio::test]
async fn a_machine_whose_clock_is_an_hour_ahead_of_the_others_follows_and_then_stops_with_a_word() {
    let solo = Solo::found();
    let proposer = address_of(&solo.key(KeyName::Validator));
    let others = solo.start();
    let mut blocks = Vec::new();
    for height in (1..=3).map(Height) {
        blocks.push(others.port.propose(height, 0).await.unwrap());
        others.port.commit(solo.certify(height, blocks.last().unwrap().hash)).await.unwrap();
    }
    stop(others).await;
    std::fs::remove_dir_all(solo.database()).unwrap();

    let app = solo.start_with(Clock::reading(|| NOON.saturating_add(Duration::from_hours(1))), Limits::default());
    for (block, height) in blocks.into_iter().zip((1..=3).map(Height)) {
        let verdict = judge(&app, height, 0, proposer, block.bytes.clone(), Origin::Proposed).await;
        assert!(!is_valid(verdict), "refused for its time");
        let verdict = judge(&app, height, 0, proposer, block.bytes, Origin::Synced).await;
        assert!(is_valid(verdict), "certified");
        let committed = app.port.commit(solo.certify(height, block.hash)).await;
        match committed {
            Ok(tip) => assert!(tip.height == height && height < Height(3)),
            Err(error) => assert!(height == Height(3) && error.to_string().contains("set this clock right"), "{error}"),
        }
    }
    let App { handle, port, ended, stop } = app;
    assert!(ended.await.unwrap().is_err_and(|message| message.contains("blocks in a row")));
    // Whoever reads holds the database open.
    drop((handle, port, stop));
    // Nothing is lost: the third is committed.
    assert_eq!(solo.open().unwrap().parent.height, Height(3));
}

#[tokio::test]
async fn what_is_submitted_here_goes_to_the_others_and_what_they_send_is_tried_like_a_submission() {
    let solo = Solo::found();
    let app = solo.start();
    let mut sending = Box::pin(app.port.outgoing());
    // Asked in this order: what is sent is known before anything is submitted.
    tokio::select! {
        biased;
        _ = &mut sending => unreachable!("nothing was submitted"),
        tip = app.port.tip() => assert_eq!(tip.unwrap().height, Height(0)),
    }
    let first = solo.sell(0, 1, address_of(&resident(1)), 5);
    app.handle.submit(first.clone()).await.unwrap();
    assert_eq!(sending.await.unwrap(), [first]);
    let theirs = solo.sell(1, 2, address_of(&resident(2)), 5);
    let mut garbage = theirs.to_vec();
    garbage[3] ^= 1;
    assert!(app.port.offer(vec![garbage.into(), theirs.clone(), theirs.clone(), "no transaction".into()]).unwrap());
    while app.handle.pending().pooled < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let ours = solo.sell(2, 3, address_of(&resident(3)), 5);
    app.handle.submit(ours.clone()).await.unwrap();
    assert_eq!(app.handle.pending().pooled, 3, "theirs was taken once, between ours");
    assert_eq!(app.port.outgoing().await.unwrap(), [ours], "theirs is not sent on");
    app.port.propose(Height(1), 0).await.unwrap();
    stop(app).await;
}

#[tokio::test]
async fn a_machine_clock_that_jumps_stops_the_node_and_a_little_behind_only_slows_the_blocks_times() {
    const MINUTE: u64 = 60_000;
    // How far the clock moves, ms; whether a block is made, and what is said otherwise.
    let cases = [
        (-3_600_000_i64, Err("before the newest block")),
        (-11_000, Err("before the newest block")),
        (-9_000, Ok(())),
        (0, Ok(())),
        (59 * 60_000, Ok(())),
        (61 * 60_000, Err("the clock jumped")),
        (400 * 24 * 3_600_000, Err("the clock jumped")),
    ];
    for (moved, expected) in cases {
        let solo = Solo::found();
        let shown = Arc::new(AtomicU64::new(NOON.ms() + MINUTE));
        let read = Arc::clone(&shown);
        let clock = Clock::reading(move || Timestamp::from_ms(read.load(Ordering::Relaxed)));
        let app = solo.start_with(clock, Limits::default());
        app.handle.submit(solo.sell(0, 1, address_of(&resident(1)), 5)).await.unwrap();
        solo.decide(&app.port).await;
        let first = app.handle.snapshot().unwrap().tip().timestamp;
        assert_eq!(first.ms(), NOON.ms() + MINUTE);
        shown.store((NOON.ms() + MINUTE).checked_add_signed(moved).unwrap(), Ordering::Relaxed);
        match (app.port.propose(Height(2), 0).await, expected) {
            (Ok(proposed), Ok(())) => {
                app.port.commit(solo.certify(Height(2), proposed.hash)).await.unwrap();
                let second = app.handle.snapshot().unwrap().tip().timestamp;
                assert_eq!(second.ms(), (first.ms() + 1).max(shown.load(Ordering::Relaxed)), "moved by {moved} ms");
                stop(app).await;
            }
            (Err(error), Err(words)) => {
                assert!(error.to_string().contains(words), "moved by {moved} ms: {error}");
                assert_eq!(app.handle.tip().height, Height(1));
                let node::app::App { handle, port, ended, stop: _stop } = app;
                drop((handle, port));
                assert!(ended.await.unwrap().is_err(), "the node stops");
            }
            (answer, _) => panic!("moved by {moved} ms: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn a_decided_block_that_fails_here_or_has_a_false_certificate_stops_the_node() {
    let solo = Solo::found();
    let app = solo.start();
    let proposed = app.port.propose(Height(1), 0).await.unwrap();
    let mut certificate = solo.certify(Height(1), proposed.hash);
    certificate.signatures[0].signature.0[3] ^= 1;
    assert!(app.port.commit(certificate).await.is_err());
    let node::app::App { handle, port, ended, stop: _stop } = app;
    drop((handle, port));
    assert!(ended.await.unwrap().is_err());
    let app = solo.start();
    assert_eq!(app.port.tip().await.unwrap().height, Height(0), "nothing was changed");
    stop(app).await;
}

#[tokio::test]
async fn bad_submissions_get_the_code_that_the_chain_would_give() {
    let solo = Solo::found();
    let app = solo.start();
    let deciding = solo.decide_on(&app.port);
    let (payer, stranger) = (resident(1), resident(7));
    commit(&app, solo.sell(0, 1, address_of(&payer), 5)).await.unwrap();
    let transfer = |amount| Call::Transfer(Transfer { to: address_of(&solo.key(KeyName::Revenue)), amount: Amount::from_micro(amount) });
    let good = solo.sign(&payer, 0, transfer(1));
    let code = |result: Result<_, SubmitError>| match result {
        Err(SubmitError::Rejected(rejection)) => Some(rejection.code),
        Ok(_) | Err(_) => None,
    };
    let submit = |bytes| async { code(app.handle.submit(bytes).await) };

    let mut forged = good.to_vec();
    forged[5] ^= 1;
    assert_eq!(submit(forged.into()).await, Some(Code::BadSignature));
    let mut longer = good.to_vec();
    longer.push(0);
    assert_eq!(submit(longer.into()).await, Some(Code::Malformed));
    assert_eq!(submit(vec![0; 70_000].into()).await, Some(Code::TooLarge));
    let mut other_chain = good.to_vec();
    other_chain[64] ^= 1;
    assert_eq!(submit(other_chain.into()).await, Some(Code::WrongChain));
    assert_eq!(submit(solo.sign(&payer, 1, transfer(1))).await, Some(Code::WrongNonce));
    assert_eq!(submit(solo.sign_until(&payer, 0, Timestamp::from_ms(NOON.ms() - 1), transfer(1))).await, Some(Code::Expired));
    let too_long = NOON.saturating_add(Duration::from_hours(25));
    assert_eq!(submit(solo.sign_until(&payer, 0, too_long, transfer(1))).await, Some(Code::ValidTooLong));
    assert_eq!(submit(solo.sign(&stranger, 0, transfer(1))).await, Some(Code::UnknownSigner));
    assert_eq!(submit(solo.sign(&payer, 0, transfer(5_000_001))).await, Some(Code::InsufficientFunds));
    assert_eq!(submit(solo.sign(&payer, 0, transfer(0))).await, Some(Code::ZeroValue));
    assert_eq!(app.handle.tip().height, Height(1), "none of them made a block");
    commit(&app, good).await.unwrap();
    stop(app).await;
    deciding.await.unwrap();
}

#[tokio::test]
async fn the_pool_counts_what_it_holds_and_tries_each_transaction_on_those_before_it() {
    let solo = Solo::found();
    let limits = Limits { count: 8, bytes: 1 << 20, per_resident: 3, per_role: 7 };
    let app = solo.start_with(Clock::stepped(NOON), limits);
    let (payer, other) = (resident(1), resident(2));
    for (nonce, buyer) in [(0, &payer), (1, &other)] {
        app.handle.submit(solo.sell(nonce, nonce + 1, address_of(buyer), 5)).await.unwrap();
    }
    solo.decide(&app.port).await;
    let transfer = |amount| Call::Transfer(Transfer { to: address_of(&other), amount: Amount::from_micro(amount) });

    // Four and two of five tokens do not go; four and one do.
    app.handle.submit(solo.sign(&payer, 0, transfer(4_000_000))).await.unwrap();
    let Err(SubmitError::Rejected(rejection)) = app.handle.submit(solo.sign(&payer, 1, transfer(2_000_000))).await else { panic!() };
    assert_eq!((rejection.code, rejection.found), (Code::InsufficientFunds, Some(1_000_000)));
    let second = solo.sign(&payer, 1, transfer(500_000));
    app.handle.submit(second.clone()).await.unwrap();
    assert_eq!(app.handle.submit(second).await.unwrap().standing, Standing::AlreadyPooled);
    app.handle.submit(solo.sign(&payer, 2, transfer(1))).await.unwrap();
    assert_eq!(app.handle.next_nonce(address_of(&payer)).await, Ok(Some(3)));
    let Err(SubmitError::Rejected(rejection)) = app.handle.submit(solo.sign(&payer, 3, transfer(1))).await else { panic!() };
    assert_eq!((rejection.code, rejection.expected), (Code::TooManyFromSigner, Some(3)));
    for nonce in 2..7 {
        app.handle.submit(solo.sell(nonce, nonce + 1, address_of(&other), 1)).await.unwrap();
    }
    assert_eq!(app.handle.pending().pooled, 8);
    assert_eq!(app.handle.submit(solo.sign(&other, 0, transfer(1))).await, Err(SubmitError::PoolFull));

    solo.decide(&app.port).await;
    assert_eq!(app.handle.pending().pooled, 0);
    let receipts = app.handle.snapshot().unwrap().receipts(Height(2)).unwrap().unwrap();
    assert_eq!(receipts.len(), 8);
    assert!(receipts.iter().all(|receipt| receipt.outcome == Outcome::Applied));
    stop(app).await;
}

#[tokio::test]
async fn a_pooled_transaction_that_expires_is_dropped_and_its_sender_is_told() {
    let solo = Solo::found();
    let clock = Clock::stepped(NOON);
    let app = solo.start_with(clock.clone(), Limits::default());
    let soon = NOON.saturating_add(Duration::from_secs(5));
    let sale = solo.sell(0, 1, address_of(&resident(1)), 1);
    let Call::SellTokens(sale) = contracts::call::Transaction::decode(&sale).unwrap().body().call.clone() else { panic!() };
    let bytes = solo.sign_until(&solo.key(KeyName::Treasurer), 0, soon, Call::SellTokens(sale));
    let handle = app.handle.clone();
    let waiting = tokio::spawn(async move { handle.submit_and_wait(bytes, WAIT).await });
    app.port.wait_for_work().await.unwrap();
    clock.set(NOON.saturating_add(Duration::from_secs(6))).unwrap();
    solo.decide(&app.port).await;
    let Err(SubmitError::Rejected(rejection)) = waiting.await.unwrap() else { panic!("it was not told") };
    assert_eq!(rejection.code, Code::Expired);
    assert_eq!(app.handle.pending().pooled, 0);
    stop(app).await;
}

#[tokio::test]
async fn an_idle_chain_makes_no_blocks_and_a_deadline_makes_one_by_itself() {
    let solo = Solo::found();
    let clock = Clock::stepped(NOON);
    let app = solo.start_with(clock.clone(), Limits::default());
    let deciding = solo.decide_on(&app.port);
    let driver = resident(1);
    commit(&app, solo.sell(0, 1, address_of(&driver), 20)).await.unwrap();
    for bytes in solo.furnish() {
        commit(&app, bytes).await.unwrap();
    }
    clock.set(NOON.saturating_add(Duration::from_secs(2))).unwrap();
    let opened = commit(&app, solo.open_session(&driver, 0)).await.unwrap();
    let session = SessionId(opened.id.0);
    assert_eq!(opened.receipt.outcome, Outcome::Applied);
    until_quiet(&clock, &app).await;
    let height = app.handle.tip().height;

    // The deadline of the queue, and the drift in which readings may still come.
    let due = app.handle.pending().next_due.unwrap();
    let params = app.handle.snapshot().unwrap().params().unwrap();
    let at = due.saturating_add(params.drift);
    assert_eq!(clock.next_timer(), Some(at));
    clock.set(Timestamp::from_ms(at.ms() - 1)).unwrap();
    until_quiet(&clock, &app).await;
    assert_eq!(app.handle.tip().height, height, "nothing to do, no block");

    clock.set(at).unwrap();
    until_quiet(&clock, &app).await;
    assert_eq!(app.handle.tip().height, height.next());
    let snapshot = app.handle.snapshot().unwrap();
    let place = snapshot.settlement(session).unwrap().unwrap();
    let (receipt, _) = snapshot.receipt(place).unwrap().unwrap();
    assert_eq!(receipt.cause, Cause::Due(session));
    let Some(Event::SessionSettled(settled)) = receipt.events.last() else { panic!("{receipt:?}") };
    assert_eq!((settled.reason, settled.refund), (EndReason::NeverStarted, settled.escrow));
    assert_eq!(snapshot.account(&address_of(&driver)).unwrap().unwrap().balance, Amount::from_micro(20_000_000));
    assert_eq!(snapshot.account_sessions(&address_of(&driver), None, 10).unwrap().entries, [(opened.location, session)]);
    let places: BTreeSet<_> = snapshot.session_history(session, None, 10).unwrap().entries.into_iter().map(|(place, ())| place).collect();
    assert_eq!(places, BTreeSet::from([opened.location, place]));
    drop(snapshot);
    stop(app).await;
    deciding.await.unwrap();
}

/// Waits as the stepped clock's owner does.
async fn until_quiet(clock: &Clock, app: &node::app::App) {
    while !(clock.is_quiet() && app.handle.is_quiet()) {
        let _ = tokio::time::timeout(std::time::Duration::from_millis(5), clock.changed()).await;
    }
}
