//! Keys of gateways and schedulers are exchanged while cars charge and while none does, and one is suspended for what it says: over real processes, by the
//! commands that people use.
//!
//! It needs `wattd` beside `watt-testnet`: `./dev test` builds it, and `cargo build --workspace --bins` does.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use chain::{
    api::{CommittedTransaction, SessionView},
    code::Code,
    crypto::address_of,
    hash::Hash32,
    id::{Address, Height, SessionId},
    quantity::{Amount, WattHours, Watts},
    receipt::{Event, Outcome, Settler},
    record::{EndReason, Fault, Role},
    time::{Duration, Timestamp},
    transaction::SignedBytes,
};
use cli::{client::SessionFilter, wallet::Wallet};
use contracts::call::{
    Attest, Call, GrantRole, OpenSession, Priority, ProveEquivocation, Reading, ReadingFlags, RegisterAccount, RevokeRole, Transaction,
};
use ed25519_dalek::SigningKey;
use testnet::{
    drive::Garage,
    federation::{Place as Folder, Policy, wattd_beside_us},
    provision::{self, Buyer, Opening, Site},
    rows::SourceSession,
};

const MINUTE_MS: u64 = 60_000;
/// 2020-10-05, 18:00 in Oslo.
const EVENING_MS: u64 = 1_601_913_600_000;

fn tokens(whole: u64) -> Amount {
    Amount::from_micro(whole * 1_000_000)
}

async fn sign(garage: &Garage, key: &SigningKey, call: Call) -> Transaction {
    let line = &garage.lines.each[0];
    let nonce = line.client.account(address_of(key)).await.unwrap().next_nonce;
    let wallet = Wallet::with_nonce(key.clone(), line.node.chain_id().unwrap(), nonce);
    wallet.sign(call, Timestamp::from_ms(garage.now_ms).saturating_add(Duration::from_hours(1))).unwrap().unwrap()
}

/// Brings a call into a block; gives what became of it.
async fn commit(garage: &mut Garage, key: &SigningKey, call: Call) -> CommittedTransaction {
    let transaction = sign(garage, key, call).await;
    garage.lines.each[0].client.submit(transaction.bytes()).await.unwrap();
    garage.lines.advance(garage.now_ms).await.unwrap();
    let view = garage.lines.each[0].client.transaction(transaction.id()).await.unwrap();
    view.committed.unwrap_or_else(|| panic!("{} is in no block", transaction.id()))
}

async fn charge(garage: &mut Garage, minutes: u64) {
    for _ in 0..minutes / 10 {
        garage.places[0].unit.post(garage.now_ms).await.unwrap();
        garage.now_ms += 10 * MINUTE_MS;
        let now_ms = garage.now_ms;
        garage.lines.advance(now_ms).await.unwrap();
        garage.places[0].unit.advance(now_ms).unwrap();
    }
    garage.places[0].unit.post(garage.now_ms).await.unwrap();
    garage.lines.advance(garage.now_ms).await.unwrap();
}

async fn nonce(garage: &Garage, account: Address) -> u64 {
    garage.lines.each[0].client.account(account).await.unwrap().next_nonce
}

async fn open(garage: &mut Garage, resident: &SigningKey) -> SessionId {
    let source = SourceSession {
        site: "ROTATE".to_owned(),
        user: "Ada".to_owned(),
        session_id: "one".to_owned(),
        plug_in_ms: garage.now_ms,
        plug_out_ms: garage.now_ms + 600 * MINUTE_MS,
        energy_wh: 30_000,
    };
    let now_ms = garage.now_ms;
    garage.places[0].unit.plug_in(&source, now_ms).unwrap();
    garage.places[0].unit.post(now_ms).await.unwrap();
    let opening = OpenSession {
        connector: garage.places[0].connector,
        tariff_version: 1,
        max_spend: tokens(20),
        max_duration: Duration::from_hours(12),
        energy_target: None,
        state_of_charge: None,
        depart_by: None,
        window: None,
        priority: Priority::None,
    };
    let committed = commit(garage, resident, Call::OpenSession(opening)).await;
    let opened = committed
        .receipt
        .events
        .iter()
        .find_map(|event| if let Event::SessionOpened { session, .. } = event { Some(*session) } else { None });
    opened.unwrap_or_else(|| panic!("{committed:?}"))
}

fn reading(session: SessionId, sequence: u64, at_ms: u64, register_wh: u64) -> Reading {
    Reading {
        session,
        sequence,
        at: Timestamp::from_ms(at_ms),
        register_wh: WattHours::new(register_wh),
        power_w: Watts::ZERO,
        flags: ReadingFlags::NONE,
        samples_root: Hash32::ZERO,
        sample_count: 0,
    }
}

/// A garage with one place, one resident, a gateway and a scheduler.
async fn found(folder: &Folder) -> Garage {
    let site = Site {
        name: "ROTATE".to_owned(),
        residents: vec![Buyer { name: "Ada".to_owned(), amount: tokens(50) }],
        limit_ma: provision::RATED_MA,
        policy: Policy::Fcfs,
        tariff: provision::one_price(Amount::from_micro(250_000)),
    };
    let opening = Opening {
        sites: vec![site],
        opens_at_ms: EVENING_MS,
        max_duration: Duration::from_hours(48),
        post_every: Duration::from_mins(10),
        visits: Vec::new(),
        seed: 1,
    };
    provision::found(folder, opening, None).await.unwrap()
}

/// What the operator does with the node's keys while it runs; gives the address that he is told.
fn key_command(garage: &Garage, what: &str, name: &str) -> String {
    let done = std::process::Command::new(wattd_beside_us().unwrap())
        .args(["key", what, name, "--data"])
        .arg(garage.lines.each[0].node.dir())
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

fn make_next(garage: &Garage, name: &str) -> SigningKey {
    let told = key_command(garage, "next", name);
    let next = garage.lines.each[0].node.key(&format!("{name}.next")).unwrap();
    assert_eq!(told, address_of(&next).to_string());
    next
}

/// What a manager's `watt admin role rotate` does: the next key first has the role too, then alone.
async fn exchange(garage: &mut Garage, role: Role, old: Address, next: Address) {
    let manager = garage.lines.each[0].node.key("manager").unwrap();
    let client = garage.lines.each[0].client.clone();
    let condominium = garage.places[0].connector.condominium;
    let register = RegisterAccount { account: next, condominium, invite: None };
    commit(garage, &manager, Call::RegisterAccount(register)).await;
    let from = Height(client.status().await.unwrap().height.0 + 2);
    commit(garage, &manager, Call::GrantRole(GrantRole { condominium, role, account: next, from, until: None })).await;
    let until = Height(client.status().await.unwrap().height.0 + 2);
    commit(garage, &manager, Call::RevokeRole(RevokeRole { condominium, role, account: old, until })).await;
}

/// Pulls the plug and lets the gateway settle; gives what was drawn.
async fn leave(garage: &mut Garage) -> u64 {
    let now_ms = garage.now_ms;
    let drawn_wh = garage.places[0].unit.plug_out(now_ms).unwrap();
    for _ in 0..3 {
        garage.places[0].unit.post(now_ms).await.unwrap();
        garage.lines.advance(now_ms).await.unwrap();
    }
    drawn_wh
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_outlives_its_gateways_key_and_a_key_that_contradicts_itself_ends_what_runs() {
    let folder = Folder::new(None).unwrap();
    let mut garage = found(&folder).await;
    let old = garage.lines.each[0].node.key("gateway").unwrap();
    let resident = SigningKey::from_bytes(&testnet::resident::seeded_key(1, "resident", 0));
    let condominium = garage.places[0].connector.condominium;
    let session = open(&mut garage, &resident).await;
    charge(&mut garage, 40).await;
    let before = nonce(&garage, address_of(&old)).await;
    assert!(before > 0, "the old key attests");

    // The operator makes the next key while the node runs; the manager gives it the role and takes it from the old one.
    let next = make_next(&garage, "gateway");
    let account = address_of(&next);
    exchange(&mut garage, Role::Gateway, address_of(&old), account).await;
    charge(&mut garage, 60).await;
    assert!(nonce(&garage, account).await > 0, "the next key attests");
    let left = nonce(&garage, address_of(&old)).await;
    let filter = SessionFilter { account: Some(address_of(&resident)), connector: None, state: None };
    let client = garage.lines.each[0].client.clone();
    let running = client.sessions(filter, 10, None).await.unwrap().items;
    let [SessionView::Open { session: running, .. }] = running.as_slice() else { panic!("{running:?}") };
    let meter = running.meter.unwrap();
    assert!(Timestamp::from_ms(garage.now_ms).since(meter.at) <= Duration::from_mins(15), "there is no gap");

    // What the old key says counts for nothing, and the answer says what to do.
    let lie = reading(session, meter.sequence + 1, garage.now_ms, meter.register.get() + 1);
    let refused = commit(&mut garage, &old, Call::Attest(Attest { readings: vec![lie] })).await;
    let told = Event::ReadingHandled { session, sequence: lie.sequence, refused: Some(Code::ReadingNotYours) };
    assert_eq!((refused.receipt.outcome, refused.receipt.events.as_slice()), (Outcome::Applied, &[told][..]));
    assert!(Code::ReadingNotYours.advice().contains("list the roles"));

    let drawn_wh = leave(&mut garage).await;
    let settled = client.sessions(filter, 10, None).await.unwrap().items;
    let [SessionView::Settled { receipt, .. }] = settled.as_slice() else { panic!("{settled:?}") };
    assert_eq!((receipt.energy.get(), receipt.paid.micro(), receipt.settled_by), (drawn_wh, drawn_wh * 250, Settler::Gateway));
    assert!(drawn_wh > 5_000, "{drawn_wh} Wh");
    assert_eq!(nonce(&garage, address_of(&old)).await, left + 1, "nothing but the lie was signed with the old key");

    // Somebody has the next key too, and says another thing about one instant: the gateway stops and settles what runs.
    let second = open(&mut garage, &resident).await;
    charge(&mut garage, 40).await;
    let mut statements = Vec::new();
    for register in [7, 8] {
        let said = Call::Attest(Attest { readings: vec![reading(second, 900, garage.now_ms, register)] });
        statements.push(SignedBytes(sign(&garage, &next, said).await.bytes().to_vec()));
    }
    let [first, other] = <[SignedBytes; 2]>::try_from(statements).unwrap();
    let proof = Call::ProveEquivocation(ProveEquivocation { condominium, first, second: other });
    assert_eq!(commit(&mut garage, &resident, proof).await.receipt.outcome, Outcome::Applied);
    let roles = client.roles(condominium).await.unwrap();
    let suspended = roles.iter().find(|view| view.account == account).and_then(|view| view.suspension).unwrap();
    assert_eq!((suspended.session, suspended.sequence, suspended.lifted_at), (second, 900, None));
    charge(&mut garage, 40).await;
    let ended = client.sessions(filter, 10, None).await.unwrap().items;
    let Some(SessionView::Settled { receipt, .. }) = ended.first() else { panic!("{ended:?}") };
    assert_eq!((receipt.session, receipt.reason, receipt.settled_by), (second, EndReason::Anomaly(Fault::MeterFault), Settler::Gateway));
    let held = client.account(address_of(&resident)).await.unwrap().account.held;
    assert_eq!(held, Amount::ZERO, "no money waits");
    garage.lines.stop().await.unwrap();
}

/// A running node read its key once and its next key once: a rotation in an idle garage, and every second one, left it without a key that had the role, and it
/// metered and scheduled nothing until it was started again.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_exchanged_and_adopted_in_an_idle_garage_again_and_again_serve_the_next_car() {
    let folder = Folder::new(None).unwrap();
    let mut garage = found(&folder).await;
    let resident = SigningKey::from_bytes(&testnet::resident::seeded_key(1, "resident", 0));
    let client = garage.lines.each[0].client.clone();
    let filter = SessionFilter { account: Some(address_of(&resident)), connector: None, state: None };
    for time in 1..=3 {
        let mut retired = Vec::new();
        let mut serving = Vec::new();
        for (role, name) in [(Role::Gateway, "gateway"), (Role::Scheduler, "scheduler")] {
            let old = address_of(&garage.lines.each[0].node.key(name).unwrap());
            let next = address_of(&make_next(&garage, name));
            exchange(&mut garage, role, old, next).await;
            assert_eq!(key_command(&garage, "adopt", name), next.to_string());
            retired.push((old, nonce(&garage, old).await));
            serving.push(next);
        }
        let session = open(&mut garage, &resident).await;
        charge(&mut garage, 40).await;
        let drawn_wh = leave(&mut garage).await;
        let sessions = client.sessions(filter, 10, None).await.unwrap().items;
        let Some(SessionView::Settled { receipt, .. }) = sessions.first() else { panic!("after rotation {time}: {sessions:?}") };
        assert_eq!((receipt.session, receipt.settled_by), (session, Settler::Gateway), "after rotation {time}");
        assert_eq!((receipt.energy.get(), receipt.paid.micro()), (drawn_wh, drawn_wh * 250), "after rotation {time}");
        assert!(drawn_wh > 2_000, "{drawn_wh} Wh");
        for account in serving {
            assert!(nonce(&garage, account).await > 0, "after rotation {time} {account} signs");
        }
        for (account, before) in retired {
            assert_eq!(nonce(&garage, account).await, before, "after rotation {time} {account} signs no more");
        }
    }
    garage.lines.stop().await.unwrap();
}
