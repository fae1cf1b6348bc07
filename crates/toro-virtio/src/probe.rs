//! [`probe`]: the frame around the start of every driver, and [`ProbeError`], why a device was not started.

use alloc::boxed::Box;
use core::fmt;

use toro_mem::OutOfMemory;

use crate::device::{self, NegotiateError};
use crate::transport::{DeviceType, SetQueueError, Transport};

/// Why a device could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// The device is something else.
    OtherDevice {
        /// What it is.
        found: DeviceType,
        /// What the driver is for.
        wanted: DeviceType,
    },
    /// Its features do not suit.
    Negotiate(NegotiateError),
    /// Its configuration is too short or never at rest.
    Config,
    /// What it says of itself is of no use: a sentence, and the remedy if there is one.
    Useless(&'static str),
    /// One of its queues could not be set up.
    Queue(SetQueueError),
    /// A queue has too few descriptors for a request.
    ShortQueue(u16),
    /// There is no memory for what it needs.
    OutOfMemory(OutOfMemory),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherDevice { found, wanted } => {
                write!(f, "device type {} instead of {}", found.0, wanted.0)
            }
            Self::Negotiate(error) => error.fmt(f),
            Self::Config => f.write_str("the device has no proper configuration"),
            Self::Useless(why) => f.write_str(why),
            Self::Queue(error) => error.fmt(f),
            Self::ShortQueue(size) => write!(f, "a queue of {size} is too short for a request"),
            Self::OutOfMemory(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ProbeError {}

impl From<NegotiateError> for ProbeError {
    fn from(error: NegotiateError) -> Self {
        Self::Negotiate(error)
    }
}

impl From<SetQueueError> for ProbeError {
    fn from(error: SetQueueError) -> Self {
        Self::Queue(error)
    }
}

impl From<OutOfMemory> for ProbeError {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error)
    }
}

/// Has `start` start the device behind `transport`, if it is of the type that is `wanted`, and returns both.
///
/// # Errors
/// Fails if it is another device, or as `start` does: then the device is marked as failed.
pub fn probe<T>(
    mut transport: Box<dyn Transport>,
    wanted: DeviceType,
    start: impl FnOnce(&mut dyn Transport) -> Result<T, ProbeError>,
) -> Result<(Box<dyn Transport>, T), ProbeError> {
    let found = transport.device_type();
    if found != wanted {
        return Err(ProbeError::OtherDevice { found, wanted });
    }
    match start(&mut *transport) {
        Ok(parts) => Ok((transport, parts)),
        Err(error) => {
            device::fail(&mut *transport);
            Err(error)
        }
    }
}
