//! A raw sample as the gateway keeps it, and the root that an attestation carries over many of them.
//!
//! # The bytes of a sample
//! 39 bytes, numbers little endian; they never change, because roots on the chain depend on them:
//! ```text
//! at_ms u64 ‖ register_wh u64 ‖ power_w u16 ‖ current_ma 3 × u16 ‖ temperature_dc i16 (−32,768: no sensor) ‖ flags u8 ‖ device u32 ‖ boot u32 ‖ number u32
//! ```
//! The fields are those of `docs/unit-protocol.md`.
//!
//! # The root
//! ```text
//! leaf = H(SampleLeaf, salt ‖ sample)      salt: 32 random bytes of the session, kept by the gateway
//! root = the ordered Merkle root over the leaves since the previous reading, in the order of their arrival
//! ```
//! A sample with the flag *end* is a leaf like any other but is not in the reading's `sample_count`. Where nothing was sampled since the previous reading,
//! the root is that of an empty list. Called by the gateway's store and state machine.

use chain::{export::sample_leaf, hash::Hash32};
use firmware_core::{DeviceId, Flags, Sample};

/// The length of an encoded sample, in bytes.
pub const SAMPLE_BYTES: usize = 39;

/// No sensor for the temperature.
const NO_TEMPERATURE: i16 = i16::MIN;

/// A sample, and where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawSample {
    /// Which unit measured it.
    pub device: DeviceId,
    /// In which of its boots.
    pub boot: u32,
    /// Its number within that boot.
    pub number: u32,
    /// What was measured.
    pub sample: Sample,
}

impl RawSample {
    /// The bytes that are kept, and hashed into the leaf.
    #[must_use]
    pub fn encode(&self) -> [u8; SAMPLE_BYTES] {
        let Sample { at_ms, register_wh, power_w, current_ma: [l1, l2, l3], temperature_dc, flags } = self.sample;
        let mut bytes = [0; SAMPLE_BYTES];
        let mut place = 0;
        let mut put = |part: &[u8]| {
            bytes[place..place + part.len()].copy_from_slice(part);
            place += part.len();
        };
        put(&at_ms.to_le_bytes());
        put(&register_wh.to_le_bytes());
        for value in [power_w, l1, l2, l3] {
            put(&value.to_le_bytes());
        }
        put(&temperature_dc.unwrap_or(NO_TEMPERATURE).to_le_bytes());
        put(&[flags.bits()]);
        for value in [self.device.0, self.boot, self.number] {
            put(&value.to_le_bytes());
        }
        bytes
    }

    /// The sample of these bytes; nothing where there are fewer or more.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != SAMPLE_BYTES {
            return None;
        }
        let mut rest = bytes;
        let at_ms = u64::from_le_bytes(take(&mut rest)?);
        let register_wh = u64::from_le_bytes(take(&mut rest)?);
        let power_w = u16::from_le_bytes(take(&mut rest)?);
        let current_ma = [u16::from_le_bytes(take(&mut rest)?), u16::from_le_bytes(take(&mut rest)?), u16::from_le_bytes(take(&mut rest)?)];
        let temperature = i16::from_le_bytes(take(&mut rest)?);
        let [flags] = take(&mut rest)?;
        let sample = Sample {
            at_ms,
            register_wh,
            power_w,
            current_ma,
            temperature_dc: (temperature != NO_TEMPERATURE).then_some(temperature),
            flags: Flags::from_bits(flags),
        };
        Some(Self {
            device: DeviceId(u32::from_le_bytes(take(&mut rest)?)),
            boot: u32::from_le_bytes(take(&mut rest)?),
            number: u32::from_le_bytes(take(&mut rest)?),
            sample,
        })
    }

    /// The leaf of the reading's root.
    #[must_use]
    pub fn leaf(&self, salt: &Hash32) -> Hash32 {
        sample_leaf(salt, &self.encode())
    }

    /// Whether the sample is in a reading's `sample_count`.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        !self.sample.flags.has(Flags::END)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (now, later) = rest.split_first_chunk::<N>()?;
    *rest = later;
    Some(*now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_survives_its_bytes_and_every_byte_of_it_is_in_the_leaf() {
        let raw = RawSample {
            device: DeviceId(0x00c0_ffee),
            boot: 7,
            number: 41,
            sample: Sample {
                at_ms: 1_763_821_800_000,
                register_wh: 123_456,
                power_w: 3_680,
                current_ma: [16_000, 1, 2],
                temperature_dc: Some(-53),
                flags: Flags::RELAY_CLOSED | Flags::END,
            },
        };
        let bytes = raw.encode();
        assert_eq!(RawSample::decode(&bytes), Some(raw));
        assert_eq!(RawSample::decode(&bytes[..38]), None);
        assert!(!raw.is_counted());
        let salt = Hash32([5; 32]);
        for place in 0..SAMPLE_BYTES {
            let mut changed = bytes;
            changed[place] ^= 1;
            assert_ne!(sample_leaf(&salt, &changed), raw.leaf(&salt), "byte {place}");
        }
        assert_ne!(raw.leaf(&Hash32([6; 32])), raw.leaf(&salt));
    }
}
