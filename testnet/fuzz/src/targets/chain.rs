//! Encodings of the chain: what is signed, decided and kept.

use ::chain::{
    block::Block,
    card_order::{CardOrder, MAX_ORDER_BYTES},
    certificate::{CommitCertificate, ValidatorSet},
    codec::{self, CodecError},
    export::{End, Framing, FramingError, PREAMBLE_BYTES, Record, RecordKind, Samples, StatePage, frame, preamble},
    id::SessionId,
    params::Params,
    quantity::Amount,
    receipt::Receipt,
    record::{
        Account, AskedStart, Card, Clearing, ClearingHead, Condominium, Connector, Group, Mandate, MandateDay, MandateUse, Meter,
        MeterProposal, Payment, Redemption, Roaming, RoleGrant, Session, SessionTimes, Signer, Suspension, TariffHead, TariffVersion,
    },
    time::Timestamp,
    transaction::TransactionError,
};
use cli::describe;
use contracts::{
    call::{Body, Transaction},
    genesis::Genesis,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Read, Verdict, never, refused, same};

/// The most bytes that are given to a decoder of records.
const LIMIT: usize = 1 << 20;

const fn kind(error: &CodecError) -> &'static str {
    match error {
        CodecError::TooLong { .. } => "too long",
        CodecError::Malformed(_) => "malformed",
        CodecError::Trailing(_) => "trailing",
        CodecError::NotCanonical => "not canonical",
        CodecError::Unencodable(_) => "unencodable",
    }
}

/// A type of the wire format: what decodes is encoded as it was; gives the value.
fn reread<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<Result<T, CodecError>, String> {
    match codec::decode::<T>(bytes, LIMIT) {
        Ok(value) => {
            same("encoded again", codec::encode(&value).map_err(never("a decoded value has no encoding"))?.as_slice(), bytes)?;
            Ok(Ok(value))
        }
        Err(CodecError::Malformed(misfit)) if misfit.at > bytes.len() => Err(format!("a misfit at {} of {} bytes", misfit.at, bytes.len())),
        Err(error) => Ok(Err(error)),
    }
}

fn plain<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Verdict {
    match reread::<T>(bytes)? {
        Ok(_) => Ok(Read::Accepted),
        Err(error) => refused(kind(&error), &error),
    }
}

/// Whatever decodes as a transaction can be shown to whoever signs it, in words and as JSON.
pub(super) fn transaction(bytes: &[u8]) -> Verdict {
    let transaction = match Transaction::decode(bytes) {
        Ok(transaction) => transaction,
        Err(error) => {
            if error.place().is_some_and(|(at, _)| at > bytes.len()) {
                return Err(format!("{error}: a place behind the end"));
            }
            return match &error {
                TransactionError::Length(_) => refused("length", &error),
                TransactionError::Body(body) => refused(kind(body), &error),
            };
        }
    };
    same("the bytes", transaction.bytes(), bytes)?;
    let body: &Body = transaction.body();
    same("the body encoded again", codec::encode(body).map_err(never("no encoding"))?.as_slice(), transaction.body_bytes())?;
    let (title, lines) = describe::body(body, "EUR");
    if title.is_empty() || lines.len() < 4 {
        return Err(format!("{title:?} says too little: {lines:?}"));
    }
    let json = serde_json::to_vec(body).map_err(never("no JSON"))?;
    let read: Body = serde_json::from_slice(&json).map_err(never("its own JSON is not read"))?;
    same("read from its JSON", &read, body)?;
    match body.call.action().check() {
        Ok(()) => Ok(Read::Accepted),
        Err(rejection) => refused("check", &rejection),
    }
}

pub(super) fn block(bytes: &[u8]) -> Verdict {
    match Block::decode(bytes) {
        Ok(block) => {
            same("encoded again", block.encode().map_err(never("no encoding"))?.as_slice(), bytes)?;
            let _ = (block.header.hash(), ::chain::block::transactions_root(&block.transactions));
            Ok(Read::Accepted)
        }
        Err(error) => refused(kind(&error), &error),
    }
}

pub(super) fn certificate(bytes: &[u8]) -> Verdict {
    plain::<CommitCertificate>(bytes)
}

pub(super) fn receipts(bytes: &[u8]) -> Verdict {
    match reread::<Vec<Receipt>>(bytes)? {
        Ok(receipts) => {
            for receipt in &receipts {
                let _ = receipt.leaf();
                for event in &receipt.events {
                    if describe::event(event, "EUR").is_empty() {
                        return Err("an event without words".to_owned());
                    }
                }
            }
            let json = serde_json::to_vec(&receipts).map_err(never("no JSON"))?;
            let read: Vec<Receipt> = serde_json::from_slice(&json).map_err(never("its own JSON is not read"))?;
            same("read from its JSON", &read, &receipts)?;
            Ok(Read::Accepted)
        }
        Err(error) => refused(kind(&error), &error),
    }
}

/// The first byte is the table, as in the state's keys; the rest is the record.
pub(super) fn record(bytes: &[u8]) -> Verdict {
    let Some((table, value)) = bytes.split_first() else { return Ok(Read::Refused("empty")) };
    match table {
        1 => plain::<Account>(value),
        2 => plain::<Signer>(value),
        3 => plain::<Condominium>(value),
        4 => plain::<RoleGrant>(value),
        5 => plain::<Group>(value),
        6 => plain::<Connector>(value),
        7 => plain::<TariffHead>(value),
        8 => plain::<TariffVersion>(value),
        9 => plain::<Session>(value),
        10 => plain::<SessionId>(value),
        12 => plain::<Redemption>(value),
        13 => plain::<Amount>(value),
        14 => plain::<Timestamp>(value),
        15 => plain::<Params>(value),
        16 => plain::<ValidatorSet>(value),
        17 => plain::<Amount>(value),
        18 => plain::<SessionTimes>(value),
        19 => plain::<Roaming>(value),
        20 => plain::<ClearingHead>(value),
        21 => plain::<Clearing>(value),
        22 => plain::<Payment>(value),
        23 => plain::<Mandate>(value),
        24 => plain::<Card>(value),
        25 => plain::<MandateDay>(value),
        26 => plain::<MandateUse>(value),
        27 => plain::<AskedStart>(value),
        28 => plain::<MeterProposal>(value),
        29 => plain::<Meter>(value),
        30 => plain::<Suspension>(value),
        _ => Ok(Read::Refused("no table")),
    }
}

/// A changed order is no order: its signature is checked with it.
pub(super) fn card_order(bytes: &[u8]) -> Verdict {
    match CardOrder::verified(bytes) {
        Ok(order) => {
            let body = bytes.get(64..).unwrap_or_default();
            same("encoded again", codec::encode(&order).map_err(never("no encoding"))?.as_slice(), body)?;
            if body.len() > MAX_ORDER_BYTES {
                return Err("an order beyond the limit".to_owned());
            }
            Ok(Read::Accepted)
        }
        Err(error) => refused("no order", &error),
    }
}

const FRAME_BYTES: usize = 5 + 32;

/// Gives most of a changed stream's records their right checksums, so that what is inside is looked at.
pub(super) fn frame_again(input: Vec<u8>, number: u64) -> Vec<u8> {
    if number.is_multiple_of(5) {
        return input;
    }
    let mut mended = preamble();
    let mut rest = input.get(PREAMBLE_BYTES..).unwrap_or_default();
    while let [tag, a, b, c, d, after @ ..] = rest {
        let length = usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX).min(after.len().saturating_sub(32));
        let kind = [
            RecordKind::Genesis,
            RecordKind::Block,
            RecordKind::Certificate,
            RecordKind::Receipts,
            RecordKind::Samples,
            RecordKind::State,
            RecordKind::End,
        ]
        .into_iter()
        .find(|kind| kind.tag() == *tag)
        .unwrap_or(RecordKind::State);
        let Ok(record) = frame(kind, &after[..length]) else { break };
        mended.extend(record);
        rest = &rest[(FRAME_BYTES + length).min(rest.len())..];
    }
    mended.extend_from_slice(rest);
    mended
}

/// Cut anywhere, a stream has the same records; a record written again is the same bytes; and what is in it is read as by an audit.
pub(super) fn export(bytes: &[u8]) -> Verdict {
    let whole = records(bytes, bytes.len().max(1));
    let step = 1 + bytes.len() % 61;
    same("cut into pieces", &records(bytes, step), &whole)?;
    let (found, ended) = whole;
    let mut written = preamble();
    let mut unread = None;
    for record in &found {
        if record.intact {
            written.extend(frame(record.kind, &record.payload).map_err(never("a record that was read is not written"))?);
        }
        if let Err(error) = payload(record)? {
            unread.get_or_insert(error);
        }
    }
    if found.iter().all(|record| record.intact) && !found.is_empty() {
        same("written again", &written, &bytes.get(..written.len()).unwrap_or_default().to_vec())?;
    }
    match (ended, unread) {
        (Err(error), _) => {
            let kind = match error {
                FramingError::Preamble => "preamble",
                FramingError::Kind { .. } => "kind",
                FramingError::Length { .. } => "length",
                FramingError::Truncated { .. } => "truncated",
                FramingError::Codec(_) => "codec",
            };
            refused(kind, &error)
        }
        (Ok(()), Some(error)) => refused(kind(&error), &error),
        (Ok(()), None) if found.iter().any(|record| !record.intact) => Ok(Read::Refused("checksum")),
        (Ok(()), None) => Ok(Read::Accepted),
    }
}

fn records(bytes: &[u8], step: usize) -> (Vec<Record>, Result<(), FramingError>) {
    let mut framing = Framing::new();
    let mut found = Vec::new();
    for piece in bytes.chunks(step) {
        framing.push(piece);
        loop {
            match framing.next_record() {
                Ok(Some(record)) => found.push(record),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
    }
    let ended = framing.finish();
    (found, ended)
}

fn payload(record: &Record) -> Result<Result<(), CodecError>, String> {
    let bytes = record.payload.as_slice();
    Ok(match record.kind {
        RecordKind::Genesis => reread::<Genesis>(bytes)?.map(drop),
        RecordKind::Block => reread::<Block>(bytes)?.map(drop),
        RecordKind::Certificate => reread::<CommitCertificate>(bytes)?.map(drop),
        RecordKind::Receipts => reread::<Vec<Receipt>>(bytes)?.map(drop),
        RecordKind::Samples => reread::<Samples>(bytes)?.map(|samples| {
            let _ = samples.root();
        }),
        RecordKind::State => reread::<StatePage>(bytes)?.map(drop),
        RecordKind::End => reread::<End>(bytes)?.map(drop),
    })
}
