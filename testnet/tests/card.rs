//! The whole way of a card: bound and mandated over the API, held to a simulated unit's reader, and billed by a real node.
//!
//! It needs `wattd` beside `watt-testnet`: `./dev test` builds it, and `cargo build --workspace --bins` does.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use chain::{
    api::{AskedStartView, SessionView},
    card_order::{CardAction, CardOrder},
    crypto::address_of,
    hash::Hash32,
    id::CardId,
    quantity::Amount,
    record::{AskedStart, MandateTerms},
    time::{Duration, Timestamp},
};
use cli::{
    client::{Client, ClientError, SessionFilter},
    wallet::Wallet,
};
use contracts::call::{BindCard, Call, ConfirmStart, GrantMandate, OpenSessionByMandate};
use ed25519_dalek::SigningKey;
use firmware_core::CardOutcome;
use testnet::{
    drive::Garage,
    federation::{Place as Folder, Policy},
    provision::{self, Buyer, Opening, Site},
    rows::SourceSession,
};

const UID: [u8; 7] = [4, 0xa2, 0x24, 0x6f, 0x11, 0x22, 0x33];
const MINUTE_MS: u64 = 60_000;
/// 2020-10-05, 18:00 in Oslo.
const EVENING_MS: u64 = 1_601_913_600_000;

fn tokens(whole: u64) -> Amount {
    Amount::from_micro(whole * 1_000_000)
}

/// Brings a call into a block.
async fn commit(garage: &mut Garage, key: &SigningKey, call: Call) {
    let line = &mut garage.lines.each[0];
    let nonce = line.client.account(address_of(key)).await.unwrap().next_nonce;
    let wallet = Wallet::with_nonce(key.clone(), line.node.chain_id().unwrap(), nonce);
    let valid_until = Timestamp::from_ms(garage.now_ms).saturating_add(Duration::from_hours(1));
    let transaction = wallet.sign(call, valid_until).unwrap().unwrap();
    line.client.submit(transaction.bytes()).await.unwrap();
    garage.lines.advance(garage.now_ms).await.unwrap();
}

/// The unit posts and the node comes to rest, until the unit has an answer for the card that it shows.
async fn show(garage: &mut Garage, uid: &[u8]) -> CardOutcome {
    let now_ms = garage.now_ms;
    garage.places[0].unit.present_card(uid, now_ms).unwrap();
    for _ in 0..5 {
        garage.places[0].unit.post(now_ms).await.unwrap();
        garage.lines.advance(now_ms).await.unwrap();
        if garage.places[0].unit.card_outcome() != CardOutcome::Pending {
            break;
        }
    }
    garage.places[0].unit.card_outcome()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_starts_a_charge_without_further_action_and_what_is_left_comes_back() {
    let folder = Folder::new(None).unwrap();
    let site = Site {
        name: "CARD".to_owned(),
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
    let mut garage = provision::found(&folder, opening, None).await.unwrap();
    let (manager, resident) = {
        let node = &garage.lines.each[0].node;
        (node.key("manager").unwrap(), SigningKey::from_bytes(&testnet::resident::seeded_key(1, "resident", 0)))
    };
    let account = address_of(&resident);
    assert_eq!(account, garage.people[0].resident.address());
    let place = garage.places[0].connector;
    let condominium = place.condominium;

    let source = SourceSession {
        site: "CARD".to_owned(),
        user: "Ada".to_owned(),
        session_id: "card".to_owned(),
        plug_in_ms: garage.now_ms,
        plug_out_ms: garage.now_ms + 180 * MINUTE_MS,
        energy_wh: 6_000,
    };
    let now_ms = garage.now_ms;
    garage.places[0].unit.plug_in(&source, now_ms).unwrap();
    assert_eq!(show(&mut garage, &UID).await, CardOutcome::Refused, "nobody knows the card");

    // The manager's order brings the key to the gateway, and nobody else's.
    let key = Hash32([0x6b; 32]);
    let card = CardId::commit(&key, &UID);
    let gateway = Client::new(&garage.lines.each[0].node.gateway_url()).unwrap();
    let chain_id = garage.lines.each[0].node.chain_id().unwrap();
    let order = |key: &SigningKey, action, now_ms| {
        let order = CardOrder { chain_id, signer: address_of(key), at: Timestamp::from_ms(now_ms), condominium, card, action };
        order.sign(key).unwrap()
    };
    let refused = gateway.card_order(&order(&resident, CardAction::Keep(key), garage.now_ms)).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Problem(problem) if problem.code == "not_allowed"), "{refused}");
    assert!(gateway.card_order(&order(&manager, CardAction::Keep(key), garage.now_ms)).await.unwrap().kept);
    commit(&mut garage, &manager, Call::BindCard(BindCard { condominium, card, account: Some(account) })).await;
    assert_eq!(show(&mut garage, &UID).await, CardOutcome::Refused, "there is no mandate");

    let terms = MandateTerms {
        max_per_session: tokens(5),
        max_per_day: tokens(10),
        max_price_per_kwh: Amount::from_micro(250_000),
        max_price_per_hour: Amount::ZERO,
        expires: Timestamp::from_ms(garage.now_ms).saturating_add(Duration::from_hours(24)),
        connectors: vec![place.number],
        confirm_from: 1_000,
    };
    commit(&mut garage, &resident, Call::GrantMandate(GrantMandate { condominium, terms: terms.clone() })).await;
    assert_eq!(show(&mut garage, &UID).await, CardOutcome::Accepted);

    let client = garage.lines.each[0].client.clone();
    let filter = SessionFilter { account: Some(account), connector: Some(place), state: None };
    let open = client.sessions(filter, 10, None).await.unwrap().items;
    let [SessionView::Open { session, .. }] = open.as_slice() else { panic!("{open:?}") };
    assert_eq!((session.account, session.escrow), (account, tokens(5)));
    let mandates = client.mandates(account).await.unwrap();
    assert_eq!((&mandates[0].mandate.terms, mandates[0].used_today), (&terms, tokens(5)));
    assert_eq!(client.cards(Some(condominium), Some(account)).await.unwrap()[0].id, card);

    // The car charges what it needs, and leaves after three hours.
    for _ in 0..18 {
        garage.places[0].unit.post(garage.now_ms).await.unwrap();
        garage.now_ms += 10 * MINUTE_MS;
        let now_ms = garage.now_ms;
        garage.lines.advance(now_ms).await.unwrap();
        garage.places[0].unit.advance(now_ms).unwrap();
    }
    let now_ms = garage.now_ms;
    let drawn_wh = garage.places[0].unit.plug_out(now_ms).unwrap();
    for _ in 0..3 {
        garage.places[0].unit.post(now_ms).await.unwrap();
        garage.lines.advance(now_ms).await.unwrap();
    }
    let settled = client.sessions(filter, 10, None).await.unwrap().items;
    let [SessionView::Settled { receipt, .. }] = settled.as_slice() else { panic!("{settled:?}") };
    assert_eq!(receipt.energy.get(), drawn_wh);
    assert!(drawn_wh > 5_000, "{drawn_wh} Wh");
    assert_eq!(receipt.paid.micro(), drawn_wh * 250);
    assert_eq!(receipt.refund, tokens(5).checked_sub(receipt.paid).unwrap());
    let left = client.account(account).await.unwrap().account;
    assert_eq!((left.balance, left.held), (tokens(50).checked_sub(receipt.paid).unwrap(), Amount::ZERO));
    assert_eq!(client.mandates(account).await.unwrap()[0].used_today, receipt.paid);

    // From now on every start needs his word: the card alone takes nothing, and what he confirms is what was asked.
    let terms = MandateTerms { confirm_from: 0, expires: terms.expires, ..terms };
    commit(&mut garage, &resident, Call::GrantMandate(GrantMandate { condominium, terms })).await;
    garage.places[0].unit.plug_in(&SourceSession { plug_in_ms: now_ms, plug_out_ms: now_ms + 60 * MINUTE_MS, ..source }, now_ms).unwrap();
    assert_eq!(show(&mut garage, &UID).await, CardOutcome::Pending);
    assert_eq!(client.account(account).await.unwrap().account.held, Amount::ZERO);
    let asked = client.asked_starts(account).await.unwrap();
    let [AskedStartView { connector, start }] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((*connector, start.card, start.max_spend), (place, card, tokens(5)));
    let AskedStart { card: shown, tariff_version, max_spend, max_duration, energy_target, .. } = *start;
    let start = OpenSessionByMandate { card: shown, connector: place, tariff_version, max_spend, max_duration, energy_target };
    commit(&mut garage, &resident, Call::ConfirmStart(ConfirmStart { start })).await;
    garage.places[0].unit.post(now_ms).await.unwrap();
    assert_eq!(garage.places[0].unit.card_outcome(), CardOutcome::Accepted);
    assert_eq!(client.account(account).await.unwrap().account.held, tokens(5));
    assert!(client.asked_starts(account).await.unwrap().is_empty());
    let now_ms = garage.now_ms;
    garage.places[0].unit.plug_out(now_ms).unwrap();
    for _ in 0..3 {
        garage.places[0].unit.post(now_ms).await.unwrap();
        garage.lines.advance(now_ms).await.unwrap();
    }

    // Its owner has the key destroyed: the card is nobody's.
    let erase = order(&resident, CardAction::Erase, garage.now_ms);
    assert!(!gateway.card_order(&erase).await.unwrap().kept);
    assert_eq!(show(&mut garage, &UID).await, CardOutcome::Refused);
    garage.lines.stop().await.unwrap();
}
