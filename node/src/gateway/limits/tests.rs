//! The rule alone, by its corner cases and by random sites.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use chain::{id::CondominiumId, time::Timestamp};

use super::*;
use crate::gateway::held::Held;

const HOME: CondominiumId = CondominiumId(1);

fn group(number: u32) -> GroupId {
    GroupId::new(HOME, number)
}

/// A garage of 40 A in a house of 60 A.
fn house(granted_ma: u32) -> BTreeMap<GroupId, Group> {
    let record = |parent, limit| Group {
        parent,
        limit: Currents::from_ma([limit; 3]),
        granted: Currents::from_ma([granted_ma; 3]),
        reserved: Currents::ZERO,
    };
    BTreeMap::from([(group(1), record(None, 60_000)), (group(2), record(Some(1), 40_000))])
}

fn point(committed: u32, load: u32, height: u64) -> Point {
    Point { group: group(2), committed_ma: [committed; 3], load_ma: [load; 3], granted: (Height(height), 0) }
}

#[test]
fn what_the_chain_took_back_and_still_may_flow_is_missing_for_the_newest_grant() {
    let groups = house(32_000);
    let (asking, stale) = (point(32_000, 0, 9), point(0, 16_000, 3));
    assert_eq!(share(&groups, &asking, [stale].into_iter()), [24_000; 3]);
    let gone = Point { load_ma: [0; 3], ..stale };
    assert_eq!(share(&groups, &asking, [gone].into_iter()), [32_000; 3]);
}

#[test]
fn the_earlier_grant_is_served_in_full_before_it_asks() {
    let groups = house(32_000);
    let (early, late, stale) = (point(16_000, 0, 5), point(16_000, 0, 6), point(0, 16_000, 7));
    assert_eq!(share(&groups, &early, [late, stale].into_iter()), [16_000; 3]);
    assert_eq!(share(&groups, &late, [early, stale].into_iter()), [8_000; 3]);
}

#[test]
fn points_of_others_and_points_without_a_switch_keep_what_the_chain_counts_for_them() {
    let mut groups = house(30_000);
    if let Some(garage) = groups.get_mut(&group(2)) {
        garage.reserved = Currents::from_ma([10_000; 3]);
    }
    // 16 A are granted here and 14 A at a point that is not ours; 10 A are reserved for a meter, which shows 13 A.
    let (asking, meter) = (point(16_000, 0, 5), point(10_000, 13_000, 0));
    assert_eq!(share(&groups, &asking, [meter].into_iter()), [13_000; 3]);
}

#[test]
fn less_than_a_vehicle_can_use_on_a_granted_phase_is_no_lease() {
    let granted = Currents::from_ma([16_000, 16_000, 0]);
    assert_eq!(usable([6_000, 16_000, 0], granted, 6_000), Some([6_000, 16_000, 0]));
    assert_eq!(usable([5_999, 16_000, 0], granted, 6_000), None);
    assert_eq!(usable([0; 3], Currents::ZERO, 6_000), None);
    assert_eq!(share(&BTreeMap::new(), &point(16_000, 0, 1), std::iter::empty()), [0; 3], "an unknown group gives nothing");
}

/// A site in which grants come and go as the chain would let them, limits change, answers are lost and units are silent.
struct Site {
    rng: StdRng,
    groups: BTreeMap<GroupId, Group>,
    bays: Vec<Bay>,
    /// Granted at points that are not ours, by group.
    foreign: BTreeMap<GroupId, [u32; 3]>,
    seconds: u64,
    height: u64,
}

struct Bay {
    group: GroupId,
    committed_ma: [u32; 3],
    granted: (Height, u32),
    held: Held,
    excess_ma: [u32; 3],
}

impl Site {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut groups = BTreeMap::new();
        for number in 1..=rng.random_range(1..=6) {
            let parent = (number > 1).then(|| rng.random_range(1..number));
            let limit = Currents::from_ma(std::array::from_fn(|_| rng.random_range(10_000..100_000)));
            groups.insert(group(number), Group { parent, limit, granted: Currents::ZERO, reserved: Currents::ZERO });
        }
        let last = groups.len();
        let number = |rng: &mut StdRng| group(u32::try_from(rng.random_range(1..=last)).unwrap());
        let bays = (0..rng.random_range(2..12))
            .map(|_| Bay {
                group: number(&mut rng),
                committed_ma: [0; 3],
                granted: (Height(0), 0),
                held: Held::default(),
                excess_ma: [0; 3],
            })
            .collect();
        let mut site = Self { rng, groups, bays, foreign: BTreeMap::new(), seconds: 1_000, height: 1 };
        for (id, parent) in site.groups.clone() {
            let spare = parent.limit.ma().map(|ma| ma / 8);
            site.foreign.insert(id, spare);
        }
        site.recount();
        site.make_room();
        site
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.seconds * 1_000)
    }

    /// The sums that the chain would keep.
    fn recount(&mut self) {
        let below = |groups: &BTreeMap<GroupId, Group>, from: GroupId, id: GroupId| path(groups, from).any(|(above, _)| above == id);
        for id in self.groups.keys().copied().collect::<Vec<_>>() {
            let mut total = [0; 3];
            let ours = self.bays.iter().map(|bay| (bay.group, bay.committed_ma));
            for (from, ma) in ours.chain(self.foreign.iter().map(|(from, ma)| (*from, *ma))) {
                if below(&self.groups, from, id) {
                    total = std::array::from_fn(|phase| total[phase] + ma[phase]);
                }
            }
            self.groups.get_mut(&id).unwrap().granted = Currents::from_ma(total);
        }
    }

    fn fits(&self) -> bool {
        self.groups.values().all(|group| (0..3).all(|phase| counted(group, phase) <= u64::from(group.limit.ma()[phase])))
    }

    /// As the chain does it: the newest grants go first, then those that are not ours.
    fn make_room(&mut self) {
        while !self.fits() {
            match self.bays.iter_mut().filter(|bay| bay.committed_ma != [0; 3]).max_by_key(|bay| bay.granted) {
                Some(newest) => newest.committed_ma = [0; 3],
                None => self.foreign.clear(),
            }
            self.recount();
        }
    }

    fn point(&self, index: usize) -> Point {
        let bay = &self.bays[index];
        let load = bay.held.load_ma(self.now());
        Point {
            group: bay.group,
            committed_ma: bay.committed_ma,
            load_ma: std::array::from_fn(|phase| load[phase].max(bay.excess_ma[phase])),
            granted: bay.granted,
        }
    }

    fn grant(&mut self, index: usize) {
        let before = self.bays[index].committed_ma;
        let one = self.rng.random_range(6_000..32_000);
        self.bays[index].committed_ma = if self.rng.random_bool(0.5) { [one; 3] } else { [one, 0, 0] };
        self.recount();
        if self.fits() {
            self.height += 1;
            self.bays[index].granted = (Height(self.height), 0);
        } else {
            self.bays[index].committed_ma = before;
            self.recount();
        }
    }

    /// A unit asks; whatever it gets, no group above it may carry more than its limit afterwards. Gives whether it got something.
    fn ask(&mut self, index: usize) -> bool {
        let asking = self.point(index);
        let others: Vec<Point> = (0..self.bays.len()).filter(|other| *other != index).map(|other| self.point(other)).collect();
        let share = share(&self.groups, &asking, others.iter().copied());
        assert!(share.iter().zip(asking.committed_ma).all(|(share, committed)| *share <= committed), "never more than the chain grants");
        if others.iter().all(|other| !other.is_over()) {
            assert_eq!(share, asking.committed_ma, "where nobody carries more than he may, every grant is given in full");
        }
        let Some(given) = usable(share, Currents::from_ma(asking.committed_ma), 6_000) else { return false };
        for (id, group) in path(&self.groups, asking.group) {
            let inside: Vec<&Point> = others.iter().filter(|other| path(&self.groups, other.group).any(|(above, _)| above == id)).collect();
            for (phase, given) in given.into_iter().enumerate() {
                let ours: u64 = inside.iter().map(|other| u64::from(other.committed_ma[phase])).sum();
                let foreign = counted(group, phase) - ours - u64::from(asking.committed_ma[phase]);
                let carried: u64 = inside.iter().map(|other| u64::from(other.load_ma[phase])).sum();
                let all = foreign + carried + u64::from(given);
                assert!(
                    all <= u64::from(group.limit.ma()[phase]) || given == 0,
                    "group {id}, phase {phase}: {all} mA of {:?}",
                    group.limit
                );
            }
        }
        let now = self.now();
        self.bays[index].held.give(given, now, now.saturating_add(chain::time::Duration::from_secs(150)));
        true
    }
}

#[test]
fn whatever_happens_no_lease_takes_a_group_above_its_limit() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let (mut given, mut lowered) = (0, 0);
    for round in 0..60 {
        let mut site = Site::new(seed.wrapping_add(round));
        for _ in 0..400 {
            let index = site.rng.random_range(0..site.bays.len());
            match site.rng.random_range(0..10) {
                0 | 1 => site.grant(index),
                2 => {
                    site.bays[index].committed_ma = [0; 3];
                    site.recount();
                }
                3 => {
                    let id = *site.groups.keys().nth(site.rng.random_range(0..site.groups.len())).unwrap();
                    let limit = Currents::from_ma(std::array::from_fn(|_| site.rng.random_range(10_000..100_000)));
                    site.groups.get_mut(&id).unwrap().limit = limit;
                    site.make_room();
                }
                4 => site.bays[index].held = Held::default(),
                5 => {
                    site.bays[index].excess_ma =
                        if site.rng.random_bool(0.3) { [site.rng.random_range(1_000..40_000), 0, 0] } else { [0; 3] }
                }
                6 => site.seconds += site.rng.random_range(1..60),
                _ => {
                    let full = site.bays[index].committed_ma;
                    let got = site.ask(index);
                    given += u32::from(got);
                    lowered += u32::from(full != [0; 3] && (!got || site.bays[index].held.limit_ma(site.now()) != Some(full)));
                }
            }
        }
    }
    assert!(given > 500 && lowered > 100, "the test has seen little: {given} leases given, {lowered} lowered");
}
