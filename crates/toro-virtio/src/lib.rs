//! virtio: one safe queue over two transports.
//!
//! A driver gets a [`Transport`] ([`PciTransport`] or [`MmioTransport`]) and, within [`probe()`], agrees on features with
//! [`device::negotiate`], sets up a [`Queue`] for each of the device's queues, and says
//! [`device::start`]. From then on it adds [`Chain`]s of owned buffers and pops them when the device has used
//! them: while the device owns a buffer nobody can touch it, so drivers hold no unsafe.
//!
//! The device is hostile input. Whatever it writes is read once and checked against what this side remembers;
//! a violation poisons the queue, and every later call gets the [`DeviceError`].
//!
//! In reading order: [`transport`] what a driver sees of a device · [`device`] its life, from reset to reset ·
//! [`chain`] buffers on their way · [`ring`] the memory that both sides share · [`queue`] the queue itself ·
//! [`pci`], [`mmio`], [`slot`], [`interrupt`] the machine's side · [`storm`] interrupts without work · [`QueueShare`] queues on a core that does not own the device.

#![no_std]

extern crate alloc;

pub mod chain;
pub mod device;
mod error;
pub mod feature;
pub mod interrupt;
pub mod mmio;
pub mod pci;
mod probe;
pub mod queue;
mod rest;
pub mod ring;
mod share;
pub mod slot;
pub mod storm;
pub mod transport;

pub use chain::{Buffer, Chain};
pub use device::{NegotiateError, Reset};
pub use error::DeviceError;
pub use interrupt::{CoreInterrupts, Interrupts, Message};
pub use mmio::{MmioError, MmioTransport};
pub use pci::{PciError, PciTransport};
pub use probe::{ProbeError, probe};
pub use queue::{Full, Queue, Token, Used};
pub use share::QueueShare;
pub use slot::MmioSlot;
pub use storm::Storm;
pub use transport::{Causes, DeviceType, Doorbell, SetQueueError, Transport};
