//! Packet capture: what goes through the driver of a network card, as a stream that Wireshark reads.
//!
//! [`Tap`] stands between a stack and its card and shows each frame to a [`Capture`], which keeps it as a block of pcapng
//! ([`blocks`], draft-ietf-opsawg-pcapng) until someone takes it. Nobody waits for whoever reads: what does not fit is counted,
//! and the reader is told.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod blocks;
mod capture;
mod tap;

pub use capture::Capture;
pub use tap::Tap;
