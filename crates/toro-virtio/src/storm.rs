//! [`Storm`]: a device that interrupts without work again and again is not listened to for a while, and looked at by the clock instead.
//!
//! ```text
//! interrupts without work     +1 each      as many as LIMIT: masked for a while, with a warning the first time
//! a look that found work      -4           after it: listened to again, and masked sooner
//! ```
//! A driver says [`worked`](Storm::worked) when it has found something, and calls [`look`](Storm::look) before it looks at its rings and
//! parks: what comes while its interrupts are masked is found at the latest when the while is over. A message is masked for its queue alone, a
//! line for all who share it, who are then woken by the clock too ([`toro_irq::LineShare`]).

use core::task::Waker;

use crate::transport::Transport;

/// So many interrupts without work, more than with it, are a storm.
const LIMIT: u32 = 1000;
/// So many more make it go on.
const MORE: u32 = 64;
/// How many idle interrupts a look with work makes up for: one may come late for what was found before it.
const WORTH: u32 = 4;

/// What is remembered of a device's interrupts.
#[derive(Debug, Default)]
pub struct Storm {
    arrivals: u32,
    idle: u32,
    has_worked: bool,
    count: u32,
}

impl Storm {
    /// Nothing so far.
    pub const fn new() -> Self {
        Self {
            arrivals: 0,
            idle: 0,
            has_worked: false,
            count: 0,
        }
    }

    /// Notes that the device has done something.
    #[inline]
    pub fn worked(&mut self) {
        self.has_worked = true;
    }

    /// How often its interrupts were masked.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Judges what came since the last look. `waker` is woken when interrupts that were masked are due for another chance.
    pub fn look(&mut self, name: &str, transport: &mut dyn Transport, waker: &Waker) {
        let arrivals = transport.arrivals();
        let came = arrivals.wrapping_sub(self.arrivals);
        self.arrivals = arrivals;
        let is_resting = transport.is_resting();
        if core::mem::take(&mut self.has_worked) {
            self.idle = self.idle.saturating_sub(WORTH);
            return;
        }
        self.idle = self.idle.saturating_add(came);
        if !is_resting && self.idle >= LIMIT {
            self.rest(name, transport, waker);
        }
    }

    #[cold]
    fn rest(&mut self, name: &str, transport: &mut dyn Transport, waker: &Waker) {
        self.idle = LIMIT - MORE;
        if !transport.rest(waker) {
            return;
        }
        if self.count == 0 {
            log::warn!("{name}: interrupts without work; from now on they are masked at times");
        }
        self.count = self.count.saturating_add(1);
    }
}
