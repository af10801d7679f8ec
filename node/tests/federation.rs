//! Four whole `wattd` processes that decide together: one chain, whoever is asked; silence without work; one may die, two stop it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod solo;
mod wattd;

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chain::{
    crypto::address_of,
    id::{ConnectorId, GroupId, TariffId},
    quantity::{Amount, Currents},
    record::{Control, PlugSignal, Service},
    tariff::{PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::Timestamp,
};
use contracts::call::{Call, OpenSession, Priority, PutConnector, PutGroup, PutTariff};
use node::config::Reads;
use wattd::{Home, agreed, federate, federate_with, observe};

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
fn an_idle_federation_makes_a_block_for_each_heartbeat_and_none_between() {
    let heartbeat_ms = 3_000;
    let homes = federate_with(4, &format!(r#"{{"heartbeat": "{heartbeat_ms}"}}"#));
    let all: Vec<&Home> = homes.iter().collect();
    let running: Vec<_> = homes.iter().map(|home| home.start(&[])).collect();
    homes.iter().for_each(|home| home.sell(1));
    // The empty block that follows the last start may still be under way.
    std::thread::sleep(Duration::from_millis(500));
    let (first, _) = agreed(&all);
    homes.iter().for_each(|home| home.reach(first + 3));
    let blocks: Vec<(u64, usize)> = (first..=first + 3).map(|height| homes[0].block(height)).collect();
    for pair in blocks.windows(2) {
        let ((before, _), (time, transactions)) = (pair[0], pair[1]);
        // No node counts the silence from before a block's own time, which two looks at one clock may show a little later.
        assert!(transactions == 0 && time - before + 100 >= heartbeat_ms, "{blocks:?}");
    }
    agreed(&all);
    drop(running);
}

#[test]
fn an_idle_federation_gives_a_session_back_by_itself_when_its_time_in_the_queue_is_over() {
    let homes = federate_with(4, r#"{"queue_deadline": "4000", "drift": "1000"}"#);
    let all: Vec<&Home> = homes.iter().collect();
    // Nobody lets the session out of the queue, and everybody shows the balance.
    homes[0].configure(|config| (config.scheduler.enabled, config.gateway.enabled) = (false, false));
    homes.iter().for_each(|home| home.configure(|config| config.api.reads = Reads::Everybody));
    let running: Vec<_> = homes.iter().map(|home| home.start(&[])).collect();
    let garage = &homes[0];
    garage.sell(1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let valid_from = Timestamp::from_ms(u64::try_from(now).unwrap() + 5_000);
    let price = PriceComponent { dimension: TariffDimension::Energy, price: Amount::from_micro(250_000) };
    let document = Tariff {
        time_zone: "UTC0".to_owned(),
        elements: vec![TariffElement { price_components: vec![price], restrictions: TariffRestrictions::default() }],
        min_price: None,
        max_price: None,
        vat_basis_points: 0,
        parking_grace: chain::time::Duration::ZERO,
    };
    let rated = Currents::from_ma([32_000; 3]);
    let connector = ConnectorId::new(garage.condominium, 1);
    garage.orders([
        Call::PutGroup(PutGroup { group: GroupId::new(garage.condominium, 1), parent: None, limit: rated }),
        Call::PutTariff(PutTariff { tariff: TariffId::new(garage.condominium, 1), version: 1, valid_from, document }),
        Call::PutConnector(PutConnector {
            connector,
            group: 1,
            control: Control::Switched,
            plug_signal: PlugSignal::Reported,
            rated,
            tariff: 1,
            service: Service::InService,
        }),
    ]);
    while SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() <= u128::from(valid_from.ms()) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let spend = Amount::from_micro(400_000);
    let max_duration = chain::time::Duration::from_hours(1);
    let (energy_target, state_of_charge, depart_by, window) = (None, None, None, None);
    let priority = Priority::None;
    garage.buyer_asks(
        0,
        Call::OpenSession(OpenSession {
            connector,
            tariff_version: 1,
            max_spend: spend,
            max_duration,
            energy_target,
            state_of_charge,
            depart_by,
            window,
            priority,
        }),
    );
    let buyer = address_of(&garage.buyer());
    let balance = |home: &Home| home.json(&format!("/api/v1/accounts/{buyer}"))["account"]["balance"].as_str().unwrap().to_owned();
    assert_eq!(balance(garage), "600000");
    let (opened, _) = agreed(&all);
    homes.iter().for_each(|home| home.reach(opened + 1));
    assert_eq!(garage.block(opened + 1).1, 0, "nobody asked for it");
    homes.iter().for_each(|home| assert_eq!(balance(home), "1000000"));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(agreed(&all).0, opened + 1, "and it is silent again");
    drop(running);
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

/// In the order of docs/operate.md: two of the four take the line of `join` into their peers and start again, one after the other, while everybody goes on.
#[test]
fn an_observer_joins_a_federation_that_runs_and_checks_it_from_its_first_block() {
    let homes = federate(4);
    let mut running: Vec<_> = homes.iter().map(|home| Some(home.start(&[]))).collect();
    homes.iter().for_each(|home| home.sell(1));
    let mut all: Vec<&Home> = homes.iter().collect();
    let (before, root) = agreed(&all);

    let (observer, peer) = observe(&homes, "AUDIT");
    for place in 0..2 {
        homes[place].add_peer(&peer);
        running[place].take().unwrap().stop();
        // Three of four go on meanwhile.
        homes[2].sell(homes[2].next_sale());
        running[place] = Some(homes[place].start(&[]));
        agreed(&all);
    }
    let following = observer.start(&[]);
    all.push(&observer);
    agreed(&all);
    assert_eq!(observer.state_root(before), root, "it has the blocks from before it was thought of");
    homes[3].sell(2);
    agreed(&all);
    // Three of the four decide, and it follows them.
    running[3].take().unwrap().kill();
    homes[0].sell(2);
    let left: Vec<&Home> = homes[..3].iter().chain([&observer]).collect();
    agreed(&left);
    drop(following);
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

/// A copy that was one block old was not noticed: nobody compared the first block that it fetched with what it had signed before. And each start of an older one
/// forgave one block more, until it voted.
#[test]
fn an_old_or_an_empty_disk_that_is_started_plainly_stops_with_a_word_and_the_newest_goes_on() {
    let homes = federate(4);
    let mut running: Vec<_> = homes.iter().map(|home| Some(home.start(&[]))).collect();
    homes.iter().for_each(|home| home.sell(1));
    // With one of them dead every block shows the signatures of the other three.
    running[2].take().unwrap().kill();
    let three = [&homes[0], &homes[1], &homes[3]];
    let silent = || {
        std::thread::sleep(Duration::from_millis(500));
        agreed(&three).0
    };
    homes[0].sell(2);
    let old_at = silent();
    let old = homes[3].copy();
    (3..=6).for_each(|sale| homes[0].sell(sale));
    let last_at = silent() + 1;
    let last = homes[3].copy();
    homes[0].sell(7);
    assert!(silent() == last_at && last_at >= old_at + 5, "{old_at}, {last_at}");
    running[3].take().unwrap().kill();
    let empty = homes[3].copy();
    for lost in [empty.data.database(), empty.data.wal()] {
        fs::remove_dir_all(lost).unwrap();
    }

    for (disk, what) in [(&last, "one block old"), (&old, "five blocks old"), (&empty, "empty")] {
        // A supervisor that does not heed the exit code changes nothing.
        for start in 0..3 {
            let (code, text) = disk.ends(&[]);
            println!("{what}, start {start}: {}", text.lines().last().unwrap());
            assert!(code == 3 && text.contains("has signed block") && text.contains("--rejoin"), "{what}, start {start}: {code}: {text}");
        }
    }
    assert_eq!(agreed(&three[..2]).0, last_at, "nothing was decided with it");

    // The newest disk knows of every vote that it cast, although it was killed, and needs no word.
    running[3] = Some(homes[3].start(&[]));
    three.iter().for_each(|home| home.sell(home.next_sale()));
    agreed(&three);
    drop(running);
}

/// What is refused with exit code 3, with these words.
fn refused(home: &Home, words: &[&str]) {
    let (code, text) = home.refusal(&[]).expect("it must not start");
    assert_eq!(code, 3, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[test]
fn a_full_disk_a_damaged_log_and_a_damaged_block_stop_one_node_with_a_word_and_the_others_go_on() {
    let homes = federate(4);
    let all: Vec<&Home> = homes.iter().collect();
    let running: Vec<_> = homes[..3].iter().map(|home| home.start(&[])).collect();
    let sell = || homes[0].sell(homes[0].next_sale());

    // The disk is full: the database's log can grow no more.
    let mut full = homes[3].start_on_a_small_disk(200);
    let (code, text) = loop {
        sell();
        if let Some(ended) = full.ended() {
            break ended;
        }
        assert!(homes[0].next_sale() < 300, "it writes on: {}", homes[3].logged());
    };
    drop(full);
    assert!(code == 1 && text.contains("make room and start again") && !text.contains("panicked"), "{code}: {text}");
    sell();
    let room = homes[3].start(&[]);
    agreed(&all);
    room.stop();

    // A byte of its log of consensus changes, and what is said there is done.
    let log = homes[3].data.wal().join("wal");
    let whole = fs::read(&log).unwrap();
    fs::write(&log, [&whole[..1], &[whole[1] ^ 0x40], &whole[2..]].concat()).unwrap();
    refused(&homes[3], &["wal/wal", "contradict", "--rejoin"]);
    sell();
    fs::write(&log, whole).unwrap();

    // So does a byte of a block: the database is moved away, everything else is kept, and the node fetches the chain as one that may have forgotten its votes.
    {
        let db = solo::tamper(&homes[3].data.database());
        let family = db.cf_handle("blocks").unwrap();
        let mut block = db.get_cf(family, 2_u64.to_be_bytes()).unwrap().unwrap();
        block[40] ^= 1;
        db.put_cf(family, 2_u64.to_be_bytes(), block).unwrap();
    }
    refused(&homes[3], &["blocks of height 2", "move db/ away", "keys/ above all", "--rejoin"]);
    fs::rename(homes[3].data.database(), homes[3].folder.path().join("damaged")).unwrap();
    let again = homes[3].start(&["--rejoin"]);
    sell();
    agreed(&all);
    drop((again, running));
}

/// A node whose disk is new looked at the empty chain, took its lost gateway's database for one that never was, and made another without a word: leases that it had
/// given were forgotten, and messages that somebody had recorded were new to it.
#[test]
fn whoever_replaces_a_disk_is_told_that_the_gateways_database_is_lost_too() {
    let homes = federate(4);
    let all: Vec<&Home> = homes.iter().collect();
    let mut running: Vec<_> = homes.iter().map(|home| Some(home.start(&[]))).collect();
    homes[0].lets_gateway_sign(&homes[3]);
    agreed(&all);
    running[3].take().unwrap().stop();
    let gateway = homes[3].data.path().join("gateway");
    for lost in [homes[3].data.database(), homes[3].data.wal(), gateway.clone()] {
        fs::remove_dir_all(lost).unwrap();
    }

    let mut watching = homes[3].start(&["--rejoin"]);
    let (code, words) = loop {
        homes[0].sell(homes[0].next_sale());
        std::thread::sleep(Duration::from_millis(500));
        if let Some(ended) = watching.ended() {
            break ended;
        }
        assert!(homes[0].next_sale() < 200, "it watches for ever: {}", homes[3].logged());
    };
    drop(watching);
    assert!(code == 75 && words.contains("gateway and scheduler wait") && !gateway.exists(), "{code}: {words}");
    refused(&homes[3], &["gateway", "from a backup", "--new-gateway-database"]);
    let again = homes[3].start(&["--new-gateway-database"]);
    assert!(gateway.exists());
    agreed(&all);
    drop((again, running));
}

#[test]
fn a_node_of_another_chain_and_one_with_a_wrong_name_for_a_peer_are_told_what_to_compare() {
    let homes = federate(4);
    // The third was given another genesis document with the same keys, the fourth another name for the first.
    let genesis = fs::read_to_string(homes[2].data.genesis_file()).unwrap();
    fs::write(homes[2].data.genesis_file(), genesis.replace("\"FED\"", "\"FAD\"")).unwrap();
    let config = fs::read_to_string(homes[3].data.config_file()).unwrap();
    let name = |home: &Home| node::config::Config::read(&home.data.config_file()).unwrap();
    let names: Vec<String> = name(&homes[3]).network.peers.iter().map(|peer| peer.rsplit('/').next().unwrap().to_owned()).collect();
    let wrong = names[0].replace(&names[0][20..24], "1111");
    fs::write(homes[3].data.config_file(), config.replace(&names[0], &wrong)).unwrap();

    let running: Vec<_> = homes.iter().map(|home| home.start(&[])).collect();
    running[2].says("They speak of another chain");
    running[3].says("something answers there and does not speak with this node");
    running[0].says("compare genesis.json");
    // Three are needed, and there are three: the fourth hears of the first through the second.
    homes[1].sell(1);
    agreed(&[&homes[0], &homes[1], &homes[3]]);
    assert_eq!(homes[2].height(), 0);
    drop(running);
}
