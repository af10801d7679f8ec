//! Messages that are not what they should be.

use chain::record::PlugSignal;
use firmware_core::{Flags, Keys, ProtocolError, SensorId, counter_ms};

use super::{KnownUnit, World, Write};

#[test]
fn tampered_foreign_and_old_messages_change_nothing() {
    let mut world = World::new(7, PlugSignal::Reported);
    world.begin(50_000_000, [16_000; 3]);
    world.sample(Flags::NONE);
    let mut body = vec![0; 1_024];
    let length = world.unit.readings_request(counter_ms(world.now_ms), &mut body).unwrap();
    body.truncate(length);
    let (known, now) = (world.known.clone(), world.now());
    let mut write = Write::default();
    for place in 0..body.len() {
        let mut changed = body.clone();
        changed[place] ^= 1;
        assert!(world.desk().readings(&known, &changed, now, &mut write).is_err(), "byte {place}");
    }
    let other = KnownUnit { keys: Keys::derive(&[8; 32]), ..known.clone() };
    assert_eq!(world.desk().readings(&other, &body, now, &mut write), Err(ProtocolError::BadTag));
    let moved = KnownUnit { sensor: SensorId::new(4).unwrap(), ..known.clone() };
    assert_eq!(world.desk().readings(&moved, &body, now, &mut write), Err(ProtocolError::SensorMismatch));
    assert!(write.is_empty());
    world.desk().readings(&known, &body, now, &mut write).unwrap();
    world.store.as_ref().unwrap().write(write).unwrap();
    world.restart();
    let again = world.desk().readings(&known, &body, now, &mut Write::default());
    assert_eq!(again, Err(ProtocolError::OldCounter), "a replay is refused across a restart");
}
