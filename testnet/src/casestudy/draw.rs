//! Three and a half months of three cars, drawn from a seed so that they could be those of Martins et al. 2019 (section 5, Table 2, Figs. 19–25).
//!
//! No event is stored in the program: from a seed come how long each charge takes and with how much power ([`shapes`]), and then when it happens ([`calendar`]).
//! Where a draw cannot be made to fit, all of it is drawn again, from the same source of numbers, so that a seed has one result. The paper's figures are
//! constants here; whether the chain's history meets them is another module's matter, which neither imports this one nor is imported by it. Called by
//! [`super`].

mod calendar;
mod shapes;

use rand::{SeedableRng as _, rngs::StdRng};

/// The cars, and the sensors at which they charge.
pub const CARS: usize = 3;

/// The sensor without a switch.
pub const UNSWITCHED: usize = 0;

/// The sensor of the driver of Figs. 21 and 22.
pub const ONE_DRIVER: usize = 1;

/// How many charges.
pub const CHARGES: usize = 300;

/// 2019-01-20 12:00 in Lisbon, ms.
pub const BEGINS_MS: u64 = 1_547_985_600_000;

/// 2019-05-12 12:00 in Lisbon, ms: summer time by then.
pub const ENDS_MS: u64 = 1_557_658_800_000;

/// How often everything is drawn again before a seed is given up.
const MAX_DRAWS: u32 = 20_000;

/// mW·ms in a watt-hour.
const MILLIWATT_MS_PER_WH: u64 = 3_600_000_000;

/// The voltage of the installation, V (Table 2, note 2).
pub const VOLTS: u64 = 230;

/// A car that comes, and what it will take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Visit {
    /// At which sensor, which is also whose car.
    pub sensor: usize,
    /// When it is plugged in, ms.
    pub comes_ms: u64,
    /// What it draws from one phase until it has all, mA.
    pub current_ma: u32,
    /// What it needs, Wh.
    pub energy_wh: u64,
    /// When it is expected to begin to draw, ms: later than it comes where it has to wait.
    pub starts_ms: u64,
}

impl Visit {
    /// For how long it draws, ms, rounded up.
    #[must_use]
    pub fn draws_for_ms(&self) -> u64 {
        (self.energy_wh * MILLIWATT_MS_PER_WH).div_ceil(u64::from(self.current_ma) * VOLTS)
    }

    /// When it is expected to have all, ms.
    #[must_use]
    pub fn ends_ms(&self) -> u64 {
        self.starts_ms + self.draws_for_ms()
    }
}

/// A charge without its time.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Shape {
    current_ma: u32,
    energy_wh: u64,
}

impl Shape {
    fn draws_for_ms(self) -> u64 {
        let Self { current_ma, energy_wh } = self;
        Visit { sensor: 0, comes_ms: 0, current_ma, energy_wh, starts_ms: 0 }.draws_for_ms()
    }
}

/// A seed from which nothing that fits could be drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("nothing that fits the paper could be drawn from seed {0}: try another one")]
pub struct Unlucky(pub u64);

/// The visits of a seed, in the order in which the cars come.
///
/// # Errors
/// [`Unlucky`], where no draw fits; none is known.
pub fn visits(seed: u64) -> Result<Vec<Visit>, Unlucky> {
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..MAX_DRAWS {
        let Some(shapes) = shapes::draw(&mut random) else { continue };
        // Shapes are dearer than days.
        for _ in 0..8 {
            if let Some(mut visits) = calendar::draw(&mut random, &shapes) {
                visits.sort_by_key(|visit| (visit.comes_ms, visit.sensor));
                return Ok(visits);
            }
        }
    }
    Err(Unlucky(seed))
}
