//! What a session costs, reckoned as the chain will: exact, by the tariff that its owner was shown.
//!
//! It only reckons; what follows is decided elsewhere. Called by the session's metering and by its lease.

use chain::{quantity::Cost, time::Timestamp};
use contracts::tariff::{self, Interval};

use super::{Metering, Point, Present};

impl Metering {
    /// The exact cost at a point after the last decided reading, as the chain will reckon it; nothing where it cannot be.
    pub(super) fn cost_at(&self, point: Option<Point>) -> Option<Cost> {
        let (Some(point), Some((at, register))) = (point, self.book.last) else { return Some(self.book.cost) };
        let energy = point.register.saturating_sub(register);
        if energy.is_zero() {
            return Some(self.book.cost);
        }
        let interval = Interval { from: at, to: point.at, energy };
        let mut cost = self.book.cost.checked_add(tariff::energy_cost(&self.tariff, &interval).ok()?)?;
        if self.book.start == Some(register) {
            cost = cost.checked_add(self.flat()?)?;
        }
        Some(cost)
    }

    pub(super) fn flat(&self) -> Option<Cost> {
        tariff::flat_cost(&self.tariff, self.session.first_granted_at?).ok()
    }

    /// Whether the flat price is in the cost at this point.
    pub(super) fn flat_is_due(&self, point: Option<Point>) -> bool {
        let register = point.map(|point| point.register).or(self.book.last.map(|(_, register)| register));
        register.zip(self.book.start).is_some_and(|(register, start)| register > start)
    }

    pub(super) fn is_spent(&self, cost: Cost) -> bool {
        Cost::from_amount(self.session.escrow).is_some_and(|escrow| cost >= escrow)
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
        *self.edge.get_or_insert_with(|| tariff::next_edge(&self.tariff, at).ok().flatten())
    }
}
