//! The book of a session: recorded with every decision, and made again from the disk, or from the chain where the disk has forgotten it.

use chain::{
    hash::Hash32,
    id::{ConnectorId, SessionId},
    record::{Connector, Session},
};

use super::{DeskError, exchange::Exchange};
use crate::gateway::{
    meter::{Indexed, MAX_LEAVES, Metering, Present},
    store::{Book, DecidedReading, Store, Write},
};

/// Puts decisions into the write that must be durable before anybody acts on them.
pub(super) fn record(id: ConnectorId, open: &Metering, before: Option<&Book>, out: &[DecidedReading], write: &mut Write) {
    for decided in out {
        write.reading(decided);
    }
    if before != Some(&open.book) {
        write.book(id, &open.book);
    }
}

/// The book of a session that has none here: an empty one where the session is new. Where this database has forgotten it, or the chain has taken a block
/// back, the book is made again from the readings that are still here and, beyond them, from what the chain has accepted: a number, a salt or a reading that
/// was ever used is never used for anything else, and metering goes on where it was.
pub(super) fn book_of(
    store: &Store,
    id: ConnectorId,
    session_id: SessionId,
    session: &Session,
    next_index: u64,
    write: &mut Write,
) -> Result<Book, DeskError> {
    let salt = match store.salt(session_id)? {
        Some((_, salt)) => salt,
        None => {
            let salt = Hash32(rand::random());
            write.salt(session_id, id, &salt);
            salt
        }
    };
    let mut book = Book::new(session_id, salt, next_index);
    while let Some(decided) = store.reading(session_id, book.decided.saturating_add(1))? {
        book.decided = decided.reading.sequence;
        book.start = book.start.or(Some(decided.reading.register_wh));
        book.last = Some((decided.reading.at, decided.reading.register_wh));
        book.cost = decided.cost;
        book.next_leaf = decided.end_leaf;
    }
    if let Some(meter) = session.meter.filter(|meter| meter.sequence > book.decided) {
        tracing::warn!(session = %session_id, "raw samples of an open session are lost: metering goes on from the chain's last reading");
        book.decided = meter.sequence;
        book.start = Some(meter.start);
        book.last = Some((meter.at, meter.register));
        // The chain's sum is within the range, or it would not have accepted the reading.
        book.cost = session.cost.total().unwrap_or_default();
        book.next_leaf = next_index;
    }
    Ok(book)
}

/// Takes back what the chain does not have, on the disk too; gives the index of the first sample behind it. The session is to be given the samples since.
pub(super) fn rewind(store: &Store, open: &mut Metering, write: &mut Write) -> Result<u64, DeskError> {
    let undone = open.accepted().saturating_add(1);
    let next_leaf = store.reading(open.id, undone)?.map_or(open.book.next_leaf, |decided| decided.first_leaf);
    for dropped in undone..=open.book.decided {
        write.drop_reading(open.id, dropped);
    }
    open.rewind(next_leaf);
    Ok(next_leaf)
}

/// What is known of where a session is metered.
pub(super) struct Where<'a> {
    pub connector: &'a Connector,
    pub exchange: &'a mut Exchange,
    /// The index of the next sample.
    pub next_index: u64,
}

/// Gives a session what the disk has beyond its book: samples of no reading yet, and readings that the chain does not have. What the meter has shown is
/// followed again from the last reading on.
pub(super) fn resume(
    store: &Store,
    id: ConnectorId,
    Where { connector, exchange, next_index }: Where<'_>,
    open: &mut Metering,
    present: &Present<'_>,
) -> Result<(), DeskError> {
    let from = open.book.next_leaf;
    let waiting = if open.has_begun() { next_index.saturating_sub(from).min(MAX_LEAVES as u64) } else { 0 };
    let indexed = samples_between(store, id, from, from.saturating_add(waiting))?;
    let mut undelivered = Vec::new();
    for sequence in open.accepted().saturating_add(1)..=open.book.decided {
        undelivered.extend(store.reading(open.id, sequence)?.map(|decided| decided.reading));
    }
    if let Some((at, register)) = open.book.last {
        exchange.begin_at(at, register);
    }
    open.resume(connector, &indexed, |raw| exchange.is_other(connector, raw), undelivered, present);
    Ok(())
}

/// The samples of a connector with indexes from `from` to before `to`.
pub(super) fn samples_between(store: &Store, id: ConnectorId, from: u64, to: u64) -> Result<Vec<Indexed>, DeskError> {
    Ok((from..).zip(store.samples(id, from, to)?).collect())
}
