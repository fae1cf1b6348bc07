//! The class of shared folders: [`FuseDevice`], FUSE messages to a server on the host and back, used by one core.
//!
//! What the messages mean is nobody's business here. Buffers are owned: they go in with a [`Message`] and come back with its [`Completion`]; in
//! between only the device touches them.

use alloc::string::String;
use core::fmt;
use core::task::Waker;

use toro_mem::DmaBuf;

/// What must be known of a shared folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FuseInfo {
    /// As the host calls it. At most 36 bytes.
    pub tag: String,
    /// How many messages that are answered can be in flight.
    pub depth: u16,
}

/// A message to the server.
#[derive(Debug)]
pub struct Message {
    /// Where it lies.
    pub sent: DmaBuf,
    /// Its length: the device reads so many bytes, at least one.
    pub len: usize,
    /// Where the answer goes, and how many bytes of it the device may write, at least one. `None` if there is none to come: such a message
    /// overtakes the others.
    pub answer: Option<(DmaBuf, usize)>,
}

/// Why a message was not accepted, or was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FuseError {
    /// The device did not answer in time. Whether the server has done what it was asked to is not known.
    TimedOut,
    /// The device has broken a rule and was given up.
    Failed,
    /// There is no memory for the message.
    OutOfMemory,
}

impl fmt::Display for FuseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "the host does not answer",
            Self::Failed => "the device was given up",
            Self::OutOfMemory => "out of memory",
        })
    }
}

impl core::error::Error for FuseError {}

/// A message that was not accepted, given back.
#[derive(Debug)]
pub enum Refused {
    /// As many messages as can be are in flight.
    Full(Message),
    /// It can never be sent.
    Never(Message, FuseError),
}

/// Names a message while it is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub u16);

/// A message that the device is done with.
#[derive(Debug)]
pub struct Completion {
    /// As [`FuseDevice::submit`] named it; `None` for a message without an answer.
    pub token: Option<Token>,
    /// The message, and how many bytes of the answer the device says it has written: never more than it might. A device that was given up
    /// keeps the message.
    pub result: Result<(Message, usize), FuseError>,
}

/// A shared folder. No call blocks.
pub trait FuseDevice {
    /// What must be known of it.
    fn info(&self) -> &FuseInfo;

    /// Accepts a message. Nothing moves before [`kick`](Self::kick).
    ///
    /// Returns its name; `None` if it has no answer.
    ///
    /// # Errors
    /// Hands the message back if there is no room for it or the device was given up.
    fn submit(&mut self, message: Message) -> Result<Option<Token>, Refused>;

    /// Makes what was accepted known to the device: one notification a batch.
    fn kick(&mut self);

    /// Takes the next message that the device is done with.
    fn complete(&mut self) -> Option<Completion>;

    /// Asks for `waker` to be woken at the next completion. Returns `false` if there is one already: take it before parking.
    fn arm(&mut self, waker: &Waker) -> bool;
}
