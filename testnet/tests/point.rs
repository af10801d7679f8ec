//! A meter without a switch, from the first power to the refund, in a real node: under a mandate, without one, and past its escrow.
//!
//! It needs `wattd` beside `watt-testnet`: `./dev test` builds it, and `cargo build --workspace --bins` does.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use chain::{
    api::{RelayView, SessionView},
    card_order::{CardAction, CardOrder},
    crypto::address_of,
    hash::Hash32,
    id::CardId,
    quantity::{Amount, WattHours},
    receipt::{SessionReceipt, Settler},
    record::{Control, EndReason, MandateTerms, PlugSignal},
    time::{Duration, Timestamp},
};
use cli::{
    client::{Client, SessionFilter},
    wallet::Wallet,
};
use contracts::call::{BindCard, Call, GrantMandate, PutConnector};
use ed25519_dalek::SigningKey;
use testnet::{
    drive::{Garage, Happening},
    federation::{Place as Folder, Policy},
    provision::{self, Buyer, Opening, Site},
    rows::SourceSession,
    world::{Escrow, Visit},
};

const MINUTE_MS: u64 = 60_000;
/// 2020-10-05, 18:00 in Oslo.
const EVENING_MS: u64 = 1_601_913_600_000;

fn tokens(micro: u64) -> Amount {
    Amount::from_micro(micro)
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

/// A car of three hours, with so many minutes between it and the evening's beginning.
fn visit(number: u64) -> Visit {
    let plug_in_ms = EVENING_MS + number * 300 * MINUTE_MS;
    let source = SourceSession {
        site: "POINT".to_owned(),
        user: "Ada".to_owned(),
        session_id: number.to_string(),
        plug_in_ms,
        plug_out_ms: plug_in_ms + 180 * MINUTE_MS,
        energy_wh: 6_000,
    };
    Visit { source, connector: 0, person: 0, escrow: Escrow::Maximum, stop_at_ms: None }
}

/// Goes on until the car of this visit has left and everything that follows is done; gives what it drew, Wh.
async fn drive(garage: &mut Garage, visit: usize) -> u64 {
    let mut left = false;
    while !left
        && garage.step(&mut |_, happening| left |= matches!(happening, Happening::Left { visit: gone } if *gone == visit)).await.unwrap()
    {
    }
    let now_ms = garage.now_ms;
    for _ in 0..3 {
        garage.places[0].unit.post(now_ms).await.unwrap();
        garage.lines.advance(now_ms).await.unwrap();
    }
    garage.fates[visit].drawn_wh
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meter_without_a_switch_charges_under_its_mandate_and_shows_what_is_nobodys() {
    let folder = Folder::new(None).unwrap();
    let site = Site {
        name: "POINT".to_owned(),
        residents: vec![Buyer { name: "Ada".to_owned(), amount: tokens(50_000_000) }],
        limit_ma: provision::RATED_MA,
        policy: Policy::FcfsSlots { places: 1 },
        tariff: provision::one_price(tokens(250_000)),
    };
    let opening = Opening {
        sites: vec![site],
        opens_at_ms: EVENING_MS,
        max_duration: Duration::from_hours(48),
        post_every: Duration::from_mins(10),
        visits: (0..3).map(visit).collect(),
        seed: 1,
    };
    let mut garage = provision::found(&folder, opening, None).await.unwrap();
    let manager = garage.lines.each[0].node.key("manager").unwrap();
    let resident = SigningKey::from_bytes(&testnet::resident::seeded_key(1, "resident", 0));
    let account = address_of(&resident);
    let place = garage.places[0].connector;
    let condominium = place.condominium;
    let client = garage.lines.each[0].client.clone();
    let put = PutConnector { control: Control::MeterOnly, plug_signal: PlugSignal::None, ..provision::connector(place, 1) };
    commit(&mut garage, &manager, Call::PutConnector(put)).await;
    garage.places[0].unit.remove_relay();
    let rated = client.connector(place).await.unwrap().connector.rated;
    assert_eq!(client.groups().await.unwrap()[0].group.reserved, rated, "reserved for good");

    // Nobody has said whose the point is: what the first car draws is nobody's, and everybody can see it.
    let drawn = drive(&mut garage, 0).await;
    assert!(drawn > 5_000, "{drawn} Wh");
    let point = client.connector(place).await.unwrap().connector;
    assert_eq!((point.unassigned.get(), point.last_register.get(), point.session), (drawn, drawn, None));
    let everything = SessionFilter { account: None, connector: Some(place), state: None };
    assert!(client.sessions(everything, 10, None).await.unwrap().items.is_empty());

    // The manager binds the point to an account, whose owner grants a mandate.
    let key = Hash32([0x6b; 32]);
    let card = CardId::commit_point(&key, place);
    let at = Timestamp::from_ms(garage.now_ms);
    let order = CardOrder {
        chain_id: garage.lines.each[0].node.chain_id().unwrap(),
        signer: address_of(&manager),
        at,
        condominium,
        card,
        action: CardAction::Keep(key),
    };
    let gateway = Client::new(&garage.lines.each[0].node.gateway_url()).unwrap();
    assert!(gateway.card_order(&order.sign(&manager).unwrap()).await.unwrap().kept);
    commit(&mut garage, &manager, Call::BindCard(BindCard { condominium, card, account: Some(account) })).await;
    let mut terms = MandateTerms {
        max_per_session: tokens(5_000_000),
        max_per_day: tokens(20_000_000),
        max_price_per_kwh: tokens(250_000),
        max_price_per_hour: Amount::ZERO,
        expires: at.saturating_add(Duration::from_hours(48)),
        connectors: vec![place.number],
        confirm_from: 1_001,
    };
    commit(&mut garage, &resident, Call::GrantMandate(GrantMandate { condominium, terms: terms.clone() })).await;

    // The second car: power opens, metered, settled, the rest refunded, without anybody's action.
    let drawn = drive(&mut garage, 1).await;
    let bill = newest(&client, everything).await;
    assert_eq!((bill.account, bill.energy.get(), bill.escrow), (account, drawn, tokens(5_000_000)));
    assert_eq!((bill.paid.micro(), bill.refund), (drawn * 250, bill.escrow.checked_sub(bill.paid).unwrap()));
    assert_eq!((bill.reason, bill.settled_by), (EndReason::VehicleRemoved, Settler::Gateway));
    let opened_ms = EVENING_MS + 300 * MINUTE_MS;
    assert!((opened_ms..opened_ms + 1_000).contains(&bill.opened_at.ms()), "at the first power: {}", bill.opened_at.ms());
    let after = client.connector(place).await.unwrap().connector;
    assert_eq!(after.unassigned, point.unassigned, "all of it was billed");

    // The third: 2 kWh are paid for. A meter cannot stop it; what flows on is nobody's again, and no second session takes what the first may not.
    terms.max_per_session = tokens(500_000);
    commit(&mut garage, &resident, Call::GrantMandate(GrantMandate { condominium, terms })).await;
    let before = client.account(account).await.unwrap().account.balance;
    let drawn = drive(&mut garage, 2).await;
    let bill = newest(&client, everything).await;
    assert_eq!((bill.reason, bill.paid, bill.refund), (EndReason::Money, tokens(500_000), Amount::ZERO));
    assert!((2_000..2_100).contains(&bill.energy.get()), "{:?}", bill.energy);
    let last = client.connector(place).await.unwrap().connector;
    assert_eq!(last.unassigned.get() - after.unassigned.get() + bill.energy.get(), drawn, "every Wh is somebody's or shown to be nobody's");
    let left = client.account(account).await.unwrap().account;
    assert_eq!((left.balance, left.held), (before.checked_sub(tokens(500_000)).unwrap(), Amount::ZERO));
    assert_eq!(client.sessions(everything, 10, None).await.unwrap().items.len(), 2);
    assert_eq!(WattHours::new(garage.places[0].unit.register_wh(garage.now_ms)), last.last_register);

    // What the gateway sees there now.
    let seen = client.monitor().await.unwrap();
    let [row] = seen.as_slice() else { panic!("{seen:?}") };
    let sample = row.sample.unwrap();
    assert_eq!((row.connector, row.session, sample.relay, sample.register), (place, None, RelayView::None, last.last_register));
    assert_eq!((sample.power_w.get(), row.found.as_slice()), (0, [].as_slice()), "a meter without a relay has no welded one");
    garage.lines.stop().await.unwrap();
}

/// The bill of the newest session, which is settled.
async fn newest(client: &Client, filter: SessionFilter) -> SessionReceipt {
    let sessions = client.sessions(filter, 10, None).await.unwrap().items;
    match sessions.first() {
        Some(SessionView::Settled { receipt, .. }) => *receipt,
        other => panic!("{other:?}"),
    }
}
