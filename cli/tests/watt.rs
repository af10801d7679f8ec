//! `watt` as it is typed, against a node that says what the test wants.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod fake;

use chain::{
    api::{
        AskedStartView, CardOrderDone, CommittedTransaction, ConnectorView, Page, PaymentState, PaymentView, ProvenReceipt, RoamingView,
        SessionView, StatementView, Submitted, Unit,
    },
    block::{HEADER_VERSION, Header},
    card_order::{CardAction, CardOrder},
    certificate::{CommitCertificate, CommitSignature, Validator, ValidatorSet, VoteBody, VoteKind},
    code::{Code, Rejection},
    crypto::{self, Domain},
    hash::Hash32,
    id::{Address, CardId, CondominiumId, ConnectorId, Height, SessionId, TariffId, TxId},
    merkle,
    quantity::{Amount, Currents, WattHours},
    receipt::{Cause, Event, Outcome, Receipt, SessionReceipt, Settler, receipts_root},
    record::{AskedStart, Connector, Control, CostByComponent, EndReason, MandateTerms, PlugSignal, Roaming, Service},
    time::Duration,
};
use cli::{
    client::{Client, EventFilter, EventId},
    wallet::Wallet,
};
use contracts::call::{BindCard, Call, ConfirmStart, GrantMandate, OpenSessionByMandate, StopSession, Transaction, Transfer};
use ed25519_dalek::SigningKey;

use crate::fake::{Fake, Home, NOW, account, chain_id, condominium, genesis, quote, status, validator};

fn committed(id: TxId) -> Submitted {
    let receipt = Receipt { cause: Cause::Transaction(id), outcome: Outcome::Applied, events: Vec::new() };
    Submitted { id, committed: Some(CommittedTransaction { height: Height(8), index: 0, timestamp: NOW, receipt }) }
}

/// A settlement, alone in its block.
fn settlement(session: SessionId) -> ProvenReceipt {
    settlement_by(session, &validator())
}

fn settlement_by(session: SessionId, validator: &SigningKey) -> ProvenReceipt {
    let validators = ValidatorSet::new(vec![Validator { address: crypto::address_of(validator), power: 1 }]).unwrap();
    let bill = SessionReceipt {
        session,
        account: Address([5; 32]),
        connector: ConnectorId::new(CondominiumId(1), 17),
        tariff: TariffId::new(CondominiumId(1), 1),
        tariff_version: 4,
        opened_at: NOW,
        first_granted_at: Some(NOW),
        ended_at: NOW,
        settled_at: NOW,
        reason: EndReason::VehicleFull,
        settled_by: Settler::Gateway,
        energy: WattHours::new(10_000),
        energy_billed: WattHours::new(10_000),
        cost: CostByComponent::default(),
        escrow: Amount::from_micro(3_000_000),
        paid: Amount::from_micro(2_500_000),
        refund: Amount::from_micro(500_000),
        overdrawn: None,
        readings: 2,
        samples: 60,
    };
    let receipt =
        Receipt { cause: Cause::Transaction(TxId(Hash32([1; 32]))), outcome: Outcome::Applied, events: vec![Event::SessionSettled(bill)] };
    let header = Header {
        version: HEADER_VERSION,
        chain_id: chain_id(),
        height: Height(9),
        parent: Hash32::ZERO,
        history_root: Hash32::ZERO,
        timestamp: NOW,
        proposer: crypto::address_of(validator),
        transactions_root: Hash32::ZERO,
        receipts_root: receipts_root(std::slice::from_ref(&receipt)),
        state_root: Hash32::ZERO,
        next_validators: validators.hash(),
    };
    let validator_address = crypto::address_of(validator);
    let vote = VoteBody {
        chain_id: chain_id(),
        kind: VoteKind::Precommit,
        height: header.height,
        round: 0,
        block: Some(header.hash()),
        validator: validator_address,
    };
    let signature = crypto::sign(validator, Domain::Vote, &vote.bytes());
    ProvenReceipt {
        path: merkle::prove(&[receipt.leaf()], 0).unwrap(),
        receipt,
        header,
        certificate: CommitCertificate {
            height: header.height,
            round: 0,
            block: header.hash(),
            signatures: vec![CommitSignature { validator: validator_address, signature }],
        },
        validators,
    }
}

fn code(output: &std::process::Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_say_what_kind_of_end_it_was() {
    let home = Home::new();
    let to = Address([8; 32]).to_string();
    let send = ["wallet", "send", &to, "12.5", "--yes"];
    assert_eq!(code(&home.watt("http://127.0.0.1:1", &send)), 4, "nobody listens");
    assert_eq!(code(&home.watt("ftp://127.0.0.1", &send)), 2);
    for bare in ["10.0.0.5:8420", "localhost:8420", "node.example"] {
        let refused = home.watt(bare, &send);
        assert!(code(&refused) == 2 && text(&refused.stderr).contains(&format!("write http://{bare}")), "{}", text(&refused.stderr));
    }
    assert_eq!(code(&home.watt("http://127.0.0.1:1", &["wallet", "send", &to, "1,5"])), 2);
    assert_eq!(code(&home.watt("http://127.0.0.1:1", &["wallet", "fly"])), 2);
    assert_eq!(code(&home.watt("http://127.0.0.1:1", &["wallet", "send", "--help"])), 0);
    assert_eq!(code(&home.watt("http://127.0.0.1:1", &["wallet", "show", "--wallet", "nobody"])), 1);

    for (status_code, problem, expected) in
        [(422, "insufficient_funds", 5), (401, "bad_signature", 5), (503, "unavailable", 4), (500, "internal", 1)]
    {
        let fake = Fake::default();
        fake.json("/status", &status()).json(&format!("/accounts/{}", home.address()), &account(home.address(), 3));
        fake.problem("/transactions", status_code, problem);
        let output = home.watt(&fake.listen().await, &send);
        assert_eq!(code(&output), expected, "{problem}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(problem), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }

    let fake = Fake::default();
    fake.answer("/status", 200, "<html>").problem(&format!("/accounts/{to}"), 404, "unknown_account");
    let url = fake.listen().await;
    assert_eq!(code(&home.watt(&url, &["chain", "status"])), 1, "not a node of ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_is_opened_with_the_quoted_version_and_the_quoted_maximum() {
    let home = Home::new();
    let fake = Fake::default();
    fake.json("/status", &status()).json("/quote", &quote()).json(&format!("/accounts/{}", home.address()), &account(home.address(), 3));
    fake.json("/transactions", &committed(TxId(Hash32::ZERO)));
    let url = fake.listen().await;

    let start = ["charge", "start", "1-17", "--energy", "10", "--duration", "8h"];
    let unconfirmed = home.watt(&url, &start);
    assert_eq!(code(&unconfirmed), 2, "without a terminal and without --yes nothing is signed");
    let shown = text(&unconfirmed.stderr);
    for words in ["lock 3.00 EUR", "1-17", "8 h", "10.000 kWh", "2020-09-13T13:26:40+00:00"] {
        assert!(shown.contains(words), "the confirm screen lacks {words}: {shown}");
    }
    assert!(fake.asked().iter().all(|asked| asked.method != "POST"));

    let output = home.watt(&url, &[&start[..], &["--yes"]].concat());
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let post = fake.asked().into_iter().find(|asked| asked.method == "POST").expect("it was submitted");
    assert!(post.path.contains("wait=committed"));
    let transaction = Transaction::decode(&post.body).expect("decodes");
    transaction.verify().expect("is signed");
    let body = transaction.body();
    assert_eq!((body.chain_id, body.account, body.signer, body.nonce), (chain_id(), home.address(), home.address(), 3));
    assert_eq!(body.valid_until, NOW.saturating_add(Duration::from_hours(1)), "by the node's clock, not the machine's");
    let Call::OpenSession(call) = &body.call else { panic!("{:?}", body.call) };
    assert_eq!((call.tariff_version, call.max_spend), (4, Amount::from_micro(3_000_000)));
    assert_eq!((call.max_duration, call.energy_target), (Duration::from_hours(8), Some(WattHours::new(10_000))));
    assert!(text(&output.stdout).contains(&transaction.id().to_string()), "the session's id is the transaction's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_believed_only_if_it_is_proved() {
    let home = Home::new();
    let session = SessionId(Hash32([7; 32]));
    let path = format!("/sessions/{session}/receipt");
    let id = session.to_string();
    let good = settlement(session);

    let fake = Fake::default();
    fake.json("/status", &status()).json("/genesis", &genesis()).json(&path, &good);
    let url = fake.listen().await;
    let output = home.watt(&url, &["session", "receipt", &id]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("1 of 1 validators"), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("2.50 EUR"));

    let mut other_height = good.clone();
    other_height.header.height = Height(10);
    let mut other_signature = good.clone();
    other_signature.certificate.signatures[0].signature.0[0] ^= 1;
    let mut no_quorum = good.clone();
    no_quorum.certificate.signatures.clear();
    let other_validators = settlement_by(session, &SigningKey::from_bytes(&[66; 32]));
    let other_session = settlement(SessionId(Hash32([8; 32])));
    for (what, bad) in [
        ("height", other_height),
        ("signature", other_signature),
        ("quorum", no_quorum),
        ("validators", other_validators),
        ("session", other_session),
    ] {
        let fake = Fake::default();
        fake.json("/status", &status()).json("/genesis", &genesis()).json(&path, &bad);
        let output = home.watt(&fake.listen().await, &["session", "receipt", &id]);
        assert_eq!(code(&output), 3, "{what}: {}", text(&output.stdout));
        assert!(output.stdout.is_empty(), "{what}");
    }
}

#[tokio::test]
async fn a_wallet_asks_again_after_a_wrong_nonce_and_counts_on_from_there() {
    let key = SigningKey::from_bytes(&[5; 32]);
    let address = crypto::address_of(&key);
    let fake = Fake::default();
    fake.json(&format!("/accounts/{address}"), &account(address, 41));
    fake.problem("/transactions", 409, "wrong_nonce");
    fake.answer("/transactions", 202, serde_json::to_string(&Submitted { id: TxId(Hash32::ZERO), committed: None }).unwrap());
    let client = Client::new(&fake.listen().await).unwrap();
    let wallet = Wallet::with_nonce(key, chain_id(), 7);
    let call = || Call::Transfer(Transfer { to: Address([8; 32]), amount: Amount::from_micro(1) });
    for _ in 0..2 {
        wallet.submit(&client, call(), NOW).await.unwrap();
    }
    let nonces: Vec<u64> = fake
        .asked()
        .iter()
        .filter(|asked| asked.method == "POST")
        .map(|asked| Transaction::decode(&asked.body).unwrap().body().nonce)
        .collect();
    assert_eq!(nonces, [7, 41, 42]);
}

#[tokio::test]
async fn events_go_on_after_a_lost_connection_each_once() {
    let event = |height: u64, index: u32| {
        let data = chain::api::StreamedEvent {
            height: Height(height),
            timestamp: NOW,
            index,
            event: Event::ConnectorPut { connector: ConnectorId::new(CondominiumId(1), 17) },
        };
        format!("id: {height}-{index}-0\nevent: connector_put\ndata: {}\n\n", serde_json::to_string(&data).unwrap())
    };
    let fake = Fake::default();
    // The first stream ends in the middle of an event; the second begins one too early.
    let second = event(9, 1);
    fake.answer("/events", 200, format!(": ping\n\n{}{}", event(9, 0), &second[..second.len() / 2]));
    fake.answer("/events", 200, format!("{}{}{}", event(9, 0), event(9, 1), event(12, 3)));
    let client = Client::new(&fake.listen().await).unwrap();
    let mut events = client.events(EventFilter::default(), None);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(events.next().await.unwrap().id);
    }
    let id = |height, index| EventId { height: Height(height), index, event: 0 };
    assert_eq!(ids, [id(9, 0), id(9, 1), id(12, 3)]);
    let resumed = fake.asked()[1].headers.get("last-event-id").map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(resumed.as_deref(), Some("9-0-0"));
}

#[test]
fn a_new_wallet_comes_back_from_its_words() {
    let home = Home::new();
    let words = home.file("unused", "").with_file_name("words");
    let words = words.to_str().unwrap();
    let made =
        home.watt("http://127.0.0.1:1", &["wallet", "new", "--wallet", "one", "--words", "12", "--phrase-file", words, "--output", "json"]);
    assert_eq!(code(&made), 0, "{}", text(&made.stderr));
    let again = home.watt("http://127.0.0.1:1", &["wallet", "recover", "--wallet", "two", "--phrase-file", words, "--output", "json"]);
    assert_eq!(code(&again), 0, "{}", text(&again.stderr));
    let address = |output: &std::process::Output| serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["address"].clone();
    assert_eq!(address(&made), address(&again));
    let phrase = std::fs::read_to_string(words).unwrap();
    assert_eq!(phrase.split_whitespace().count(), 12);
    let shown = text(&made.stdout) + &text(&made.stderr);
    assert!(!shown.contains(phrase.trim()), "words that go to a file are not shown");
    let overwritten = home.watt("http://127.0.0.1:1", &["wallet", "recover", "--wallet", "one", "--phrase-file", words]);
    assert_eq!(code(&overwritten), 1);
}

/// The words of a wallet that could not be made stayed behind in their file.
#[test]
fn a_name_that_no_wallet_may_have_leaves_no_words_behind() {
    let home = Home::new();
    let words = home.file("unused", "").with_file_name("words");
    let refused = home.watt("http://127.0.0.1:1", &["wallet", "new", "--wallet", "../x", "--phrase-file", words.to_str().unwrap()]);
    assert!(code(&refused) == 1 && text(&refused.stderr).contains("a wallet's name has"), "{}", text(&refused.stderr));
    assert!(!words.exists());
}

/// A person who looks at the first lines alone, and a script that closes the errors, were told 101 after whatever was done.
#[test]
fn who_does_not_read_the_errors_is_told_the_same_code() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let refused = Home::new().command(&["wallet", "new", "--wallet", "../x", "--phrase-file", "words"]).stderr(writer).status().unwrap();
    assert_eq!(refused.code(), Some(1));
}

/// A refusal repeated the ledger's own numbers: "expected 19000001, found 19000000", and times in ms since 1970.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_in_tokens_and_local_times() {
    let home = Home::new();
    let to = Address([8; 32]).to_string();
    let fake = Fake::default();
    fake.json("/status", &status()).json(&format!("/accounts/{}", home.address()), &account(home.address(), 3));
    fake.refusal("/transactions", 422, "insufficient_funds", Unit::MicroTokens, [19_000_001, 19_000_000]);
    let output = home.watt(&fake.listen().await, &["wallet", "send", &to, "19.000001", "--yes"]);
    let told = text(&output.stderr);
    assert_eq!(code(&output), 5, "{told}");
    assert!(told.contains("needs 19.000001 tokens, and 19 tokens can be spent") && told.contains("(insufficient_funds)"), "{told}");
    assert!(!told.contains("19000001"), "{told}");

    let fake = Fake::default();
    fake.json("/status", &status());
    fake.refusal("/quote", 404, "unknown_tariff", Unit::UnixMilliseconds, [NOW.ms() + 60_000, NOW.ms()]);
    let output = home.watt(&fake.listen().await, &["charge", "quote", "1-17"]);
    let told = text(&output.stderr);
    assert_eq!(code(&output), 1, "{told}");
    assert!(told.contains("not in force yet: it is from 2020-09-13T12:27:40+00:00 on"), "{told}");
}

/// The help said `watt charge stop 5f0c...`, and the program answered that an id has 64 digits.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_stopped_by_its_first_digits_and_never_another_one() {
    let home = Home::new();
    let session = SessionId(Hash32([0x5f; 32]));
    let Event::SessionSettled(receipt) = settlement(session).receipt.events[0].clone() else { panic!("it is one") };
    let view = |id| SessionView::Settled { id, height: Height(9), index: 0, receipt };
    let fake = Fake::default();
    fake.json("/status", &status()).json(&format!("/accounts/{}", home.address()), &account(home.address(), 3));
    fake.json("/sessions/5f5f5f", &view(session)).json("/sessions/5f5f5e", &view(session));
    fake.problem("/sessions/777777", 409, "ambiguous").json("/transactions", &committed(TxId(Hash32::ZERO)));
    let url = fake.listen().await;
    let output = home.watt(&url, &["charge", "stop", "5F5F5F...", "--yes"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let post = fake.asked().into_iter().find(|asked| asked.method == "POST").expect("it was submitted");
    assert_eq!(Transaction::decode(&post.body).unwrap().body().call, Call::StopSession(StopSession { session }));

    let shown = home.watt(&url, &["charge", "stop", "5f5f5f"]);
    assert!(text(&shown.stderr).contains(&session.to_string()), "the confirm screen has all digits: {}", text(&shown.stderr));
    let other = home.watt(&url, &["charge", "stop", "5f5f5e", "--yes"]);
    assert_eq!(code(&other), 3, "the node named another session: {}", text(&other.stderr));
    let several = home.watt(&url, &["charge", "stop", "777777", "--yes"]);
    assert_eq!(code(&several), 2);
    assert!(text(&several.stderr).contains("ambiguous"), "{}", text(&several.stderr));
    assert_eq!(code(&home.watt(&url, &["charge", "stop", "5f5f5", "--yes"])), 2);
    assert_eq!(fake.asked().iter().filter(|asked| asked.method == "POST").count(), 1, "nothing else was signed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mandate_is_granted_with_the_limits_that_were_typed() {
    let home = Home::new();
    let fake = Fake::default();
    fake.json("/status", &status()).json(&format!("/accounts/{}", home.address()), &account(home.address(), 3));
    fake.json("/transactions", &committed(TxId(Hash32::ZERO)));
    let url = fake.listen().await;
    let limits = ["--session", "10", "--day", "20.5", "--per-kwh", "0.30", "--valid", "90d", "--connector", "17", "--condominium", "1"];
    let output = home.watt(&url, &[&["mandate", "grant", "--yes"][..], &limits[..]].concat());
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let post = fake.asked().into_iter().find(|asked| asked.method == "POST").expect("it was submitted");
    let terms = MandateTerms {
        max_per_session: Amount::from_micro(10_000_000),
        max_per_day: Amount::from_micro(20_500_000),
        max_price_per_kwh: Amount::from_micro(300_000),
        max_price_per_hour: Amount::ZERO,
        expires: status().now.min(status().timestamp).saturating_add(Duration::from_hours(90 * 24)),
        connectors: vec![17],
        confirm_from: 950,
    };
    let expected = Call::GrantMandate(GrantMandate { condominium: CondominiumId(1), terms });
    assert_eq!(Transaction::decode(&post.body).unwrap().body().call, expected);

    // Limits that make no sense together were signed without a word; a group that is switched off was, too.
    let senseless = home.watt(&url, &["mandate", "grant", "--session", "10", "--day", "5", "--per-kwh", "0.30", "--yes"]);
    let told = text(&senseless.stderr);
    assert!(code(&senseless) == 2 && told.contains("Give --day at least 10 tokens, or --session at most 5 tokens"), "{told}");
    assert_eq!(fake.asked().iter().filter(|asked| asked.method == "POST").count(), 1, "nothing else was signed");
    let off = home.watt(&url, &["admin", "group", "put", "1-1", "--limit", "0", "--yes"]);
    assert!(code(&off) == 0 && text(&off.stderr).contains("under a limit of 0 A nothing charges in group 1-1"), "{}", text(&off.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_confirmed_is_exactly_what_the_card_has_asked_for() {
    let home = Home::new();
    let fake = Fake::default();
    fake.json("/status", &status()).json(&format!("/accounts/{}", home.address()), &account(home.address(), 3));
    fake.json("/transactions", &committed(TxId(Hash32::ZERO)));
    let starts = format!("/accounts/{}/starts", home.address());
    let asked = |number: u32| AskedStartView {
        connector: ConnectorId::new(CondominiumId(1), number),
        start: AskedStart {
            account: home.address(),
            card: CardId(Hash32([0xca; 32])),
            tariff_version: 2,
            max_spend: Amount::from_micro(3_000_000),
            max_duration: Duration::from_hours(5),
            energy_target: None,
            until: status().now,
        },
    };
    let page = |items: Vec<AskedStartView>| Page { items, next: None };
    // Nothing at first, then two for good.
    fake.json(&starts, &page(Vec::new())).json(&starts, &page(vec![asked(17), asked(18)]));
    let url = fake.listen().await;
    let nothing = home.watt(&url, &["charge", "confirm", "--yes"]);
    assert_eq!(code(&nothing), 1, "{}", text(&nothing.stderr));
    let several = home.watt(&url, &["charge", "confirm", "--yes"]);
    assert!(code(&several) == 2 && text(&several.stderr).contains("1-17, 1-18"), "{}", text(&several.stderr));
    let list = home.watt(&url, &["charge", "confirm", "--list"]);
    assert!(code(&list) == 0 && text(&list.stdout).contains("1-18"), "{}", text(&list.stdout));
    assert!(fake.asked().iter().all(|asked| asked.method != "POST"), "nothing was signed");
    let output = home.watt(&url, &["charge", "confirm", "1-18", "--yes"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let post = fake.asked().into_iter().find(|asked| asked.method == "POST").expect("it was submitted");
    let AskedStartView { connector, start } = asked(18);
    let AskedStart { card, tariff_version, max_spend, max_duration, energy_target, .. } = start;
    let start = OpenSessionByMandate { card, connector, tariff_version, max_spend, max_duration, energy_target };
    assert_eq!(Transaction::decode(&post.body).unwrap().body().call, Call::ConfirmStart(ConfirmStart { start }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cards_key_goes_to_the_gateway_before_the_chain_hears_of_the_card_and_its_number_goes_nowhere() {
    let home = Home::new();
    let fake = Fake::default();
    let card = CardId(Hash32([0xca; 32]));
    fake.json("/status", &status()).json(&format!("/accounts/{}", home.address()), &account(home.address(), 3));
    fake.json("/transactions", &committed(TxId(Hash32::ZERO)));
    fake.json("/gateway/v1/cards", &CardOrderDone { card, kept: false });
    let url = fake.listen().await;
    let owner = Address([8; 32]).to_string();
    let uid = home.file("uid", "04:A2:24:6F:11:22:33\n");
    let common = ["--condominium", "1", "--gateway", url.as_str(), "--yes"];
    let bind = [&["admin", "card", "bind", owner.as_str(), "--uid-file", uid.to_str().unwrap()][..], &common[..]].concat();
    // The fake gateway answers for another card, so the binding goes no further.
    let output = home.watt(&url, &bind);
    assert_eq!(code(&output), 3, "{}", text(&output.stderr));
    let posts: Vec<_> = fake.asked().into_iter().filter(|asked| asked.method == "POST").collect();
    let [order] = posts.as_slice() else { panic!("{} posts", posts.len()) };
    let kept = CardOrder::verified(&order.body).unwrap();
    let CardAction::Keep(key) = kept.action else { panic!("{kept:?}") };
    assert_eq!((kept.signer, kept.card), (home.address(), CardId::commit(&key, &[4, 0xa2, 0x24, 0x6f, 0x11, 0x22, 0x33])));
    assert!(!order.body.windows(4).any(|bytes| bytes == [4, 0xa2, 0x24, 0x6f]), "the number stays here");

    let digits = card.to_string();
    let output = home.watt(&url, &[&["admin", "card", "erase", digits.as_str()][..], &common[..]].concat());
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let posts: Vec<_> = fake.asked().into_iter().filter(|asked| asked.method == "POST").skip(1).collect();
    assert_eq!(CardOrder::verified(&posts[0].body).unwrap().action, CardAction::Erase);
    let released = BindCard { condominium: CondominiumId(1), card, account: None };
    assert_eq!(Transaction::decode(&posts[1].body).unwrap().body().call, Call::BindCard(released));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_is_bound_itself_only_where_it_has_no_switch() {
    let home = Home::new();
    let fake = Fake::default();
    fake.json("/status", &status()).json(&format!("/accounts/{}", home.address()), &account(home.address(), 3));
    fake.json("/gateway/v1/cards", &CardOrderDone { card: CardId(Hash32([0xca; 32])), kept: true });
    let places = [(Control::Switched, 17), (Control::MeterOnly, 19)].map(|(control, number)| {
        let connector = Connector {
            group: 1,
            control,
            plug_signal: PlugSignal::None,
            rated: Currents::from_ma([10_000, 0, 0]),
            tariff: 1,
            service: Service::InService,
            fault: None,
            session: None,
            last_register: WattHours::ZERO,
            unassigned: WattHours::ZERO,
        };
        ConnectorView { id: ConnectorId::new(CondominiumId(1), number), connector, free: true, meter: None, meter_proposal: None }
    });
    for place in &places {
        fake.json(&format!("/connectors/{}", place.id), place);
    }
    let url = fake.listen().await;
    let owner = Address([8; 32]).to_string();
    let bind = |point: &str| home.watt(&url, &["admin", "card", "bind", &owner, "--point", point, "--gateway", &url, "--yes"]);
    let output = bind("1-17");
    assert!(code(&output) == 1 && text(&output.stderr).contains("has a switch"), "{}", text(&output.stderr));
    // The fake gateway answers for another card, so the binding goes no further.
    assert_eq!(code(&bind("1-19")), 3);
    let posts: Vec<_> = fake.asked().into_iter().filter(|asked| asked.method == "POST").collect();
    let [order] = posts.as_slice() else { panic!("{} posts", posts.len()) };
    let kept = CardOrder::verified(&order.body).unwrap();
    let CardAction::Keep(key) = kept.action else { panic!("{kept:?}") };
    assert_eq!((kept.condominium, kept.card), (CondominiumId(1), CardId::commit_point(&key, places[1].id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_says_what_was_charged_where_and_who_pays_whom() {
    let home = Home::new();
    let fake = Fake::default();
    let [tro, bod, kro] = [1, 2, 3].map(CondominiumId);
    let amount = Amount::from_micro;
    let roaming = Roaming { sessions: 12, energy: WattHours::new(340_000), charged: amount(85_000_000), ..Roaming::default() };
    let due = PaymentView { clearing: 3, debtor: tro, creditor: bod, amount: amount(80_000_000), state: PaymentState::Due };
    let statement = StatementView {
        number: 3,
        from: None,
        until: Some(NOW),
        roaming: vec![RoamingView { home: tro, host: bod, roaming }, RoamingView { home: kro, host: bod, roaming }],
        payments: vec![due, PaymentView { debtor: kro, amount: amount(5_000_000), ..due }],
    };
    fake.json("/status", &status()).json("/clearings/3", &statement);
    fake.json(
        "/condominiums",
        &Page { items: vec![condominium(tro, "TRO"), condominium(bod, "BOD"), condominium(kro, "KRO")], next: None },
    );
    fake.json(&format!("/accounts/{}", home.address()), &account(home.address(), 3)).json("/transactions", &committed(TxId(Hash32::ZERO)));
    let url = fake.listen().await;

    let shown = home.watt(&url, &["clearing", "show", "3"]);
    let all = text(&shown.stdout);
    assert_eq!(code(&shown), 0, "{}", text(&shown.stderr));
    for words in ["TRO (1)", "KRO (3)", "340.000 kWh", "85.00 EUR", "80.00 EUR", "due"] {
        assert!(all.contains(words), "{words} in {all}");
    }
    // A condominium that is not there had an empty statement, and the program ended well.
    for command in [&["clearing", "show", "3"][..], &["clearing", "payments"], &["admin", "role", "list"]] {
        let unknown = home.watt(&url, &[command, &["--condominium", "9"]].concat());
        assert_eq!((code(&unknown), unknown.stdout.is_empty()), (1, true), "{command:?}");
        assert!(text(&unknown.stderr).contains("no condominium 9"), "{}", text(&unknown.stderr));
    }
    let own = text(&home.watt(&url, &["clearing", "show", "3", "--condominium", "1"]).stdout);
    assert!(own.contains("BOD (2)") && !own.contains("KRO"), "{own}");
    let json = home.watt(&url, &["clearing", "show", "3", "--condominium", "3", "--output", "json"]).stdout;
    let json: StatementView = serde_json::from_slice(&json).unwrap();
    assert_eq!((json.roaming.len(), json.payments.len(), json.payments[0].debtor), (1, 1, kro));

    let report = home.watt(&url, &["clearing", "report", "3", "--from", "1", "--to", "2", "--no-reference", "--yes"]);
    assert_eq!(code(&report), 0, "{}", text(&report.stderr));
    let post = fake.asked().into_iter().find(|asked| asked.method == "POST").expect("it was submitted");
    let Call::ReportPayment(call) = Transaction::decode(&post.body).unwrap().body().call.clone() else { panic!("another call") };
    assert_eq!((call.clearing, call.debtor, call.creditor), (3, tro, bod));
    assert!(text(&report.stdout).contains("salt") && text(&report.stdout).contains("from TRO (1) to BOD (2)"), "{}", text(&report.stdout));

    // He who reported it was told to ask for a role that he has.
    let fake = Fake::default();
    let id = TxId(Hash32::ZERO);
    let refused = Rejection::new(Code::NotAllowed);
    let receipt = Receipt { cause: Cause::Transaction(id), outcome: Outcome::Rejected(refused), events: Vec::new() };
    let refusal = Submitted { id, committed: Some(CommittedTransaction { height: Height(8), index: 0, timestamp: NOW, receipt }) };
    fake.json("/status", &status())
        .json(&format!("/accounts/{}", home.address()), &account(home.address(), 3))
        .json("/transactions", &refusal);
    let confirm = home.watt(&fake.listen().await, &["clearing", "confirm", "3", "--from", "1", "--to", "2", "--yes", "--output", "json"]);
    let told = text(&confirm.stderr);
    assert_eq!(code(&confirm), 5, "{told}");
    assert!(told.contains("never by the account that reported it") && !told.contains("ask a manager"), "{told}");
    let json: serde_json::Value = serde_json::from_slice(&confirm.stdout).unwrap();
    assert_eq!((json["error"]["code"].as_str(), json["error"]["exit_code"].as_u64()), (Some("not_allowed"), Some(5)), "{json}");
}

/// A program that asked for JSON got it only where all went well.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_json_too_where_json_was_asked_for() {
    let home = Home::new();
    let session = SessionId(Hash32([7; 32]));
    let id = session.to_string();
    let fake = Fake::default();
    fake.json("/status", &status()).json("/genesis", &genesis());
    fake.json(&format!("/sessions/{session}/receipt"), &settlement(SessionId(Hash32([8; 32])))).problem("/accounts", 404, "not_found");
    fake.problem(&format!("/accounts/{}", home.address()), 404, "unknown_account").problem("/sessions/777777", 409, "ambiguous");
    let url = fake.listen().await;
    let to = Address([8; 32]).to_string();
    let nobody = "http://127.0.0.1:1";
    let there = home.file("there", "no export");
    let there = there.to_str().unwrap();
    let folder = std::path::Path::new(there).parent().unwrap().to_str().unwrap();
    let cases: [(&str, &[&str], &str, i32); 10] = [
        (nobody, &["wallet", "fly"], "usage", 2),
        (nobody, &["chain", "status"], "unreachable", 4),
        (nobody, &["wallet", "show", "--wallet", "nobody"], "wallet", 1),
        (&url, &["wallet", "balance"], "unknown_account", 1),
        (&url, &["wallet", "send", &to, "1", "--yes"], "unknown_account", 5),
        (&url, &["charge", "stop", "777777", "--yes"], "ambiguous", 2),
        (&url, &["session", "receipt", &id], "verification_failed", 3),
        (nobody, &["audit", "replay", there], "verification_failed", 3),
        (nobody, &["audit", "replay", folder], "failed", 1),
        (nobody, &["audit", "replay", there, "--node", "http://127.0.0.1:2"], "usage", 2),
    ];
    for (node, arguments, expected, exit) in cases {
        let output = home.watt(node, &[arguments, &["--output", "json"]].concat());
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let error = &json["error"];
        assert_eq!((error["code"].as_str(), code(&output)), (Some(expected), exit), "{arguments:?}: {json} {}", text(&output.stderr));
        assert_eq!(error["exit_code"].as_i64(), Some(exit.into()), "{json}");
        assert!(error["message"].as_str().is_some_and(|message| !message.contains("os error")), "{json}");
        assert_eq!(json["verified"].as_bool(), (exit == 3).then_some(false), "{json}");
        assert!(text(&output.stderr).contains("error: "), "people read stderr");
        assert!(home.watt(node, arguments).stdout.is_empty(), "{arguments:?}: a table has no room for it");
    }
}

/// A wrong passphrase was told as `sign_in_needed` where a node wanted to know who reads, and as `failed` where something was to be signed.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_passphrase_is_the_wallets_failure_whatever_it_was_asked_for() {
    let home = Home::new();
    let (to, balance) = (Address([8; 32]).to_string(), format!("/accounts/{}", home.address()));
    let (closed, open) = (Fake::default(), Fake::default());
    closed.json("/status", &status()).problem(&balance, 401, "sign_in_needed");
    open.json("/status", &status()).json(&balance, &account(home.address(), 3));
    let (closed, open) = (closed.listen().await, open.listen().await);
    let told = |output: &std::process::Output| {
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (json["error"]["code"].as_str().unwrap().to_owned(), code(output), text(&output.stderr))
    };
    std::fs::write(home.path("passphrase"), "wrong horse").unwrap();
    let reading = told(&home.watt(&closed, &["wallet", "balance", "--output", "json"]));
    let signing = told(&home.watt(&open, &["wallet", "send", &to, "1", "--yes", "--output", "json"]));
    for (slug, exit, words) in [reading, signing] {
        assert!((slug.as_str(), exit) == ("wallet", 1) && words.contains("the passphrase is wrong"), "{slug} {exit}: {words}");
    }
    let mut unasked = std::process::Command::new(env!("CARGO_BIN_EXE_watt"));
    unasked.env_clear().env("WATT_HOME", home.path("")).env("WATT_NODE", &closed).stdin(std::process::Stdio::null());
    let (slug, exit, words) = told(&unasked.args(["wallet", "balance", "--output", "json"]).output().unwrap());
    assert!((slug.as_str(), exit) == ("usage", 2) && words.contains("--passphrase-file"), "{slug} {exit}: {words}");
}

/// A node that has too many connections was said not to run.
#[tokio::test]
async fn a_node_that_ends_the_connection_is_not_called_away() {
    let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", door.local_addr().unwrap());
    let closing = std::thread::spawn(move || drop(door.accept().unwrap()));
    let told = Client::new(&url).unwrap().status().await.unwrap_err().to_string();
    closing.join().unwrap();
    assert!(told.contains("it ended the connection") && told.contains("too many connections"), "{told}");
}
