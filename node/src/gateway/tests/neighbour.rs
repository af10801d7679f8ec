//! A second unit beside the world's own, at [`NEXT`].

use firmware_core::{Capabilities, DeviceId, Flags, Identity, Keys, Sample, SensorId, Unit, counter_ms};

use super::{KnownUnit, NEXT, World, Write};

/// A unit whose meter shows what the test says.
pub(super) struct Neighbour {
    known: KnownUnit,
    unit: Unit,
}

impl Neighbour {
    /// Mounts it.
    pub fn new(world: &mut World) -> Self {
        let key = [8; 32];
        let (device, sensor) = (DeviceId(10), SensorId::new(4).unwrap());
        let identity = Identity { device, sensor, capabilities: Capabilities::PLUG_SIGNAL, firmware: 1 };
        let known = KnownUnit { device, sensor, connector: NEXT, keys: Keys::derive(&key) };
        world.others.push(known.clone());
        world.restart();
        let mut unit = Unit::new(identity, &key, 1).unwrap();
        let message = unit.config_request().unwrap();
        let now = world.now();
        let mut write = Write::default();
        let answer = world.desk().config(&known, &message, now, &mut write).unwrap();
        world.store.as_ref().unwrap().write(write).unwrap();
        unit.config_answer(counter_ms(world.now_ms), &answer).unwrap();
        Self { known, unit }
    }

    /// Posts one sample with this current on L1; gives the limits of the lease in the answer.
    pub fn post(&mut self, world: &mut World, current_ma: u16) -> Option<[u16; 3]> {
        self.unit.tick(counter_ms(world.now_ms), [current_ma.into(), 0, 0]);
        let sample = Sample {
            at_ms: world.now_ms,
            register_wh: 1_000,
            power_w: current_ma / 1_000 * 230,
            current_ma: [current_ma, 0, 0],
            temperature_dc: None,
            flags: self.unit.lease().flags() | Flags::PLUG_PRESENT,
        };
        self.unit.push(&sample).unwrap();
        let mut body = vec![0; 1_024];
        let length = self.unit.readings_request(counter_ms(world.now_ms), &mut body).unwrap();
        let (known, now) = (self.known.clone(), world.now());
        let mut write = Write::default();
        let answer = world.desk().readings(&known, &body[..length], now, &mut write).unwrap();
        world.store.as_ref().unwrap().write(write).unwrap();
        let answer = self.unit.readings_answer(counter_ms(world.now_ms), &answer).unwrap();
        world.deliver();
        answer.lease.map(|grant| grant.limit_ma())
    }
}
