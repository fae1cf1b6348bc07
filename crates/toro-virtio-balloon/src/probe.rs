//! [`VirtioBalloon::probe`]: from a transport to a device that runs.

use alloc::boxed::Box;

use toro_virtio::feature::{ACCESS_PLATFORM, EVENT_IDX, INDIRECT_DESC};
use toro_virtio::{DeviceType, NegotiateError, ProbeError, Queue, Transport, device, probe};

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

/// What is said of a balloon that is no use to us.
pub(crate) const NO_REPORTS: ProbeError =
    ProbeError::Useless("it takes no reports of free pages (free-page-reporting=on)");

impl VirtioBalloon {
    /// Starts the balloon behind `transport`.
    ///
    /// # Errors
    /// Fails if it is something else, does not follow version 1, takes no reports, or memory runs short. The device is then marked as failed.
    pub fn probe(transport: Box<dyn Transport>) -> Result<Self, ProbeError> {
        let start = |transport: &mut dyn Transport| start(transport);
        let (transport, queue) = probe(transport, DeviceType::BALLOON, start)?;
        Ok(Self::new(transport, queue))
    }
}

fn start(transport: &mut dyn Transport) -> Result<Queue, ProbeError> {
    let wanted = EVENT_IDX | INDIRECT_DESC | ACCESS_PLATFORM;
    let features =
        device::negotiate(transport, wanted, feature::REPORTING).map_err(|error| match error {
            NegotiateError::Missing(feature::REPORTING) => NO_REPORTS,
            error => ProbeError::Negotiate(error),
        })?;
    let offered = transport.offered();
    // 5.5.2 numbers all queues; devices leave out those that they do not offer, and drivers follow them.
    let before = [feature::STATS, feature::HINTS];
    let before = before.iter().filter(|bit| offered & **bit != 0);
    let index = before.fold(FIRST, |index, _| index + 1);
    let queue = Queue::new(transport, index, SIZE, features)?;
    if usize::from(queue.size()) < VirtioBalloon::MOST {
        return Err(ProbeError::ShortQueue(queue.size()));
    }
    device::start(transport);
    Ok(queue)
}
