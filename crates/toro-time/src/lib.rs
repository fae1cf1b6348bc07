//! Clock and timers of a core.
//!
//! Time is the time stamp counter, turned into nanoseconds by a [`Clock`] that all cores share the numbers of; an
//! [`Instant`] counts from the boot, a [`SystemTime`] from 1970. Each core keeps its own timers in a [`TimerQueue`], and one
//! timer interrupt armed for the earliest of them.
//!
//! A timer's walk: [`wake_at`] puts a waker into the queue and arms the hardware if nothing earlier is armed; the interrupt
//! sets a pending bit; the scheduler loop sees it and calls [`expire`], which wakes whoever is due and arms the next.
//!
//! `toro-rt` calls [`init`] once on each core. The rest works without a machine and takes the time as an argument.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod alarm;
mod clock;
mod instant;
mod queue;
mod system_time;
mod timers;

pub use alarm::Alarm;
pub use clock::Clock;
pub use instant::Instant;
pub use queue::{TimerKey, TimerQueue};
pub use system_time::{SystemTime, SystemTimeError, UNIX_EPOCH};
pub use timers::{cancel, elapsed_in, expire, init, is_init, nanos_in, next_deadline, wake_at};
