//! Who may charge with how much: a pure plan from what is to what should be.
//!
//! No clock, state or network. The limits of all groups hold in every plan, and so does the chain's rule that nobody is passed over without a reason; nothing
//! is taken from a session that charges, so nothing flaps. Called by the scheduler's loop and by tests.
//!
//! # Policies
//! - **`fcfs`**: in order of arrival, each session gets the most that its connector is rated for and that its groups have left on each phase, at least the minimum
//!   on every connected phase. Whoever cannot get that waits, and what he needs is kept for him: a later session gets only what does not delay him.
//! - **`fcfs-slots`** (Martins et al. 2019): a number of places; in order of arrival, each place is a full rated current. The first that cannot have one makes all
//!   later ones wait. A point without a switch has its place for good, whether anybody draws there or not: nobody can make it wait.

use std::collections::BTreeMap;

use chain::{
    id::{ConnectorId, Height, SessionId},
    receipt::SkipReason,
    record::Group,
};

/// The most sessions that one grant may pass over; the chain allows no more.
const MAX_SKIPPED: usize = 64;

/// The most groups above one another that are followed; the chain allows fewer.
const MAX_DEPTH: usize = 64;

/// How sessions are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// Maximum feasible current in order of arrival.
    Fcfs,
    /// So many places with full current, in order of arrival.
    FcfsSlots {
        /// How many may charge at once.
        places: u32,
    },
}

/// Why settings are no policy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadPolicy {
    /// No policy has this name.
    #[error("scheduler.policy: expected fcfs or fcfs-slots, found {0:?}")]
    Unknown(String),
    /// Nobody could ever charge.
    #[error("scheduler.places: fcfs-slots needs 1 or more, found 0")]
    NoPlaces,
}

impl Policy {
    /// The policy of a name as in `config.toml`.
    ///
    /// # Errors
    /// [`BadPolicy`].
    pub fn named(name: &str, places: u32) -> Result<Self, BadPolicy> {
        match name {
            "fcfs" => Ok(Self::Fcfs),
            "fcfs-slots" if places == 0 => Err(BadPolicy::NoPlaces),
            "fcfs-slots" => Ok(Self::FcfsSlots { places }),
            other => Err(BadPolicy::Unknown(other.to_owned())),
        }
    }

    /// What is wrong with this policy where so many points have no switch and so many have one: nothing, or in words that nobody at the latter ever charges.
    #[must_use]
    pub fn starves(self, unswitched: u32, switched: u32) -> Option<String> {
        match self {
            Self::FcfsSlots { places } if switched > 0 && unswitched >= places => Some(format!(
                "scheduler.places is {places}, and each point without a switch keeps one of them ({unswitched}): no car ever charges at the others ({switched})"
            )),
            Self::Fcfs | Self::FcfsSlots { .. } => None,
        }
    }
}

/// A site as it is.
#[derive(Clone, Default, Debug)]
pub struct Site {
    /// Its groups, by number.
    pub groups: BTreeMap<u32, Group>,
    /// The least current of a phase, in mA.
    pub minimum_ma: u32,
    /// Points without a switch: a place is kept for each.
    pub unswitched: u32,
}

/// A session as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Which.
    pub session: SessionId,
    /// Where.
    pub connector: ConnectorId,
    /// In which group.
    pub group: u32,
    /// What each phase of the connector is rated for, in mA; 0 where it is not connected.
    pub rated_ma: [u32; 3],
    /// Its place in the order of arrival: height and index of its opening.
    pub arrival: (Height, u32),
    /// What it has.
    pub standing: Standing,
    /// Whether its connector can serve now.
    pub available: bool,
}

/// What a session has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Nothing yet.
    Queued,
    /// Nothing any more.
    Paused,
    /// So much of each phase, in mA.
    Charging([u32; 3]),
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Plan {
    /// In this order.
    pub set_points: Vec<SetPoint>,
    /// Who waits afterwards, in order of arrival.
    pub waiting: Vec<Waiting>,
    /// How many charge afterwards, and points without a switch, which always may.
    pub charging: u32,
}

/// A change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetPoint {
    /// Of which session.
    pub session: SessionId,
    /// To how much of each phase, in mA.
    pub current_ma: [u32; 3],
    /// How.
    pub how: How,
}

/// Which call makes a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum How {
    /// A first grant, past those who wait longer in the same group, each with its reason.
    First(Vec<(SessionId, SkipReason)>),
    /// Another current for a charging session.
    Change,
    /// A paused session goes on.
    Resume,
}

/// A session that waits, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// Which.
    pub session: SessionId,
    /// Why.
    pub why: Why,
}

/// Why a session waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// All places are taken.
    Places {
        /// So many.
        places: u32,
    },
    /// A group has too little left on a phase.
    Current {
        /// Which group.
        group: u32,
        /// What is in use there, on that phase, in mA.
        used_ma: u32,
        /// Its limit on it, in mA.
        limit_ma: u32,
    },
    /// Somebody who came earlier is served first.
    Turn,
    /// The connector cannot serve now.
    Unavailable,
}

impl Why {
    /// The reason that the chain is told when somebody else goes first.
    const fn skip_reason(self) -> SkipReason {
        match self {
            Self::Places { .. } | Self::Current { .. } | Self::Turn => SkipReason::NotEnoughCurrent,
            Self::Unavailable => SkipReason::UnitLost,
        }
    }
}

/// Plans for a site; sessions in any order, those without a switch left out.
#[must_use]
pub fn plan(site: &Site, wishes: &[Wish], policy: Policy) -> Plan {
    let mut sorted: Vec<&Wish> = wishes.iter().collect();
    sorted.sort_by_key(|wish| wish.arrival);
    let busy = sorted.iter().filter(|wish| matches!(wish.standing, Standing::Charging(_))).count();
    let mut planner = Planner {
        site,
        free: Free::of(site),
        plan: Plan { charging: u32::try_from(busy).unwrap_or(u32::MAX).saturating_add(site.unswitched), ..Plan::default() },
        passed: Vec::new(),
    };
    let mut turn_is_over = false;
    for wish in sorted {
        let outcome = match (policy, wish.standing) {
            _ if !wish.available && !matches!(wish.standing, Standing::Charging(_)) => Err(Why::Unavailable),
            (Policy::Fcfs, Standing::Charging(has)) => {
                planner.raise(wish, has);
                continue;
            }
            (Policy::FcfsSlots { .. }, Standing::Charging(has)) => {
                if !turn_is_over {
                    planner.raise(wish, has);
                }
                continue;
            }
            (Policy::Fcfs, Standing::Queued | Standing::Paused) => planner.feasible(wish),
            (Policy::FcfsSlots { .. }, Standing::Queued | Standing::Paused) if turn_is_over => Err(Why::Turn),
            (Policy::FcfsSlots { places }, Standing::Queued | Standing::Paused) if planner.plan.charging >= places => {
                Err(Why::Places { places })
            }
            (Policy::FcfsSlots { .. }, Standing::Queued | Standing::Paused) => planner.full(wish),
        };
        let outcome = outcome.and_then(|current_ma| planner.start(wish, current_ma));
        if let Err(why) = outcome {
            planner.wait(wish, why);
            turn_is_over |= why != Why::Unavailable;
            if why != Why::Unavailable {
                planner.free.keep_for(site, wish);
            }
        }
    }
    planner.plan
}

struct Planner<'a> {
    site: &'a Site,
    free: Free,
    plan: Plan,
    /// Queued sessions that wait on, with their group.
    passed: Vec<(u32, Waiting)>,
}

impl Planner<'_> {
    /// Gives a charging session what it can have beyond what it has.
    fn raise(&mut self, wish: &Wish, has: [u32; 3]) {
        let room = self.free.along(self.site, wish.group);
        let target: [u32; 3] = std::array::from_fn(|phase| {
            let most = has[phase].saturating_add(room[phase]).min(wish.rated_ma[phase]).max(has[phase]);
            if most < self.site.minimum_ma { has[phase] } else { most }
        });
        if target != has {
            self.free.take(self.site, wish.group, std::array::from_fn(|phase| target[phase] - has[phase]));
            self.plan.set_points.push(SetPoint { session: wish.session, current_ma: target, how: How::Change });
        }
    }

    /// The most that a waiting session can have now: at least the minimum on every connected phase.
    fn feasible(&self, wish: &Wish) -> Result<[u32; 3], Why> {
        let room = self.free.along(self.site, wish.group);
        let current_ma: [u32; 3] = std::array::from_fn(|phase| room[phase].min(wish.rated_ma[phase]));
        let least: [u32; 3] = std::array::from_fn(|phase| self.site.minimum_ma.min(wish.rated_ma[phase]));
        if (0..3).all(|phase| current_ma[phase] >= least[phase]) { Ok(current_ma) } else { Err(self.shortage(wish, least)) }
    }

    /// The full rated current, or nothing.
    fn full(&self, wish: &Wish) -> Result<[u32; 3], Why> {
        let room = self.free.along(self.site, wish.group);
        if (0..3).all(|phase| room[phase] >= wish.rated_ma[phase]) { Ok(wish.rated_ma) } else { Err(self.shortage(wish, wish.rated_ma)) }
    }

    /// The first group on the way up that has less than `needed_ma` left.
    fn shortage(&self, wish: &Wish, needed_ma: [u32; 3]) -> Why {
        for number in path(self.site, wish.group) {
            let Some(group) = self.site.groups.get(&number) else { continue };
            let left = self.free.0.get(&number).copied().unwrap_or_default();
            if let Some(phase) = (0..3).find(|phase| left[*phase] < needed_ma[*phase]) {
                let used = |phase: usize| group.granted.ma()[phase].saturating_add(group.reserved.ma()[phase]);
                let really_left = group.limit.ma()[phase].saturating_sub(used(phase));
                // Enough is there, but it is kept for somebody who came earlier.
                if really_left >= needed_ma[phase] && self.passed.iter().any(|_| true) {
                    return Why::Turn;
                }
                return Why::Current { group: number, used_ma: used(phase), limit_ma: group.limit.ma()[phase] };
            }
        }
        Why::Turn
    }

    fn start(&mut self, wish: &Wish, current_ma: [u32; 3]) -> Result<(), Why> {
        let how = match wish.standing {
            Standing::Queued => {
                let ahead = self.passed.iter().filter(|(group, _)| *group == wish.group);
                let skipped: Vec<_> = ahead.map(|(_, waiting)| (waiting.session, waiting.why.skip_reason())).collect();
                if skipped.len() > MAX_SKIPPED {
                    return Err(Why::Turn);
                }
                How::First(skipped)
            }
            Standing::Paused | Standing::Charging(_) => How::Resume,
        };
        self.free.take(self.site, wish.group, current_ma);
        self.plan.charging = self.plan.charging.saturating_add(1);
        self.plan.set_points.push(SetPoint { session: wish.session, current_ma, how });
        Ok(())
    }

    fn wait(&mut self, wish: &Wish, why: Why) {
        let waiting = Waiting { session: wish.session, why };
        self.plan.waiting.push(waiting);
        if wish.standing == Standing::Queued {
            self.passed.push((wish.group, waiting));
        }
    }
}

/// What each group has left on each phase, in mA.
struct Free(BTreeMap<u32, [u32; 3]>);

impl Free {
    fn of(site: &Site) -> Self {
        let left = |group: &Group| {
            let (limit, granted, reserved) = (group.limit.ma(), group.granted.ma(), group.reserved.ma());
            std::array::from_fn(|phase| limit[phase].saturating_sub(granted[phase]).saturating_sub(reserved[phase]))
        };
        Self(site.groups.iter().map(|(number, group)| (*number, left(group))).collect())
    }

    /// What is left in a group and in all groups above it.
    fn along(&self, site: &Site, group: u32) -> [u32; 3] {
        let mut room = [u32::MAX; 3];
        for number in path(site, group) {
            // An unknown group has nothing.
            let left = self.0.get(&number).copied().unwrap_or_default();
            room = std::array::from_fn(|phase| room[phase].min(left[phase]));
        }
        room
    }

    fn take(&mut self, site: &Site, group: u32, current_ma: [u32; 3]) {
        for number in path(site, group) {
            if let Some(left) = self.0.get_mut(&number) {
                *left = std::array::from_fn(|phase| left[phase].saturating_sub(current_ma[phase]));
            }
        }
    }

    /// Keeps for a waiting session what it needs at least, so that nobody who came later delays it.
    fn keep_for(&mut self, site: &Site, wish: &Wish) {
        self.take(site, wish.group, wish.rated_ma.map(|rated_ma| rated_ma.min(site.minimum_ma)));
    }
}

/// A group and those above it.
fn path(site: &Site, group: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(group), |number| site.groups.get(number).and_then(|group| group.parent)).take(MAX_DEPTH)
}

#[cfg(test)]
mod tests {
    use chain::{hash::Hash32, id::CondominiumId, quantity::Currents};
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    fn group(parent: Option<u32>, limit: u32) -> Group {
        Group { parent, limit: Currents::from_ma([limit; 3]), granted: Currents::ZERO, reserved: Currents::ZERO }
    }

    fn wish(number: u32, group: u32, standing: Standing) -> Wish {
        Wish {
            session: SessionId(Hash32([u8::try_from(number).unwrap(); 32])),
            connector: ConnectorId::new(CondominiumId(1), number),
            group,
            rated_ma: [32_000; 3],
            arrival: (Height(number.into()), 0),
            standing,
            available: true,
        }
    }

    fn site(groups: &[(u32, Group)]) -> Site {
        Site { groups: groups.iter().copied().collect(), minimum_ma: 6_000, unswitched: 0 }
    }

    #[test]
    fn fcfs_gives_the_rest_to_the_last_who_gets_the_minimum_and_stops_there() {
        let site = site(&[(1, group(None, 70_000))]);
        let wishes: Vec<_> = [4, 3, 2, 1].into_iter().map(|number| wish(number, 1, Standing::Queued)).collect();
        let plan = plan(&site, &wishes, Policy::Fcfs);
        let given: Vec<_> = plan.set_points.iter().map(|point| point.current_ma[0]).collect();
        assert_eq!(given, [32_000, 32_000, 6_000]);
        assert_eq!(plan.waiting.len(), 1);
        assert_eq!(plan.waiting[0].session, wish(4, 1, Standing::Queued).session);
    }

    /// Two meters alone and two places: every car at a switch waited for ever, and nobody was told why.
    #[test]
    fn places_that_points_without_a_switch_use_up_are_told_of() {
        assert_eq!(Policy::named("fcfs-slots", 0), Err(BadPolicy::NoPlaces));
        let two = Policy::named("fcfs-slots", 2).unwrap();
        assert_eq!(two.starves(1, 3), None);
        let words = "scheduler.places is 2, and each point without a switch keeps one of them (2): no car ever charges at the others (3)";
        assert_eq!(two.starves(2, 3).as_deref(), Some(words));
        assert!(two.starves(3, 1).is_some());
        assert_eq!(two.starves(3, 0), None, "there is nobody else");
        assert_eq!(Policy::named("fcfs", 0).unwrap().starves(3, 1), None);
    }

    #[test]
    fn places_are_full_or_not_given() {
        let site = site(&[(1, group(None, 200_000))]);
        let wishes: Vec<_> = (1..=4).map(|number| wish(number, 1, Standing::Queued)).collect();
        let plan = plan(&site, &wishes, Policy::FcfsSlots { places: 2 });
        assert_eq!(plan.set_points.len(), 2);
        assert!(plan.set_points.iter().all(|point| point.current_ma == [32_000; 3] && point.how == How::First(Vec::new())));
        assert_eq!(plan.waiting.iter().map(|waiting| waiting.why).collect::<Vec<_>>(), [Why::Places { places: 2 }, Why::Turn]);
    }

    /// The paper's garage: three cars, two places, one of the three sensors without a switch.
    #[test]
    fn a_point_without_a_switch_has_its_place_whether_anybody_draws_there_or_not() {
        let site = Site { unswitched: 1, ..site(&[(1, group(None, 200_000))]) };
        let wishes = [wish(2, 1, Standing::Queued), wish(3, 1, Standing::Queued)];
        let two = plan(&site, &wishes, Policy::FcfsSlots { places: 2 });
        assert_eq!((two.set_points.len(), two.charging), (1, 2));
        assert_eq!(two.waiting, [Waiting { session: wishes[1].session, why: Why::Places { places: 2 } }]);
        let one = plan(&site, &wishes, Policy::FcfsSlots { places: 1 });
        assert!(one.set_points.is_empty(), "it is never counted out");
    }

    #[test]
    fn a_session_in_another_group_passes_only_where_it_delays_nobody() {
        // The first waits for its own small group; the building has just enough for it, or for it and one more.
        for (building, passes) in [(10_000, false), (12_000, true)] {
            let mut small = group(Some(1), 3_000);
            small.limit = Currents::from_ma([3_000; 3]);
            let site = site(&[(1, group(None, building)), (2, small), (3, group(Some(1), 40_000))]);
            let wishes = [wish(1, 2, Standing::Queued), wish(2, 3, Standing::Queued)];
            let plan = plan(&site, &wishes, Policy::Fcfs);
            assert_eq!(plan.set_points.len(), usize::from(passes), "building {building}");
        }
    }

    #[test]
    fn an_unavailable_connector_is_skipped_with_its_reason() {
        let site = site(&[(1, group(None, 70_000))]);
        let lost = Wish { available: false, ..wish(1, 1, Standing::Queued) };
        let plan = plan(&site, &[lost, wish(2, 1, Standing::Queued)], Policy::Fcfs);
        assert_eq!(plan.set_points[0].how, How::First(vec![(lost.session, SkipReason::UnitLost)]));
    }

    #[test]
    fn no_plan_exceeds_a_limit_takes_from_anybody_or_overtakes_in_a_group() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..2_000 {
            let mut groups: BTreeMap<u32, Group> = BTreeMap::new();
            for number in 1..=rng.random_range(1..6_u32) {
                let parent = (number > 1).then(|| rng.random_range(1..number));
                groups.insert(number, group(parent, rng.random_range(0..150_000)));
            }
            let mut site = Site { groups, minimum_ma: 6_000, unswitched: rng.random_range(0..3) };
            let last = *site.groups.keys().last().unwrap();
            let mut wishes = Vec::new();
            for number in 1..rng.random_range(1..30_u32) {
                let mut wish = wish(number, rng.random_range(1..=last), Standing::Queued);
                wish.rated_ma = [[32_000; 3], [16_000, 0, 0], [0, 20_000, 0]][rng.random_range(0..3)];
                wish.available = rng.random_bool(0.9);
                let has = wish.rated_ma.map(|rated| if rated == 0 { 0 } else { rng.random_range(6_000..=rated) });
                let room = Free::of(&site).along(&site, wish.group);
                match rng.random_range(0..3) {
                    0 if (0..3).all(|phase| has[phase] <= room[phase]) => {
                        wish.standing = Standing::Charging(has);
                        for number in path(&site.clone(), wish.group) {
                            let group = site.groups.get_mut(&number).unwrap();
                            group.granted = group.granted.checked_add(Currents::from_ma(has)).unwrap();
                        }
                    }
                    1 => wish.standing = Standing::Paused,
                    _ => {}
                }
                wishes.push(wish);
            }
            let policy = if rng.random() { Policy::Fcfs } else { Policy::FcfsSlots { places: rng.random_range(0..10) } };
            let plan = plan(&site, &wishes, policy);
            check(&site, &wishes, &plan);
            if let Policy::FcfsSlots { places } = policy {
                let busy = wishes.iter().filter(|wish| matches!(wish.standing, Standing::Charging(_))).count();
                assert!(plan.charging <= places.max(u32::try_from(busy).unwrap() + site.unswitched));
            }
        }
    }

    /// Carries the plan out in its order and holds every step against the chain's rules.
    fn check(site: &Site, wishes: &[Wish], plan: &Plan) {
        let mut site = site.clone();
        let mut queued: Vec<&Wish> = wishes.iter().filter(|wish| wish.standing == Standing::Queued).collect();
        queued.sort_by_key(|wish| wish.arrival);
        for point in &plan.set_points {
            let wish = wishes.iter().find(|wish| wish.session == point.session).unwrap();
            let has = if let Standing::Charging(has) = wish.standing { has } else { [0; 3] };
            for ((gets, had), rated) in point.current_ma.into_iter().zip(has).zip(wish.rated_ma) {
                assert!(gets >= had, "taken from {wish:?}");
                assert!(gets <= rated);
                assert!(rated == 0 || gets >= site.minimum_ma);
            }
            for number in path(&site.clone(), wish.group) {
                let group = site.groups.get_mut(&number).unwrap();
                let more: [u32; 3] = std::array::from_fn(|phase| point.current_ma[phase] - has[phase]);
                group.granted = group.granted.checked_add(Currents::from_ma(more)).unwrap();
                assert!(group.granted.fits(group.limit), "group {number} exceeds its limit");
            }
            if let How::First(skipped) = &point.how {
                let ahead: Vec<_> = queued
                    .iter()
                    .filter(|other| other.group == wish.group && other.arrival < wish.arrival)
                    .map(|other| other.session)
                    .collect();
                let named: Vec<_> = skipped.iter().map(|(session, _)| *session).collect();
                assert_eq!(named, ahead, "everybody ahead in the group is named");
                queued.retain(|other| other.session != wish.session);
            }
        }
        let waiting = wishes.iter().filter(|wish| !matches!(wish.standing, Standing::Charging(_))).count();
        let started = plan.set_points.iter().filter(|point| point.how != How::Change).count();
        assert_eq!(plan.waiting.len() + started, waiting);
    }
}
