//! Texts: JSON, TOML, CSV, streams of events, and what people type.

use std::{io::BufReader, str::FromStr};

use ::chain::{
    api::{
        AccountView, AskedStartView, BlockReceipts, BlockView, CardOrderDone, CardView, ClearingView, CondominiumView, ConnectorView,
        GroupView, Health, MandateView, MonitorView, Page, PaymentView, PositionView, Problem, ProvenReceipt, ProvenState, QueueTicket,
        QuoteView, ReadingView, RedemptionView, Rehearsed, RoleView, SessionView, StatementView, Status, StreamedEvent, Submitted,
        TariffView, TransactionView,
    },
    certificate::ValidatorSet,
    codec,
    crypto::address_of,
    id::{Address, ConnectorId, GroupId, SessionId, TariffId, TxId},
    params::Params,
    quantity::{Currents, WattHours},
    sign_in::{Challenge, Token},
    tariff::Tariff,
    time::{Duration, Timestamp},
    transaction::MAX_VALIDITY,
};
use cli::{
    client::{EventId, FrameParser},
    command::{InviteText, Prepared, read_tariff},
    describe,
    named::Named,
    proof::{ProofError, ProofFile},
    quantity,
    transaction_file::{self, TransactionFileError},
};
use contracts::{
    call::Body,
    genesis::{Genesis, MAX_CONDOMINIUMS},
    tariff::{Counted, Interval, QuoteRequest, find_flaw, interval_cost, quote, validate},
};
use node::{
    config::Config,
    gateway::units::UnitsFile,
    init::federation::{Member, peers_in},
};
use serde::{Serialize, de::DeserializeOwned};
use testnet::rows::{Filter, read_from};

use super::{Read, Verdict, never, refused, same};

/// A value of JSON that is written and read again.
fn json<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(text: &[u8]) -> Result<Result<T, serde_json::Error>, String> {
    match serde_json::from_slice::<T>(text) {
        Ok(value) => {
            let written = serde_json::to_vec(&value).map_err(never("what was read is not written"))?;
            let again: T = serde_json::from_slice(&written).map_err(never("what was written is not read"))?;
            same("written and read", &again, &value)?;
            Ok(Ok(value))
        }
        Err(error) => Ok(Err(error)),
    }
}

/// A JSON value that also has one encoding on the wire.
fn on_the_wire<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> Result<(), String> {
    let bytes = codec::encode(value).map_err(never("no encoding"))?;
    same("through the wire", &codec::decode::<T>(&bytes, codec::MAX_ENCODING_BYTES).map_err(never("its encoding is not read"))?, value)
}

pub(super) fn body(text: &[u8]) -> Verdict {
    match json::<Body>(text)? {
        Ok(body) => {
            on_the_wire(&body)?;
            let _ = (describe::body(&body, "EUR"), body.call.action().check());
            Ok(Read::Accepted)
        }
        Err(_) => Ok(Read::Refused("JSON")),
    }
}

/// A document that passes its check makes a state; one that does not says why.
pub(super) fn genesis(text: &[u8]) -> Verdict {
    match json::<Genesis>(text)? {
        Ok(genesis) => {
            on_the_wire(&genesis)?;
            let _ = (genesis.chain_id(), genesis.validator_set(), genesis.shared_roles());
            match (genesis.check(), genesis.state()) {
                (Ok(()), Ok(_)) => Ok(Read::Accepted),
                (Ok(()), Err(error)) => Err(format!("it passes its check and makes no state: {error}")),
                (Err(error), Err(_)) => refused("check", &error),
                (Err(error), Ok(_)) => Err(format!("it makes a state and does not pass its check: {error}")),
            }
        }
        Err(_) => Ok(Read::Refused("JSON")),
    }
}

pub(super) fn member(text: &[u8]) -> Verdict {
    Ok(json::<Member>(text)?.map_or(Read::Refused("JSON"), |_| Read::Accepted))
}

/// Each line of a list that is read names a node, there are not more than condominiums may be, and the list is read again as it was.
pub(super) fn peers(text: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(text) else { return Ok(Read::Refused("no UTF-8")) };
    match peers_in(text) {
        Ok(peers) => {
            if peers.len() > MAX_CONDOMINIUMS {
                return Err(format!("{} peers", peers.len()));
            }
            for peer in &peers {
                let name = ::consensus::peer_id_in(peer).map_err(never("a peer without a name"))?;
                same("the name stands in the line", &peer.contains(&name), &true)?;
            }
            let written = peers.join("\n") + "\n";
            same("written and read", &peers_in(&written).map_err(never("what was written is not read"))?, &peers)?;
            Ok(if peers.is_empty() { Read::Refused("nobody in it") } else { Read::Accepted })
        }
        Err(words) => refused("line", &words),
    }
}

pub(super) fn config(text: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(text) else { return Ok(Read::Refused("no UTF-8")) };
    match toml::from_str::<Config>(text) {
        Ok(config) => {
            let written = config.text().map_err(never("what was read is not written"))?;
            same("written and read", &toml::from_str::<Config>(&written).map_err(never("what was written is not read"))?, &config)?;
            Ok(Read::Accepted)
        }
        Err(_) => Ok(Read::Refused("TOML")),
    }
}

/// What is shown of the list never has a key in it.
pub(super) fn units(text: &[u8]) -> Verdict {
    match serde_json::from_slice::<UnitsFile>(text) {
        Ok(file) => {
            let shown = format!("{file:?}");
            // Whoever writes a key into a name as well has shown it himself.
            let is_named = |key: &str| file.units.iter().any(|unit| unit.device.contains(key));
            let is_shown = |key: &str| key.len() >= 32 && shown.contains(key) && !is_named(key);
            if file.units.iter().any(|unit| is_shown(unit.key.reveal())) {
                return Err(format!("a key is shown: {shown}"));
            }
            let written = serde_json::to_vec(&file).map_err(never("not written"))?;
            let again: UnitsFile = serde_json::from_slice(&written).map_err(never("not read"))?;
            same("written again", &serde_json::to_vec(&again).map_err(never("not written"))?, &written)?;
            Ok(Read::Accepted)
        }
        Err(_) => Ok(Read::Refused("JSON")),
    }
}

/// A tariff that passes has words, prices and an end; one that does not has a flaw.
pub(super) fn tariff(text: &[u8]) -> Verdict {
    let tariff = match json::<Tariff>(text)? {
        Ok(tariff) => tariff,
        Err(_) => match read_tariff(text) {
            Ok(tariff) => tariff,
            Err(_) => return Ok(Read::Refused("form")),
        },
    };
    on_the_wire(&tariff)?;
    let _ = describe::tariff(&tariff, "EUR");
    match (validate(&tariff), find_flaw(&tariff)) {
        (Ok(()), Ok(())) => {}
        (Err(rejection), Err(_)) => return refused("flaw", &rejection),
        (verdict, flaw) => return Err(format!("validate says {verdict:?}, find_flaw {flaw:?}")),
    }
    let size = text.len() as u64;
    let from = Timestamp::from_ms(1_767_614_400_000 + size * 7_919_000);
    let request = QuoteRequest {
        from,
        rated: Currents::from_ma([16_000; 3]),
        energy: (!size.is_multiple_of(3)).then(|| WattHours::new(size * 37)),
        max_duration: Duration::from_secs(1 + size * 41),
    };
    let quoted = quote(&tariff, &request);
    if let Ok(quoted) = &quoted
        && quoted.expected > quoted.maximum
    {
        return Err(format!("expected {} and at most {}", quoted.expected, quoted.maximum));
    }
    let until = from.saturating_add(Duration::from_secs(size));
    let counted = Counted { granted: &[], idle_since: Some(from), until };
    let _ = interval_cost(&tariff, &Interval::first(from, until, WattHours::new(size)), &counted);
    match quoted {
        Ok(_) => Ok(Read::Accepted),
        Err(rejection) => refused("quote", &rejection),
    }
}

/// What is read is written as it was, spaces apart. Whether it proves something is the golden vectors' matter, and costs signatures: one in 64 is asked.
pub(super) fn proof(text: &[u8]) -> Verdict {
    match ProofFile::read(text) {
        Ok(file) => {
            let written = file.text().map_err(never("what was read is not written"))?;
            let again = ProofFile::read(&written).map_err(never("what was written is not read"))?;
            same("written and read", &again, &file)?;
            if text.len().is_multiple_of(64) {
                let checked = file.check(::chain::verify::Trust::Genesis(file.chain_id()));
                if let Err(error) = checked {
                    let _ = error.to_string();
                    return Ok(Read::Refused("proves nothing"));
                }
            }
            Ok(Read::Accepted)
        }
        Err(ProofError::OtherText(_)) => Ok(Read::Refused("other text")),
        Err(_) => Ok(Read::Refused("JSON")),
    }
}

/// The words in the file decide nothing: what is read verifies, and is written and read as the same transaction. Two signatures are checked for that: one input
/// in four is asked.
pub(super) fn transaction_file(text: &[u8]) -> Verdict {
    match transaction_file::read(text) {
        Ok(transaction) => {
            if text.len().is_multiple_of(4) {
                let written = transaction_file::written(&transaction, "EUR").map_err(never("what was read is not written"))?;
                same("within the limit", &(written.len() as u64 <= transaction_file::MAX_FILE_BYTES), &true)?;
                same("written and read", &transaction_file::read(&written).map_err(never("what was written is not read"))?, &transaction)?;
                transaction.verify().map_err(never("it does not verify"))?;
            }
            Ok(Read::Accepted)
        }
        Err(error) => refused(
            match &error {
                TransactionFileError::Format(_) => "form",
                TransactionFileError::OtherId { .. } => "other id",
                TransactionFileError::Signature => "signature",
            },
            &error,
        ),
    }
}

/// What is read is written as it was, and no transaction that is made with it outlives what the chain allows.
pub(super) fn prepared(text: &[u8]) -> Verdict {
    match Prepared::of(text) {
        Ok(prepared) => {
            let written = serde_json::to_vec(&prepared).map_err(never("what was read is not written"))?;
            same("written and read", &Prepared::of(&written).map_err(never("what was written is not read"))?, &prepared)?;
            if prepared.chain.latest_expiry() > prepared.chain.now.saturating_add(MAX_VALIDITY) {
                return Err(format!("an expiry at {:?}", prepared.chain.latest_expiry()));
            }
            Ok(Read::Accepted)
        }
        Err(words) => refused("form", &words),
    }
}

/// What the node wants signed is answered by a key, and the answer verifies: whatever the node says, it is a signature for reading at that node and no other.
fn challenge(body: &[u8]) -> Result<bool, String> {
    let Ok(challenge) = json::<Challenge>(body)? else { return Ok(false) };
    let key = crate::solo::resident(1);
    let answer = challenge.answer(&key).map_err(never("no answer"))?;
    same("what was asked", &answer.challenge, &challenge)?;
    same("who answers", &answer.account, &address_of(&key))?;
    answer.verify().map_err(never("an answer that does not verify"))?;
    Ok(true)
}

/// Whoever has a token reads: what is shown of it for people never has it.
fn token(body: &[u8]) -> Result<bool, String> {
    let Ok(token) = json::<Token>(body)? else { return Ok(false) };
    let (shown, account) = (format!("{token:?}"), token.account.to_string());
    if token.token.len() >= 32 && !account.contains(&token.token) && shown.contains(&token.token) {
        return Err(format!("a token is shown: {shown}"));
    }
    Ok(true)
}

/// A line is the name of what is asked for, the rest the answer.
pub(super) fn answers(text: &[u8]) -> Verdict {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let (name, body) = text.split_at(end);
    let read = |read: Result<bool, String>| Ok(if read? { Read::Accepted } else { Read::Refused("JSON") });
    fn of<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(body: &[u8]) -> Result<bool, String> {
        Ok(json::<T>(body)?.is_ok())
    }
    read(match name {
        b"status" => of::<Status>(body),
        b"problem" => of::<Problem>(body),
        b"submitted" => of::<Submitted>(body),
        b"transaction" => of::<TransactionView>(body),
        b"account" => of::<AccountView>(body),
        b"session" => of::<SessionView>(body),
        b"sessions" => of::<Page<SessionView>>(body),
        b"queue" => of::<Page<QueueTicket>>(body),
        b"quote" => of::<QuoteView>(body),
        b"tariff" => of::<Page<TariffView>>(body),
        b"connector" => of::<ConnectorView>(body),
        b"groups" => of::<Page<GroupView>>(body),
        b"condominiums" => of::<Page<CondominiumView>>(body),
        b"positions" => of::<Page<PositionView>>(body),
        b"payments" => of::<Page<PaymentView>>(body),
        b"statement" => of::<StatementView>(body),
        b"block" => of::<BlockView>(body),
        b"receipts" => of::<BlockReceipts>(body),
        b"proven" => of::<ProvenReceipt>(body),
        b"state" => of::<ProvenState>(body),
        b"readings" => of::<Page<ReadingView>>(body),
        b"mandates" => of::<Page<MandateView>>(body),
        b"roles" => of::<Page<RoleView>>(body),
        b"cards" => of::<Page<CardView>>(body),
        b"starts" => of::<Page<AskedStartView>>(body),
        b"monitor" => of::<Page<MonitorView>>(body),
        b"redemptions" => of::<Page<RedemptionView>>(body),
        b"clearings" => of::<Page<ClearingView>>(body),
        b"rehearsed" => of::<Rehearsed>(body),
        b"health" => of::<Health>(body),
        b"params" => of::<Params>(body),
        b"validators" => of::<ValidatorSet>(body),
        b"card-order" => of::<CardOrderDone>(body),
        b"challenge" => challenge(body),
        b"token" => token(body),
        _ => Ok(false),
    })
}

/// However the bytes are cut, the frames are the same; what is in one is read or refused.
pub(super) fn events(text: &[u8]) -> Verdict {
    let frames = |step: usize| {
        let mut parser = FrameParser::default();
        let mut found = Vec::new();
        for piece in text.chunks(step) {
            let fits = parser.push(piece);
            while let Some(frame) = parser.take() {
                found.push(frame);
            }
            if !fits {
                return None;
            }
        }
        Some(found)
    };
    let whole = frames(text.len().max(1));
    same("cut into pieces", &frames(1 + text.len() % 13), &whole)?;
    let Some(whole) = whole else { return Ok(Read::Refused("too long")) };
    let mut read = 0;
    for frame in &whole {
        if let Ok(id) = frame.id.parse::<EventId>() {
            same("the id", id.to_string().as_str(), frame.id.as_str())?;
            if let Ok(event) = json::<StreamedEvent>(frame.data.as_bytes())? {
                let _ = describe::event(&event.event, "EUR");
                read += 1;
            }
        }
    }
    Ok(if read > 0 { Read::Accepted } else { Read::Refused("nothing in it") })
}

/// The first word says what the rest is; what has one text form is written as it was read.
pub(super) fn ids(text: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(text) else { return Ok(Read::Refused("no UTF-8")) };
    let (name, value) = text.split_once(' ').unwrap_or((text, ""));
    fn exact<T: FromStr<Err: std::fmt::Display> + ToString>(value: &str) -> Result<bool, String> {
        match value.parse::<T>() {
            Ok(read) => same("written again", read.to_string().as_str(), value).map(|()| true),
            Err(error) if error.to_string().is_empty() => Err("a refusal without words".to_owned()),
            Err(_) => Ok(false),
        }
    }
    fn loose<T: PartialEq + std::fmt::Debug>(
        value: &str,
        read: impl Fn(&str) -> Result<T, String>,
        write: impl Fn(&T) -> Option<String>,
    ) -> Result<bool, String> {
        let Ok(found) = read(value) else { return Ok(false) };
        if let Some(written) = write(&found) {
            same("written and read", &read(&written).map_err(never("what was written is not read"))?, &found)?;
        }
        Ok(true)
    }
    let good = match name {
        "address" => exact::<Address>(value)?,
        "connector" => exact::<ConnectorId>(value)?,
        "group" => exact::<GroupId>(value)?,
        "tariff" => exact::<TariffId>(value)?,
        // Digits of either case, as people copy them.
        "session" => exact::<SessionId>(&value.to_ascii_lowercase())?,
        "transaction" => exact::<TxId>(&value.to_ascii_lowercase())?,
        "event" => exact::<EventId>(value)?,
        "invite" => loose::<InviteText>(value, |text| text.parse(), |invite| Some(invite.to_string()))?,
        "named" => loose::<Named>(value, |text| text.parse::<Named>().map_err(|error| error.to_string()), |named| Some(named.to_string()))?,
        "tokens" => loose(value, quantity::parse_tokens, |_| None)?,
        "kwh" => loose(value, quantity::parse_kwh, |_| None)?,
        "amperes" => loose(value, quantity::parse_currents, |_| None)?,
        "duration" => loose(value, quantity::parse_duration, |_| None)?,
        "instant" => {
            let read = quantity::parse_instant(value);
            let now = Timestamp::from_ms(1_767_614_400_000);
            read.map(|instant| instant.resolve(now)).is_ok()
        }
        "clock" => loose(value, quantity::parse_clock, |minutes| Some(quantity::clock(*minutes)))?,
        "hash" => loose(value, quantity::parse_hash, |hash| Some(hash.to_string()))?,
        _ => false,
    };
    Ok(if good { Read::Accepted } else { Read::Refused("no such value") })
}

/// Every row is counted once, what is usable is in order and within the bounds, and the pieces in which a file comes change nothing.
pub(super) fn rows(text: &[u8]) -> Verdict {
    let filter = Filter { sites: Vec::new(), limit: None, align: text.len().is_multiple_of(2) };
    let read = read_from(text, &filter);
    // A second reading costs as much as the first: one in four.
    if text.len().is_multiple_of(4) {
        match (&read, read_from(BufReader::with_capacity(1 + text.len() % 17, text), &filter)) {
            (Ok(rows), Ok(slowly)) => same("read in pieces", &slowly, rows)?,
            (Err(error), Err(slowly)) => same("read in pieces", slowly.to_string().as_str(), error.to_string().as_str())?,
            (read, slowly) => return Err(format!("{read:?} and in pieces {slowly:?}")),
        }
    }
    let rows = match read {
        Ok(rows) => rows,
        Err(error) => return refused("no such file", &error),
    };
    let skipped: u64 = rows.skipped.values().sum();
    same("every row once", &rows.rows, &(rows.usable.len() as u64 + skipped))?;
    let mut ids = std::collections::BTreeSet::new();
    for session in &rows.usable {
        if session.plug_out_ms <= session.plug_in_ms || session.energy_wh == 0 || !ids.insert(&session.session_id) {
            return Err(format!("not usable: {session:?}"));
        }
    }
    if !rows.usable.is_sorted_by_key(|session| (session.plug_in_ms, session.session_id.clone())) {
        return Err("not in order".to_owned());
    }
    Ok(if rows.usable.is_empty() { Read::Refused("no usable row") } else { Read::Accepted })
}
