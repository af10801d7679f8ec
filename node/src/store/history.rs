//! The walk over all headers at start: that each names the one before it, and that the stored history is the one that they give.
//!
//! The history's entries follow from the headers, so a wrong one is named and made again. Blocks are not executed and their bodies not looked at. Memory
//! does not grow with the chain: all entries are compared at once, by their number and the XOR of their digests, and one by one only where these differ.
//! Called by `check`.

use super::{index::Sum, *};

/// The bytes of a header, with which a block begins.
const HEADER_BYTES: usize = 4 + 32 + 8 + 32 + 32 + 8 + 5 * 32;

/// Entries that are named one by one.
const NAMED_MAX: usize = 4;

/// The headers seen so far, from the first on.
#[derive(Debug)]
pub(super) struct Headers {
    /// The hash of the last header; of genesis, the chain id's bytes.
    last: Hash32,
    newest: Option<Header>,
    history: History,
    /// The history's root before the newest header.
    root_before: Hash32,
    /// What all entries of the history come to.
    expected: Sum,
    /// The height whose header does not name the one before it.
    broken: Option<Height>,
}

impl Headers {
    pub(super) fn new(chain_id: ChainId) -> Self {
        let history = History::new();
        let root_before = history.root();
        Self { last: chain_id.0, newest: None, history, root_before, expected: Sum::default(), broken: None }
    }

    /// Takes in the block of the next height.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] names the block that was exchanged.
    pub(super) fn block(&mut self, height: Height, block: &[u8]) -> Result<(), StoreError> {
        let header = header_of(height, block)?;
        if header.parent == self.last {
            self.require_linked(height)?;
        } else if let Some(broken) = self.broken {
            // Neither its parent nor its child knows it.
            return Err(exchanged(broken));
        } else {
            self.broken = Some(height);
        }
        self.last = header.hash();
        self.root_before = self.history.root();
        for (position, node) in self.history.append(self.last) {
            self.expected.add(Family::History, &node_key(position), &node.0);
        }
        self.newest = Some(header);
        Ok(())
    }

    /// After a link that holds: one before it that does not is the fault of the block between its two headers.
    fn require_linked(&self, next: Height) -> Result<(), StoreError> {
        match self.broken {
            None => Ok(()),
            Some(broken) => Err(exchanged(if broken == Height(1) { broken } else { Height(next.0.saturating_sub(2)) })),
        }
    }

    /// Ends the walk at the tip: the newest header, the history with it, and what was wrong in the stored one and has been made again.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] names the block that was exchanged.
    pub(super) fn finish(self, database: &Database, tip: StoredTip) -> Result<(Option<Header>, History, Vec<String>), StoreError> {
        if let Some(newest) = &self.newest {
            if self.last != tip.hash {
                if let Some(broken) = self.broken {
                    return Err(exchanged(broken));
                }
                let why = format!("its hash is {}, the tip's {}", self.last, tip.hash);
                return Err(StoreError::Damaged { what: Family::Blocks.describe(&height_key(tip.height)), why });
            }
            self.require_linked(tip.height.next())?;
            if self.root_before != newest.history_root {
                let why = format!("their history's root is {}, the newest header names {}", self.root_before, newest.history_root);
                return Err(StoreError::Damaged { what: "the chain of headers".to_owned(), why });
            }
        }
        let mut found = Sum::default();
        let mut sound = true;
        let view = database.view();
        database.each(&view, Family::History, &[], |key, value| {
            match value {
                Ok(value) => found.add(Family::History, key, &value),
                Err(_) => sound = false,
            }
            Ok::<_, StoreError>(Walk::On)
        })?;
        let repaired = if sound && found == self.expected { Vec::new() } else { repair(database, &view, tip.height)? };
        Ok((self.newest, self.history, repaired))
    }
}

/// The header with which a stored block begins.
pub(super) fn header_of(height: Height, block: &[u8]) -> Result<Header, StoreError> {
    let damaged = |why: String| StoreError::Damaged { what: Family::Blocks.describe(&height_key(height)), why };
    let head = block.get(..HEADER_BYTES).ok_or_else(|| damaged("it is too short for a header".to_owned()))?;
    let header: Header = db::decode(Family::Blocks, &height_key(height), head)?;
    if header.height != height {
        return Err(damaged(format!("its header is of height {}", header.height)));
    }
    Ok(header)
}

fn exchanged(height: Height) -> StoreError {
    let why = "its header is not the one that its neighbours in the chain know".to_owned();
    StoreError::Damaged { what: Family::Blocks.describe(&height_key(height)), why }
}

/// Compares the stored history entry by entry with the headers', writes what differs again, and names it.
fn repair(database: &Database, view: &db::View<'_>, tip: Height) -> Result<Vec<String>, StoreError> {
    let mut wrong = Vec::new();
    let mut batch = database.batch();
    let mut history = History::new();
    database.each(view, Family::Blocks, &[], |key, block| {
        let height = Height(history.count()).next();
        debug_assert_eq!(key, height_key(height));
        for (position, node) in history.append(header_of(height, &block?)?.hash()) {
            let key = node_key(position);
            // An entry that cannot be read is as wrong as another one.
            let found: Option<Hash32> = database.read(view, Family::History, &key).ok().flatten();
            if found != Some(node) {
                batch.write(Family::History, &key, &node)?;
                wrong.push(describe(position));
            }
        }
        Ok::<_, StoreError>(Walk::On)
    })?;
    database.each(view, Family::History, &[], |key, _| {
        if position_of(key).is_none_or(|position| position.index >= tip.0.checked_shr(position.height.into()).unwrap_or(0)) {
            batch.delete(Family::History, key)?;
            wrong.push(format!("history key {}, which belongs to no header", hex::encode(key)));
        }
        Ok::<_, StoreError>(Walk::On)
    })?;
    database.write(batch)?;
    let more = wrong.len().saturating_sub(NAMED_MAX);
    wrong.truncate(NAMED_MAX);
    if more > 0 {
        wrong.push(format!("{more} more entries of the history"));
    }
    Ok(wrong)
}

/// An entry in words.
fn describe(position: NodePosition) -> String {
    let NodePosition { height: level, index } = position;
    let end = index.saturating_add(1).checked_shl(level.into()).unwrap_or(u64::MAX);
    let begin = index.checked_shl(level.into()).unwrap_or(u64::MAX).saturating_add(1);
    let headers = if level == 0 { format!("header {end}") } else { format!("headers {begin} to {end}") };
    format!("history entry {index} of level {level} ({headers})")
}

fn position_of(key: &[u8]) -> Option<NodePosition> {
    let (height, index) = key.split_first()?;
    Some(NodePosition { height: *height, index: u64::from_be_bytes(index.try_into().ok()?) })
}
