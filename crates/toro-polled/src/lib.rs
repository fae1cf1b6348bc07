//! Devices that are driven by looking at them: a disk, a console, a socket.
//!
//! They belong to the debugger or to core files, which work while nothing else does: no thread, no interrupt, no allocation, no lock. All
//! memory is taken when a device is opened. Such a device is not shown to the rest of the image, so no state of a driver that failed is met
//! here.
//!
//! Whoever waits for a device says how by [`Wait`]: a device that does not answer is given up, and the call fails.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod console;
mod disk;
mod packets;
mod sending;
mod socket;

pub use console::PolledConsole;
pub use disk::PolledDisk;
pub use socket::PolledSocket;

use core::fmt;

use toro_mem::OutOfMemory;
use toro_virtio::{NegotiateError, SetQueueError};

/// Waits until `done`, but not for ever; returns whether it was done. `done` is called again and again.
pub type Wait = fn(done: &mut dyn FnMut() -> bool) -> bool;

/// A stream of bytes in both directions.
pub trait Line {
    /// The next byte that has come in.
    fn read(&mut self) -> Option<u8>;

    /// Whether a byte has come in.
    fn has_input(&mut self) -> bool;

    /// Sends `bytes`, or keeps them until the next [`flush`](Self::flush). What nobody takes is lost.
    fn write(&mut self, bytes: &[u8]);

    /// Sends what was kept.
    fn flush(&mut self);

    /// Has the device interrupt when a byte comes in, or not. Returns whether there is something to read already.
    fn set_interrupts(&mut self, wanted: bool) -> bool;
}

/// Where a file goes, from its beginning to its end.
pub trait Sink {
    /// Begins a file, in place of one before. Returns how long it may be; `None` if nobody takes it.
    fn begin(&mut self) -> Option<u64>;

    /// Takes the next bytes; `false` if that could not be.
    fn write(&mut self, bytes: &[u8]) -> bool;

    /// Ends the file: it has reached whoever keeps it. `false` if not.
    fn finish(&mut self) -> bool;
}

/// Why a device cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It is of another kind.
    OtherKind,
    /// Its features do not suit.
    Negotiate(NegotiateError),
    /// Its configuration is too short or never at rest, or makes no sense.
    Config,
    /// One of its queues could not be set up.
    Queue(SetQueueError),
    /// A queue has too few descriptors.
    ShortQueue(u16),
    /// There is no memory for its buffers.
    OutOfMemory(OutOfMemory),
    /// The disk is read-only.
    ReadOnly,
    /// The disk does not answer.
    Silent,
    /// The disk holds something, and no core file.
    InUse,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherKind => f.write_str("it is a device of another kind"),
            Self::Negotiate(error) => write!(f, "{error}"),
            Self::Config => f.write_str("the device has no proper configuration"),
            Self::Queue(error) => write!(f, "{error}"),
            Self::ShortQueue(size) => write!(f, "a queue of {size} is too short"),
            Self::OutOfMemory(error) => write!(f, "{error}"),
            Self::ReadOnly => f.write_str("the disk is read-only"),
            Self::Silent => f.write_str("the disk does not answer"),
            Self::InUse => f.write_str("the disk holds something else; give it one that is empty"),
        }
    }
}

impl core::error::Error for OpenError {}

#[cfg(test)]
mod tests;
