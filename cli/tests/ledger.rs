//! `watt` against a node that keeps a real ledger: whole chains audited over HTTP, whole rows of their tables, and a payment between two treasurers.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod fake;
mod federation;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::Output,
    sync::{Arc, Mutex},
};

use chain::{
    api::Page,
    hash::Hash32,
    id::{Address, CondominiumId, Height},
    quantity::Amount,
    record::Role,
};
use contracts::call::{
    AnswerPayment, Call, ClearPositions, ConfirmRedeem, GrantRole, LiftSuspension, PaymentAnswer, ProveEquivocation, RedeemAnswer,
    ReportPayment, RequestRedeem, RevokeRole, SellTokens, Transfer,
};

use crate::{
    fake::{Fake, Home},
    federation::{
        evening,
        pair::{AWAY, Pair, RESIDENT, STAFF, THERE, VISITOR, address, key, tokens},
    },
};

const HERE: CondominiumId = CondominiumId(1);

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut files: Vec<_> =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())).collect();
    files.sort();
    files
}

/// A node that begins to give this and ends the connection in the middle of it.
fn breaks_off(export: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", export.len());
    let sent = [head.as_bytes(), &export[..export.len() / 2]].concat();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4_096]);
        let _ = stream.write_all(&sent);
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_of_a_node_that_runs_is_audited_as_it_comes() {
    let (file, places, _) = evening();
    let home = Home::new();
    let node = |bytes: Vec<u8>| {
        let fake = Fake::default();
        fake.answer("/export", 200, bytes);
        fake
    };
    let audit = |url: &str, more: &[&str]| home.watt("http://127.0.0.1:1", &[&["audit", "replay", "--node", url], more].concat());
    let [asked, kept] = ["asked", "kept"].map(|name| home.path(name));

    let fake = node(file.clone());
    let url = fake.listen().await;
    let verdict = audit(&url, &["--output", "json", "--export", "csv", "--to", asked.to_str().unwrap()]);
    assert_eq!(code(&verdict), 0, "{}", said(&verdict));
    let found = json(&verdict);
    assert_eq!(
        (found["verified"].as_bool(), found["blocks"].as_str(), found["transactions"].as_str()),
        (Some(true), Some("5"), Some("10"))
    );
    let paths: Vec<String> = fake.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/api/v1/export?from=1"], "one question is all that it takes");

    // It is the same as of a file that somebody exported, to the last cell.
    let exported = home.path("chain.export");
    fs::write(&exported, &file).unwrap();
    let same = home
        .watt("http://127.0.0.1:1", &["audit", "replay", exported.to_str().unwrap(), "--export", "csv", "--to", kept.to_str().unwrap()]);
    assert_eq!(code(&same), 0, "{}", said(&same));
    assert_eq!(files(&asked), files(&kept));

    // Only the chain that was asked for.
    let chain = found["chain_id"].as_str().unwrap().to_owned();
    let pinned = audit(&url, &["--chain-id", &chain]);
    assert!(code(&pinned) == 0 && said(&pinned).contains("the one that was asked for"), "{}", said(&pinned));
    let other = audit(&url, &["--chain-id", &Hash32([1; 32]).to_string()]);
    assert!(code(&other) == 3 && said(&other).contains(&chain), "{}", said(&other));

    // A node that lies is found out, and what it said becomes no table.
    let mut wrong = file.clone();
    wrong[places[4][2] + 60] ^= 1;
    let lie = home.path("lie");
    let found = audit(&node(wrong).listen().await, &["--output", "json", "--export", "jsonl", "--to", lie.to_str().unwrap()]);
    assert_eq!(code(&found), 3, "{}", said(&found));
    assert_eq!(json(&found)["error"]["audit"]["height"].as_str(), Some("5"), "{}", said(&found));
    assert!(!lie.exists());
    // Blocks that it keeps to itself are missed too, and a connection that breaks is no verdict.
    let short = audit(&node(file[..places[4][0]].to_vec()).listen().await, &[]);
    assert_eq!(code(&short), 3, "{}", said(&short));
    let broken = audit(&breaks_off(&file), &[]);
    assert_eq!(code(&broken), 4, "{}", said(&broken));

    let closed = Fake::default();
    closed.problem("/export", 403, "may_not_read");
    let refused = audit(&closed.listen().await, &[]);
    assert!(code(&refused) == 1 && said(&refused).contains("may_not_read"), "{}", said(&refused));
}

/// What `table` of a true chain has, a line for each row; the same stands in the JSON lines.
fn tables(file: Vec<u8>) -> impl Fn(&str) -> Vec<String> {
    let home = Home::new();
    let [export, folder, lines] = ["chain.export", "tables", "tables.jsonl"].map(|name| home.path(name).display().to_string());
    fs::write(&export, file).unwrap();
    for (format, to) in [("csv", &folder), ("jsonl", &lines)] {
        let output = home.watt("http://127.0.0.1:1", &["audit", "replay", &export, "--export", format, "--to", to]);
        assert_eq!(code(&output), 0, "{}", said(&output));
    }
    let lines = fs::read_to_string(lines).unwrap();
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let csv = files(Path::new(&folder));
    move |table| {
        let (_, text) = csv.iter().find(|(name, _)| *name == format!("{table}.csv")).unwrap();
        let mut rows = text.lines().map(str::to_owned);
        let columns = rows.next().unwrap();
        let rows: Vec<String> = rows.collect();
        let of_json = lines.iter().filter(|line| line["table"] == table).map(|line| {
            let cell = |column: &str| {
                let value = line.get(column).unwrap_or_else(|| panic!("no {column} in {line}"));
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                if value.is_null() { String::new() } else { text }
            };
            columns.split(',').map(cell).collect::<Vec<_>>().join(",")
        });
        assert_eq!(rows, of_json.collect::<Vec<_>>(), "{table}");
        rows
    }
}

#[test]
fn redemptions_roles_validators_and_positions_are_whole_rows_of_the_tables() {
    let mut pair = Pair::new();
    let (set, validators) = pair.validators();
    let sell = SellTokens { condominium: THERE, account: address(VISITOR), amount: tokens(20), sale: 1, payment: Hash32::ZERO };
    let gateway = |from| GrantRole { condominium: HERE, role: Role::Gateway, account: address(RESIDENT), from: Height(from), until: None };
    pair.block([(AWAY, Call::SellTokens(sell)), (STAFF, Call::GrantRole(gateway(3)))]);
    let redeem = |amount| Call::RequestRedeem(RequestRedeem { amount: tokens(amount), payee: Hash32::ZERO });
    let send = |to, amount| Call::Transfer(Transfer { to: address(to), amount: tokens(amount) });
    let [three, two, sent] = pair.block([(RESIDENT, redeem(3)), (RESIDENT, redeem(2)), (VISITOR, send(RESIDENT, 4))]);
    let answer = |redemption: chain::id::TxId, answer| {
        Call::ConfirmRedeem(ConfirmRedeem { redemption: chain::id::RedemptionId(redemption.0), answer })
    };
    let lies = ProveEquivocation { condominium: HERE, first: pair.attested(RESIDENT, 7), second: pair.attested(RESIDENT, 8) };
    pair.block([
        (STAFF, answer(three, RedeemAnswer::Paid { payment: Hash32::ZERO })),
        (STAFF, answer(two, RedeemAnswer::Refused)),
        (VISITOR, Call::ProveEquivocation(lies)),
    ]);
    let lift = Call::LiftSuspension(LiftSuspension { condominium: HERE, account: address(RESIDENT) });
    let clear = || Call::ClearPositions(ClearPositions { condominium: HERE });
    let [back, _, first] = pair.block([(RESIDENT, send(VISITOR, 1)), (STAFF, lift), (STAFF, clear())]);
    let report = || Call::ReportPayment(ReportPayment { clearing: 1, debtor: THERE, creditor: HERE, payment: Hash32::ZERO });
    let found = |answer| Call::AnswerPayment(AnswerPayment { clearing: 1, debtor: THERE, creditor: HERE, answer });
    let [said, missed] = pair.block([(AWAY, report()), (STAFF, found(PaymentAnswer::Missing))]);
    let revoke = RevokeRole { condominium: HERE, role: Role::Gateway, account: address(RESIDENT), until: Height(9) };
    let [again, received, _] = pair.block([(AWAY, report()), (STAFF, found(PaymentAnswer::Received)), (STAFF, Call::RevokeRole(revoke))]);
    let (session, settled) = pair.visits();
    let [second] = pair.block([(STAFF, clear())]);
    let [last] = pair.block([(RESIDENT, send(VISITOR, 5))]);
    let table = tables(pair.finish());
    let [staff, resident, away, visitor] = [STAFF, RESIDENT, AWAY, VISITOR].map(address);
    let day = "2023-11-14T22:13:";

    assert_eq!(
        table("sales"),
        [
            format!("sold,{day}21.000Z,1,1,HERE,{resident},50000000,0,1,"),
            format!("sold,{day}22.000Z,2,2,THERE,{visitor},20000000,0,1,"),
            format!("redemption requested,{day}23.000Z,3,1,HERE,{resident},3000000,,,{three}"),
            format!("redemption requested,{day}23.000Z,3,1,HERE,{resident},2000000,,,{two}"),
            format!("redemption paid,{day}24.000Z,4,1,HERE,{resident},3000000,,,{three}"),
            format!("redemption refused,{day}24.000Z,4,1,HERE,{resident},2000000,,,{two}"),
        ]
    );
    let begun = |place: &str, role: &str, account: Address| format!("genesis,{day}20.000Z,0,{place},{role},{account},1,");
    assert_eq!(
        table("roles"),
        [
            begun("1,HERE", "manager", staff),
            begun("1,HERE", "treasurer", staff),
            begun("1,HERE", "gateway", staff),
            begun("1,HERE", "scheduler", staff),
            begun("2,THERE", "manager", away),
            begun("2,THERE", "treasurer", away),
            format!("granted,{day}22.000Z,2,1,HERE,gateway,{resident},3,"),
            format!("suspended,{day}24.000Z,4,1,HERE,gateway,{resident},4,"),
            format!("suspension lifted,{day}25.000Z,5,1,HERE,gateway,{resident},,5"),
            format!("revoked,{day}27.000Z,7,1,HERE,gateway,{resident},,9"),
        ]
    );
    assert_eq!(table("validators"), validators.iter().map(|member| format!("1,{set},{member},1,4")).collect::<Vec<_>>());
    let (out, home) = ("2,THERE,1,HERE", "1,HERE,2,THERE");
    let later = "2023-11-14T23:13:";
    assert_eq!(
        table("positions"),
        [
            format!("posted,{day}23.000Z,3,{out},4000000,,,{sent}"),
            format!("posted,{day}25.000Z,5,{home},1000000,,,{back}"),
            format!("payment due,{day}25.000Z,5,{out},3000000,1,,{first}"),
            format!("payment reported,{day}26.000Z,6,{out},3000000,1,,{said}"),
            format!("payment missing,{day}26.000Z,6,{out},3000000,1,,{missed}"),
            format!("payment reported,{day}27.000Z,7,{out},3000000,1,,{again}"),
            format!("payment received,{day}27.000Z,7,{out},3000000,1,,{received}"),
            format!("posted,{later}31.000Z,11,{out},900000,,{session},{settled}"),
            format!("payment due,{later}32.000Z,12,{out},900000,2,,{second}"),
            format!("posted,{later}33.000Z,13,{home},5000000,,,{last}"),
            format!("owed in the end,{later}33.000Z,13,{home},5000000,,,"),
            format!("unpaid in the end,{later}33.000Z,13,{out},900000,2,,"),
        ]
    );
}

/// A node that keeps the chain of [`Pair`] and puts whatever is submitted into its next block.
async fn keeps(pair: &Arc<Mutex<Pair>>) -> String {
    let fake = Fake::default();
    let pair = Arc::clone(pair);
    fake.live(move |asked| {
        let mut pair = pair.lock().unwrap();
        let answer = match (asked.path.as_str(), asked.path.strip_prefix("/accounts/")) {
            ("/status", _) => serde_json::to_string(&pair.status(fake::status())),
            ("/transactions", _) => serde_json::to_string(&pair.submit(&asked.body)),
            ("/condominiums", _) => serde_json::to_string(&Page { items: pair.condominiums(), next: None }),
            ("/payments", _) => serde_json::to_string(&Page { items: pair.payments(), next: None }),
            (_, Some(account)) => serde_json::to_string(&pair.account(account.parse().unwrap())),
            (_, None) => return None,
        };
        Some(answer.unwrap())
    });
    fake.listen().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_settled_by_the_two_treasurers_and_by_nobody_else() {
    let mut pair = Pair::new();
    let sell = SellTokens { condominium: THERE, account: address(VISITOR), amount: tokens(20), sale: 1, payment: Hash32::ZERO };
    pair.block([(AWAY, Call::SellTokens(sell))]);
    // Whoever sells at THERE may answer for HERE as well, but not to himself.
    let both = GrantRole { condominium: HERE, role: Role::Treasurer, account: address(AWAY), from: Height(4), until: None };
    let sent = Transfer { to: address(RESIDENT), amount: tokens(4) };
    pair.block([(STAFF, Call::GrantRole(both)), (VISITOR, Call::Transfer(sent))]);
    let pair = Arc::new(Mutex::new(pair));
    let url = keeps(&pair).await;
    let [creditor, debtor, resident] = [STAFF, AWAY, RESIDENT].map(|seed| Home::of(key(seed)));
    let clearing = |home: &Home, words: &[&str]| home.watt(&url, &[&["clearing"], words, &["--yes"]].concat());
    let which = ["1", "--from", "2", "--to", "1"];
    let report = [&["report"], &which[..], &["--no-reference"]].concat();
    let [confirm, missing] = ["confirm", "missing"].map(|word| [&[word], &which[..]].concat());
    let refused = |home: &Home, words: &[&str], expected: &str| {
        let output = clearing(home, words);
        assert!(code(&output) == 5 && said(&output).contains(expected), "{words:?}: {}", said(&output));
        said(&output)
    };
    let state = || said(&clearing(&resident, &["payments"]));

    refused(&creditor, &confirm, "unknown_payment");
    let closed = clearing(&creditor, &["close", "--condominium", "1"]);
    assert!(code(&closed) == 0 && said(&closed).contains("THERE (2) has to pay 4.00 EUR to HERE (1)"), "{}", said(&closed));
    assert!(state().contains("due"), "{}", state());
    refused(&creditor, &confirm, "payment_not_reported");
    refused(&creditor, &missing, "payment_not_reported");
    // Neither a resident nor the other's treasurer says that it was sent.
    refused(&resident, &report, "not_allowed");
    refused(&creditor, &report, "not_allowed");

    let reported = clearing(&debtor, &report);
    assert!(code(&reported) == 0 && said(&reported).contains("from THERE (2) to HERE (1)"), "{}", said(&reported));
    assert!(state().contains("sent, reported"), "{}", state());
    refused(&debtor, &report, "payment_reported");
    refused(&resident, &confirm, "not_allowed");
    let alone = refused(&debtor, &confirm, "not_allowed");
    assert!(alone.contains("never by the account that reported it"), "{alone}");

    // The creditor's treasurer does not find it, and it is owed as before; the second time it is there.
    let absent = clearing(&creditor, &missing);
    assert!(code(&absent) == 0 && said(&absent).contains("missing"), "{}", said(&absent));
    assert!(state().contains("due"), "{}", state());
    assert_eq!(code(&clearing(&debtor, &report)), 0);
    let confirmed = clearing(&creditor, &confirm);
    assert_eq!(code(&confirmed), 0, "{}", said(&confirmed));
    for words in ["received", "payment of clearing 1 from THERE (2) to HERE (1)"] {
        assert!(said(&confirmed).contains(words), "{words}: {}", said(&confirmed));
    }
    assert!(state().contains("Nobody has to pay anybody."), "{}", state());
    refused(&creditor, &confirm, "unknown_payment");

    // The money took its tokens along.
    let condominiums = pair.lock().unwrap().condominiums();
    let [here, there] = [0, 1].map(|index| &condominiums[index].condominium);
    assert_eq!((here.minted, here.redeemed, there.minted, there.redeemed), (tokens(54), Amount::ZERO, tokens(20), tokens(4)));
}
