//! The virtio balloon (VIRTIO 1.3, 5.5), for free page reporting only: memory that is free is shown to the host, which may take it away
//! until it is used again.
//!
//! [`VirtioBalloon::report`] gives the device blocks of free memory as buffers that it may write, and [`VirtioBalloon::poll_done`] completes
//! when it has seen them: then they are dropped, that is free again, and the host gives them new pages when somebody writes to them.
//!
//! The host's wish for a larger balloon (`num_pages`) is not followed: what is free it has anyway, and what is not cannot be given.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod device;
mod probe;

#[cfg(test)]
mod tests;

pub use device::VirtioBalloon;
pub use toro_virtio::ProbeError;
