//! [`Alarm`]: the hardware that interrupts a core at a moment.

use core::time::Duration;

use toro_arch::{apic, tsc, watch};

use crate::clock::Clock;
use crate::instant::Instant;

/// The one-shot timer of a core's local APIC, in the better of its two modes that the machine has.
#[derive(Clone, Copy, Debug)]
pub struct Alarm {
    vector: u8,
    /// The clock that it counts down on; `None` if it compares with the time stamp counter.
    countdown: Option<Clock>,
    /// It fires after this time at the latest.
    longest: Duration,
}

impl Alarm {
    /// A timer that raises `vector` and compares with the time stamp counter: only where the processor has
    /// `Features::tsc_deadline`.
    pub const fn tsc_deadline(vector: u8) -> Self {
        Self {
            vector,
            countdown: None,
            longest: Duration::MAX,
        }
    }

    /// A timer that raises `vector` and counts down at `hz` hertz.
    ///
    /// # Panics
    /// Panics if `hz` is 0 or above 68 GHz.
    pub const fn countdown(vector: u8, hz: u64) -> Self {
        Self {
            vector,
            countdown: Some(Clock::new(hz, 0)),
            longest: Duration::MAX,
        }
    }

    /// The same timer, but it fires after `longest` at the latest even if nothing is due.
    #[must_use]
    pub const fn at_least_every(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// What the timer counts, and how many ticks `time` has, as far as it can count.
    pub fn ticks(&self, clock: &Clock, time: Duration) -> (watch::Timer, u64) {
        match &self.countdown {
            None => (watch::Timer::TscDeadline, clock.ticks(time)),
            Some(counter) => {
                let ticks = counter.ticks(time).min(u64::from(u32::MAX));
                (watch::Timer::Countdown, ticks)
            }
        }
    }

    /// Raises the vector at `deadline`, or at once if that has passed.
    ///
    /// A countdown that cannot reach that far ends early: whoever takes the interrupt looks at the time and arms it again.
    pub(crate) fn arm(&self, clock: &Clock, deadline: Instant) {
        let now = tsc::read();
        let left = (deadline - clock.instant(now)).min(self.longest);
        match &self.countdown {
            None => apic::arm_timer_at(self.vector, now.saturating_add(clock.ticks(left))),
            Some(counter) => {
                // `ticks` is never 0, which would switch the timer off.
                let ticks = u32::try_from(counter.ticks(left)).unwrap_or(u32::MAX);
                apic::arm_timer_in(self.vector, ticks);
            }
        }
    }
}
