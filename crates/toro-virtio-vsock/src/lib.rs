//! The virtio socket device (VIRTIO 1.2, 5.10): packets behind [`SocketDevice`](toro_dev::socket::SocketDevice).
//!
//! [`VirtioVsock::probe`] sets up the three queues: packets in, packets out, and events, of which there is one: all connections are lost,
//! for the machine goes on at another host ([`queues`]). Each packet is one buffer, header and payload, of a pool that is made once. What
//! the connections are is the business of `toro-vsock`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod device;
mod probe;
mod queues;

#[cfg(test)]
mod tests;

pub use device::VirtioVsock;
pub use probe::Config;
pub use toro_virtio::ProbeError;
