//! What a unit may let through until its next word: the lease in its answer.
//!
//! Never more current than the chain has granted and the groups have room for, never longer than the session, never more charge than the rest of the escrow
//! pays for. No lease: the relay opens. Called by the desk when it answers a unit; who holds which lease is `held`'s matter.

use chain::{
    quantity::{Cost, WattHours},
    record::{Connector, Control, CostByComponent, GrantSpan, SessionState},
    time::Duration,
};
use contracts::tariff::{self, Counted, Interval};
use firmware_core::Grant;

use super::{Metering, Present};
use crate::gateway::store::Ending;

/// mA · s · V in a watt-hour.
const MAS_VOLTS_PER_WH: u64 = 3_600_000;

impl Metering {
    /// Whether this session may let current flow at all, by everything but the room in its groups.
    pub fn may_flow(&self, connector: &Connector) -> bool {
        self.session.state == SessionState::Charging
            && self.has_begun()
            && self.book.ending == Ending::None
            && !self.book.finished
            && !self.book.frozen
            && connector.control == Control::Switched
    }

    /// What the unit may let through from now on under `limit_ma` per phase; nothing: its relay opens.
    pub fn lease(&self, connector: &Connector, limit_ma: [u32; 3], present: &Present<'_>) -> Option<Grant> {
        if !self.may_flow(connector) {
            return None;
        }
        let limit_ma = limit_ma.map(|ma| u16::try_from(ma).unwrap_or(u16::MAX));
        let total_ma: u64 = limit_ma.iter().map(|ma| u64::from(*ma)).sum();
        // The chain ends the session when its time is over; the relay need not wait for that.
        let left = present.lease().min(self.session.due.since(present.now));
        let seconds = left.ms().div_ceil(1_000).clamp(1, present.settings.lease_s.into());
        let all = total_ma.saturating_mul(seconds);
        let paid_for = self.charge_left(present, seconds, all)?;
        let amount = u32::try_from(all.min(paid_for)).unwrap_or(u32::MAX);
        Grant::new(u16::try_from(seconds).ok()?, amount, limit_ma).ok()
    }

    /// The charge in mA·s that the rest of the escrow pays for: at least one Wh past it while anything is left, so that the meter can show that it is spent.
    fn charge_left(&self, present: &Present<'_>, seconds: u64, most_mas: u64) -> Option<u64> {
        let volts = u64::from(present.settings.mains_v);
        let most = WattHours::new(most_mas.saturating_mul(volts).div_ceil(MAS_VOLTS_PER_WH));
        let escrow = Cost::from_amount(self.session.escrow)?;
        if self.due_at(self.newest)? > escrow {
            return None;
        }
        let flat = if self.flat_is_due(self.newest) { Cost::ZERO } else { self.flat()? };
        let spent = CostByComponent { energy: self.cost_at(self.newest)?, flat, ..CostByComponent::default() };
        let begun = self.session.first_granted_at?;
        let interval = Interval {
            from: present.now,
            to: present.now.saturating_add(Duration::from_secs(seconds)),
            energy: most,
            energy_before: self.metered(self.newest),
            begun,
        };
        let counted = Counted { granted: &[GrantSpan { from: begun, until: None }], idle_since: None, until: interval.to };
        let affordable = tariff::energy_within(&self.tariff, &interval, &counted, &spent, escrow).ok()?;
        if affordable >= most {
            return Some(most_mas);
        }
        let wh = affordable.get().saturating_add(1);
        Some(wh.saturating_mul(MAS_VOLTS_PER_WH).div_ceil(volts))
    }
}
