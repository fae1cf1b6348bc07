//! [`SystemTime`]: the time of day, in nanoseconds since 1970.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

use crate::instant::nanos;

/// The first moment of 1970 in UTC.
pub const UNIX_EPOCH: SystemTime = SystemTime::UNIX_EPOCH;

/// A time of day in UTC, from 1970 to 2554; arithmetic stops at those ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemTime(u64);

impl SystemTime {
    /// The first moment of 1970 in UTC.
    pub const UNIX_EPOCH: Self = Self(0);

    /// The time `secs` seconds after the epoch.
    pub const fn from_unix_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// The time from `earlier` to this one.
    ///
    /// # Errors
    /// Hands back the distance if `earlier` is later.
    pub const fn duration_since(self, earlier: Self) -> Result<Duration, SystemTimeError> {
        match self.0.checked_sub(earlier.0) {
            Some(nanos) => Ok(Duration::from_nanos(nanos)),
            None => Err(SystemTimeError(Duration::from_nanos(earlier.0 - self.0))),
        }
    }

    /// Whole seconds since the epoch.
    pub const fn unix_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }
}

impl Add<Duration> for SystemTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let sum = nanos(duration).and_then(|nanos| self.0.checked_add(nanos));
        Self(sum.unwrap_or(u64::MAX))
    }
}

impl Sub<Duration> for SystemTime {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration).unwrap_or(u64::MAX)))
    }
}

/// The other time was the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemTimeError(Duration);

impl SystemTimeError {
    /// By how much it was later.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl fmt::Display for SystemTimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the second time is later than the first")
    }
}

impl core::error::Error for SystemTimeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_from_the_epoch() {
        let time = SystemTime::from_unix_secs(1_700_000_000) + Duration::from_millis(1500);
        assert_eq!(time.unix_secs(), 1_700_000_001);
        assert_eq!(
            time.duration_since(SystemTime::UNIX_EPOCH),
            Ok(Duration::from_millis(1_700_000_001_500))
        );
    }

    #[test]
    fn says_by_how_much_the_other_is_later() {
        let late = UNIX_EPOCH + Duration::from_secs(9);
        let error = UNIX_EPOCH.duration_since(late).unwrap_err();
        assert_eq!(error.duration(), Duration::from_secs(9));
    }

    #[test]
    fn stops_at_both_ends() {
        assert_eq!(UNIX_EPOCH - Duration::from_secs(1), UNIX_EPOCH);
        assert_eq!(UNIX_EPOCH + Duration::MAX, SystemTime(u64::MAX));
        assert_eq!(SystemTime::from_unix_secs(u64::MAX), SystemTime(u64::MAX));
    }
}
