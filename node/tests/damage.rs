//! What was changed behind the node's back is found at start and named; indexes are made again.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod solo;

use std::{fs, path::Path};

use chain::{crypto::address_of, id::Height, record::Key};
use node::store::{Reader, Store, StoreError};
use solo::{Solo, commit, resident, stop, tamper};

/// A chain of five blocks.
async fn five_blocks() -> Solo {
    let solo = Solo::found();
    let app = solo.start();
    let deciding = solo.decide_on(&app.port);
    for sale in 1..=5 {
        let buyer = resident(u8::try_from(sale).unwrap());
        commit(&app, solo.sell(sale - 1, sale, address_of(&buyer), 3)).await.unwrap();
    }
    stop(app).await;
    deciding.await.unwrap();
    solo
}

#[tokio::test]
async fn a_changed_value_is_named_with_its_height_or_key() {
    let solo = five_blocks().await;
    let height = 3_u64.to_be_bytes().to_vec();
    let account = Key::Account(address_of(&resident(2))).bytes();
    let cases = [
        ("blocks", height.clone(), "blocks of height 3".to_owned()),
        ("receipts", height.clone(), "receipts of height 3".to_owned()),
        ("certificates", height, "certificates of height 3".to_owned()),
        ("state", account.clone(), format!("state key {}", hex::encode(&account))),
    ];
    for (family, key, name) in cases {
        let original = {
            let db = tamper(&solo.database());
            let family = db.cf_handle(family).unwrap();
            let original = db.get_cf(family, &key).unwrap().unwrap();
            let mut changed = original.clone();
            changed[9] ^= 1;
            db.put_cf(family, &key, changed).unwrap();
            original
        };
        match solo.open() {
            Err(StoreError::Damaged { what, .. }) => assert_eq!(what, name),
            other => panic!("{family}: {other:?}"),
        }
        // For an audit the values are handed out as they are.
        let reader = Reader::open(&solo.database()).unwrap();
        assert!(reader.snapshot().unwrap().as_stored(Height(3)).unwrap().iter().all(Option::is_some));
        drop(reader);
        let db = tamper(&solo.database());
        db.put_cf(db.cf_handle(family).unwrap(), &key, original).unwrap();
    }
    assert!(solo.open().is_ok());
}

#[tokio::test]
async fn a_value_with_a_good_checksum_from_another_time_does_not_pass_for_the_state() {
    let solo = five_blocks().await;
    let key = Key::Condominium(solo::HOME).bytes();
    let old = {
        let db = tamper(&solo.database());
        db.get_cf(db.cf_handle("state").unwrap(), &key).unwrap().unwrap()
    };
    let app = solo.start();
    let deciding = solo.decide_on(&app.port);
    commit(&app, solo.sell(5, 6, address_of(&resident(1)), 3)).await.unwrap();
    stop(app).await;
    deciding.await.unwrap();
    {
        let db = tamper(&solo.database());
        db.put_cf(db.cf_handle("state").unwrap(), &key, old).unwrap();
    }
    match solo.open() {
        Err(StoreError::Damaged { what, why }) => assert!(what.contains(&hex::encode(&key)), "{what}: {why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_missing_block_is_named() {
    let solo = five_blocks().await;
    {
        let db = tamper(&solo.database());
        db.delete_cf(db.cf_handle("blocks").unwrap(), 2_u64.to_be_bytes()).unwrap();
    }
    assert_eq!(solo.open().err(), Some(StoreError::Missing { what: "blocks of height 2".to_owned() }));
}

#[tokio::test]
async fn a_changed_added_or_removed_index_entry_makes_its_index_again() {
    let solo = five_blocks().await;
    let rows = |solo: &Solo| {
        let db = tamper(&solo.database());
        let family = db.cf_handle("index").unwrap();
        db.iterator_cf(family, rocksdb::IteratorMode::Start).map(|row| row.unwrap()).collect::<Vec<_>>()
    };
    let good = rows(&solo);
    for change in 0..3 {
        {
            let db = tamper(&solo.database());
            let family = db.cf_handle("index").unwrap();
            // The first row is of transactions by id.
            let (key, value) = &good[0];
            match change {
                0 => db.put_cf(family, key, &good[1].1).unwrap(),
                1 => db.delete_cf(family, key).unwrap(),
                _ => {
                    let mut stranger = key.to_vec();
                    stranger[5] ^= 1;
                    db.put_cf(family, stranger, value).unwrap();
                }
            }
        }
        let opened = solo.open().unwrap();
        assert_eq!(opened.rebuilt, ["transactions by id"]);
        drop(opened);
        assert_eq!(rows(&solo), good);
        assert!(solo.open().unwrap().rebuilt.is_empty());
    }
}

/// A value as the store keeps it: with its checksum.
fn sealed(family: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let length = (key.len() as u64).to_le_bytes();
    let digest = blake3::Hasher::new().update(&[family]).update(&length).update(key).update(value).finalize();
    [value, &digest.as_bytes()[..16]].concat()
}

#[tokio::test]
async fn every_wrong_entry_of_the_history_is_named_and_made_again() {
    const HISTORY: u8 = 4;
    let solo = five_blocks().await;
    let rows = |solo: &Solo| {
        let db = tamper(&solo.database());
        let family = db.cf_handle("history").unwrap();
        db.iterator_cf(family, rocksdb::IteratorMode::Start).map(|row| row.unwrap()).collect::<Vec<_>>()
    };
    let good = rows(&solo);
    let names = [
        "entry 0 of level 0 (header 1)",
        "entry 1 of level 0 (header 2)",
        "entry 2 of level 0 (header 3)",
        "entry 3 of level 0 (header 4)",
        "entry 4 of level 0 (header 5)",
        "entry 0 of level 1 (headers 1 to 2)",
        "entry 1 of level 1 (headers 3 to 4)",
        "entry 0 of level 2 (headers 1 to 4)",
    ];
    assert_eq!(good.len(), names.len());
    for ((key, value), name) in good.iter().zip(names) {
        for change in 0..3 {
            {
                let db = tamper(&solo.database());
                let family = db.cf_handle("history").unwrap();
                match change {
                    // Another digest with a good checksum, one without, and none.
                    0 => db.put_cf(family, key, sealed(HISTORY, key, &[7; 32])).unwrap(),
                    1 => db.put_cf(family, key, &value[1..]).unwrap(),
                    _ => db.delete_cf(family, key).unwrap(),
                }
            }
            assert_eq!(solo.open().unwrap().rebuilt, [format!("history {name}")]);
            assert_eq!(rows(&solo), good);
        }
    }
    let stranger = [&[0][..], &5_u64.to_be_bytes()].concat();
    {
        let db = tamper(&solo.database());
        db.put_cf(db.cf_handle("history").unwrap(), &stranger, sealed(HISTORY, &stranger, &[7; 32])).unwrap();
    }
    assert_eq!(solo.open().unwrap().rebuilt, [format!("history key {}, which belongs to no header", hex::encode(&stranger))]);
    assert_eq!(rows(&solo), good);
    assert!(solo.open().unwrap().rebuilt.is_empty());
}

#[tokio::test]
async fn a_block_with_a_good_checksum_that_its_neighbours_do_not_know_is_named() {
    const BLOCKS: u8 = 0;
    let solo = five_blocks().await;
    for height in [1_u64, 2, 3, 4, 5] {
        let key = height.to_be_bytes();
        // Its time, what it says about its parent, and its height.
        for place in [110, 50, 40] {
            let original = {
                let db = tamper(&solo.database());
                let family = db.cf_handle("blocks").unwrap();
                let original = db.get_cf(family, key).unwrap().unwrap();
                let mut block = original[..original.len() - 16].to_vec();
                block[place] ^= 1;
                db.put_cf(family, key, sealed(BLOCKS, &key, &block)).unwrap();
                original
            };
            match solo.open() {
                Err(StoreError::Damaged { what, .. }) => assert_eq!(what, format!("blocks of height {height}"), "byte {place}"),
                other => panic!("height {height}, byte {place}: {other:?}"),
            }
            let db = tamper(&solo.database());
            db.put_cf(db.cf_handle("blocks").unwrap(), key, original).unwrap();
        }
    }
    assert!(solo.open().unwrap().rebuilt.is_empty());
}

#[tokio::test]
async fn a_damaged_validator_set_is_named_in_letters() {
    let solo = five_blocks().await;
    let hash = solo.genesis.validator_set().unwrap().hash();
    {
        let db = tamper(&solo.database());
        let key = [b"validators ", &hash.0[..]].concat();
        db.put_cf(db.cf_handle("meta").unwrap(), key, "no set").unwrap();
    }
    let Err(error) = solo.open() else { panic!("opened") };
    let text = error.to_string();
    assert!(text.contains(&format!("validator set {hash}")) && text.is_ascii(), "{text}");
}

#[tokio::test]
async fn another_schema_or_chain_is_refused() {
    let solo = five_blocks().await;
    let other = Solo::found();
    fs::rename(solo.database(), solo.database().with_extension("kept")).unwrap();
    copy_files(&solo.database().with_extension("kept"), &other.database());
    assert!(matches!(other.open(), Err(StoreError::WrongChain { .. })));
    copy_files(&solo.database().with_extension("kept"), &solo.database());
    {
        let db = tamper(&solo.database());
        db.put_cf(db.cf_handle("meta").unwrap(), "schema", 99_u32.to_le_bytes()).unwrap();
    }
    match solo.open() {
        Err(StoreError::Schema { expected: 1, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn damage_below_the_database_names_the_file_and_what_to_do() {
    let solo = five_blocks().await;
    // What the log holds goes into table files at the next start.
    drop(solo.open().unwrap());
    let names = fs::read_dir(solo.database()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut seen = 0;
    for name in names.collect::<Vec<_>>() {
        let damageable = name.ends_with(".sst") || name.ends_with(".log") || name.starts_with("MANIFEST");
        if !damageable || fs::metadata(solo.database().join(&name)).unwrap().len() == 0 {
            continue;
        }
        let copy = tempfile::tempdir().unwrap();
        copy_files(&solo.database(), copy.path());
        let path = copy.path().join(&name);
        let mut bytes = fs::read(&path).unwrap();
        // In a table the first block's bytes, in a log the first record's.
        bytes[20] ^= 0x10;
        fs::write(&path, bytes).unwrap();
        match Store::open(copy.path(), &solo.genesis) {
            Err(error @ StoreError::Corrupt { .. }) => {
                let text = error.to_string();
                assert!(text.contains(&name) && text.contains("restore or resync"), "{name}: {text}");
            }
            other => panic!("{name}: {other:?}"),
        }
        seen += 1;
    }
    assert!(seen >= 2, "{seen} files");
    assert!(solo.open().is_ok());
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A process that was killed while its first database was made found half of it at the next start, and called it damaged.
#[tokio::test]
async fn a_database_that_was_being_made_when_the_process_ended_is_made_anew() {
    let solo = Solo::found();
    let unfinished = solo.database().with_extension("unfinished");
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    let mut half = rocksdb::DB::open(&options, &unfinished).unwrap();
    half.create_cf("blocks", &rocksdb::Options::default()).unwrap();
    drop(half);
    assert_eq!(solo.open().unwrap().parent.height, Height(0));
    assert!(!unfinished.exists());
}
