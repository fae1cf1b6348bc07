//! [`Instant`]: a moment, in nanoseconds since the boot.

use core::ops::{Add, AddAssign, Sub, SubAssign};
use core::time::Duration;

/// A moment on the clock that never goes back.
///
/// Arithmetic stops at the ends of the range (584 years) instead of wrapping, so that "wait for ever" may be written as an
/// enormous [`Duration`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The boot.
    pub const ZERO: Self = Self(0);
    /// A moment that is never reached.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the boot.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the boot.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time that has passed since this moment; nothing if it is still to come.
    pub fn elapsed(self) -> Duration {
        Self::now() - self
    }

    /// The time from `earlier` to this moment; nothing if `earlier` is later.
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The time from `earlier` to this moment, or `None` if `earlier` is later.
    pub const fn checked_duration_since(self, earlier: Self) -> Option<Duration> {
        match self.0.checked_sub(earlier.0) {
            Some(nanos) => Some(Duration::from_nanos(nanos)),
            None => None,
        }
    }

    /// The moment `duration` later, or `None` beyond the range.
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        self.0.checked_add(nanos(duration)?).map(Self)
    }

    /// The moment `duration` earlier, or `None` before the boot.
    pub fn checked_sub(self, duration: Duration) -> Option<Self> {
        self.0.checked_sub(nanos(duration)?).map(Self)
    }
}

/// `duration` in nanoseconds, without the 128-bit arithmetic of `Duration::as_nanos`.
pub(crate) fn nanos(duration: Duration) -> Option<u64> {
    duration
        .as_secs()
        .checked_mul(1_000_000_000)?
        .checked_add(u64::from(duration.subsec_nanos()))
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or(Self::FAR_FUTURE)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        self.checked_sub(duration).unwrap_or(Self::ZERO)
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn adds_and_subtracts_durations() {
        assert_eq!(at(5) + Duration::from_micros(1), at(1005));
        assert_eq!(at(1005) - Duration::from_micros(1), at(5));
        let mut moment = at(7);
        moment += Duration::from_secs(2);
        moment -= Duration::from_nanos(8);
        assert_eq!(moment, at(1_999_999_999));
    }

    #[test]
    fn stops_at_both_ends() {
        assert_eq!(at(5) + Duration::MAX, Instant::FAR_FUTURE);
        assert_eq!(at(u64::MAX) + Duration::from_nanos(1), Instant::FAR_FUTURE);
        assert_eq!(at(5) - Duration::from_nanos(6), Instant::ZERO);
        assert_eq!(at(5) - Duration::MAX, Instant::ZERO);
    }

    #[test]
    fn checks_what_is_out_of_range() {
        assert_eq!(at(5).checked_add(Duration::MAX), None);
        assert_eq!(at(u64::MAX).checked_add(Duration::from_nanos(1)), None);
        assert_eq!(at(5).checked_sub(Duration::from_nanos(6)), None);
        assert_eq!(at(5).checked_sub(Duration::from_nanos(5)), Some(at(0)));
    }

    #[test]
    fn measures_between_moments() {
        assert_eq!(at(9) - at(4), Duration::from_nanos(5));
        assert_eq!(at(4) - at(9), Duration::ZERO);
        assert_eq!(at(4).checked_duration_since(at(9)), None);
        assert_eq!(at(9).checked_duration_since(at(9)), Some(Duration::ZERO));
    }
}
