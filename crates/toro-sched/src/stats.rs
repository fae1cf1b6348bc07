//! [`Stats`]: what the scheduler of a core has done.

use core::cell::Cell;
use core::time::Duration;

use toro_arch::tsc;

/// What the scheduler of a core has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Threads that have begun and not ended.
    pub threads: usize,
    /// Changes from one thread to another.
    pub switches: u64,
    /// How long no thread was ready.
    pub idle: Duration,
}

/// The numbers behind [`Stats`], of which each core has its own.
#[derive(Debug)]
pub(crate) struct Counters {
    threads: Cell<usize>,
    switches: Cell<u64>,
    /// In ticks of the time stamp counter.
    idle: Cell<u64>,
}

impl Default for Counters {
    /// There is the thread that the core boots with.
    fn default() -> Self {
        Self {
            threads: Cell::new(1),
            switches: Cell::new(0),
            idle: Cell::new(0),
        }
    }
}

impl Counters {
    pub(crate) fn begun(&self) {
        self.threads.set(self.threads.get() + 1);
    }

    pub(crate) fn ended(&self) {
        self.threads.set(self.threads.get() - 1);
    }

    #[inline]
    pub(crate) fn switched(&self) {
        self.switches.set(self.switches.get().wrapping_add(1));
    }

    /// Counts the time that `wait` takes.
    pub(crate) fn idle(&self, wait: impl FnOnce()) {
        let begun = tsc::read();
        wait();
        let ticks = tsc::read().wrapping_sub(begun);
        self.idle.set(self.idle.get().wrapping_add(ticks));
    }

    pub(crate) fn read(&self) -> Stats {
        Stats {
            threads: self.threads.get(),
            switches: self.switches.get(),
            idle: toro_time::elapsed_in(self.idle.get()),
        }
    }
}
