//! [`Meter`]: counts what workloads cost and prints it, and the names under which it does.

use alloc::string::String;
use core::fmt::{self, Write as _};

use toro_abi::sample::Sample;

/// Names of workloads that several programs measure: results are joined by them.
pub mod name {
    /// The core changes from one ready thread to another.
    pub const SWITCH: &str = "switch between two threads";
    /// A thread yields and nobody else is ready.
    pub const YIELD: &str = "yield to nobody";
    /// A thread wakes another and waits for it to do the same.
    pub const PARK: &str = "unpark another and park";
    /// A thread that does nothing comes and goes.
    pub const SPAWN: &str = "spawn + join a thread";
    /// A task that does nothing comes and goes, awaited by another.
    pub const TASK_SPAWN: &str = "spawn + await a task";
    /// Two tasks yield to each other.
    pub const TASK_SWITCH: &str = "switch between two tasks";
    /// A value goes into a channel and is taken out by the same thread.
    pub const CHANNEL: &str = "channel: send + receive";
    /// A value goes to another thread of the core and back.
    pub const CHANNEL_THREADS: &str = "channel round trip, two threads";
    /// A value goes to another task of the core and back.
    pub const CHANNEL_TASKS: &str = "channel round trip, two tasks";
    /// A value goes to a thread of another core and back.
    pub const CHANNEL_CORES: &str = "channel round trip, two cores";
    /// A timer is set and cancelled, with a thousand others waiting.
    pub const TIMER: &str = "timer set + cancel, 1000 wait";
    /// A thread that does nothing comes and goes on another core.
    pub const REMOTE_SPAWN: &str = "spawn + join on another core";
    /// A thread wakes one of another core, which is halted, and is woken by it.
    pub const REMOTE_WAKE: &str = "wake another core and back";
}

/// Runs workloads and prints a [`Sample`] of each.
#[derive(Clone, Copy)]
pub struct Meter {
    /// Who is measured.
    pub by: &'static str,
    /// Nanoseconds, or instructions, since some moment.
    pub now: fn() -> u64,
    /// Prints a line.
    pub print: fn(fmt::Arguments<'_>),
    /// Workloads are made shorter by this factor.
    pub divisor: u64,
}

impl Meter {
    /// Measures `work`, which is told how many operations to do: `operations`, after an eighth of them to warm up.
    pub fn measure(&self, name: impl fmt::Display, operations: u64, mut work: impl FnMut(u64)) {
        let operations = (operations / self.divisor).max(1);
        work(operations.div_ceil(8));
        let start = (self.now)();
        work(operations);
        let total = (self.now)() - start;
        // Not `format!`: what of it lies in the prebuilt `alloc` cannot be linked into an image.
        let mut text = String::new();
        write!(text, "{name}").expect("a string takes whatever there is memory for");
        let sample = Sample {
            by: self.by,
            name: &text,
            total,
            operations,
        };
        (self.print)(format_args!("{sample}"));
    }

    /// The same meter under another name.
    #[must_use]
    pub fn named(self, by: &'static str) -> Self {
        Self { by, ..self }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meter({})", self.by)
    }
}
