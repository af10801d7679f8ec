//! What a unit keeps in its EEPROM, and where: who it is, how it is to work, and the journal of its energy and starts.
//!
//! ```text
//!   0 … 199   provisioning, written once from outside     [`Provision`]
//! 208 … 279   configuration from the gateway              [`store_config`], [`kept_config`], [`clear_config`]
//! 288 … 1023  journal, 46 slots of 16 bytes               [`crate::Journal`]
//! ```
//! Every record ends with a CRC-32 of what is before it: one that does not fit is as good as none. The reset button reaches the configuration alone. It keeps no
//! secret from whoever opens the unit: its lock bits do. Called by [`crate::Station`], by whoever provisions, and by tests.

use crate::board::Eeprom;
use crate::config::{Host, KEPT_LEN};
use crate::meter::Calibration;
use crate::types::DeviceId;

/// How many bytes of EEPROM a unit uses.
pub const MEMORY_LEN: u16 = 1024;
/// The length of the provisioning record, from address 0.
pub const PROVISION_LEN: usize = 200;

const PROVISION_VERSION: u8 = 1;
const SSID_AT: u16 = 44;
const PASSPHRASE_AT: u16 = 77;
const SERVER_AT: u16 = 142;
const PROVISION_CRC_AT: u16 = 196;

const CONFIG_AT: u16 = 208;
const CONFIG_LEN: u16 = 68;
const _: () = assert!(KEPT_LEN == 68, "the record's length");
const CONFIG_CRC_AT: u16 = CONFIG_AT + CONFIG_LEN;

pub(crate) const JOURNAL_AT: u16 = 288;

/// What is soldered to the board.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Parts(u8);

impl Parts {
    /// Only the current sensor: a point that meters and cannot switch.
    pub const METER_ONLY: Self = Self(0);
    /// A relay.
    pub const RELAY: Self = Self(1);
    /// A card reader.
    pub const CARD_READER: Self = Self(2);
    /// A contact that closes with the plug in.
    pub const PLUG_CONTACT: Self = Self(4);
    /// A thermometer.
    pub const THERMOMETER: Self = Self(8);

    /// The parts of these bits.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// These parts and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every part of `other` is there.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Who a unit is, as far as it is kept in memory at work; the network's name and secret and the first server are read where they are needed.
#[derive(Clone)]
pub struct Provision {
    /// The device number.
    pub device: DeviceId,
    /// The device key.
    pub key: [u8; 32],
    /// What is on the board.
    pub parts: Parts,
    /// The current sensor.
    pub calibration: Calibration,
}

impl core::fmt::Debug for Provision {
    /// Without the key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Provision").field("device", &self.device).field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl Provision {
    /// Reads the record; nothing where it is damaged, of another version, or was never written.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub fn load(eeprom: &mut impl Eeprom) -> Option<Self> {
        if !is_whole(eeprom, 0, PROVISION_CRC_AT) || eeprom.read(0) != PROVISION_VERSION {
            return None;
        }
        let mut key = [0; 32];
        fill(eeprom, 5, &mut key);
        let calibration =
            Calibration { microamps_per_count: u32::from_le_bytes(array(eeprom, 38)), floor: u16::from_le_bytes(array(eeprom, 42)) };
        Some(Self { device: DeviceId(u32::from_le_bytes(array(eeprom, 1))), key, parts: Parts::from_bits(eeprom.read(37)), calibration })
    }

    /// The record as it is to be written from address 0 on; nothing where the network's name (1 to 32 bytes) or secret (up to 64) is too long, or either holds a
    /// quote, a backslash or a control character, which the modem's commands cannot carry.
    #[must_use]
    pub fn record(&self, ssid: &str, passphrase: &str, server: &Host) -> Option<[u8; PROVISION_LEN]> {
        let plain = |text: &str| text.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\'));
        if ssid.is_empty() || ssid.len() > 32 || passphrase.len() > 64 || !plain(ssid) || !plain(passphrase) {
            return None;
        }
        let mut record = [0; PROVISION_LEN];
        let mut put = |at: u16, bytes: &[u8]| put(&mut record, usize::from(at), bytes);
        put(0, &[PROVISION_VERSION]);
        put(1, &self.device.0.to_le_bytes());
        put(5, &self.key);
        put(37, &[self.parts.0]);
        put(38, &self.calibration.microamps_per_count.to_le_bytes());
        put(42, &self.calibration.floor.to_le_bytes());
        put(SSID_AT, ssid.as_bytes());
        put(PASSPHRASE_AT, passphrase.as_bytes());
        put(SERVER_AT, server.as_str().as_bytes());
        let crc = crc32(record.get(..usize::from(PROVISION_CRC_AT))?);
        self::put(&mut record, usize::from(PROVISION_CRC_AT), &crc.to_le_bytes());
        Some(record)
    }
}

/// Gives the bytes of the network's name, one by one.
pub(crate) fn ssid(eeprom: &mut impl Eeprom, sink: &mut dyn FnMut(u8)) {
    text(eeprom, SSID_AT, 32, sink);
}

/// Gives the bytes of the network's secret.
pub(crate) fn passphrase(eeprom: &mut impl Eeprom, sink: &mut dyn FnMut(u8)) {
    text(eeprom, PASSPHRASE_AT, 64, sink);
}

/// Gives the bytes of the server that the unit was provisioned with.
pub(crate) fn first_server(eeprom: &mut impl Eeprom, sink: &mut dyn FnMut(u8)) {
    text(eeprom, SERVER_AT, 48, sink);
}

#[cfg_attr(target_arch = "avr", inline(never))]
fn text(eeprom: &mut impl Eeprom, at: u16, most: u16, sink: &mut dyn FnMut(u8)) {
    for offset in 0..most {
        let byte = eeprom.read(at.wrapping_add(offset));
        if byte == 0 {
            return;
        }
        sink(byte);
    }
}

/// The configuration that was kept, as [`store_config`] got it; nothing where there is none.
pub(crate) fn kept_config(eeprom: &mut impl Eeprom) -> Option<[u8; KEPT_LEN]> {
    is_whole(eeprom, CONFIG_AT, CONFIG_LEN).then(|| array(eeprom, CONFIG_AT))
}

/// Keeps a configuration, given as what [`crate::Config::kept`] finds in an answer; writes only bytes that differ, so that the same one costs nothing. Takes up to a
/// quarter of a second.
#[cfg_attr(target_arch = "avr", inline(never))]
pub(crate) fn store_config(eeprom: &mut impl Eeprom, fields: &[u8]) {
    write(eeprom, CONFIG_AT, fields);
    write(eeprom, CONFIG_CRC_AT, &crc32(fields).to_le_bytes());
}

/// Forgets the configuration, and nothing else.
#[cfg_attr(target_arch = "avr", inline(never))]
pub(crate) fn clear_config(eeprom: &mut impl Eeprom) {
    if is_whole(eeprom, CONFIG_AT, CONFIG_LEN) {
        let first = eeprom.read(CONFIG_CRC_AT);
        eeprom.start_write(CONFIG_CRC_AT, !first);
    }
}

fn write(eeprom: &mut impl Eeprom, mut at: u16, bytes: &[u8]) {
    for byte in bytes {
        if eeprom.read(at) != *byte {
            eeprom.start_write(at, *byte);
        }
        at = at.wrapping_add(1);
    }
}

/// Whether `length` bytes from `at` on are followed by their CRC.
#[cfg_attr(target_arch = "avr", inline(never))]
fn is_whole(eeprom: &mut impl Eeprom, at: u16, length: u16) -> bool {
    let mut crc = Crc::new();
    for offset in 0..length {
        crc.add(eeprom.read(at.wrapping_add(offset)));
    }
    u32::from_le_bytes(array(eeprom, at.saturating_add(length))) == crc.value()
}

pub(crate) fn array<const N: usize>(eeprom: &mut impl Eeprom, at: u16) -> [u8; N] {
    let mut bytes = [0; N];
    fill(eeprom, at, &mut bytes);
    bytes
}

#[cfg_attr(target_arch = "avr", inline(never))]
fn fill(eeprom: &mut impl Eeprom, mut at: u16, bytes: &mut [u8]) {
    for byte in bytes {
        *byte = eeprom.read(at);
        at = at.wrapping_add(1);
    }
}

/// CRC-32 (the polynomial of Ethernet, reflected), bit by bit: records are short and a table would cost a quarter of the memory.
pub(crate) struct Crc(u32);

impl Crc {
    pub(crate) const fn new() -> Self {
        Self(u32::MAX)
    }

    pub(crate) fn add(&mut self, byte: u8) {
        let mut crc = self.0 ^ u32::from(byte);
        for _ in 0..8_u8 {
            let low = crc & 1;
            crc >>= 1;
            if low != 0 {
                crc ^= 0xedb8_8320;
            }
        }
        self.0 = crc;
    }

    pub(crate) const fn value(&self) -> u32 {
        !self.0
    }
}

pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    for byte in bytes {
        crc.add(*byte);
    }
    crc.value()
}

/// Writes bytes at a place of a record; what does not fit is left away.
#[cfg_attr(target_arch = "avr", inline(never))]
pub(crate) fn put(record: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in record.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}
