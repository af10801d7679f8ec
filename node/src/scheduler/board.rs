//! What waiting drivers are told: their place, why they wait and about when it is their turn.
//!
//! Words for people, made from a plan and from what sessions declare; nothing is decided by them. Called by the scheduler's loop; the API shows the result.

use chain::{
    api::QueueTicket,
    id::GroupId,
    quantity::WattHours,
    receipt::SkipReason,
    record::{Session, SessionState},
    time::{Duration, Timestamp},
};
use contracts::tariff::Zone;

use super::plan::{How, Plan, Waiting, Why, Wish};

/// The voltage with which powers are guessed, in V.
const VOLTS: u64 = 230;

/// A session beside what the plan was told of it.
#[derive(Clone, Debug)]
pub struct Known {
    /// What the plan was told.
    pub wish: Wish,
    /// Its record.
    pub session: Session,
    /// The local time at its connector, where the tariff names a zone that can be read.
    pub zone: Option<Zone>,
}

/// The tickets of everybody who waits, in order of arrival.
#[must_use]
pub fn tickets(known: &[Known], plan: &Plan, now: Timestamp) -> Vec<QueueTicket> {
    let mut ends: Vec<Timestamp> = known.iter().filter_map(|known| expected_end(known, now)).collect();
    ends.sort_unstable();
    let skipped = |waiting: &Waiting| -> Option<SkipReason> {
        plan.set_points.iter().find_map(|point| match &point.how {
            How::First(skipped) => skipped.iter().find(|(session, _)| *session == waiting.session).map(|(_, reason)| *reason),
            How::Change | How::Resume => None,
        })
    };
    let mut tickets = Vec::new();
    for (place, waiting) in plan.waiting.iter().enumerate() {
        let Some(known) = known.iter().find(|known| known.wish.session == waiting.session) else { continue };
        // As many must leave as wait before; what is not declared is not guessed.
        let expected_at = ends.get(place).copied().filter(|_| !matches!(waiting.why, Why::Unavailable));
        let position = u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1);
        tickets.push(QueueTicket {
            session: waiting.session,
            connector: known.wish.connector,
            group: GroupId::new(known.wish.connector.condominium, known.wish.group),
            position,
            since: known.session.opened_at,
            reason: reason(waiting.why, position, plan.charging, expected_at, known.zone.as_ref()),
            skipped: skipped(waiting),
            expected_at,
        });
    }
    tickets
}

fn reason(why: Why, position: u32, charging: u32, expected_at: Option<Timestamp>, zone: Option<&Zone>) -> String {
    let what = match why {
        Why::Places { places } => format!("{charging} of {places} places busy"),
        Why::Current { group, used_ma, limit_ma } => {
            format!("{} of {} A in use in group {group}", amperes(used_ma), amperes(limit_ma))
        }
        Why::Turn => "others came before you".to_owned(),
        Why::Unavailable => "your charging point cannot serve now: tell the manager".to_owned(),
    };
    let about = expected_at.and_then(|at| zone?.local(at).ok());
    let about = about.map_or_else(String::new, |local| format!(", about {:02}:{:02}", local.minute_of_day / 60, local.minute_of_day % 60));
    format!("{what}, you are {}{about}", ordinal(position))
}

/// Amperes with a decimal only where there is one.
fn amperes(ma: u32) -> String {
    let tenths = ma / 100;
    if tenths.is_multiple_of(10) { format!("{}", tenths / 10) } else { format!("{}.{}", tenths / 10, tenths % 10) }
}

fn ordinal(position: u32) -> String {
    let words = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
    let word = usize::try_from(position).ok().and_then(|position| words.get(position.checked_sub(1)?));
    word.map_or_else(|| format!("number {position}"), |word| (*word).to_owned())
}

/// When a charging session probably ends: by what it declares, and its longest duration where that is sooner.
fn expected_end(known: &Known, now: Timestamp) -> Option<Timestamp> {
    let session = &known.session;
    if session.state != SessionState::Charging {
        return None;
    }
    let metered = session.meter.map_or(WattHours::ZERO, |meter| meter.register.saturating_sub(meter.start));
    let power_w = session.meter.map(|meter| u64::from(meter.power.get())).filter(|power_w| *power_w > 0);
    let power_w = power_w.unwrap_or_else(|| session.granted.total_ma().saturating_mul(VOLTS) / 1_000).max(1);
    let by_energy = session.hints.energy_target.map(|target| {
        let left = target.saturating_sub(metered).get();
        now.saturating_add(Duration::from_secs(left.saturating_mul(3_600) / power_w))
    });
    let declared = [by_energy, session.hints.depart_by].into_iter().flatten().min()?;
    Some(declared.min(session.due).max(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_driver_reads_place_reason_and_local_time() {
        let zone = Zone::parse("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        // 2026-01-05, 20:40 UTC.
        let at = Timestamp::from_ms(1_767_645_600_000);
        assert_eq!(reason(Why::Places { places: 2 }, 1, 2, Some(at), Some(&zone)), "2 of 2 places busy, you are first, about 21:40");
        let current = Why::Current { group: 1, used_ma: 64_000, limit_ma: 64_500 };
        assert_eq!(reason(current, 12, 2, None, Some(&zone)), "64 of 64.5 A in use in group 1, you are number 12");
    }
}
