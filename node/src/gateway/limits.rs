//! Group limits, held by the gateway itself: how much current a unit may be given so that no group above it can carry more than its limit.
//!
//! The chain grants only what fits, but what it has taken back may still flow: a unit that has not asked since goes on under the lease that it holds, for as
//! long as that lasts, and a relay may be welded. Until that is over, somebody else must get less. This never gives more than the chain has granted and never
//! waits for it.
//!
//! # The rule
//! - In each group of the tree, on each phase: what others may carry + what is given now ≤ the group's committed limit.
//! - What a point of ours may carry: the leases that its unit may still hold, and what its meter shows beyond them ([`Point::load_ma`]). A point without a
//!   switch, and every point that is not ours, counts with what the chain has reserved or granted for it.
//! - Where there is too little, **the newest grant yields first**, as when the chain itself lowers a limit: whoever was granted later gets nothing of what an
//!   earlier grant needs, asked for or not. So it does not depend on who asks first.
//! - A phase of which less than the least current of a vehicle is left gives no lease at all.
//! - A unit that draws more than it was given loses its own lease (that is a fault, decided elsewhere). What it draws counts until its meter says otherwise.
//!
//! Pure: no clock, state or unit. The desk calls it for each lease.

use std::collections::BTreeMap;

use chain::{
    id::{GroupId, Height},
    quantity::Currents,
    record::Group,
};

/// The most groups above one another that are followed; the chain allows fewer.
const MAX_DEPTH: usize = 64;

/// A point that this gateway serves, as the chain and its unit show it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point {
    /// Its group.
    pub group: GroupId,
    /// What the chain counts for it in its groups per phase: granted to its session, or reserved for good, in mA.
    pub committed_ma: [u32; 3],
    /// What it may carry per phase whatever is answered from now on, in mA.
    pub load_ma: [u32; 3],
    /// Where the grant is on the chain: the newest yields first.
    pub granted: (Height, u32),
}

impl Point {
    /// Whether it may carry more than the chain counts for it.
    fn is_over(&self) -> bool {
        self.load_ma.iter().zip(self.committed_ma).any(|(load, committed)| *load > committed)
    }
}

/// The current per phase, in mA, that `asking` may be given: at most what the chain has granted it. `others` are the other points of this gateway in the same
/// condominium; `groups` is the tree with its committed limits and sums. An unknown group gives nothing.
#[must_use]
pub fn share(groups: &BTreeMap<GroupId, Group>, asking: &Point, others: impl Iterator<Item = Point> + Clone) -> [u32; 3] {
    if !groups.contains_key(&asking.group) {
        return [0; 3];
    }
    let mut share = asking.committed_ma;
    // Nobody carries more than the chain counts, and it counts no more than there is.
    let fits = |group: &Group| (0..3).all(|phase| counted(group, phase) <= u64::from(group.limit.ma()[phase]));
    if path(groups, asking.group).all(|(_, group)| fits(group)) && !others.clone().any(|other| other.is_over()) {
        return share;
    }
    for (id, group) in path(groups, asking.group) {
        let inside: Vec<Point> = others.clone().filter(|other| path(groups, other.group).any(|(above, _)| above == id)).collect();
        for (phase, share) in share.iter_mut().enumerate() {
            let ours: u64 = inside.iter().chain([asking]).map(|point| u64::from(point.committed_ma[phase])).sum();
            let foreign = counted(group, phase).saturating_sub(ours);
            let needed = |other: &Point| {
                let earlier = if other.granted < asking.granted { other.committed_ma[phase] } else { 0 };
                u64::from(other.load_ma[phase].max(earlier))
            };
            let taken: u64 = inside.iter().map(needed).sum();
            let room = u64::from(group.limit.ma()[phase]).saturating_sub(foreign).saturating_sub(taken);
            *share = (*share).min(u32::try_from(room).unwrap_or(u32::MAX));
        }
    }
    share
}

/// A share that a vehicle can use: nothing at all where a granted phase has less than `minimum_ma`.
#[must_use]
pub fn usable(share_ma: [u32; 3], granted: Currents, minimum_ma: u32) -> Option<[u32; 3]> {
    let enough = |(share, granted): (&u32, u32)| granted == 0 || *share >= minimum_ma.min(granted);
    (share_ma.iter().zip(granted.ma()).all(enough) && share_ma != [0; 3]).then_some(share_ma)
}

/// What the chain counts in a group on a phase, in mA.
fn counted(group: &Group, phase: usize) -> u64 {
    u64::from(group.granted.ma()[phase]) + u64::from(group.reserved.ma()[phase])
}

/// A group and those above it, from the group upwards.
fn path(groups: &BTreeMap<GroupId, Group>, from: GroupId) -> impl Iterator<Item = (GroupId, &Group)> {
    let mut next = Some(from);
    std::iter::from_fn(move || {
        let id = next?;
        let group = groups.get(&id)?;
        next = group.parent.map(|number| GroupId::new(id.condominium, number));
        Some((id, group))
    })
    .take(MAX_DEPTH)
}

#[cfg(test)]
mod tests;
