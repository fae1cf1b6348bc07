//! Random numbers that nobody can foresee: for hash seeds, sequence numbers, ports, keys.
//!
//! Each core has a [`Generator`] of its own (ChaCha20), made when the core first asks. Its seed is drawn from the root, which is filled with all
//! that the processor offers ([`gather`]), and mixed with fresh words. A device that has more hands it to [`stir`].
//!
//! [`quality`] tells whether any source has answered. Without one the numbers come from the jitter of the counter, which an observer on
//! the same host may guess; `toro-rt` reports that as an error.

#![no_std]
#![forbid(unsafe_code)]

mod core_generator;
mod generator;
mod sources;

pub use core_generator::{fill, quality, stir, u64};
pub use generator::{Generator, SEED};
pub use sources::{Quality, gather};
