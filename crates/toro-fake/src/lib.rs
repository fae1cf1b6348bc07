//! Fakes for tests on the host: a virtio device that works, or lies.
//!
//! A test holds a [`FakeDevice`], and its driver the [`FakeTransport`] of the same device. The test takes what the
//! driver offers ([`FakeDevice::take`]), uses it ([`FakeDevice::complete`]), or breaks the rules: [`Lies`] for what
//! the device says about itself, [`FakeDevice::put_used`] and [`FakeDevice::set_used_index`] for its rings.
//! [`FakeNet`] is a network card on top, [`FakeBlk`] a disk, [`FakeFuse`] the server behind a shared folder, [`FakeVsock`] a socket
//! device. Everything is deterministic; [`Random`] repeats by its seed.

mod blk;
mod device;
mod fuse;
mod net;
mod random;
mod rings;
mod vsock;
mod waker;

pub use blk::FakeBlk;
pub use device::{FakeDevice, FakeTransport, Lies};
pub use fuse::FakeFuse;
pub use net::FakeNet;
pub use random::{Random, steps};
pub use rings::Request;
pub use vsock::FakeVsock;
pub use waker::CountingWaker;
