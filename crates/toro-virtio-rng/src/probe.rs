//! [`VirtioRng::probe`]: from a transport to a device that runs.

use alloc::boxed::Box;
use core::fmt;

use toro_mem::{DmaBuf, OutOfMemory};
use toro_virtio::feature::{ACCESS_PLATFORM, EVENT_IDX};
use toro_virtio::{DeviceType, NegotiateError, Queue, SetQueueError, Transport, device};

use crate::device::VirtioRng;

const REQUESTS: u16 = 0;
/// One request is in flight at a time.
const SIZE: u16 = 4;

/// The most bytes that one request brings.
pub(crate) const BUFFER: usize = 64;

/// Why a source could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// The device is something else.
    NotEntropy(DeviceType),
    /// Its features do not suit.
    Negotiate(NegotiateError),
    /// Its queue could not be set up.
    Queue(SetQueueError),
    /// There is no memory for its buffer.
    OutOfMemory(OutOfMemory),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEntropy(other) => write!(f, "device type {} is no source", other.0),
            Self::Negotiate(error) => write!(f, "{error}"),
            Self::Queue(error) => write!(f, "{error}"),
            Self::OutOfMemory(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for ProbeError {}

impl VirtioRng {
    /// Starts the source behind `transport`.
    ///
    /// # Errors
    /// Fails if it is something else, does not follow version 1, or memory runs short. The device is then marked as failed.
    pub fn probe(mut transport: Box<dyn Transport>) -> Result<Self, ProbeError> {
        let device_type = transport.device_type();
        if device_type != DeviceType::ENTROPY {
            return Err(ProbeError::NotEntropy(device_type));
        }
        match start(&mut *transport) {
            Ok((queue, buf)) => Ok(Self::new(transport, queue, buf)),
            Err(error) => {
                device::fail(&mut *transport);
                Err(error)
            }
        }
    }
}

fn start(transport: &mut dyn Transport) -> Result<(Queue, DmaBuf), ProbeError> {
    let features = device::negotiate(transport, EVENT_IDX | ACCESS_PLATFORM, 0)
        .map_err(ProbeError::Negotiate)?;
    let buf = DmaBuf::try_new(BUFFER).map_err(ProbeError::OutOfMemory)?;
    let queue = Queue::new(transport, REQUESTS, SIZE, features).map_err(ProbeError::Queue)?;
    device::start(transport);
    Ok((queue, buf))
}
