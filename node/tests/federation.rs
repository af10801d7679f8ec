//! Four whole `wattd` processes that decide together: one chain, whoever is asked; silence without work; one may die, two stop it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod wattd;

use std::time::Duration;

use wattd::{Home, federate, observe};

/// Waits until all have the height of the furthest and gives it, with the state root that all have there.
fn agreed(homes: &[&Home]) -> (u64, String) {
    let height = homes.iter().map(|home| home.height()).max().unwrap();
    homes.iter().for_each(|home| home.reach(height));
    let roots: Vec<String> = homes.iter().map(|home| home.state_root(height)).collect();
    assert!(roots.iter().all(|root| *root == roots[0]), "state roots at {height}: {roots:?}");
    (height, roots[0].clone())
}

#[test]
fn four_nodes_have_one_chain_go_on_without_one_and_wait_without_two() {
    let homes = federate(4);
    let all: Vec<&Home> = homes.iter().collect();
    let mut running: Vec<_> = homes.iter().map(|home| Some(home.start(&[]))).collect();
    for home in &homes {
        home.sell(1);
    }
    agreed(&all);

    // Silence, and then at once.
    std::thread::sleep(Duration::from_millis(500));
    let (silent, _) = agreed(&all);
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(agreed(&all).0, silent, "an idle federation makes no blocks");
    homes[2].sell(2);
    let (after, _) = agreed(&all);
    assert!(after <= silent + 2, "{silent} to {after}: one transaction needs one block");

    // One dies, and is taken along again.
    running[3].take().unwrap().kill();
    homes[0].sell(2);
    homes[1].sell(2);
    agreed(&all[..3]);
    running[3] = Some(homes[3].start(&[]));
    agreed(&all);

    // Two die: nothing is decided, nothing is lost, and it goes on by itself.
    let before = agreed(&all).0;
    running[0].take().unwrap().kill();
    running[1].take().unwrap().kill();
    let pending = homes[2].submit(3, "");
    assert_eq!(pending, 202);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(homes[2].height(), before);
    running[0] = Some(homes[0].start(&[]));
    homes[2].reach(before + 1);
    running[1] = Some(homes[1].start(&[]));
    homes[3].sell(2);
    agreed(&all);
}

#[test]
fn an_observer_follows_without_a_vote_and_strangers_are_refused() {
    let mut homes = federate(4);
    let observer = observe(&homes, "AUDIT");
    // Two of them know the observer; nobody knows the stranger.
    for home in &mut homes[..2] {
        home.add_peer(&observer.1);
    }
    let stranger = observe(&homes, "STRANGER");
    let running: Vec<_> = homes.iter().map(|home| home.start(&[])).collect();
    for home in &homes {
        home.sell(1);
    }
    let following = observer.0.start(&[]);
    let refused = stranger.0.start(&[]);
    let mut all: Vec<&Home> = homes.iter().collect();
    all.push(&observer.0);
    agreed(&all);
    homes[3].sell(2);
    agreed(&all);
    // What is submitted to an observer is decided by the others.
    assert_eq!(observer.0.submit_for(&homes[1], 2, "?wait=committed&timeout_ms=50000"), 200);
    agreed(&all);
    assert_eq!(stranger.0.height(), 0, "nobody speaks to a node that is not listed");
    drop((running, following, refused));
}

#[test]
fn a_validator_that_runs_twice_is_stopped_and_an_older_disk_votes_again_only_after_it_has_watched() {
    let homes = federate(4);
    let all: Vec<&Home> = homes.iter().collect();
    let mut running: Vec<_> = homes.iter().map(|home| Some(home.start(&[]))).collect();
    homes.iter().for_each(|home| home.sell(1));
    agreed(&all);
    running[3].take().unwrap().stop();
    let twin = homes[3].copy();
    running[3] = Some(homes[3].start(&[]));

    // Whichever of the two learns first that somebody else has signed for it.
    let mut second = twin.start(&[]);
    let mut sale = 1;
    let text = loop {
        sale += 1;
        let seller = &homes[sale % 3];
        seller.sell(seller.next_sale());
        if let Some(ended) = second.ended() {
            break ended;
        }
        if let Some(ended) = running[3].as_mut().and_then(wattd::Running::ended) {
            break ended;
        }
        assert!(sale < 100, "nobody has noticed");
    };
    assert!(text.0 == 3 && text.1.contains("has signed block") && text.1.contains("--rejoin"), "{}: {}", text.0, text.1);
    drop(second);
    drop(running[3].take());
    agreed(&all[..3]);

    // The twin's disk is now an older copy of a validator's that went on: it catches up and watches, also where it is stopped meanwhile and started without a
    // word of it.
    twin.start(&["--rejoin"]).kill();
    let mark = twin.data.wal().join("watching");
    assert!(mark.exists());
    let mut watching = twin.start(&[]);
    let mut with_twin = all[..3].to_vec();
    with_twin.push(&twin);
    agreed(&with_twin);
    assert!(twin.logged().contains("an earlier --rejoin") && mark.exists(), "{}", twin.logged());
    let (code, words) = loop {
        homes[0].sell(homes[0].next_sale());
        std::thread::sleep(Duration::from_millis(500));
        if let Some(ended) = watching.ended() {
            break ended;
        }
        assert!(homes[0].next_sale() < 200, "it watches for ever: {}", twin.logged());
    };
    drop(watching);
    assert!(code == 75 && words.contains("watching is over") && !mark.exists(), "{code}: {words}");

    // A supervisor starts it again with what stands in its file: now it votes, and is heard. Without it nothing is decided, for another one is dead.
    let voting = twin.start(&["--rejoin"]);
    assert!(twin.logged().contains("watched already") && !mark.exists(), "{}", twin.logged());
    running[2].take().unwrap().kill();
    let mut left = all[..2].to_vec();
    left.push(&twin);
    for home in &left {
        home.sell(home.next_sale());
    }
    agreed(&left);
    drop(voting);
}
