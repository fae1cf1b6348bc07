//! The virtio network card (VIRTIO 1.3, 5.1): one receive and one transmit queue behind
//! [`NetDevice`](toro_dev::net::NetDevice), or as many such pairs as there are cores ([`VirtioNet::probe_pairs`]).
//!
//! [`VirtioNet::probe`] agrees on features, fills the receive queue and starts the device. Received frames leave
//! with their buffer and come back by `recycle`; frames to send take buffers from a pool that completed ones
//! refill, which is looked at only when it has run dry. The device hears of a whole batch at once, by `flush`.
//!
//! A device that breaks a rule is given up: nothing is received or sent any more, and [`Stats`] and
//! [`VirtioNet::error`] tell why.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod device;
mod header;
mod pairs;
mod probe;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_pairs;

pub use device::{Stats, VirtioNet};
pub use pairs::{ControlError, Pair, PairMessages};
pub use probe::Config;
pub use toro_virtio::ProbeError;
