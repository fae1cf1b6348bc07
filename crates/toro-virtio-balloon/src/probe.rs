//! [`VirtioBalloon::probe`]: from a transport to a device that runs.

use alloc::boxed::Box;
use core::fmt;

use toro_virtio::feature::{ACCESS_PLATFORM, EVENT_IDX, INDIRECT_DESC};
use toro_virtio::{DeviceType, NegotiateError, Queue, SetQueueError, Transport, device};

use crate::device::VirtioBalloon;

/// Feature bits of balloons (5.5.3).
pub(crate) mod feature {
    /// It has a queue for statistics.
    pub(crate) const STATS: u64 = 1 << 1;
    /// It has a queue for hints of free pages.
    pub(crate) const HINTS: u64 = 1 << 3;
    /// It has a queue for reports of free pages.
    pub(crate) const REPORTING: u64 = 1 << 5;
}

/// The queues by which a balloon is filled and emptied come first.
const FIRST: u16 = 2;
/// One report is under way at a time, of up to 16 blocks. A table of descriptors may not be longer than the queue (2.7.5.3.1).
const SIZE: u16 = 32;

/// Why a balloon could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// The device is something else.
    NotBalloon(DeviceType),
    /// Its features do not suit; it may not take reports.
    Negotiate(NegotiateError),
    /// Its queue could not be set up.
    Queue(SetQueueError),
    /// Its queue is too short for a report.
    ShortQueue(u16),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBalloon(other) => write!(f, "device type {} is no balloon", other.0),
            Self::Negotiate(NegotiateError::Missing(feature::REPORTING)) => {
                f.write_str("it takes no reports of free pages (free-page-reporting=on)")
            }
            Self::Negotiate(error) => write!(f, "{error}"),
            Self::Queue(error) => write!(f, "{error}"),
            Self::ShortQueue(size) => write!(f, "a queue of {size} is too short for a report"),
        }
    }
}

impl core::error::Error for ProbeError {}

impl VirtioBalloon {
    /// Starts the balloon behind `transport`.
    ///
    /// # Errors
    /// Fails if it is something else, does not follow version 1, takes no reports, or memory runs short. The device is then marked as failed.
    pub fn probe(mut transport: Box<dyn Transport>) -> Result<Self, ProbeError> {
        let device_type = transport.device_type();
        if device_type != DeviceType::BALLOON {
            return Err(ProbeError::NotBalloon(device_type));
        }
        match start(&mut *transport) {
            Ok(queue) => Ok(Self::new(transport, queue)),
            Err(error) => {
                device::fail(&mut *transport);
                Err(error)
            }
        }
    }
}

fn start(transport: &mut dyn Transport) -> Result<Queue, ProbeError> {
    let wanted = EVENT_IDX | INDIRECT_DESC | ACCESS_PLATFORM;
    let features =
        device::negotiate(transport, wanted, feature::REPORTING).map_err(ProbeError::Negotiate)?;
    let offered = transport.offered();
    // 5.5.2 numbers all queues; devices leave out those that they do not offer, and drivers follow them.
    let before = [feature::STATS, feature::HINTS];
    let before = before.iter().filter(|bit| offered & **bit != 0);
    let index = before.fold(FIRST, |index, _| index + 1);
    let queue = Queue::new(transport, index, SIZE, features).map_err(ProbeError::Queue)?;
    if usize::from(queue.size()) < VirtioBalloon::MOST {
        return Err(ProbeError::ShortQueue(queue.size()));
    }
    device::start(transport);
    Ok(queue)
}
