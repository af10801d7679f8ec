//! Reading the state, and collecting the changes of a block before anything is stored.
//!
//! The state is a map from keys to values, both plain bytes, ordered bytewise; what they mean is decided by those who write them.
//! [`StateRead`] is the seam between rules and storage: the node's database implements it, and [`MemoryState`] for tests, tools and audits.
//! [`Overlay`] lies over any of them: block execution reads and writes only through it, and the node gives what it collected to the tree and to the
//! database in one piece, or drops it. Nothing here hashes, stores or interprets a value; roots are made in [`crate::tree`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

/// This machine cannot read its state: its disk failed or a file is damaged. Never a property of a transaction, so it stops the node and never becomes
/// a rejection.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the state cannot be read: {0}")]
pub struct ReadFault(pub String);

/// A key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// A key and its new value, or `None` where it is deleted.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// The writes of an overlay, by key.
pub type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// An ordered map of bytes that rules read from; the same content gives the same answers on every machine.
pub trait StateRead: Send + Sync {
    /// The value of `key`, or `None` where it has none.
    ///
    /// # Errors
    /// [`ReadFault`] where this machine cannot say.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadFault>;

    /// The first `limit` keys and values with `from <= key < to`, in ascending bytewise order; none where `from >= to`.
    ///
    /// # Errors
    /// [`ReadFault`] where this machine cannot say.
    fn scan(&self, from: &[u8], to: &[u8], limit: u32) -> Result<Vec<KeyValue>, ReadFault>;
}

/// The least key that is greater than every key with this prefix: with the prefix as `from`, the `to` of a scan over all of them.
/// `None` where there is none, which is so only for prefixes of nothing but `0xff` bytes and for the empty one.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// A state that is held in memory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MemoryState {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryState {
    /// The empty state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one value.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.values.insert(key, value);
    }

    /// Deletes one value; nothing where there is none.
    pub fn delete(&mut self, key: &[u8]) {
        self.values.remove(key);
    }

    /// Makes changes that an [`Overlay`] collected.
    pub fn apply(&mut self, changes: &[Change]) {
        for (key, value) in changes {
            match value {
                Some(value) => self.put(key.clone(), value.clone()),
                None => self.delete(key),
            }
        }
    }

    /// Every key and value in ascending bytewise order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.values.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl StateRead for MemoryState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadFault> {
        Ok(self.values.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: u32) -> Result<Vec<KeyValue>, ReadFault> {
        Ok(between(&self.values, from, to).take(limit as usize).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// Writes that are not made yet, over a state that does not change meanwhile.
///
/// Reads see the writes. [`Overlay::checkpoint`] and [`Overlay::rollback`] undo one rejected call inside a block while earlier ones stay; checkpoints nest.
/// An overlay is itself a [`StateRead`], so that one block can be executed on another that is not committed yet.
pub struct Overlay<'a> {
    base: &'a dyn StateRead,
    writes: Writes,
    /// Undone from the end.
    undo: Vec<Undo>,
}

/// A write that was made.
struct Undo {
    key: Vec<u8>,
    /// The earlier write of the same key, if there was one.
    replaced: Option<Option<Vec<u8>>>,
}

/// A moment of one overlay to which [`Overlay::rollback`] returns; dropping it keeps what was written since.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a checkpoint that is not kept cannot be returned to"]
pub struct Checkpoint {
    undo_len: usize,
}

impl<'a> Overlay<'a> {
    /// No writes over `base`.
    #[must_use]
    pub const fn new(base: &'a dyn StateRead) -> Self {
        Self { base, writes: BTreeMap::new(), undo: Vec::new() }
    }

    /// The writes of an earlier overlay ([`Overlay::into_writes`]), over `base`.
    #[must_use]
    pub const fn resume(base: &'a dyn StateRead, writes: Writes) -> Self {
        Self { base, writes, undo: Vec::new() }
    }

    /// The writes, to go on from later.
    #[must_use]
    pub fn into_writes(self) -> Writes {
        self.writes
    }

    /// Makes changes that another overlay collected.
    pub fn apply(&mut self, changes: Vec<Change>) {
        for (key, value) in changes {
            self.write(key, value);
        }
    }

    /// Sets one value.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.write(key, Some(value));
    }

    /// Deletes one value; nothing where there is none.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.write(key, None);
    }

    fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let replaced = match self.writes.entry(key.clone()) {
            Entry::Occupied(entry) if *entry.get() == value => return,
            Entry::Occupied(mut entry) => Some(entry.insert(value)),
            Entry::Vacant(entry) => {
                entry.insert(value);
                None
            }
        };
        self.undo.push(Undo { key, replaced });
    }

    /// The present moment, to return to.
    pub const fn checkpoint(&self) -> Checkpoint {
        Checkpoint { undo_len: self.undo.len() }
    }

    /// Undoes every write made since the checkpoint was taken from this overlay, those of inner checkpoints included.
    /// A checkpoint is void once the overlay has been rolled back to an earlier one.
    pub fn rollback(&mut self, checkpoint: Checkpoint) {
        let Checkpoint { undo_len } = checkpoint;
        while self.undo.len() > undo_len {
            let Some(Undo { key, replaced }) = self.undo.pop() else {
                break;
            };
            if let Some(write) = replaced {
                self.writes.insert(key, write);
            } else {
                self.writes.remove(&key);
            }
        }
    }

    /// The changes, in ascending order of their keys and one for each.
    ///
    /// A write is listed even where it leaves the base as it was: finding out would cost a read each, and tree and database take such a change as none.
    #[must_use]
    pub fn into_changes(self) -> Vec<Change> {
        self.writes.into_iter().collect()
    }
}

impl StateRead for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadFault> {
        self.writes.get(key).map_or_else(|| self.base.get(key), |written| Ok(written.clone()))
    }

    /// Reads the base in pages and merges the writes into each. A page can shrink by deletions, so that there may be several;
    /// each is twice as large as the one before, up to `MAX_PAGE`, so that many deletions at the front do not cost a read each.
    fn scan(&self, from: &[u8], to: &[u8], limit: u32) -> Result<Vec<KeyValue>, ReadFault> {
        let limit_len = limit as usize;
        let mut found = Vec::new();
        let mut from = from.to_vec();
        let mut page_len = limit;
        while found.len() < limit_len && from.as_slice() < to {
            let page = self.base.scan(&from, to, page_len)?;
            // A page that is not full is the last one; a full one speaks only for the keys up to its own last.
            let after = match page.last() {
                Some((last, _)) if page.len() >= page_len as usize => successor(last),
                Some(_) | None => to.to_vec(),
            };
            let mut merged: BTreeMap<_, _> = page.into_iter().map(|(key, value)| (key, Some(value))).collect();
            merged.extend(between(&self.writes, &from, &after).map(|(key, value)| (key.clone(), value.clone())));
            let values = merged.into_iter().filter_map(|(key, value)| Some((key, value?)));
            found.extend(values.take(limit_len.saturating_sub(found.len())));
            from = after;
            page_len = page_len.saturating_mul(2).min(MAX_PAGE.max(limit));
        }
        Ok(found)
    }
}

/// The most keys that a scan through an overlay reads from the base at once, unless its caller asked for more.
const MAX_PAGE: u32 = 1024;

impl std::fmt::Debug for Overlay<'_> {
    /// Counts only: values may be many.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay").field("writes", &self.writes.len()).finish_non_exhaustive()
    }
}

/// The least key greater than this one.
fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(0);
    next
}

/// The entries with `from <= key < to`; `BTreeMap::range` would panic where `from > to`.
fn between<'m, V>(map: &'m BTreeMap<Vec<u8>, V>, from: &[u8], to: &[u8]) -> impl Iterator<Item = (&'m Vec<u8>, &'m V)> {
    let bounds = (from < to).then_some((Bound::Included(from), Bound::Excluded(to)));
    bounds.into_iter().flat_map(|bounds| map.range::<[u8], _>(bounds))
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Few, short and nested keys, so that operations meet each other and borders of scans are hit.
    fn key(rng: &mut StdRng) -> Vec<u8> {
        let len = rng.random_range(0..4);
        (0..len).map(|_| [0, 1, 7, 0xff][rng.random_range(0..4)]).collect()
    }

    fn model_scan(model: &BTreeMap<Vec<u8>, Vec<u8>>, from: &[u8], to: &[u8], limit: u32) -> Vec<KeyValue> {
        let inside = model.iter().filter(|(key, _)| key.as_slice() >= from && key.as_slice() < to);
        inside.take(limit as usize).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    #[test]
    fn an_overlay_answers_like_a_copied_map_under_random_writes_scans_and_rollbacks() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..40 {
            let mut base = MemoryState::new();
            for _ in 0..rng.random_range(0..60) {
                base.put(key(&mut rng), vec![rng.random()]);
            }
            let mut model = base.values.clone();
            let mut overlay = Overlay::new(&base);
            let mut marks: Vec<(Checkpoint, BTreeMap<_, _>)> = Vec::new();
            for _ in 0..400 {
                match rng.random_range(0..10) {
                    0..3 => {
                        let (key, value) = (key(&mut rng), vec![rng.random_range(0..3)]);
                        overlay.put(key.clone(), value.clone());
                        model.insert(key, value);
                    }
                    3..6 => {
                        let key = key(&mut rng);
                        overlay.delete(key.clone());
                        model.remove(&key);
                    }
                    6 => marks.push((overlay.checkpoint(), model.clone())),
                    7 => {
                        // To any of them: those taken later are void and dropped.
                        if !marks.is_empty() {
                            let chosen = rng.random_range(0..marks.len());
                            let (mark, before) = marks.drain(chosen..).next().unwrap();
                            overlay.rollback(mark);
                            model = before;
                        }
                    }
                    _ => {
                        let (from, to) = (key(&mut rng), key(&mut rng));
                        let limit = rng.random_range(0..12);
                        let expected = model_scan(&model, &from, &to, limit);
                        assert_eq!(overlay.scan(&from, &to, limit).unwrap(), expected);
                        assert_eq!(overlay.get(&from).unwrap().as_ref(), model.get(&from));
                    }
                }
            }
            // A second overlay over the first, then both into the base.
            let mut upper = Overlay::new(&overlay);
            upper.delete(vec![7]);
            upper.put(vec![1, 1], vec![9]);
            model.remove([7].as_slice());
            model.insert(vec![1, 1], vec![9]);
            let all = upper.scan(&[], &[0xff; 4], u32::MAX).unwrap();
            assert_eq!(all, model_scan(&model, &[], &[0xff; 4], u32::MAX));
            let (second, first) = (upper.into_changes(), overlay.into_changes());
            assert!(first.is_sorted() && second.is_sorted());
            base.apply(&first);
            base.apply(&second);
            assert_eq!(base.values, model);
        }
    }

    #[test]
    fn a_rejected_call_is_undone_and_earlier_ones_stay() {
        let mut base = MemoryState::new();
        base.put(b"a".to_vec(), b"1".to_vec());
        let mut overlay = Overlay::new(&base);
        overlay.put(b"b".to_vec(), b"2".to_vec());
        let call = overlay.checkpoint();
        overlay.delete(b"a".to_vec());
        overlay.put(b"b".to_vec(), b"3".to_vec());
        let inner = overlay.checkpoint();
        overlay.put(b"c".to_vec(), b"4".to_vec());
        overlay.rollback(inner);
        assert_eq!(overlay.get(b"c"), Ok(None));
        assert_eq!(overlay.get(b"a"), Ok(None));
        overlay.rollback(call);
        assert_eq!(overlay.get(b"a"), Ok(Some(b"1".to_vec())));
        assert_eq!(overlay.into_changes(), vec![(b"b".to_vec(), Some(b"2".to_vec()))]);
    }

    #[test]
    fn a_scan_from_behind_its_end_finds_nothing() {
        let mut base = MemoryState::new();
        base.put(b"b".to_vec(), vec![1]);
        for (from, to) in [(b"c", b"a"), (b"b", b"b")] {
            assert_eq!(base.scan(from, to, 9), Ok(vec![]));
            assert_eq!(Overlay::new(&base).scan(from, to, 9), Ok(vec![]));
        }
        assert_eq!(base.scan(b"a", b"c", 0), Ok(vec![]));
    }

    #[test]
    fn a_scan_finds_what_lies_behind_thousands_of_deleted_keys() {
        let mut base = MemoryState::new();
        for n in 0..5_000_u16 {
            base.put(n.to_be_bytes().to_vec(), vec![1]);
        }
        let mut overlay = Overlay::new(&base);
        for n in 0..4_999_u16 {
            overlay.delete(n.to_be_bytes().to_vec());
        }
        let left = overlay.scan(&[], &[0xff, 0xff], 1).unwrap();
        assert_eq!(left, vec![(4_999_u16.to_be_bytes().to_vec(), vec![1])]);
    }

    #[test]
    fn a_fault_of_the_base_is_passed_on() {
        struct Broken;
        impl StateRead for Broken {
            fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, ReadFault> {
                Err(ReadFault("checksum".into()))
            }
            fn scan(&self, _: &[u8], _: &[u8], _: u32) -> Result<Vec<KeyValue>, ReadFault> {
                Err(ReadFault("checksum".into()))
            }
        }
        let mut overlay = Overlay::new(&Broken);
        overlay.put(b"k".to_vec(), b"v".to_vec());
        assert_eq!(overlay.get(b"k"), Ok(Some(b"v".to_vec())));
        assert_eq!(overlay.get(b"l"), Err(ReadFault("checksum".into())));
        assert_eq!(overlay.scan(b"a", b"z", 9), Err(ReadFault("checksum".into())));
    }

    #[test]
    fn the_end_of_a_prefix_is_the_first_key_behind_it() {
        assert_eq!(prefix_end(b"a"), Some(b"b".to_vec()));
        assert_eq!(prefix_end(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!(prefix_end(&[0xff]), None);
        assert_eq!(prefix_end(&[]), None);
    }
}
