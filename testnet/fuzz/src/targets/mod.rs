//! The decoders of bytes from outside, each with what must hold for any input.
//!
//! A target never judges whether an input should be accepted: that is the golden vectors' matter. It says that nothing panics, that what is accepted is written
//! again as it was read, that a refusal has words of its own that fit a line, and what else the decoder promises. Called by `run`.

mod api;
mod chain;
mod consensus;
mod text;
mod unit;

use std::fmt::Display;

pub(crate) use self::{
    api::{answers, event, examples as requests},
    consensus::{CHAIN as CONSENSUS_CHAIN, key as consensus_key, listed as consensus_wire},
    unit::DEVICE_KEY,
};
use crate::mutate::Shape;

/// What became of an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// It was read.
    Accepted,
    /// It was refused, with this kind of refusal.
    Refused(&'static str),
}

/// What came of an input, or what should have held and did not.
pub type Verdict = Result<Read, String>;

/// Changes an input, given its number.
pub type Mend = fn(Vec<u8>, u64) -> Vec<u8>;

/// A decoder.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, on command lines and of its corpus.
    pub name: &'static str,
    /// Where its bytes come from.
    pub from: &'static str,
    /// What inputs are made of.
    pub shape: Shape,
    /// Puts right what would refuse every changed input at once: a tag, a checksum. It is given the input's number, so that some stay wrong.
    pub mend: Option<Mend>,
    /// Reads an input and checks what must hold.
    pub check: fn(&[u8]) -> Verdict,
}

const fn bytes(name: &'static str, from: &'static str, check: fn(&[u8]) -> Verdict) -> Target {
    Target { name, from, shape: Shape::Bytes, mend: None, check }
}

const fn text(name: &'static str, from: &'static str, check: fn(&[u8]) -> Verdict) -> Target {
    Target { name, from, shape: Shape::Text, mend: None, check }
}

/// Every decoder of bytes from outside.
pub const TARGETS: &[Target] = &[
    bytes("transaction", "anybody: POST /transactions, other nodes, blocks", chain::transaction),
    bytes("block", "other nodes, exports", chain::block),
    bytes("certificate", "other nodes, exports, proofs", chain::certificate),
    bytes("receipts", "exports", chain::receipts),
    bytes("record", "the state in exports and proofs", chain::record),
    bytes("card-order", "managers: POST to the gateway", chain::card_order),
    Target { mend: Some(chain::frame_again), ..bytes("export", "files and nodes' exports", chain::export) },
    bytes("consensus", "other nodes: votes and proposals", consensus::consensus),
    bytes("liveness", "other nodes: votes and certificates of rounds", consensus::liveness),
    bytes("polka", "the log of consensus", consensus::polka),
    bytes("proposed", "the log of consensus", consensus::proposed),
    bytes("part", "other nodes: blocks, transactions, tips", consensus::part),
    bytes("stream", "other nodes: parts in their stream", consensus::stream),
    bytes("validator-proof", "other nodes, when they connect", consensus::validator_proof),
    bytes("status", "other nodes: how far they are", consensus::status),
    bytes("request", "other nodes: asking for blocks", consensus::request),
    bytes("response", "other nodes: blocks that were asked for", consensus::response),
    Target { mend: Some(unit::tag_up), ..bytes("unit-config-request", "units", unit::config_request) },
    Target { mend: Some(unit::tag_up), ..bytes("unit-readings", "units", unit::readings) },
    Target { mend: Some(unit::tag_down), ..bytes("unit-config-answer", "gateways, read by units", unit::config_answer) },
    Target { mend: Some(unit::tag_down), ..bytes("unit-readings-answer", "gateways, read by units", unit::readings_answer) },
    text("unit-http", "gateways, read by units", unit::http),
    text("unit-modem", "the modem, read by units", unit::modem),
    bytes("sample", "the gateway's own database, exports", unit::sample),
    text("call-json", "files of calls and bodies in JSON", text::body),
    text("genesis", "genesis.json", text::genesis),
    text("member", "member.json of another condominium", text::member),
    text("peers", "peers.txt of whoever made the genesis document", text::peers),
    text("config", "config.toml", text::config),
    text("units", "units.json of a production line", text::units),
    text("tariff", "a tariff's file, and what the ledger computes with it", text::tariff),
    text("proof", "a proof file", text::proof),
    text("transaction-file", "a transaction that was signed without a node", text::transaction_file),
    text("prepared", "what the chain is, carried to a machine without a node", text::prepared),
    text("answers", "nodes: what the client reads of the API", text::answers),
    text("events", "nodes: the stream of events that the client reads", text::events),
    text("ids", "people: ids, amounts, times and invites", text::ids),
    text("rows", "recorded sessions as CSV", text::rows),
    text("api", "anybody: requests to the HTTP API", api::request),
];

/// The target of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// The longest words of a refusal, in bytes: what somebody else has sent must not fill a log.
const MAX_WORDS_BYTES: usize = 1_024;

/// A refusal, which has words that fit a line and bring no control characters of the input into a terminal or a log.
fn refused(kind: &'static str, error: &impl Display) -> Verdict {
    let words = error.to_string();
    if words.trim().is_empty() {
        return Err(format!("a refusal ({kind}) without words"));
    }
    if words.len() > MAX_WORDS_BYTES {
        return Err(format!("a refusal ({kind}) of {} bytes: {:?}…", words.len(), words.chars().take(200).collect::<String>()));
    }
    if words.chars().any(|sign| sign.is_control() && sign != '\n') {
        return Err(format!("a refusal ({kind}) with control characters: {words:?}"));
    }
    Ok(Read::Refused(kind))
}

/// That two things are the same.
fn same<T: PartialEq + std::fmt::Debug + ?Sized>(what: &str, one: &T, other: &T) -> Result<(), String> {
    if one == other {
        return Ok(());
    }
    let short = |value: &T| format!("{value:?}").chars().take(600).collect::<String>();
    Err(format!("{what}: {} and {}", short(one), short(other)))
}

/// The error's words, for what cannot fail.
fn never<E: Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}
