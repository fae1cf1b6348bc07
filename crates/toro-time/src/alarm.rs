//! [`Alarm`]: the hardware that interrupts a core at a moment.

use toro_arch::{apic, tsc};

use crate::clock::Clock;
use crate::instant::Instant;

/// The one-shot timer of a core's local APIC, in the better of its two modes that the machine has.
#[derive(Clone, Copy, Debug)]
pub struct Alarm {
    vector: u8,
    /// The clock that it counts down on; `None` if it compares with the time stamp counter.
    countdown: Option<Clock>,
}

impl Alarm {
    /// A timer that raises `vector` and compares with the time stamp counter: only where the processor has
    /// `Features::tsc_deadline`.
    pub const fn tsc_deadline(vector: u8) -> Self {
        Self {
            vector,
            countdown: None,
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
        }
    }

    /// Raises the vector at `deadline`, or at once if that has passed.
    ///
    /// A countdown that cannot reach that far ends early: whoever takes the interrupt looks at the time and arms it again.
    pub(crate) fn arm(&self, clock: &Clock, deadline: Instant) {
        let now = tsc::read();
        let left = deadline - clock.instant(now);
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
