//! The unit's answers to good answers, bad answers and refusals.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic to fail")]

use firmware_core::*;

const DEVICE_KEY: [u8; 32] = [7; 32];
const NOW: u32 = 10_000;
const UTC: u64 = 1_763_821_800_000;

fn unit<const N: usize>() -> Unit<N> {
    let identity = Identity {
        device: DeviceId(9),
        sensor: SensorId::new(5).unwrap(),
        capabilities: Capabilities::PLUG_SIGNAL | Capabilities::CARD_READER,
        firmware: 1,
    };
    Unit::new(identity, &DEVICE_KEY, 1).unwrap()
}

fn keys() -> Keys {
    Keys::derive(&DEVICE_KEY)
}

fn config() -> Config {
    Config {
        server_time_ms: UTC,
        transmit_period_s: 60,
        sample_period_s: 60,
        mains_v: 230,
        phases: 3,
        rated_ma: 20_000,
        over_limit_grace_ms: 0,
        network: Network::Dynamic,
        server: Host::STAY,
    }
}

fn answer() -> ReadingsAnswer {
    ReadingsAnswer {
        server_time_ms: UTC,
        stored_sample: 0,
        card: CardOutcome::None,
        reload_config: false,
        lease: Some(Grant::new(60, 1_000_000, [32_000; 3]).unwrap()),
    }
}

fn sample(at_ms: u64, register_wh: u64) -> Sample {
    Sample { at_ms, register_wh, power_w: 3680, flags: Flags::RELAY_CLOSED, ..Sample::default() }
}

fn configured<const N: usize>() -> Unit<N> {
    let mut unit = unit();
    let request = ConfigRequest::parse(&unit.config_request().unwrap(), &keys()).unwrap();
    unit.config_answer(NOW, &config().seal(&request.head, &keys()).unwrap()).unwrap();
    unit
}

fn send<const N: usize>(unit: &mut Unit<N>, now_ms: u32) -> Vec<u8> {
    let mut body = vec![0; MAX_MESSAGE_LEN];
    let announced = unit.readings_len();
    let length = unit.readings_request(now_ms, &mut body).unwrap();
    assert_eq!(length, announced);
    body.truncate(length);
    body
}

fn head(body: &[u8]) -> Head {
    Readings::parse(body, &keys()).unwrap().head
}

fn charging() -> Unit {
    let mut unit = configured();
    let body = send(&mut unit, NOW);
    unit.readings_answer(NOW, &answer().seal(&head(&body), &keys()).unwrap()).unwrap();
    assert_eq!(unit.tick(NOW, [0; 3]), Relay::Closed);
    unit
}

#[test]
fn learns_the_time_from_the_first_answer_and_every_later_one() {
    let mut unit = configured::<60>();
    assert_eq!(unit.stamp(NOW + 5), Some(Stamp { at_ms: UTC + 5, synchronised: true }));
    let body = send(&mut unit, NOW);
    let later = ReadingsAnswer { server_time_ms: UTC + 1_000, ..answer() };
    unit.readings_answer(NOW + 10, &later.seal(&head(&body), &keys()).unwrap()).unwrap();
    assert_eq!(unit.stamp(NOW + 20).unwrap().at_ms, UTC + 1_010);

    let body = send(&mut unit, NOW);
    let earlier = ReadingsAnswer { server_time_ms: UTC, ..answer() };
    unit.readings_answer(NOW + 30, &earlier.seal(&head(&body), &keys()).unwrap()).unwrap();
    assert_eq!(unit.stamp(NOW + 40).unwrap().at_ms, UTC + 1_010, "time stands still rather than run back");
    assert_eq!(unit.stamp(NOW + 2_030).unwrap().at_ms, UTC + 2_000);
}

#[test]
fn knows_no_time_before_the_first_answer_and_doubts_it_after_a_day() {
    let mut unit = unit::<60>();
    assert_eq!(unit.stamp(NOW), None);
    let mut unit = configured::<60>();
    let day = 24 * 60 * 60 * 1000;
    assert!(unit.stamp(NOW + day - 1).unwrap().synchronised);
    assert!(!unit.stamp(NOW + day).unwrap().synchronised);
}

#[test]
fn never_closes_without_a_configuration_or_above_the_rated_current() {
    let mut unit = unit::<60>();
    let body = send(&mut unit, NOW);
    unit.readings_answer(NOW, &answer().seal(&head(&body), &keys()).unwrap()).unwrap();
    assert_eq!(unit.tick(NOW, [0; 3]), Relay::Open(Cause::NoLease));

    let mut unit = charging();
    assert_eq!(unit.tick(NOW + 1, [20_000, 0, 0]), Relay::Closed);
    assert_eq!(unit.tick(NOW + 2, [20_001, 0, 0]), Relay::Open(Cause::OverCurrent));
}

#[test]
fn takes_the_grace_from_the_configuration() {
    let mut unit = charging();
    unit.apply(Config { over_limit_grace_ms: 5_000, ..config() });
    let body = send(&mut unit, NOW);
    unit.readings_answer(NOW, &answer().seal(&head(&body), &keys()).unwrap()).unwrap();
    assert_eq!(unit.tick(NOW, [20_001, 0, 0]), Relay::Closed);
    assert_eq!(unit.tick(NOW + 4_999, [20_001, 0, 0]), Relay::Closed);
    assert_eq!(unit.tick(NOW + 5_000, [20_001, 0, 0]), Relay::Open(Cause::OverCurrent));
}

#[test]
fn opens_at_once_on_a_wrong_tag_and_on_an_answer_to_something_else() {
    let keys = keys();
    let mut unit = charging();
    let body = send(&mut unit, NOW);
    let mut forged = answer().seal(&head(&body), &keys).unwrap();
    forged[30] ^= 1;
    assert_eq!(unit.readings_answer(NOW, &forged), Err(ProtocolError::BadTag));
    assert_eq!(unit.tick(NOW, [0; 3]), Relay::Open(Cause::BadAnswer));

    let mut unit = charging();
    let old = answer().seal(&head(&send(&mut unit, NOW)), &keys).unwrap();
    unit.readings_answer(NOW, &old).unwrap();
    send(&mut unit, NOW);
    assert_eq!(unit.readings_answer(NOW, &old), Err(ProtocolError::NotOurRequest), "replayed");
    assert_eq!(unit.tick(NOW, [0; 3]), Relay::Open(Cause::BadAnswer));

    let mut unit = charging();
    let good = answer().seal(&head(&send(&mut unit, NOW)), &keys).unwrap();
    unit.readings_answer(NOW, &good).unwrap();
    assert_eq!(unit.readings_answer(NOW, &good), Err(ProtocolError::NotOurRequest), "given twice");
    assert_eq!(unit.tick(NOW, [0; 3]), Relay::Open(Cause::BadAnswer));

    let mut unit = charging();
    let request = ConfigRequest::parse(&unit.config_request().unwrap(), &keys).unwrap();
    let readings = answer().seal(&request.head, &keys).unwrap();
    assert_eq!(unit.readings_answer(NOW, &readings), Err(ProtocolError::NotOurRequest), "another kind of request");
}

#[test]
fn takes_a_configuration_only_in_answer_to_its_own_question() {
    let mut unit = charging();
    let first = ConfigRequest::parse(&unit.config_request().unwrap(), &keys()).unwrap();
    unit.config_request().unwrap();
    let late = config().seal(&first.head, &keys()).unwrap();
    assert_eq!(unit.config_answer(NOW, &late), Err(ProtocolError::NotOurRequest));
    assert_eq!(unit.tick(NOW, [0; 3]), Relay::Open(Cause::BadAnswer));

    let mut unit = charging();
    let head = head(&send(&mut unit, NOW));
    let other = config().seal(&head, &keys()).unwrap();
    assert_eq!(unit.config_answer(NOW, &other), Err(ProtocolError::NotOurRequest), "another kind of request");
    assert_eq!(unit.config_answer(NOW, &other), Err(ProtocolError::NotOurRequest), "nothing was asked");
}

#[test]
fn takes_no_answer_once_it_has_given_up_waiting() {
    let mut unit = charging();
    let late = answer().seal(&head(&send(&mut unit, NOW)), &keys()).unwrap();
    unit.refused(None);
    assert_eq!(unit.readings_answer(NOW, &late), Err(ProtocolError::NotOurRequest));
}

#[test]
fn counts_a_lease_from_when_its_request_left() {
    let mut unit = charging();
    let held_back = answer().seal(&head(&send(&mut unit, NOW)), &keys()).unwrap();
    unit.readings_answer(NOW + 59_000, &held_back).unwrap();
    assert_eq!(unit.tick(NOW + 59_999, [0; 3]), Relay::Closed);
    assert_eq!(unit.tick(NOW + 60_000, [0; 3]), Relay::Open(Cause::Expired));
}

#[test]
fn forgets_exactly_the_samples_that_are_stored() {
    let samples: Vec<Sample> = (0..10).map(|i| sample(UTC + 1_000 * i * i, 500 + 7 * i * i)).collect();
    for stored in 0..=10_u32 {
        let mut unit = configured::<60>();
        for one in &samples {
            unit.push(one).unwrap();
        }
        let body = send(&mut unit, NOW);
        let next = sample(UTC + 90_000, 2_000);
        unit.push(&next).unwrap();
        let partly = ReadingsAnswer { stored_sample: stored, ..answer() };
        unit.readings_answer(NOW, &partly.seal(&head(&body), &keys()).unwrap()).unwrap();
        let body = send(&mut unit, NOW);
        let got: Vec<(u32, Sample)> = Readings::parse(&body, &keys()).unwrap().samples().collect();
        let numbered = (1..).zip(samples.iter().copied().chain([next]));
        let expected: Vec<(u32, Sample)> = numbered.skip(stored.try_into().unwrap()).collect();
        assert_eq!(got, expected, "{stored} stored");
        assert_eq!(unit.queue().dropped(), 0);
    }
}

#[test]
fn a_restart_begins_everything_anew() {
    let card = Card::new(&[1; 4]).unwrap();
    let mut unit = charging();
    assert_eq!(unit.restart(0), Err(ProtocolError::OutOfRange));
    unit.push(&sample(UTC, 1)).unwrap();
    unit.present_card(NOW, card).unwrap();
    for status in [409, 409, 400, 400] {
        assert!(matches!(unit.refused(Some(status)), Next::Retry { .. }));
    }
    unit.restart(9).unwrap();
    let body = send(&mut unit, NOW);
    let readings = Readings::parse(&body, &keys()).unwrap();
    assert_eq!((readings.head.boot, readings.head.counter), (9, 1));
    assert_eq!((readings.numbers(), readings.presented), (None, None));
    unit.present_card(NOW, card).unwrap();
    assert_eq!(unit.push(&sample(UTC - 1, 0)), Ok(1));
    let body = send(&mut unit, NOW);
    let presented = Readings::parse(&body, &keys()).unwrap().presented;
    assert_eq!(presented, Some(Presented { tap: 1, card }));
    for status in [409, 409, 400, 400] {
        assert!(matches!(unit.refused(Some(status)), Next::Retry { .. }));
    }
    let identity = Identity { device: DeviceId(9), sensor: SensorId::new(5).unwrap(), capabilities: Capabilities::NONE, firmware: 1 };
    assert_eq!(Unit::<60>::new(identity, &DEVICE_KEY, 0).err(), Some(ProtocolError::OutOfRange));
}

#[test]
fn holds_the_lease_through_a_cut_answer_and_opens_on_one_without_lease() {
    let mut unit = charging();
    let whole = answer().seal(&head(&send(&mut unit, NOW)), &keys()).unwrap();
    assert_eq!(unit.readings_answer(NOW, &whole[..53]), Err(ProtocolError::Length));
    assert_eq!(unit.tick(NOW, [0; 3]), Relay::Closed);
    let none = ReadingsAnswer { lease: None, ..answer() };
    let none = none.seal(&head(&send(&mut unit, NOW)), &keys()).unwrap();
    unit.readings_answer(NOW, &none).unwrap();
    assert_eq!(unit.tick(NOW, [0; 3]), Relay::Open(Cause::NoLease));
}

#[test]
fn refuses_an_acknowledgement_of_samples_it_never_sent() {
    let mut unit = charging();
    unit.push(&sample(UTC, 1)).unwrap();
    let boast = ReadingsAnswer { stored_sample: 2, ..answer() };
    let boast = boast.seal(&head(&send(&mut unit, NOW)), &keys()).unwrap();
    assert_eq!(unit.readings_answer(NOW, &boast), Err(ProtocolError::OutOfRange));
    assert_eq!(unit.queue().len(), 1);
}

#[test]
fn opens_on_401_and_404_and_holds_the_lease_through_other_refusals() {
    for (status, relay) in [
        (Some(401), Relay::Open(Cause::Refused)),
        (Some(404), Relay::Open(Cause::Refused)),
        (Some(400), Relay::Closed),
        (Some(409), Relay::Closed),
        (Some(413), Relay::Closed),
        (Some(429), Relay::Closed),
        (Some(500), Relay::Closed),
        (Some(503), Relay::Closed),
        (None, Relay::Closed),
    ] {
        let mut unit = charging();
        send(&mut unit, NOW);
        unit.refused(status);
        assert_eq!(unit.tick(NOW, [0; 3]), relay, "{status:?}");
        assert_ne!(unit.tick(NOW + 60_000, [0; 3]), Relay::Closed, "{status:?}: the lease ends all the same");
    }
}

#[test]
fn waits_longer_after_each_failure_and_starts_over_after_a_success() {
    let mut unit = charging();
    let pauses: Vec<Next> = (0..6).map(|_| unit.refused(Some(503))).collect();
    assert_eq!(pauses, [5, 10, 20, 40, 60, 60].map(|after_s| Next::Retry { after_s }));
    let good = answer().seal(&head(&send(&mut unit, NOW)), &keys()).unwrap();
    unit.readings_answer(NOW, &good).unwrap();
    assert_eq!(unit.refused(None), Next::Retry { after_s: 5 });
    assert_eq!(unit.refused(Some(429)), Next::Retry { after_s: 30 });
    assert_eq!(unit.refused(Some(401)), Next::AskConfig { after_s: 60 });
    assert_eq!(unit.refused(Some(404)), Next::AskConfig { after_s: 300 });
    let request = ConfigRequest::parse(&unit.config_request().unwrap(), &keys()).unwrap();
    unit.config_answer(NOW, &config().seal(&request.head, &keys()).unwrap()).unwrap();
    assert_eq!(unit.refused(None), Next::Retry { after_s: 5 });
}

#[test]
fn takes_a_new_boot_number_at_the_third_conflict() {
    let mut unit = charging();
    unit.push(&sample(UTC, 1)).unwrap();
    assert_eq!(unit.refused(Some(409)), Next::Retry { after_s: 5 });
    assert_eq!(unit.refused(Some(409)), Next::Retry { after_s: 10 });
    assert_eq!(unit.refused(Some(409)), Next::NewBoot { after_s: 20 });
    assert_eq!(unit.restart(1), Err(ProtocolError::OutOfRange));
    unit.restart(2).unwrap();
    assert_eq!(unit.tick(NOW, [0; 3]), Relay::Open(Cause::Started));
    let head = head(&send(&mut unit, NOW));
    assert_eq!((head.boot, head.counter), (2, 1));
    assert!(unit.queue().is_empty());
}

#[test]
fn gives_up_only_after_three_refusals_in_a_row() {
    for status in [400, 409] {
        let mut unit = charging();
        for _ in 0..3 {
            unit.refused(Some(status));
            assert!(matches!(unit.refused(Some(status)), Next::Retry { .. }));
            let good = answer().seal(&head(&send(&mut unit, NOW)), &keys()).unwrap();
            unit.readings_answer(NOW, &good).unwrap();
        }
    }
}

#[test]
fn drops_what_the_gateway_cannot_read_at_the_third_refusal() {
    let mut unit = charging();
    unit.push(&sample(UTC, 1)).unwrap();
    unit.present_card(NOW, Card::new(&[1]).unwrap()).unwrap();
    unit.refused(Some(400));
    unit.refused(Some(413));
    assert_eq!(unit.queue().len(), 1);
    assert_eq!(unit.refused(Some(400)), Next::AskConfig { after_s: 20 });
    assert_eq!(Readings::parse(&send(&mut unit, NOW), &keys()).unwrap().presented, None);
    assert_eq!(unit.refused(Some(400)), Next::Retry { after_s: 40 }, "it counts anew");
    assert_eq!((unit.queue().len(), unit.queue().dropped()), (0, 1));
    assert_eq!(unit.push(&sample(UTC, 1)), Ok(2), "the gap in the numbers shows it");
}

#[test]
fn sends_a_card_until_it_is_answered_replaced_or_a_minute_old() {
    let (first, second) = (Card::new(&[1, 2, 3, 4]).unwrap(), Card::new(&[5; 10]).unwrap());
    let shown = |body: &[u8]| Readings::parse(body, &keys()).unwrap().presented;
    let reply = |unit: &mut Unit, body: &[u8], card| {
        let answer = ReadingsAnswer { card, ..answer() }.seal(&head(body), &keys()).unwrap();
        unit.readings_answer(NOW, &answer).unwrap();
    };
    let mut unit = charging();
    unit.present_card(NOW, first).unwrap();
    let lost = send(&mut unit, NOW);
    let body = send(&mut unit, NOW + 1);
    assert_eq!(shown(&lost), shown(&body), "one tap, sent twice");
    reply(&mut unit, &body, CardOutcome::Pending);
    let body = send(&mut unit, NOW + 2);
    assert_eq!(shown(&body), Some(Presented { tap: 1, card: first }));
    unit.present_card(NOW + 3, second).unwrap();
    reply(&mut unit, &body, CardOutcome::Accepted);
    let body = send(&mut unit, NOW + 4);
    assert_eq!(shown(&body), Some(Presented { tap: 2, card: second }), "the answer was for the first");
    reply(&mut unit, &body, CardOutcome::Refused);
    assert_eq!(shown(&send(&mut unit, NOW + 5)), None, "answered");

    unit.present_card(NOW + 3, second).unwrap();
    assert!(shown(&send(&mut unit, NOW + 60_002)).is_some());
    assert_eq!(shown(&send(&mut unit, NOW + 60_003)), None, "its owner has walked away");
    assert_eq!(shown(&body).unwrap().card.uid(), [5; 10]);
    assert_eq!(format!("{second:?}"), "Card(10 bytes)");
}

#[test]
fn a_full_queue_drops_the_oldest_and_keeps_the_rest_exact() {
    let mut unit = configured::<3>();
    let samples: Vec<Sample> = (0..5).map(|i| sample(UTC + 1_000 * i * i, 7 * i * i)).collect();
    for one in &samples {
        unit.push(one).unwrap();
    }
    let body = send(&mut unit, NOW);
    let got: Vec<(u32, Sample)> = Readings::parse(&body, &keys()).unwrap().samples().collect();
    assert_eq!(got, [(3, samples[2]), (4, samples[3]), (5, samples[4])]);
    assert_eq!(unit.queue().dropped(), 2);

    let mut single = configured::<1>();
    for one in &samples {
        single.push(one).unwrap();
    }
    let body = send(&mut single, NOW);
    let got: Vec<(u32, Sample)> = Readings::parse(&body, &keys()).unwrap().samples().collect();
    assert_eq!(got, [(5, samples[4])]);
}

#[test]
fn a_sample_that_cannot_follow_starts_the_queue_anew() {
    let far = [(UTC + (1 << 24), 100), (UTC, 100 + 65_536), (UTC, 99)];
    for (at_ms, register_wh) in far {
        let mut unit = configured::<60>();
        unit.push(&sample(UTC, 100)).unwrap();
        assert_eq!(unit.push(&sample(at_ms, register_wh)), Ok(2));
        let body = send(&mut unit, NOW);
        let got: Vec<(u32, Sample)> = Readings::parse(&body, &keys()).unwrap().samples().collect();
        assert_eq!(got, [(2, sample(at_ms, register_wh))]);
    }
    let mut unit = configured::<60>();
    unit.push(&sample(UTC, 100)).unwrap();
    unit.push(&sample(UTC + (1 << 24) - 1, 100 + 65_535)).unwrap();
    assert_eq!(unit.queue().len(), 2);
    assert_eq!(unit.push(&sample(UTC, 100 + 65_535)), Err(ProtocolError::Order));
    assert_eq!(unit.push(&sample(MAX_TIME_MS + 1, 0)), Err(ProtocolError::OutOfRange));
    assert_eq!(unit.queue().len(), 2);
}

#[test]
fn seals_nothing_that_could_not_be_parsed() {
    let head = Head { device: DeviceId(9), boot: 1, counter: 1 };
    let late = MAX_TIME_MS + 1;
    let refused = Err(ProtocolError::OutOfRange);
    assert_eq!(ReadingsAnswer { server_time_ms: late, ..answer() }.seal(&head, &keys()).map(drop), refused);
    assert_eq!(Config { server_time_ms: late, ..config() }.seal(&head, &keys()).map(drop), refused);
    assert_eq!(Config { phases: 4, ..config() }.seal(&head, &keys()).map(drop), refused);
    for head in [Head { boot: 0, ..head }, Head { counter: 0, ..head }] {
        assert_eq!(answer().seal(&head, &keys()).map(drop), refused);
    }
    assert_eq!(Host::new("a/b"), Err(ProtocolError::OutOfRange));
    assert_eq!(Host::new(&"a".repeat(49)), Err(ProtocolError::OutOfRange));
    assert_eq!(Host::new(&"a".repeat(48)).unwrap().as_str().len(), 48);
    assert_eq!(SensorId::new(64), Err(ProtocolError::OutOfRange));
    assert_eq!(Card::new(&[]), Err(ProtocolError::OutOfRange));
    assert_eq!(Card::new(&[0; 11]), Err(ProtocolError::OutOfRange));
}

#[test]
fn finds_the_device_of_a_request_before_it_knows_the_key() {
    let body = send(&mut configured::<60>(), NOW);
    assert_eq!(device_of(&body), Ok(DeviceId(9)));
    assert_eq!(device_of(&body[..5]), Err(ProtocolError::Length));
    assert_eq!(device_of(&[]), Err(ProtocolError::Length));
    assert_eq!(device_of(&[1; MAX_MESSAGE_LEN + 1]), Err(ProtocolError::TooLong));
    assert_eq!(device_of(&[2; 34]), Err(ProtocolError::Version));
}

#[test]
fn says_when_the_buffer_is_too_small() {
    let mut unit = configured::<60>();
    unit.push(&sample(UTC, 1)).unwrap();
    assert_eq!(unit.readings_request(NOW, &mut [0; 79]), Err(ProtocolError::BufferTooSmall));
    assert_eq!(unit.readings_request(NOW, &mut [0; 80]), Ok(80));
}

#[test]
fn error_codes_are_their_positions_and_have_names_of_their_own() {
    for (at, error) in ProtocolError::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(error.code()), at + 1);
        assert_eq!(error.to_string(), format!("{} {}", at + 1, error.name()));
        assert_eq!(ProtocolError::ALL.iter().filter(|other| other.name() == error.name()).count(), 1);
    }
}
