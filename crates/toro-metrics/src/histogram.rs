//! [`Histogram`]: how long things took, in buckets that grow fourfold.

use core::sync::atomic::{AtomicU64, Ordering};

/// The upper bounds of the buckets but the last, in microseconds.
pub const BOUNDS_US: [u64; 12] = [
    1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304,
];

/// Durations counted by one core, and read by any.
///
/// Only its own core adds, so adding is a load and a store. A reader on another core may see an addition half done: its
/// count without its sum.
#[derive(Debug)]
pub struct Histogram {
    /// One bucket for each bound, and one for what is longer.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    /// Nothing counted yet.
    pub const fn new() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BOUNDS_US.len() + 1],
            sum_ns: AtomicU64::new(0),
        }
    }

    /// Counts a thing that took `ns` nanoseconds. To be called on one core only.
    #[inline]
    pub fn add(&self, ns: u64) {
        increase(&self.buckets[bucket(ns)], 1);
        increase(&self.sum_ns, ns);
    }

    /// How many things took at most each of [`BOUNDS_US`], and last how many there were.
    pub fn cumulative(&self) -> [u64; BOUNDS_US.len() + 1] {
        let mut sum = 0;
        self.buckets.each_ref().map(|bucket| {
            sum += bucket.load(Ordering::Relaxed);
            sum
        })
    }

    /// All durations together, in nanoseconds.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns.load(Ordering::Relaxed)
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

fn increase(counter: &AtomicU64, by: u64) {
    let old = counter.load(Ordering::Relaxed);
    counter.store(old.wrapping_add(by), Ordering::Relaxed);
}

/// The bucket of `ns` nanoseconds: bounds are powers of four microseconds, so no search is needed.
fn bucket(ns: u64) -> usize {
    let above = ns.saturating_sub(1) / 1000;
    let digits = (u64::BITS - above.leading_zeros()).div_ceil(2);
    (digits as usize).min(BOUNDS_US.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_not_above_its_bound() {
        for (index, &bound) in BOUNDS_US.iter().enumerate() {
            assert_eq!(bucket(bound * 1000), index, "{bound} us");
            assert_eq!(bucket(bound * 1000 + 1), index + 1, "above {bound} us");
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BOUNDS_US.len());
    }

    #[test]
    fn counts_add_up() {
        let histogram = Histogram::new();
        for us in [1, 2, 3, 100, 10_000_000] {
            histogram.add(us * 1000);
        }
        let cumulative = histogram.cumulative();
        assert_eq!(cumulative[..5], [1, 3, 3, 3, 4]);
        assert_eq!(cumulative[BOUNDS_US.len()], 5);
        assert_eq!(histogram.sum_ns(), 10_000_106_000);
    }
}
