//! The console class: [`ConsoleDevice`], byte streams between an image and its host, used by one core.
//!
//! A device has up to [`ports`](ConsoleDevice::ports) ports, which come and go. Bytes are copied in and out; how much a port holds is bounded.

use core::fmt;
use core::task::Waker;

/// What is known of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortInfo<'a> {
    /// As the host calls it; empty if it does not.
    pub name: &'a str,
    /// Someone on the host has it open.
    pub is_host_open: bool,
    /// Grows when a port of this number goes and another comes.
    pub generation: u32,
}

/// Why bytes do not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleError {
    /// There is no such port, or not any more.
    NoSuchPort,
    /// Nobody on the host has it open.
    Closed,
    /// The port takes only what the log writes.
    LogOnly,
    /// There is no memory for its buffers.
    OutOfMemory,
    /// The device has broken a rule and was given up.
    Failed,
}

impl fmt::Display for ConsoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchPort => "there is no such port",
            Self::Closed => "nobody on the host has the port open",
            Self::LogOnly => "the port belongs to the log",
            Self::OutOfMemory => "out of memory",
            Self::Failed => "the console was given up",
        })
    }
}

impl core::error::Error for ConsoleError {}

/// What a read finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The host has closed the port: told once, when all that it sent before was read.
    End,
    /// Nothing yet.
    Nothing,
}

/// A console. No call blocks.
pub trait ConsoleDevice {
    /// How many ports there can be: their numbers are below.
    fn ports(&self) -> usize;

    /// What is known of a port; `None` if it is not there.
    fn port(&self, number: usize) -> Option<PortInfo<'_>>;

    /// Opens a port, so that the host may send.
    ///
    /// # Errors
    /// Fails if there is no such port or no memory for its buffers.
    fn open(&mut self, number: usize) -> Result<(), ConsoleError>;

    /// Closes a port. What the host has sent stays until the next opening.
    fn close(&mut self, number: usize);

    /// Takes bytes that have arrived at an open port.
    ///
    /// # Errors
    /// Fails if the port or the device is gone.
    fn read(&mut self, number: usize, bytes: &mut [u8]) -> Result<Read, ConsoleError>;

    /// Accepts bytes for the host, and says how many; none if there is no room. They leave at the next [`turn`](Self::turn).
    ///
    /// # Errors
    /// Fails if nobody would read them.
    fn write(&mut self, number: usize, bytes: &[u8]) -> Result<usize, ConsoleError>;

    /// Tells the device what is new, and takes what it has done. Returns whether a waiting reader or writer should look again.
    fn turn(&mut self) -> bool;

    /// Asks for `waker` to be woken when the device has done more. Returns `false` if it has already: take another turn before
    /// parking.
    fn arm(&mut self, waker: &Waker) -> bool;
}
