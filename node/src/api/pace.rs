//! How many requests one client may make: a bucket of requests for each network address and for each account that has signed in.
//!
//! A bucket holds a burst and fills evenly, in real time. Loopback has one like everybody else, and all that comes through one tunnel or proxy shares it.
//! Clients beyond [`MAX_CLIENTS`] at once share a bucket too, so that nobody can make this node remember without bound. Called before every route.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use chain::id::Address;

/// The most clients that have a bucket of their own.
pub const MAX_CLIENTS: usize = 10_000;

/// Who is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Client {
    /// A network address; of IPv6 the first 64 bits, which are one subscriber's.
    Network(IpAddr),
    /// An account that has signed in.
    Account(Address),
    /// All for whom there is no bucket of their own.
    Others,
}

impl Client {
    /// Whoever speaks from an address.
    pub fn at(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::Network(address.into()),
            IpAddr::V6(address) => Self::Network(IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into())),
        }
    }
}

/// The buckets.
#[derive(Debug)]
pub struct Pace {
    per_s: u32,
    burst: u32,
    buckets: Mutex<HashMap<Client, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Requests that may still be made, at `at`.
    left: f64,
    at: Instant,
}

impl Pace {
    /// So many requests a second on the average, and so many at once after a silence; 0 a second: any number.
    pub fn new(per_s: u32, burst: u32) -> Self {
        Self { per_s, burst: burst.max(1), buckets: Mutex::default() }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// How long to wait, where it was one too many.
    pub fn count(&self, client: Client, now: Instant) -> Result<(), Duration> {
        if self.per_s == 0 {
            return Ok(());
        }
        let (per_s, burst) = (f64::from(self.per_s), f64::from(self.burst));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = |bucket: &Bucket| (now.saturating_duration_since(bucket.at).as_secs_f64().mul_add(per_s, bucket.left)).min(burst);
        if buckets.len() >= MAX_CLIENTS && !buckets.contains_key(&client) {
            // A full bucket remembers nothing.
            buckets.retain(|_, bucket| filled(bucket) < burst);
        }
        let client = if buckets.len() < MAX_CLIENTS || buckets.contains_key(&client) { client } else { Client::Others };
        let bucket = buckets.entry(client).or_insert(Bucket { left: burst, at: now });
        (bucket.left, bucket.at) = (filled(bucket), now);
        if bucket.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.left) / per_s));
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_as_many_a_second_as_are_allowed_and_nobody_pays_for_another() {
        let (pace, start) = (Pace::new(2, 3), Instant::now());
        let [one, other] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(|octets| Client::at(octets.into()));
        for _ in 0..3 {
            assert_eq!(pace.count(one, start), Ok(()));
        }
        assert_eq!(pace.count(one, start), Err(Duration::from_millis(500)));
        assert_eq!(pace.count(other, start), Ok(()));
        assert_eq!(pace.count(one, start + Duration::from_millis(500)), Ok(()));
        assert!(pace.count(one, start + Duration::from_millis(501)).is_err());
        assert_eq!(Pace::new(0, 0).count(one, start), Ok(()));
    }

    #[test]
    fn clients_beyond_the_bound_share_a_bucket_until_others_have_been_silent() {
        let (pace, start) = (Pace::new(1, 2), Instant::now());
        let client = |number: u32| Client::at(IpAddr::V4(number.into()));
        for number in 0..u32::try_from(MAX_CLIENTS).unwrap() {
            assert_eq!(pace.count(client(number), start), Ok(()));
        }
        for number in 20_000..20_002 {
            assert_eq!(pace.count(client(number), start), Ok(()));
        }
        assert!(pace.count(client(20_002), start).is_err(), "the shared bucket is empty");
        assert!(pace.buckets.lock().unwrap().len() <= MAX_CLIENTS + 1);
        assert_eq!(pace.count(client(20_003), start + Duration::from_secs(5)), Ok(()));
        assert!(pace.buckets.lock().unwrap().len() < 10, "those who were silent are forgotten");
    }

    #[test]
    fn a_subscriber_of_ipv6_has_one_bucket_and_a_mapped_address_is_the_one_that_it_maps() {
        let client = |text: &str| Client::at(text.parse().unwrap());
        assert_eq!(client("2001:db8:1:2:aaaa::1"), client("2001:db8:1:2:bbbb::2"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_eq!(client("::ffff:10.0.0.1"), client("10.0.0.1"));
    }
}
