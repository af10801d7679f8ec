//! What a session costs, reckoned as the chain will: exact, by the tariff that its owner was shown.
//!
//! It only reckons; what follows is decided elsewhere. Called by the session's metering and by its lease.

use chain::{
    quantity::{Cost, WattHours},
    record::{Connector, CostByComponent, PlugSignal, SessionState},
    tariff::TariffDimension,
    time::Timestamp,
};
use contracts::tariff::{self, Counted, Interval};

use super::{Metering, Point, Present};

impl Metering {
    /// The exact cost at a point after the last decided reading, as the chain will reckon it; nothing where it cannot be.
    pub(super) fn cost_at(&self, point: Option<Point>) -> Option<Cost> {
        let (Some(point), Some((at, register))) = (point, self.book.last) else { return Some(self.book.cost) };
        let begun = self.session.first_granted_at?;
        let energy = point.register.saturating_sub(register);
        let energy_before = register.saturating_sub(self.book.start.unwrap_or(register));
        let interval = Interval { from: at, to: point.at, energy, energy_before, begun };
        let longest = begun.saturating_add(self.session.max_duration);
        let until = match self.session.state {
            SessionState::Stopping { at, .. } => at.min(longest),
            SessionState::Queued | SessionState::Charging | SessionState::Paused | SessionState::Idle => longest,
        };
        let granted = self.times.as_ref().map_or(&[][..], |times| times.granted.as_slice());
        let counted = Counted { granted, idle_since: self.idle_since(), until };
        let added = tariff::interval_cost(&self.tariff, &interval, &counted).ok()?;
        let mut cost = self.book.cost.checked_add(added.total()?)?;
        if energy_before.is_zero() && !energy.is_zero() {
            cost = cost.checked_add(self.flat()?)?;
        }
        Some(cost)
    }

    /// What the escrow must pay at a point: the cost within the tariff's least and highest price.
    pub(super) fn due_at(&self, point: Option<Point>) -> Option<Cost> {
        let cost = CostByComponent { energy: self.cost_at(point)?, ..CostByComponent::default() };
        tariff::due(&self.tariff, &cost, self.metered(point))
    }

    /// Energy of the session up to a point.
    pub(super) fn metered(&self, point: Option<Point>) -> WattHours {
        let register = point.map(|point| point.register).or(self.book.last.map(|(_, register)| register));
        register.zip(self.book.start).map_or(WattHours::ZERO, |(register, start)| register.saturating_sub(start))
    }

    /// Whether a full vehicle that stays plugged in is counted here.
    pub(super) fn parks(&self, connector: &Connector) -> bool {
        connector.plug_signal == PlugSignal::Reported && tariff::has(&self.tariff, TariffDimension::ParkingTime)
    }

    fn idle_since(&self) -> Option<Timestamp> {
        self.times.as_ref().and_then(|times| times.idle_since).or(self.full_at)
    }

    /// Whether the vehicle is full and stays.
    pub(super) fn is_parked(&self) -> bool {
        self.session.state == SessionState::Idle || (self.full_at.is_some() && !self.is_stopping())
    }

    pub(super) fn flat(&self) -> Option<Cost> {
        tariff::flat_cost(&self.tariff, self.session.first_granted_at?).ok()
    }

    /// Whether the flat price is in the cost at this point.
    pub(super) fn flat_is_due(&self, point: Option<Point>) -> bool {
        !self.metered(point).is_zero()
    }

    /// Whether money ends the session at a point; so it does where that cannot be reckoned.
    pub(super) fn is_spent_at(&self, point: Option<Point>) -> bool {
        self.due_at(point).is_none_or(|due| tariff::is_spent(&self.tariff, due, self.session.escrow))
    }

    pub(super) fn share_is_spent(&self, point: Point, present: &Present<'_>) -> bool {
        let percent = u128::from(present.settings.attest_escrow_percent);
        if percent == 0 {
            return false;
        }
        let since = self.cost_at(Some(point)).and_then(|cost| cost.checked_sub(self.book.cost));
        let escrow = Cost::from_amount(self.session.escrow);
        since.zip(escrow).is_some_and(|(since, escrow)| since.parts().saturating_mul(100) >= escrow.parts().saturating_mul(percent))
    }

    /// The first instant after the last decided reading at which the price may change.
    pub(super) fn edge(&mut self) -> Option<Timestamp> {
        let (at, _) = self.book.last?;
        let begun = self.session.first_granted_at.unwrap_or(at);
        *self.edge.get_or_insert_with(|| tariff::next_edge(&self.tariff, begun, at).ok().flatten())
    }
}
