//! A DHT11 on its line: answers a long low of the host with forty bits (Aosong, DHT11 data sheet).

const CYCLES_PER_US: u64 = 16;
/// The host must hold the line low for so long, in cycles: 18 ms, with room for how often it is looked at.
const WAKE: u64 = 17_500 * CYCLES_PER_US;

/// The sensor.
#[derive(Clone, Debug)]
pub struct Dht11 {
    /// Whole degrees and tenths, °C.
    pub degrees: (u8, u8),
    /// Percent.
    pub humidity: u8,
    /// Whether there is one.
    pub connected: bool,
    low_since: Option<u64>,
    /// Levels to come, the next one last.
    edges: Vec<(u64, bool)>,
}

impl Default for Dht11 {
    fn default() -> Self {
        Self { degrees: (23, 4), humidity: 40, connected: true, low_since: None, edges: Vec::new() }
    }
}

impl Dht11 {
    /// Sees whether the host holds the line low; gives a level that the line takes now and the cycle to be called at next.
    pub fn step(&mut self, held_low: bool, cycle: u64) -> (Option<bool>, u64) {
        if held_low {
            self.low_since.get_or_insert(cycle);
            return (None, cycle + 10 * CYCLES_PER_US);
        }
        if let Some(since) = self.low_since.take()
            && cycle - since >= WAKE
            && self.connected
        {
            self.answer(cycle);
        }
        let mut level = None;
        while self.edges.last().is_some_and(|(at, _)| *at <= cycle) {
            level = self.edges.pop().map(|(_, level)| level);
        }
        (level, self.edges.last().map_or(u64::MAX, |(at, _)| *at))
    }

    fn answer(&mut self, cycle: u64) {
        let (degrees, tenths) = self.degrees;
        let sum = self.humidity.wrapping_add(degrees).wrapping_add(tenths);
        let mut at = cycle;
        let mut edges = Vec::new();
        let mut level = |us: u64, level: bool| {
            at += us * CYCLES_PER_US;
            edges.push((at, level));
        };
        level(30, false);
        level(80, true);
        level(80, false);
        for byte in [self.humidity, 0, degrees, tenths, sum] {
            for bit in (0..8).rev() {
                level(50, true);
                level(if byte >> bit & 1 == 1 { 70 } else { 27 }, false);
            }
        }
        level(50, true);
        edges.reverse();
        self.edges = edges;
    }
}
