//! The virtio network card (VIRTIO 1.3, 5.1): one receive and one transmit queue behind
//! [`NetDevice`](toro_dev::net::NetDevice).
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
mod probe;

#[cfg(test)]
mod tests;

pub use device::{Stats, VirtioNet};
pub use probe::{Config, ProbeError};
