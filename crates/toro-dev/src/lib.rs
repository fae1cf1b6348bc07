//! Device classes: what a driver gives and a subsystem takes.
//!
//! A trait per class, defined here below both sides: drivers implement it on floor 6, subsystems use it on
//! floor 5, and `toro-rt` introduces them to each other.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod block;
pub mod console;
pub mod fuse;
pub mod net;
pub mod owner;
pub mod socket;
mod tally;

pub use tally::Tally;
