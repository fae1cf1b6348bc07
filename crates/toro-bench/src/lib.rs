//! What `cargo xtask bench kernel` measures, as functions that run in an image and in a program of the host alike.
//!
//! A [`Meter`] runs a workload, counts what it costs (nanoseconds or instructions, as its clock says) and prints a line for
//! the tool. [`threads`], [`tasks`], [`channels`],
//! [`timers`] and [`cores`] work on Toro's own scheduler; [`heap`] and [`copy`] take what they measure
//! from outside, so the same code measures the allocator and the `memcpy` of the host.

#![no_std]

extern crate alloc;

pub mod channels;
pub mod copy;
pub mod cores;
pub mod heap;
mod meter;
pub mod tasks;
pub mod threads;
pub mod timers;

pub use meter::{Meter, name};
