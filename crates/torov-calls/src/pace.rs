//! [`Pace`]: at most so many calls in a second.

use std::time::Duration;

/// A bucket that fills at a steady rate and holds a second's worth.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: u32,
    /// When the bucket would be full had nobody taken anything.
    ahead: Duration,
}

impl Pace {
    pub(crate) fn new(per_second: u32) -> Self {
        let ahead = Duration::ZERO;
        Self { per_second, ahead }
    }

    /// Takes one at time `now`, and says how long to wait first.
    pub(crate) fn take(&mut self, now: Duration) -> Duration {
        let each = Duration::from_secs(1) / self.per_second.max(1);
        let full = now.saturating_sub(Duration::from_secs(1));
        self.ahead = self.ahead.max(full) + each;
        self.ahead.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pace;

    #[test]
    fn a_burst_of_a_second_is_free_and_then_it_is_steady() {
        let mut pace = Pace::new(100);
        let now = Duration::from_secs(10);
        for _ in 0..100 {
            assert_eq!(pace.take(now), Duration::ZERO);
        }
        assert_eq!(pace.take(now), Duration::from_millis(10));
        assert_eq!(pace.take(now), Duration::from_millis(20));
        assert_eq!(pace.take(now + Duration::from_secs(2)), Duration::ZERO);
    }
}
