//! [`VirtioRng::probe`]: from a transport to a device that runs.

use alloc::boxed::Box;

use toro_mem::DmaBuf;
use toro_virtio::feature::{ACCESS_PLATFORM, EVENT_IDX};
use toro_virtio::{DeviceType, ProbeError, Queue, Transport, device, probe};

use crate::device::VirtioRng;

const REQUESTS: u16 = 0;
/// One request is in flight at a time.
const SIZE: u16 = 4;

/// The most bytes that one request brings.
pub(crate) const BUFFER: usize = 64;

impl VirtioRng {
    /// Starts the source behind `transport`.
    ///
    /// # Errors
    /// Fails if it is something else, does not follow version 1, or memory runs short. The device is then marked as failed.
    pub fn probe(transport: Box<dyn Transport>) -> Result<Self, ProbeError> {
        let start = |transport: &mut dyn Transport| start(transport);
        let (transport, (queue, buf)) = probe(transport, DeviceType::ENTROPY, start)?;
        Ok(Self::new(transport, queue, buf))
    }
}

fn start(transport: &mut dyn Transport) -> Result<(Queue, DmaBuf), ProbeError> {
    let features = device::negotiate(transport, EVENT_IDX | ACCESS_PLATFORM, 0)?;
    let buf = DmaBuf::try_new(BUFFER)?;
    let queue = Queue::new(transport, REQUESTS, SIZE, features)?;
    device::start(transport);
    Ok((queue, buf))
}
