//! [`Clock`]: from the time stamp counter to nanoseconds.
//!
//! A conversion is one widening multiplication and one shift. The factor is rounded to 32 binary places, which for a
//! counter of 5 GHz is off by at most 0.6 parts in a thousand million: 18 ms in a year. Ticks for a timer are computed from
//! the distance that is left to go and not from the boot, so that this error never adds up in them.

use core::time::Duration;

use crate::instant::{Instant, nanos};
use crate::system_time::SystemTime;

const NANOS_PER_SEC: u64 = 1_000_000_000;
/// Binary places of the nanoseconds of one tick.
const NANOS_SHIFT: u32 = 32;
/// Binary places of the ticks of one nanosecond: 28 leave room for 68 GHz.
const TICKS_SHIFT: u32 = 28;
const HIGHEST_HZ: u64 = u64::MAX >> TICKS_SHIFT;

/// What turns ticks into time. A copy on each core saves a shared line.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    tsc_at_boot: u64,
    nanos_per_tick: u64,
    ticks_per_nano: u64,
    boot: SystemTime,
}

impl Clock {
    /// A clock for a counter of `tsc_hz` hertz that stood at `tsc_at_boot` at [`Instant::ZERO`].
    ///
    /// # Panics
    /// Panics if `tsc_hz` is 0 or above 68 GHz.
    pub const fn new(tsc_hz: u64, tsc_at_boot: u64) -> Self {
        assert!(tsc_hz > 0, "the counter ticks");
        assert!(tsc_hz <= HIGHEST_HZ, "no counter is that fast");
        Self {
            tsc_at_boot,
            nanos_per_tick: ((NANOS_PER_SEC << NANOS_SHIFT) + tsc_hz / 2) / tsc_hz,
            // Up: a timer that ends early has to be armed again.
            ticks_per_nano: (tsc_hz << TICKS_SHIFT).div_ceil(NANOS_PER_SEC),
            boot: SystemTime::UNIX_EPOCH,
        }
    }

    /// The same clock, with the time of day of the boot.
    pub const fn booted_at(self, boot: SystemTime) -> Self {
        Self { boot, ..self }
    }

    /// Nanoseconds from the boot until the counter stood at `tsc`; 0 before the boot.
    #[inline]
    pub const fn ns(&self, tsc: u64) -> u64 {
        // Saturating: another core's counter may be a few ticks behind the one that was read at boot.
        scale(
            tsc.saturating_sub(self.tsc_at_boot),
            self.nanos_per_tick,
            NANOS_SHIFT,
        )
    }

    /// How many nanoseconds `ticks` are.
    #[inline]
    pub const fn nanos(&self, ticks: u64) -> u64 {
        scale(ticks, self.nanos_per_tick, NANOS_SHIFT)
    }

    /// The moment at which the counter stood at `tsc`.
    #[inline]
    pub const fn instant(&self, tsc: u64) -> Instant {
        Instant::from_nanos(self.ns(tsc))
    }

    /// The time of day at `instant`.
    pub fn system_time(&self, instant: Instant) -> SystemTime {
        self.boot + Duration::from_nanos(instant.as_nanos())
    }

    /// The ticks that `duration` takes, rounded up; the largest number if it is longer than the counter can count.
    pub fn ticks(&self, duration: Duration) -> u64 {
        let Some(nanos) = nanos(duration) else {
            return u64::MAX;
        };
        let ticks = (u128::from(nanos) * u128::from(self.ticks_per_nano)) >> TICKS_SHIFT;
        // One more for what both factors round away.
        u64::try_from(ticks + 1).unwrap_or(u64::MAX)
    }
}

/// `value * factor`, less `shift` binary places.
#[inline]
const fn scale(value: u64, factor: u64, shift: u32) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "584 years of nanoseconds fit; nothing ticks longer"
    )]
    let scaled = ((value as u128 * factor as u128) >> shift) as u64;
    scaled
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR_SECS: u64 = 365 * 24 * 3600;

    /// Checks the clock at `hz` after `secs` seconds: less than one part in a million off.
    fn check(hz: u64, secs: u64) {
        let boot = 123_456_789;
        let ns = Clock::new(hz, boot).ns(boot + hz * secs);
        let exact = secs * NANOS_PER_SEC;
        assert!(
            ns.abs_diff(exact) <= exact / 1_000_000,
            "{hz} Hz, {secs} s: {ns} ns"
        );
    }

    #[test]
    fn is_exact_for_years_at_every_frequency() {
        for hz in [
            1_000_000,
            24_000_000,
            999_999_999,
            1_000_000_000,
            2_394_454_000,
            3_700_000_001,
            5_800_000_000,
        ] {
            for secs in [1, 60, 86_400, YEAR_SECS, 20 * YEAR_SECS, 90 * YEAR_SECS] {
                check(hz, secs);
            }
        }
    }

    #[test]
    fn starts_at_the_boot() {
        let clock = Clock::new(2_000_000_000, 1000);
        assert_eq!(clock.ns(1000), 0);
        assert_eq!(clock.ns(999), 0);
        assert_eq!(clock.ns(1002), 1);
        assert_eq!(clock.instant(3000), Instant::from_nanos(1000));
    }

    #[test]
    fn never_goes_back() {
        let clock = Clock::new(3_141_592_653, 0);
        let mut last = 0;
        for tsc in (0..1_000_000).map(|i| i * 7) {
            let ns = clock.ns(tsc);
            assert!(ns >= last);
            last = ns;
        }
    }

    #[test]
    fn ticks_never_end_before_the_time() {
        for hz in [1_000_000, 999_999_937, 2_394_454_000, 5_800_000_000] {
            let clock = Clock::new(hz, 0);
            for ns in [0, 1, 17, 999, 1_000_000, 1_000_000_007, 60 * NANOS_PER_SEC] {
                let ticks = clock.ticks(Duration::from_nanos(ns));
                // The factor of `ns` may round away a nanosecond of every second, and more must not be missing.
                assert!(
                    clock.ns(ticks) + ns / NANOS_PER_SEC >= ns,
                    "{hz} Hz, {ns} ns"
                );
                let exact = u128::from(hz) * u128::from(ns) / 1_000_000_000;
                assert!(u128::from(ticks) <= exact + exact / 200_000 + 1);
            }
        }
        assert_eq!(Clock::new(5, 0).ticks(Duration::MAX), u64::MAX);
    }

    #[test]
    fn knows_the_time_of_day() {
        let clock = Clock::new(1_000_000_000, 0).booted_at(SystemTime::from_unix_secs(100));
        let time = clock.system_time(Instant::from_nanos(2_500_000_000));
        assert_eq!(
            time,
            SystemTime::from_unix_secs(102) + Duration::from_millis(500)
        );
    }
}
