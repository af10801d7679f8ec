//! What an operator may choose about the gateway: one machine's matter, never the chain's.
//!
//! The section `[gateway]` of `config.toml`; unknown keys are errors. Called by the configuration and by the gateway itself.

use std::net::SocketAddr;

use firmware_core::Host;
use serde::{Deserialize, Serialize};

/// `[gateway]`: how the gateway asks, answers and attests.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// Whether this node runs one.
    pub enabled: bool,
    /// Where the units' protocol listens.
    pub listen: SocketAddr,
    /// How long a unit may go on without an answer, in s, 1 to 3,600; never more than the chain's parameter `lease`.
    pub lease_s: u16,
    /// How often units send, in s, 1 to 3,600; keep it under the lease.
    pub transmit_period_s: u16,
    /// How often units take a sample, in s, 1 to 3,600; up to 60 samples wait in a unit.
    pub sample_period_s: u16,
    /// A charging session is attested at every multiple of this since the epoch, in s, so that sessions share transactions.
    pub attest_every_s: u32,
    /// And whenever so many percent of its escrow were spent since the last reading; 0: never for that.
    pub attest_escrow_percent: u8,
    /// For how long a vehicle may take no power, in s, before it counts as full; 0: at once.
    pub full_after_s: u32,
    /// At a point without a switch a vehicle draws while its power is above this, in W: that starts a charge, and a charge is over once it stays at or below it.
    pub charging_above_w: u16,
    /// A session whose unit is hotter than this is over, in °C; 0: the unit's own limit alone.
    pub over_temperature_c: u16,
    /// A session that has drawn power for longer than this is over, in h, breaks not counted; 0: never.
    pub over_time_h: u16,
    /// A granted session whose vehicle was not plugged in after so many s is over; 0: it may wait for its longest duration.
    pub unplugged_after_s: u32,
    /// A unit whose session charges is lost after so many leases without a word; 0: never.
    pub lost_after_leases: u32,
    /// The voltage of a phase, in V, 100 to 260: what a lease in mA·s is reckoned with.
    pub mains_v: u16,
    /// How long a phase may stay above its limit before the unit opens its relay, in ms, at most 10,000.
    pub over_limit_grace_ms: u16,
    /// How many messages a second a unit may send on the average, in real time; 0: any number.
    pub unit_messages_per_s: u16,
    /// And how many more it may send at once after a silence, at least 1.
    pub unit_burst: u32,
    /// For how many days raw samples are kept, counted from when they were taken, at least 90 (so long may a reading be disputed); 0: for ever. Those of a
    /// session that is not settled always are.
    pub keep_samples_days: u32,
    /// From which score of unusualness on, 0 to 1,000, a start by a card needs its owner's confirmation, whoever the owner is; above 1,000: where his mandate
    /// wants it. The lower of both holds.
    pub confirm_from: u16,
    /// Where units send from now on, `host:port`; empty: where they send already.
    pub server: String,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from(([127, 0, 0, 1], 8421)),
            lease_s: 150,
            transmit_period_s: 60,
            sample_period_s: 60,
            attest_every_s: 15 * 60,
            attest_escrow_percent: 10,
            full_after_s: 0,
            charging_above_w: 100,
            over_temperature_c: 60,
            over_time_h: 72,
            unplugged_after_s: 15 * 60,
            lost_after_leases: 3,
            mains_v: 230,
            over_limit_grace_ms: 5_000,
            unit_messages_per_s: 20,
            unit_burst: 5_000,
            keep_samples_days: 3 * 365,
            confirm_from: u16::MAX,
            server: String::new(),
        }
    }
}

/// A setting outside its range.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("gateway.{key}: {rule}")]
pub struct BadSetting {
    /// Which.
    pub key: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

impl GatewayConfig {
    /// Whether every value is one that units and chain can live with.
    ///
    /// # Errors
    /// [`BadSetting`] names the first that is not.
    pub fn check(&self) -> Result<(), BadSetting> {
        let rules = [
            ("lease_s", (1..=3_600).contains(&self.lease_s), "1 to 3600 seconds"),
            ("transmit_period_s", (1..=3_600).contains(&self.transmit_period_s), "1 to 3600 seconds"),
            ("sample_period_s", (1..=3_600).contains(&self.sample_period_s), "1 to 3600 seconds"),
            ("attest_every_s", (1..=86_400).contains(&self.attest_every_s), "1 to 86400 seconds"),
            ("attest_escrow_percent", self.attest_escrow_percent <= 100, "0 to 100 percent"),
            ("mains_v", (100..=260).contains(&self.mains_v), "100 to 260 volts"),
            ("over_limit_grace_ms", self.over_limit_grace_ms <= 10_000, "at most 10000 milliseconds"),
            ("unit_burst", self.unit_burst > 0, "at least 1 message"),
            ("keep_samples_days", self.keep_samples_days == 0 || self.keep_samples_days >= 90, "0 for ever, or at least 90 days"),
            ("server", Host::new(&self.server).is_ok(), "host:port of letters, digits, dots and hyphens, at most 48 characters"),
        ];
        rules.into_iter().find(|(_, holds, _)| !holds).map_or(Ok(()), |(key, _, rule)| Err(BadSetting { key, rule }))
    }
}
