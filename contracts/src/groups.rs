//! The tree of groups: current limits over connectors, kept as sums in every group and in all groups above it.
//!
//! Two sums per group and phase: `granted` to sessions, `reserved` for points without a switch, whose sessions are therefore not in `granted`. Their total
//! never exceeds the limit: an increase that would is refused before anything is written. It decides nothing about sessions. Called by the handlers of
//! sessions, groups and connectors.

use chain::{
    code::{Code, Rejection},
    id::{CondominiumId, GroupId},
    quantity::Currents,
    record::{Group, Key},
};

use crate::{
    failure::{Failure, Fault},
    ledger::Ledger,
};

/// The most groups of a condominium.
pub const MAX_GROUPS: u32 = 256;

/// The most groups on the way from the top to a group, both included.
pub const MAX_DEPTH: u32 = 8;

/// Replaces `old` by `new` in what is granted in a group and in all above it.
///
/// A phase that does not grow is not checked, so it always succeeds where `new` is at most `old`.
///
/// # Errors
/// [`Code::UnknownGroup`]; [`Code::GroupLimit`] with the limit and what there would be, in mA, of the first phase over it, the group itself first, then
/// upwards; [`Code::Overflow`] beyond the range of a current. Nothing is written then. [`Fault`] where `old` was not in the sums.
pub fn occupy(ledger: &mut Ledger<'_>, condominium: CondominiumId, group: u32, old: Currents, new: Currents) -> Result<(), Failure> {
    let mut groups = path(ledger, condominium, Some(group))?;
    for (_, record) in &mut groups {
        record.granted = replaced(record.granted, old, new)?;
    }
    write_increased(ledger, condominium, &groups, grown(old, new))
}

/// A group, by number, and what is reserved in it for one point without a switch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reservation {
    pub group: u32,
    pub current: Currents,
}

/// Replaces one reservation by another in all groups that they touch; a group above both is judged by the difference.
///
/// # Errors
/// As [`occupy`].
pub(crate) fn reserve(
    ledger: &mut Ledger<'_>,
    condominium: CondominiumId,
    old: Option<Reservation>,
    new: Option<Reservation>,
) -> Result<(), Failure> {
    let current_in = |reservation: Option<Reservation>, groups: &[(u32, Group)], number: u32| match reservation {
        Some(reservation) if groups.iter().any(|(listed, _)| *listed == number) => reservation.current,
        Some(_) | None => Currents::ZERO,
    };
    let old_path = path(ledger, condominium, old.map(|reservation| reservation.group))?;
    let new_path = path(ledger, condominium, new.map(|reservation| reservation.group))?;
    let mut changed = Vec::new();
    for (number, record) in new_path.iter().chain(old_path.iter().filter(|(number, _)| new_path.iter().all(|(other, _)| other != number))) {
        let (less, more) = (current_in(old, &old_path, *number), current_in(new, &new_path, *number));
        let reserved = replaced(record.reserved, less, more)?;
        let group = Group { reserved, ..*record };
        check_limit(&group, grown(less, more))?;
        changed.push((*number, group));
    }
    // Every check is done: from here on only writes.
    for (number, group) in &changed {
        ledger.put(&Key::Group(GroupId::new(condominium, *number)), group)?;
    }
    Ok(())
}

/// A group and all groups below it, by number, ascending.
///
/// # Errors
/// [`Code::UnknownGroup`].
pub fn subtree(ledger: &Ledger<'_>, group: GroupId) -> Result<Vec<u32>, Failure> {
    let groups = all(ledger, group.condominium)?;
    if groups.iter().all(|(number, _)| *number != group.number) {
        return Err(Code::UnknownGroup.into());
    }
    Ok(below(&groups, group.number).into_iter().map(|(number, _)| number).collect())
}

/// All groups of a condominium, by number, ascending.
///
/// # Errors
/// [`Fault`] where the disk fails.
pub(crate) fn all(ledger: &Ledger<'_>, condominium: CondominiumId) -> Result<Vec<(u32, Group)>, Fault> {
    let mut prefix = Key::Group(GroupId::new(condominium, 0)).bytes();
    let number_at = prefix.len().saturating_sub(4);
    prefix.truncate(number_at);
    let rows = ledger.scan::<Group>(&prefix, MAX_GROUPS)?;
    let number = |key: &[u8]| key.get(number_at..).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(u32::from_be_bytes);
    rows.into_iter()
        .map(|(key, group)| number(&key).map(|number| (number, group)).ok_or_else(|| Fault("a group's key is cut short".to_owned())))
        .collect()
}

/// The group `top` and all below it, ascending, each with its depth below `top` (0 for itself).
pub(crate) fn below(groups: &[(u32, Group)], top: u32) -> Vec<(u32, u32)> {
    let mut found = vec![(top, 0)];
    // One level a round; the tree has at most MAX_DEPTH.
    for depth in 1..=MAX_DEPTH {
        let level: Vec<u32> = found.iter().filter(|(_, at)| depth.checked_sub(1) == Some(*at)).map(|(number, _)| *number).collect();
        let children = groups.iter().filter(|(_, group)| group.parent.is_some_and(|parent| level.contains(&parent)));
        found.extend(children.map(|(number, _)| (*number, depth)));
    }
    found.sort_unstable();
    found
}

/// A group and all above it, from the group upwards; empty for none.
///
/// # Errors
/// [`Code::UnknownGroup`]; [`Fault`] where the tree is deeper than allowed or has a hole.
pub(crate) fn path(ledger: &Ledger<'_>, condominium: CondominiumId, group: Option<u32>) -> Result<Vec<(u32, Group)>, Failure> {
    let mut groups = Vec::new();
    let mut next = group;
    while let Some(number) = next {
        if groups.len() >= MAX_DEPTH as usize {
            return Err(Fault(format!("group {condominium}-{number} is nested too deep")).into());
        }
        let Some(record) = ledger.group(GroupId::new(condominium, number))? else {
            return Err(if groups.is_empty() {
                Code::UnknownGroup.into()
            } else {
                Fault(format!("group {condominium}-{number} is missing above another")).into()
            });
        };
        next = record.parent;
        groups.push((number, record));
    }
    Ok(groups)
}

/// Checks every group's limit on the phases that grow, then writes them all.
fn write_increased(ledger: &mut Ledger<'_>, condominium: CondominiumId, groups: &[(u32, Group)], phases: [bool; 3]) -> Result<(), Failure> {
    for (_, group) in groups {
        check_limit(group, phases)?;
    }
    // Every check is done: from here on only writes.
    for (number, group) in groups {
        ledger.put(&Key::Group(GroupId::new(condominium, *number)), group)?;
    }
    Ok(())
}

/// Whether what is granted and reserved in a group fits its limit on the given phases.
///
/// # Errors
/// [`Code::GroupLimit`] with the limit and what there is, in mA, of the first phase over it.
pub(crate) fn check_limit(group: &Group, phases: [bool; 3]) -> Result<(), Rejection> {
    let sums = group.granted.ma().into_iter().zip(group.reserved.ma());
    for ((limit, (granted, reserved)), counts) in group.limit.ma().into_iter().zip(sums).zip(phases) {
        let found = u64::from(granted).saturating_add(u64::from(reserved));
        if counts && found > u64::from(limit) {
            return Err(Rejection::of(Code::GroupLimit, limit.into(), found));
        }
    }
    Ok(())
}

/// Which phases `new` has more of than `old`.
fn grown(old: Currents, new: Currents) -> [bool; 3] {
    let (Currents([old_1, old_2, old_3]), Currents([new_1, new_2, new_3])) = (old, new);
    [new_1 > old_1, new_2 > old_2, new_3 > old_3]
}

/// `sum - old + new`.
///
/// # Errors
/// [`Code::Overflow`] beyond the range of a current; [`Fault`] where `old` is not in `sum`.
pub(crate) fn replaced(sum: Currents, old: Currents, new: Currents) -> Result<Currents, Failure> {
    let rest = sum.checked_sub(old).ok_or_else(|| Fault(format!("{old:?} was not in a group's sum of {sum:?}")))?;
    rest.checked_add(new).ok_or(Failure::Reject(Rejection::new(Code::Overflow)))
}
