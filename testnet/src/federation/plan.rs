//! How a node is founded: whose clock, who acts for the condominium, which units; and what the node's configuration says of it.

use std::net::SocketAddr;

use chain::params::Params;
use contracts::genesis::GenesisRole;
use serde::Serialize;

/// Which of the policies decides who charges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// First come, first served, as much as there is.
    Fcfs,
    /// The paper's: so many places, first come first served.
    FcfsSlots { places: u32 },
}

/// Whose clock a node follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Time {
    /// Stepped by us, beginning at this instant, ms.
    Stepped { start_ms: u64 },
    /// The machine's.
    Real,
}

/// How a node is founded.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The condominium's short name.
    pub name: String,
    /// The federation's parameters.
    pub params: Params,
    /// Whose clock.
    pub time: Time,
    /// Who meters, grants and settles.
    pub staff: Staff,
    /// The units and their keys, as `units.json` lists them.
    pub units: Vec<UnitLine>,
}

/// Who acts for the condominium.
#[derive(Clone, Debug)]
pub enum Staff {
    /// The node's own gateway and scheduler.
    Node {
        /// Who charges when.
        policy: Policy,
        /// How the gateway works.
        gateway: GatewayPlan,
    },
    /// Accounts of ours, which hold these roles from the beginning; the node runs neither gateway nor scheduler.
    Ours(Vec<GenesisRole>),
}

/// What is set of the gateway.
#[derive(Clone, Copy, Debug)]
pub struct GatewayPlan {
    /// How long a unit may go on without an answer, s.
    pub lease_s: u16,
    /// How often units send, s.
    pub transmit_period_s: u16,
    /// How often units take a sample, s.
    pub sample_period_s: u16,
    /// How often a charging session is attested, s.
    pub attest_every_s: u32,
}

/// A unit in `units.json`.
#[derive(Clone, Serialize)]
pub struct UnitLine {
    /// Eight hexadecimal digits.
    pub device: String,
    /// The position of its switches.
    pub sensor: u8,
    /// Which connector.
    pub connector: String,
    /// 64 hexadecimal digits.
    pub key: String,
}

impl std::fmt::Debug for UnitLine {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnitLine").field("device", &self.device).field("connector", &self.connector).finish_non_exhaustive()
    }
}

/// `units.json`.
#[derive(Serialize)]
pub(super) struct UnitsFile<'a> {
    pub units: &'a [UnitLine],
}

/// `config.toml`.
pub(super) fn config_text(plan: &Plan, api: SocketAddr, gateway: SocketAddr, network: SocketAddr, peers: &[String]) -> String {
    let head = format!(
        "moniker = \"{name}\"\n\n# Everybody here is simulated: whoever reaches the port may read everything.\n[api]\nlisten = \"{api}\"\nreads = \"everybody\"\n# One address is all that ask.\nconnections = 2048\nconnections_per_client = 2048\n\n[network]\nlisten = \"/ip4/{address}/tcp/{port}\"\npeers = {peers:?}\n\n",
        name = plan.name,
        address = network.ip(),
        port = network.port(),
    );
    let Staff::Node { policy, gateway: settings } = &plan.staff else {
        return format!("{head}[gateway]\nenabled = false\n\n[scheduler]\nenabled = false\n");
    };
    let (policy, places) = match policy {
        Policy::Fcfs => ("fcfs", 1),
        Policy::FcfsSlots { places } => ("fcfs-slots", *places),
    };
    let GatewayPlan { lease_s, transmit_period_s, sample_period_s, attest_every_s } = settings;
    format!(
        "{head}[gateway]\nlisten = \"{gateway}\"\nlease_s = {lease_s}\ntransmit_period_s = {transmit_period_s}\nsample_period_s = {sample_period_s}\n\
         attest_every_s = {attest_every_s}\n\n[scheduler]\npolicy = \"{policy}\"\nplaces = {places}\n"
    )
}
