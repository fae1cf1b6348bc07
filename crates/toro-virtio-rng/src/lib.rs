//! The virtio entropy device (VIRTIO 1.3, 5.4): one queue that fills buffers with random bytes.
//!
//! [`VirtioRng::poll_fill`] asks for bytes and takes them when they are there. How good they are only the host knows: whoever takes them
//! mixes them with other sources.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod device;
mod probe;

#[cfg(test)]
mod tests;

pub use device::VirtioRng;
pub use toro_virtio::ProbeError;
