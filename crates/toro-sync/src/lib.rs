//! Guards: the few ways in which code shares a value.
//!
//! [`PerCore`] is the rule: each core has its own and nobody locks. [`SpinLock`] and [`Once`] are for start-up, and for
//! what all cores reach when something has gone wrong (the console). A debugger that has stopped a core looks at its values by a
//! [`StoppedCore`].

#![no_std]

extern crate alloc;

pub mod per_core;
mod stopped;

pub use per_core::PerCore;
pub use stopped::{LookError, StoppedCore};

/// A lock that spins: never held across a switch, and never taken by an interrupt.
pub type SpinLock<T> = spin::Mutex<T>;

/// What [`SpinLock`] lends: its value, until this ends.
pub type SpinLockGuard<'a, T> = spin::MutexGuard<'a, T>;

/// A value that is set once, at start-up, and read ever after.
pub type Once<T> = spin::Once<T>;
