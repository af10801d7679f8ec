//! Disks that are lost, or older than what was said, and samples that are old enough to go.

use chain::{export::KeptSamples, record::PlugSignal};
use firmware_core::Flags;

use super::World;
use crate::gateway::{GatewayError, MissingDatabase, open_store};

/// A tester removed the gateway's folder in the middle of a charge. The gateway began again at reading 1, the chain refused that as accepted already, and
/// the car charged for nothing.
#[test]
fn goes_on_from_the_chain_where_its_own_database_is_lost() {
    let mut world = World::new(7, PlugSignal::Reported);
    world.begin(50_000_000, [16_000, 0, 0]);
    world.run(2_400);
    let readings = world.accepted.len();
    assert!(readings > 1, "some were accepted before the loss");
    (world.desk, world.store) = (None, None);
    std::fs::remove_dir_all(world.folder.path().join("gateway")).unwrap();
    world.restart();
    world.configure();
    world.run(2_400);
    world.plugged = false;
    world.sample(Flags::END);
    world.post();
    let bill = world.bill.expect("settled");
    let first = world.accepted[&1].register_wh.get();
    assert_eq!(bill.energy.get(), world.register_wh() - first, "every Wh is billed, those around the loss too");
    assert!(world.accepted.len() > readings);
}

/// A database of the chain that had lost its last block showed a settled session as open again. The gateway, which had closed its book, drew a new salt and
/// wrote over the first reading: its samples could no longer be proven.
#[test]
fn a_session_that_opens_again_keeps_its_readings_and_their_salt() {
    let mut world = World::new(8, PlugSignal::Reported);
    let session = world.begin(50_000_000, [16_000, 0, 0]);
    world.run(1_200);
    let before = world.state.clone();
    world.plugged = false;
    world.sample(Flags::END);
    world.post();
    let bill = world.bill.expect("settled");
    world.check_proofs(session, &bill);
    let after = std::mem::replace(&mut world.state, before);
    world.restart();
    world.state = after;
    world.restart();
    world.check_proofs(session, &bill);
}

#[test]
fn samples_go_when_they_are_old_and_their_session_is_settled_and_never_before() {
    let mut world = World::new(41, PlugSignal::Reported);
    // Less than an operator may choose, so that a session can be older.
    world.settings.keep_samples_days = 1;
    world.restart();
    let old = world.begin(50_000_000, [16_000, 0, 0]);
    world.run(1_200);
    world.plugged = false;
    world.sample(Flags::END);
    world.post();
    let bill = world.bill.take().expect("settled");
    world.check_proofs(old, &bill);
    let readings = std::mem::take(&mut world.accepted);

    world.now_ms += 23 * 3_600_000;
    world.configure();
    let session = world.begin(50_000_000, [16_000, 0, 0]);
    let kept = |world: &World, session, sequence| world.store.as_ref().unwrap().samples_of(session, sequence).unwrap();
    assert!(matches!(kept(&world, old, 1), KeptSamples::Here(_)), "not old yet");
    for hour in 1..=50 {
        world.now_ms += 3_600_000;
        world.sample(Flags::NONE);
        world.post();
        assert!(matches!(kept(&world, session, 1), KeptSamples::Here(_)), "its session is not settled after {hour} hours");
    }
    assert!(world.session(session).is_some());
    for sequence in readings.keys() {
        assert_eq!(kept(&world, old, *sequence), KeptSamples::Pruned, "reading {sequence}");
    }
}

/// The gateway's folder was removed and the node started again as if nothing had been: counters and samples were forgotten in silence.
#[test]
fn a_database_that_is_gone_stops_the_start_until_the_operator_says_that_it_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway");
    let open = |transactions, missing| open_store(&path, transactions, missing);
    assert!(matches!(open(0, MissingDatabase::Refuse), Ok((_, false))), "a new chain begins with a new database");
    assert!(matches!(open(7, MissingDatabase::Refuse), Ok((_, false))));
    std::fs::remove_dir_all(&path).unwrap();
    let error = open(7, MissingDatabase::Refuse).expect_err("it was there");
    assert!(matches!(&error, GatewayError::DatabaseMissing { transactions: 7, .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("gateway_database_missing: ") && text.contains("--new-gateway-database"), "{text}");
    assert!(!path.exists(), "nothing was made");
    // A folder without a database in it is none.
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(open(7, MissingDatabase::Refuse), Err(GatewayError::DatabaseMissing { .. })));
    assert!(matches!(open(7, MissingDatabase::BeginAnew), Ok((_, true))));
    assert!(matches!(open(7, MissingDatabase::BeginAnew), Ok((_, false))), "the one that is there is kept");
}
