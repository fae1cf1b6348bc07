//! The virtio file system device (VIRTIO 1.2, 5.11): messages behind [`FuseDevice`](toro_dev::fuse::FuseDevice).
//!
//! [`VirtioFs::probe`] agrees on features, reads the tag and sets up two queues: the high-priority one for messages without an answer, which
//! must not wait behind others, and one for requests. A message is a chain of one or two buffers: what is sent, and room for the answer. The
//! driver does not look into either.
//!
//! A device that breaks a rule is given up: what is in flight completes as failed, without its buffers, which the device may still write to
//! until its reset is acknowledged.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod device;
mod probe;

#[cfg(test)]
mod tests;

pub use device::VirtioFs;
pub use probe::Config;
pub use toro_virtio::ProbeError;
