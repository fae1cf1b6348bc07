//! The virtio disk (VIRTIO 1.3, 5.2): queues of requests, each behind a [`BlockDevice`](toro_dev::block::BlockDevice) of its own.
//!
//! [`VirtioBlk::probe`] agrees on features and reads what the disk is. A request is a chain of three: a header for the device to read, the
//! data, and a byte in which the device says how it went; [`request`] holds their layout. Headers and status bytes come from pools.
//!
//! A disk with several queues gives each core one of its own ([`VirtioBlk::probe_queues`], [`FurtherQueue`]).
//!
//! A device that breaks a rule is given up: what is in flight completes as failed, without its buffer, which the device may still write to.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod device;
mod further;
mod probe;
mod request;
mod together;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_queues;

pub use device::VirtioBlk;
pub use further::FurtherQueue;
pub use probe::Config;
pub use toro_virtio::ProbeError;
