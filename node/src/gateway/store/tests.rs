//! The store alone: ranges of samples, seals, and what is dropped.

use chain::{
    id::CondominiumId,
    quantity::{Cost, WattHours, Watts},
};
use contracts::call::{Reading, ReadingFlags};
use firmware_core::Sample;

use super::*;

#[test]
fn samples_are_found_by_range_whatever_messages_they_came_in_and_survive_a_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let connector = ConnectorId::new(CondominiumId(1), 7);
    let other = ConnectorId::new(CondominiumId(1), 8);
    let raw =
        |number: u32| RawSample { device: DeviceId(1), boot: 1, number, sample: Sample { at_ms: u64::from(number), ..Sample::default() } };
    let all: Vec<_> = (0..20).map(raw).collect();
    {
        let store = Store::open(folder.path(), Create::IfMissing).unwrap();
        for (first, end) in [(0_usize, 3), (3, 4), (4, 14), (14, 20)] {
            let mut write = Write::default();
            write.samples(connector, first as u64, &all[first..end]);
            write.samples(other, first as u64, &all[..1]);
            store.write(write).unwrap();
        }
    }
    let store = Store::open(folder.path(), Create::IfMissing).unwrap();
    for from in 0..20 {
        for to in from..=20 {
            assert_eq!(store.samples(connector, from as u64, to as u64).unwrap(), all[from..to], "{from}..{to}");
        }
    }
    assert_eq!(store.newest_sample(connector).unwrap(), Some((19, all[19])));
    assert_eq!(store.newest_sample(ConnectorId::new(CondominiumId(1), 9)).unwrap(), None);
    assert_eq!(store.newest_sample(ConnectorId::new(CondominiumId(1), 1)).unwrap(), None);
}

fn raw(number: u32) -> RawSample {
    RawSample { device: DeviceId(1), boot: 1, number, sample: Sample { at_ms: u64::from(number) * 60_000, ..Sample::default() } }
}

/// Somebody edited the gateway's database; what was changed was believed.
#[test]
fn a_value_that_was_changed_or_moved_behind_our_back_is_named_and_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (connector, session) = (ConnectorId::new(CondominiumId(1), 7), SessionId(Hash32([3; 32])));
    let store = Store::open(folder.path(), Create::IfMissing).unwrap();
    let mut write = Write::default();
    write.samples(connector, 0, &[raw(1)]);
    write.samples(connector, 1, &[raw(2)]);
    write.unit(DeviceId(1), &UnitMemory::default());
    write.salt(session, connector, &Hash32([9; 32]));
    write.book(connector, &Book::new(session, Hash32([9; 32]), 0));
    let card = CardId::commit(&Hash32([1; 32]), &[4]);
    write.card(card, &CardRow::Key(Hash32([1; 32])));
    write.point(connector, &PointMemory { begun_wh: Some(7), ..PointMemory::default() });
    store.write(write).unwrap();

    let cases = [
        (Table::Samples, sample_key(connector, 1)),
        (Table::Units, DeviceId(1).0.to_be_bytes().to_vec()),
        (Table::Salts, session.0.0.to_vec()),
        (Table::Books, connector_key(connector)),
        (Table::Cards, card.0.0.to_vec()),
        (Table::Points, connector_key(connector)),
    ];
    for (table, key) in cases {
        let good = store.db.get_cf(store.family(table), &key).unwrap().unwrap();
        let mut changed = good.clone();
        changed[0] ^= 1;
        store.db.put_cf(store.family(table), &key, changed).unwrap();
        let error = match table {
            Table::Samples => store.samples(connector, 0, 2).map(drop),
            Table::Units => store.unit(DeviceId(1)).map(drop),
            Table::Salts => store.salt(session).map(drop),
            Table::Books => store.book(connector).map(drop),
            Table::Cards => store.cards().map(drop),
            Table::Points => store.point(connector).map(drop),
            Table::Meta | Table::Readings | Table::Kept => Ok(()),
        };
        let error = error.expect_err("a changed value").to_string();
        assert!(error.contains(&format!("{} {}", table.name(), hex::encode(&key))) && error.contains("restore"), "{error}");
        store.db.put_cf(store.family(table), &key, good).unwrap();
    }
    let other = store.db.get_cf(store.family(Table::Samples), sample_key(connector, 0)).unwrap().unwrap();
    store.db.put_cf(store.family(Table::Samples), sample_key(connector, 1), other).unwrap();
    assert!(matches!(store.samples(connector, 0, 2), Err(StoreError::Damaged { .. })), "a value moved to another key");
}

#[test]
fn a_database_that_must_be_there_is_not_made_and_an_older_layout_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway");
    assert!(matches!(Store::open(&path, Create::Never), Err(StoreError::Missing { .. })));
    assert!(!path.exists());
    let store = Store::open(&path, Create::IfMissing).unwrap();
    store.db.put_cf(store.family(Table::Meta), SCHEMA_KEY, [1]).unwrap();
    drop(store);
    let error = Store::open(&path, Create::Never).expect_err("the layout without seals");
    assert!(matches!(&error, StoreError::Schema { found, .. } if found == "1"), "{error}");
    assert!(error.to_string().contains("--new-gateway-database"), "{error}");
}

#[test]
fn samples_that_were_dropped_are_told_apart_from_those_that_never_were() {
    let folder = tempfile::tempdir().unwrap();
    let (connector, session) = (ConnectorId::new(CondominiumId(1), 7), SessionId(Hash32([3; 32])));
    let store = Store::open(folder.path(), Create::IfMissing).unwrap();
    let mut write = Write::default();
    write.salt(session, connector, &Hash32([9; 32]));
    for (sequence, first) in [(1, 0_u64), (2, 2)] {
        write.samples(connector, first, &[raw(u32::try_from(first).unwrap()), raw(u32::try_from(first).unwrap() + 1)]);
        let reading = Reading {
            session,
            sequence,
            at: Timestamp::from_ms(first),
            register_wh: WattHours::ZERO,
            power_w: Watts::new(0),
            flags: ReadingFlags::NONE,
            samples_root: Hash32::ZERO,
            sample_count: 2,
        };
        write.reading(&DecidedReading { reading, first_leaf: first, end_leaf: first + 2, cost: Cost::ZERO });
    }
    store.write(write).unwrap();
    let old = store.old_message(connector, 0).unwrap().unwrap();
    assert_eq!((old.first, old.end, old.taken_at.ms()), (0, 2, 60_000));
    let mut write = Write::default();
    write.drop_samples(connector, old.first);
    write.kept_from(connector, old.end);
    store.write(write).unwrap();
    assert_eq!(store.samples_of(session, 1).unwrap(), KeptSamples::Pruned);
    assert!(matches!(store.samples_of(session, 2).unwrap(), KeptSamples::Here(samples) if samples.samples.len() == 2));
    assert_eq!(store.samples_of(session, 3).unwrap(), KeptSamples::Unknown);
    assert_eq!(store.old_message(connector, 2).unwrap().unwrap().first, 2);
    assert_eq!(store.old_message(connector, 4).unwrap(), None);
}

/// The log was deleted after a clean stop: nothing was said, and a message that somebody had recorded was accepted a second time.
#[test]
fn a_database_whose_log_was_deleted_or_cut_short_is_told_from_one_that_never_had_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway");
    let connector = ConnectorId::new(CondominiumId(1), 7);
    let put = |first: u32| {
        let store = Store::open(&path, Create::IfMissing).unwrap();
        for number in first..first + 3 {
            let mut write = Write::default();
            write.samples(connector, u64::from(number), &[raw(number)]);
            store.write(write).unwrap();
        }
    };
    put(0);
    put(3);
    let logs = |folder: &Path| -> Vec<PathBuf> {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|file| file.extension().is_some_and(|kind| kind == "log")).collect()
    };
    let harms: [&dyn Fn(&Path); 3] = [&|log| std::fs::remove_file(log).unwrap(), &|log| std::fs::write(log, []).unwrap(), &|log| {
        let bytes = std::fs::read(log).unwrap();
        std::fs::write(log, &bytes[..bytes.len() / 2]).unwrap();
    }];
    for (number, harm) in harms.into_iter().enumerate() {
        let copy = folder.path().join(format!("copy-{number}"));
        std::fs::create_dir(&copy).unwrap();
        for entry in std::fs::read_dir(&path).unwrap() {
            let from = entry.unwrap().path();
            std::fs::copy(&from, copy.join(from.file_name().unwrap())).unwrap();
        }
        assert!(!logs(&copy).is_empty());
        logs(&copy).iter().for_each(|log| harm(log));
        // The next start refuses like the first one: a start does not make it good.
        for _ in 0..2 {
            let error = Store::open(&copy, Create::Never).expect_err("its newest part is gone");
            assert!(matches!(error, StoreError::WentBack { found, expected, .. } if found < expected), "{number}: {error}");
            assert!(error.to_string().contains("--new-gateway-database"), "{error}");
        }
    }
    // A log in which nothing was written yet is not missed, and neither is the mark of an earlier build.
    for round in 0..3 {
        drop(Store::open(&path, Create::Never).unwrap());
        logs(&path).iter().for_each(|log| std::fs::remove_file(log).unwrap());
        if round == 1 {
            std::fs::remove_file(path.join(mark::FILE)).unwrap();
        }
    }
    put(6);
    let store = Store::open(&path, Create::Never).unwrap();
    assert_eq!(store.samples(connector, 0, 9).unwrap().len(), 9);
    assert!(store.check_at_start().unwrap().1.is_empty());
    drop(store);
    let mut bytes = std::fs::read(path.join(mark::FILE)).unwrap();
    bytes[7] ^= 1;
    std::fs::write(path.join(mark::FILE), bytes).unwrap();
    assert!(matches!(Store::open(&path, Create::Never), Err(StoreError::Damaged { .. })));
    // What is left of a database that is gone does not bind the new one.
    let anew = folder.path().join("anew");
    std::fs::create_dir(&anew).unwrap();
    std::fs::copy(path.join(mark::FILE), anew.join(mark::FILE)).unwrap();
    assert!(matches!(Store::open(&anew, Create::Never), Err(StoreError::Missing { .. })));
    drop(Store::open(&anew, Create::IfMissing).unwrap());
    drop(Store::open(&anew, Create::Never).unwrap());
}
