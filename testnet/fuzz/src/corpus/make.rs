//! Makes the corpus: from the golden vectors' calls and records, from a chain that the ledger carries out, and from a node's answers.

use std::{fs, path::Path};

use ::chain::{
    block::Block,
    card_order::{CardAction, CardOrder},
    certificate::CommitCertificate,
    codec,
    crypto::{self, Domain, Signature, address_of},
    export::{Framing, RecordKind, StatePage, frame, preamble},
    hash::Hash32,
    history::{self, History, NodePosition},
    id::{CardId, CondominiumId, ConnectorId, GroupId, SessionId, TariffId},
    merkle,
    receipt::{Cause, Event, Receipt},
    record::{Account, Key, TariffVersion},
    state::{Change, ReadFault},
    time::{Duration, Timestamp},
    transaction,
    tree::Tree,
    verify::{AccountProof, Anchor, EarlierHeader, ProvenTariff, ProvenTransaction, SessionProof, Step},
};
use anyhow::Context as _;
use arc_malachitebft_app_channel::app::{
    consensus::{LivenessMsg, ProposedValue, SignedConsensusMsg},
    streaming::{StreamContent, StreamId, StreamMessage},
    types::{
        PeerId,
        codec::Codec,
        core::{
            NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate, RoundCertificateType, RoundSignature, SignedProposal,
            SignedVote, ValidatorProof, Validity, VoteType,
        },
        sync::{Request, Response, Status},
    },
};
use arc_malachitebft_sync::{ValueRequest, ValueResponse};
use bytes::Bytes;
use cli::{
    command::InviteText,
    proof::{Claim, ProofFile},
    transaction_file,
};
use consensus::{
    codec::{Wire, WireError, raw_decided},
    context::{self, BlockHash, BlockPart, Part, Proposal, Vote},
};
use contracts::{
    call::{Body, Invite, Transaction},
    genesis::Genesis,
};
use firmware_core::{
    Capabilities, CardOutcome, Config, ConfigRequest, DeviceId, Flags, Grant, Head, Host, Keys, Network, ReadingsAnswer, Sample, SensorId,
};
use node::gateway::sample::RawSample;

use super::views;
use crate::{
    federation::evening_of,
    targets::{self, CONSENSUS_CHAIN, DEVICE_KEY, consensus_key, consensus_wire},
};

const LIMIT: usize = 32 << 20;

/// Writes the corpus into a folder, over what has the same names.
///
/// # Errors
/// Where a file cannot be written, a vector cannot be read, or something of ours has no encoding.
pub fn write(folder: &Path, root: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let evening = Evening::new()?;
    calls(folder, root)?;
    records(folder, root)?;
    chain(folder, &evening)?;
    nodes(folder, &evening)?;
    units(folder, root)?;
    texts(folder, root, &evening)
}

/// Inputs and their names.
pub(super) type Items = Vec<(String, Vec<u8>)>;

fn list(folder: &Path, name: &str, items: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
    let lines: Vec<String> = items.iter().map(|(name, bytes)| format!("{name} {}\n", hex::encode(bytes))).collect();
    fs::write(folder.join(name).with_extension("hex"), lines.concat()).with_context(|| name.to_owned())
}

fn files(folder: &Path, name: &str, items: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
    let inside = folder.join(name);
    fs::create_dir_all(&inside)?;
    items.iter().try_for_each(|(name, bytes)| Ok(fs::write(inside.join(name), bytes)?))
}

fn vectors(root: &Path, file: &str) -> anyhow::Result<serde_json::Value> {
    Ok(serde_json::from_slice(&fs::read(root.join(file)).with_context(|| file.to_owned())?)?)
}

/// The good ones of a file of vectors, and the digits that each has under this name.
fn good(vectors: &serde_json::Value) -> impl Iterator<Item = &serde_json::Value> {
    vectors["good"].as_array().into_iter().flatten()
}

fn digits(value: &serde_json::Value) -> anyhow::Result<Vec<u8>> {
    Ok(hex::decode(value.as_str().context("no digits")?)?)
}

fn word(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().replace([' ', '/', ':'], "-")
}

fn calls(folder: &Path, root: &Path) -> anyhow::Result<()> {
    let vectors = vectors(root, "contracts/vectors/calls.json")?;
    let key = crate::solo::resident(1);
    let (mut signed, mut bodies) = (Items::new(), Items::new());
    for one in good(&vectors) {
        let name = word(&one["name"]);
        let body: Body = codec::decode(&digits(&one["bytes"])?, LIMIT)?;
        // One large enough to fill the file says no more than a small one.
        if one["bytes"].as_str().is_some_and(|digits| digits.len() > 4_096) {
            continue;
        }
        bodies.push((format!("{name}.json"), serde_json::to_vec(&body)?));
        signed.push((name, Transaction::sign(body, &key)?.bytes().to_vec()));
    }
    list(folder, "transaction", &signed)?;
    files(folder, "call-json", &bodies)
}

fn records(folder: &Path, root: &Path) -> anyhow::Result<()> {
    let vectors = vectors(root, "chain/vectors/records.json")?;
    let mut items = Items::new();
    for one in good(&vectors) {
        let table = digits(&one["key"])?.first().copied().context("a key without a table")?;
        let bytes = [&[table], digits(&one["bytes"])?.as_slice()].concat();
        // A deadline's value is empty.
        if table != 11 && bytes.len() < 4_096 {
            items.push((word(&one["name"]), bytes));
        }
    }
    list(folder, "record", &items)
}

/// What an auditor has of an evening with one session.
struct Evening {
    export: Vec<u8>,
    genesis: Genesis,
    session: SessionId,
    blocks: Vec<Block>,
    certificates: Vec<CommitCertificate>,
    receipts: Vec<Vec<Receipt>>,
    state: StatePage,
}

impl Evening {
    fn new() -> anyhow::Result<Self> {
        let (export, _, session) = evening_of("fuzzed", 4);
        let mut framing = Framing::new();
        framing.push(&export);
        let (mut genesis, mut blocks, mut certificates, mut receipts, mut state) = (None, Vec::new(), Vec::new(), Vec::new(), Vec::new());
        while let Some(record) = framing.next_record()? {
            let payload = record.payload.as_slice();
            match record.kind {
                RecordKind::Genesis => genesis = Some(codec::decode(payload, LIMIT)?),
                RecordKind::Block => blocks.push(codec::decode(payload, LIMIT)?),
                RecordKind::Certificate => certificates.push(codec::decode(payload, LIMIT)?),
                RecordKind::Receipts => receipts.push(codec::decode(payload, LIMIT)?),
                RecordKind::State => state = codec::decode(payload, LIMIT)?,
                RecordKind::Samples | RecordKind::End => {}
            }
        }
        let genesis = genesis.context("an export without a genesis document")?;
        Ok(Self { export, genesis, session, blocks, certificates, receipts, state })
    }

    /// An account that is there, two that are not, and the session.
    fn proofs(&self) -> anyhow::Result<[ProofFile; 4]> {
        let mut history = History::new();
        let nodes: Vec<(NodePosition, Hash32)> = self.blocks.iter().flat_map(|block| history.append(block.header.hash())).collect();
        let changes: Vec<Change> = self.state.iter().cloned().map(|(key, value)| (key, Some(value))).collect();
        let tree = Tree::new().updated(&changes);
        let last = self.blocks.len();
        let node_at = |position| {
            nodes.iter().find(|(known, _)| *known == position).map(|(_, hash)| *hash).ok_or_else(|| ReadFault("no such node".to_owned()))
        };
        let anchor = |heights: std::ops::Range<usize>| {
            let earlier = heights.map(|height| {
                let path = history::prove(last as u64 - 1, height as u64 - 1, &node_at).map_err(anyhow::Error::msg)?.context("no path")?;
                Ok(EarlierHeader { header: self.blocks[height - 1].header, path })
            });
            anyhow::Ok(Anchor {
                header: self.blocks[last - 1].header,
                certificate: self.certificates[last - 1].clone(),
                changes: Vec::new(),
                earlier: earlier.collect::<anyhow::Result<_>>()?,
            })
        };
        let value = |key: &[u8]| self.state.iter().find(|(known, _)| known == key).map(|(_, value)| value);

        let account = |seed| {
            let address = address_of(&crate::solo::resident(seed));
            let key = Key::Account(address).bytes();
            let account: Option<Account> = value(&key).map(|value| codec::decode(value, LIMIT)).transpose()?;
            anyhow::Ok(Claim::Account(Box::new(AccountProof { address, account, proof: tree.prove(&key), anchor: anchor(3..4)? })))
        };

        let mut steps = Vec::new();
        for (block, receipts) in self.blocks.iter().zip(&self.receipts) {
            let leaves: Vec<_> = receipts.iter().map(Receipt::leaf).collect();
            let transactions: Vec<_> = block.transactions.iter().map(|bytes| transaction::leaf(bytes)).collect();
            for (index, receipt) in receipts.iter().enumerate() {
                if !receipt.events.iter().any(|event| event.session() == Some(self.session)) {
                    continue;
                }
                let path = |leaves: &[Hash32]| merkle::prove(leaves, index as u64).context("no path");
                let transaction = match receipt.cause {
                    Cause::Transaction(_) => {
                        Some(ProvenTransaction { bytes: block.transactions[index].clone(), path: path(&transactions)? })
                    }
                    Cause::Due(_) => None,
                };
                steps.push(Step { height: block.header.height, receipt: receipt.clone(), path: path(&leaves)?, transaction });
            }
        }
        let bill = self.receipts.iter().flatten().flat_map(|receipt| &receipt.events).find_map(Event::bill).context("no bill")?;
        let key = Key::TariffVersion(bill.tariff, bill.tariff_version).bytes();
        let record: TariffVersion = codec::decode(value(&key).context("no tariff")?, LIMIT)?;
        let tariff = ProvenTariff { id: bill.tariff, version: bill.tariff_version, record, proof: tree.prove(&key) };
        let session = SessionProof { session: self.session, steps, tariff, anchor: anchor(2..last)? };
        let claims = [account(3)?, account(30)?, account(31)?, Claim::Session(Box::new(session))];
        Ok(claims.map(|claim| ProofFile::new(claim, self.genesis.clone())))
    }
}

fn numbered<T: serde::Serialize>(items: &[T]) -> anyhow::Result<Items> {
    items.iter().zip(1..).map(|(item, number): (_, u32)| Ok((format!("height-{number}"), codec::encode(item)?))).collect()
}

fn chain(folder: &Path, evening: &Evening) -> anyhow::Result<()> {
    list(folder, "block", &numbered(&evening.blocks)?)?;
    list(folder, "certificate", &numbered(&evening.certificates)?)?;
    list(folder, "receipts", &numbered(&evening.receipts)?)?;
    // Mostly single records: a whole stream takes long to read, and says nothing more about one record.
    let mut streams = vec![("evening".to_owned(), evening.export.clone())];
    let mut framing = Framing::new();
    framing.push(&evening.export);
    while let Some(record) = framing.next_record()? {
        if record.payload.len() < 3_000 {
            streams.push((format!("{}-{}", record.kind, streams.len()), [preamble(), frame(record.kind, &record.payload)?].concat()));
        }
    }
    list(folder, "export", &streams)?;
    let key = crate::solo::resident(1);
    let order = |action| CardOrder {
        chain_id: CONSENSUS_CHAIN,
        signer: address_of(&key),
        at: Timestamp::from_ms(5),
        condominium: CondominiumId(1),
        card: CardId::commit(&Hash32([2; 32]), &[4, 5, 6, 7]),
        action,
    };
    let signed = |action| order(action).sign(&key).context("no encoding");
    let orders = [("keep".to_owned(), signed(CardAction::Keep(Hash32([2; 32])))?), ("erase".to_owned(), signed(CardAction::Erase)?)];
    list(folder, "card-order", &orders)
}

fn said<T>(message: &T) -> anyhow::Result<Vec<u8>>
where
    Wire: Codec<T, Error = WireError>,
{
    Ok(Wire.encode(message)?.to_vec())
}

fn nodes(folder: &Path, evening: &Evening) -> anyhow::Result<()> {
    let voter = context::Address(address_of(&consensus_key(1)));
    let signature = Signature([9; 64]);
    let height = context::Height(4);
    let value = BlockHash(Hash32([5; 32]));
    let vote = |kind, value| SignedVote::new(Vote { kind, height, round: Round::new(1), value, voter, extension: None }, signature);
    let (prevote, nil) = (vote(VoteType::Prevote, NilOrVal::Val(value)), vote(VoteType::Precommit, NilOrVal::Nil));
    let proposal = |pol_round| Proposal { height, round: Round::new(1), value, pol_round, proposer: voter };
    let propose = |pol_round| SignedConsensusMsg::Proposal(SignedProposal::new(proposal(pol_round), signature));
    let polka = PolkaCertificate {
        height,
        round: Round::new(1),
        value_id: value,
        polka_signatures: vec![PolkaSignature::new(voter, signature); 3],
    };
    let skip = RoundCertificate {
        height,
        round: Round::new(2),
        cert_type: RoundCertificateType::Skip,
        round_signatures: [NilOrVal::Nil, NilOrVal::Val(value)]
            .map(|value| RoundSignature::new(VoteType::Prevote, value, voter, signature))
            .to_vec(),
    };
    let one = |name: &str, bytes: Vec<u8>| (name.to_owned(), bytes);
    let consensus: Items = [
        one("prevote", said(&SignedConsensusMsg::Vote(prevote.clone()))?),
        one("nil", said(&SignedConsensusMsg::Vote(nil))?),
        one("proposal", said(&propose(Round::Nil))?),
        one("again", said(&propose(Round::new(0)))?),
    ]
    .into();
    list(folder, "consensus", &consensus)?;
    let liveness: Items = [
        one("vote", said(&LivenessMsg::Vote(prevote))?),
        one("polka", said(&LivenessMsg::PolkaCertificate(polka.clone()))?),
        one("skip", said(&LivenessMsg::SkipRoundCertificate(skip))?),
    ]
    .into();
    list(folder, "liveness", &liveness)?;
    list(folder, "polka", &[one("polka", said(&polka)?)])?;
    let proposed = |validity| ProposedValue { height, round: Round::new(1), valid_round: Round::Nil, proposer: voter, value, validity };
    list(folder, "proposed", &[one("valid", said(&proposed(Validity::Valid))?), one("invalid", said(&proposed(Validity::Invalid))?)])?;

    let bytes = Bytes::from(codec::encode(&evening.blocks[1])?);
    let block = Part::Block(BlockPart { height, round: 0, proposer: voter, bytes, signature });
    let several: Vec<Bytes> = evening.blocks[0].transactions.iter().cloned().map(Bytes::from).collect();
    let parts = [("block", block), ("transactions", Part::Transactions(several)), ("tip", Part::Tip(evening.certificates[0].clone()))];
    let stream = |content| StreamMessage::new(StreamId::new(Bytes::from_static(b"12345678")), 3, content);
    let (mut alone, mut streamed) = (Items::new(), vec![one("end", said(&stream(StreamContent::Fin))?)]);
    for (name, part) in parts {
        alone.push(one(name, said(&part)?));
        streamed.push(one(name, said(&stream(StreamContent::Data(part)))?));
    }
    list(folder, "part", &alone)?;
    list(folder, "stream", &streamed)?;

    let peer_id: PeerId = consensus::peer_id(&consensus_key(1))?.parse()?;
    let proof: ValidatorProof<context::Context> = ValidatorProof::new(voter.0.0.to_vec(), peer_id.to_bytes(), signature);
    list(folder, "validator-proof", &[one("proof", said(&proof)?)])?;
    let status = Status { peer_id, tip_height: height, history_min_height: context::Height(1) };
    list(folder, "status", &[one("status", said(&status)?)])?;
    let request = Request::ValueRequest(ValueRequest::new(context::Height(3)..=context::Height(9)));
    let asked = consensus_wire(2, 1).map_err(anyhow::Error::msg)?.encode(&request)?;
    list(folder, "request", &[one("request", asked.to_vec())])?;
    let decided = |index: usize| anyhow::Ok(raw_decided(codec::encode(&evening.blocks[index])?.into(), &evening.certificates[index]));
    let response = Response::ValueResponse(ValueResponse::new(context::Height(2), vec![decided(1)?, decided(2)?]));
    let nothing: Response<context::Context> = Response::ValueResponse(ValueResponse::new(context::Height(2), Vec::new()));
    list(folder, "response", &[one("blocks", said(&response)?), one("nothing", said(&nothing)?)])
}

fn units(folder: &Path, root: &Path) -> anyhow::Result<()> {
    let vectors = vectors(root, "firmware/core/vectors/unit-protocol.json")?;
    for (kind, target) in [("config_request", "unit-config-request"), ("readings", "unit-readings")] {
        let mut items = Items::new();
        for one in good(&vectors).filter(|one| one["kind"] == kind) {
            items.push((word(&one["name"]), digits(&one["bytes"])?));
        }
        list(folder, target, &items)?;
    }
    let keys = Keys::derive(&DEVICE_KEY);
    let wrong = |error: firmware_core::ProtocolError| anyhow::anyhow!("{error}");
    let head = Head { device: DeviceId(0x00c0_ffee), boot: 7, counter: 3 };
    let request = ConfigRequest { head, sensor: SensorId::new(5).map_err(wrong)?, capabilities: Capabilities::PLUG_SIGNAL, firmware: 1 };
    anyhow::ensure!(ConfigRequest::parse(&request.seal(&keys).map_err(wrong)?, &keys).is_ok(), "a request that is not read");
    let fixed = Network::Static { address: [192, 0, 2, 7], prefix: 24, router: [192, 0, 2, 1] };
    let config = |network, server| Config {
        server_time_ms: 1_763_821_800_000,
        transmit_period_s: 60,
        sample_period_s: 60,
        mains_v: 230,
        phases: 3,
        rated_ma: 32_000,
        over_limit_grace_ms: 5_000,
        network,
        server,
    };
    let sealed = |config: Config| config.seal(&head, &keys).map(|bytes| bytes.to_vec()).map_err(wrong);
    let there = Host::new("gateway.example:8421").map_err(wrong)?;
    let answers = [sealed(config(Network::Dynamic, Host::STAY))?, sealed(config(fixed, there))?];
    let names = ["stays", "moves"].map(str::to_owned);
    list(folder, "unit-config-answer", &names.into_iter().zip(answers.clone()).collect::<Items>())?;
    let lease = Grant::new(150, 2_400_000, [16_000, 0, 0]).map_err(wrong)?;
    let answer = |lease, card| {
        let answer = ReadingsAnswer { server_time_ms: 1_763_821_860_000, stored_sample: 4, card, reload_config: false, lease };
        answer.seal(&head, &keys).map(|bytes| bytes.to_vec()).map_err(wrong)
    };
    let answered =
        [("none".to_owned(), answer(None, CardOutcome::None)?), ("lease".to_owned(), answer(Some(lease), CardOutcome::Accepted)?)];
    list(folder, "unit-readings-answer", &answered)?;
    let http = |status: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\nserver: gateway\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let mut heads = vec![("ok".to_owned(), http("200 OK", &answers[0])), ("refused".to_owned(), http("409 Conflict", b"{}"))];
    list(folder, "unit-http", &heads)?;
    heads.remove(1);
    let payload = heads.remove(0).1;
    // A restart, the network, a connection, a request, and its answer.
    let mut modem = b"~ready\r\nOK\r\nOK\r\nOK\r\nWIFI GOT IP\r\nOK\r\nCONNECT\r\nOK\r\nOK\r\n> \r\nSEND OK\r\n".to_vec();
    modem.extend(format!("+IPD,{}:", payload.len()).into_bytes());
    modem.extend(payload);
    modem.extend(b"CLOSED\r\nWIFI DISCONNECT\r\nERROR\r\nFAIL\r\n");
    list(folder, "unit-modem", &[("conversation".to_owned(), modem)])?;
    let sample = Sample {
        at_ms: 1_763_821_860_000,
        register_wh: 123_456,
        power_w: 3_680,
        temperature_dc: Some(253),
        flags: Flags::RELAY_CLOSED,
        ..Sample::default()
    };
    let raw = RawSample { device: head.device, boot: 7, number: 12, sample };
    list(folder, "sample", &[("sample".to_owned(), raw.encode().to_vec())])
}

fn texts(folder: &Path, root: &Path, evening: &Evening) -> anyhow::Result<()> {
    let one = |name: &str, bytes: Vec<u8>| (name.to_owned(), bytes);
    files(folder, "genesis", &[one("evening.json", serde_json::to_vec_pretty(&evening.genesis)?)])?;
    let solo = crate::solo::Solo::found();
    let config = fs::read(solo.data().config_file())?;
    let few = b"moniker = \"TRO\"\n[network]\npeers = [\"/ip4/192.0.2.7/tcp/8422/p2p/12D3KooWx\"]\n[gateway]\nlease_s = 150\n".to_vec();
    files(folder, "config", &[one("all.toml", config), one("few.toml", few)])?;
    let staff = address_of(&crate::solo::resident(20));
    let member = format!(
        "{{\"version\": 1, \"name\": \"ASK\", \"address\": \"/ip4/192.0.2.11/tcp/8422\", \"validator\": \"{staff}\", \"network_key\": \"{}\",\n \
         \"revenue\": \"{staff}\", \"roles\": [{{\"role\": \"manager\", \"account\": \"{staff}\"}}],\n \
         \"accounts\": [{{\"address\": \"{staff}\", \"credit_limit\": \"0\"}}]}}\n",
        "09".repeat(32)
    );
    files(folder, "member", &[one("member.json", member.into_bytes())])?;
    let unit = format!(
        "{{\"units\": [{{\"device\": \"00000001\", \"sensor\": 5, \"connector\": \"1-17\", \"key\": \"{}\"}}]}}\n",
        "ab".repeat(32)
    );
    files(folder, "units", &[one("units.json", unit.into_bytes())])?;

    let vectors = vectors(root, "contracts/vectors/calls.json")?;
    let mut tariffs = Items::new();
    for (number, document) in good(&vectors).filter_map(|one| one["json"]["call"]["put_tariff"].get("document")).enumerate() {
        if document.to_string().len() < 8_192 {
            tariffs.push((format!("call-{number}.json"), serde_json::to_vec(document)?));
        }
    }
    let people = "{\"time_zone\": \"CET-1CEST,M3.5.0,M10.5.0/3\", \"parking_grace\": \"15m\", \"max_price\": \"40\",\n \"elements\": [{\"price_components\": [{\"dimension\": \"ENERGY\", \
                  \"price\": \"0.25\"}, {\"dimension\": \"FLAT\", \"price\": \"1\"}],\n  \"restrictions\": {\"start_time\": \"22:00\", \"end_time\": \"07:00\", \"day_of_week\": [\"SATURDAY\"]}}]}\n";
    tariffs.push(one("people.json", people.as_bytes().to_vec()));
    files(folder, "tariff", &tariffs)?;

    let mut proofs = Items::new();
    for (name, proof) in ["account.json", "none.json", "nobody.json", "session.json"].iter().zip(evening.proofs()?) {
        // Without the spaces, which say nothing.
        proofs.push(one(name, serde_json::to_vec(&proof)?));
    }
    files(folder, "proof", &proofs)?;
    let mut answers = targets::answers().map_err(anyhow::Error::msg)?;
    let status = answers.iter().find_map(|(_, answer)| answer.strip_prefix(b"status\n")).context("no status")?;
    files(folder, "prepared", &[one("prepared.json", views::prepared(status)?)])?;
    let receipt = evening.receipts.iter().flatten().find(|receipt| receipt.events.len() > 1).context("no receipt")?;
    answers.extend(views::answers(evening.session, receipt)?);
    files(folder, "answers", &answers)?;
    let mut signed = Items::new();
    for (number, bytes) in evening.blocks.iter().flat_map(|block| &block.transactions).take(3).enumerate() {
        signed.push(one(&format!("{number}.watt.json"), transaction_file::written(&Transaction::decode(bytes)?, "EUR")?));
    }
    files(folder, "transaction-file", &signed)?;
    files(folder, "peers", &[one("peers.txt", views::peers()?)])?;
    let event = targets::event().map_err(anyhow::Error::msg)?;
    let pinged = [b": ping\n\nretry: 1000\n", event.as_slice()].concat();
    files(folder, "events", &[one("answered", event), one("pinged", pinged)])?;

    let issuer = crate::solo::resident(4);
    let (chain_id, condominium, expires) =
        (CONSENSUS_CHAIN, CondominiumId(1), Timestamp::from_ms(1_767_614_400_000).saturating_add(Duration::from_hours(20)));
    let signature = crypto::sign(&issuer, Domain::Invite, &Invite::bytes(chain_id, condominium, address_of(&issuer), 9, expires));
    let invite = InviteText { chain_id, condominium, invite: Invite { issuer: address_of(&issuer), serial: 9, expires, signature } };
    let ids = [
        ("address", staff.to_string()),
        ("connector", ConnectorId::new(condominium, 17).to_string()),
        ("group", GroupId::new(condominium, 0).to_string()),
        ("tariff", TariffId::new(condominium, 3).to_string()),
        ("session", evening.session.to_string()),
        ("transaction", evening.session.to_string()),
        ("event", "3-0-1".to_owned()),
        ("invite", invite.to_string()),
        ("named", "5f0c9a12".to_owned()),
        ("tokens", "12.345678".to_owned()),
        ("kwh", "10.5".to_owned()),
        ("amperes", "16,16,16".to_owned()),
        ("duration", "1h30m".to_owned()),
        ("instant", "2026-01-05T12:00:00Z".to_owned()),
        ("clock", "22:30".to_owned()),
        ("hash", evening.session.to_string()),
    ];
    files(folder, "ids", &ids.map(|(name, value)| (name.to_owned(), format!("{name} {value}").into_bytes())))?;

    let rows = "location;user_id;session_id;plugin_time;plugout_time;connection_time;energy_session\n\
                ASK;ASK-1;1;2019-01-05 17:02:00;2019-01-06 07:12:00;14,2;10,55\n\
                \"ASK\";ASK-2;2;2019-03-31 01:30:00;2019-03-31 03:30:00;1;0,4\n\
                TRO;TRO-1;3;2019-10-27 02:30:00;NA;NA;7\r\n\
                TRO;TRO-1;4;2019-10-28 02:30:00;2019-10-28 08:30:00;6;-1\n";
    files(folder, "rows", &[one("rows.csv", rows.as_bytes().to_vec())])?;
    files(folder, "api", &targets::requests())
}
