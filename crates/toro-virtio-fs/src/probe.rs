//! [`VirtioFs::probe`]: from a transport to a device that runs.

use alloc::boxed::Box;
use alloc::string::String;

use toro_dev::fuse::FuseInfo;
use toro_virtio::feature::{ACCESS_PLATFORM, EVENT_IDX, INDIRECT_DESC};
use toro_virtio::{DeviceType, ProbeError, Queue, Transport, device, probe};

use crate::device::VirtioFs;

/// Queue numbers where there is no queue for notifications, a feature that is not asked for (5.11.2).
const HIGH_PRIORITY: u16 = 0;
const REQUESTS: u16 = 1;

/// Fields of the configuration (5.11.4).
const TAG: usize = 0;
const TAG_BYTES: usize = 36;
const REQUEST_QUEUES: usize = 36;

/// What is said of a device that nobody could mount.
pub(crate) const NO_TAG: ProbeError =
    ProbeError::Useless("the device has no proper tag; give it one (tag=NAME)");
pub(crate) const NO_REQUESTS: ProbeError =
    ProbeError::Useless("the device has no queue for requests");

/// How much may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Descriptors of the request queue: as many requests, or half where the device takes no indirect ones.
    pub requests: u16,
    /// Descriptors of the high-priority queue: as many messages without an answer.
    pub high_priority: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            requests: 128,
            high_priority: 32,
        }
    }
}

impl VirtioFs {
    /// Starts the device behind `transport`.
    ///
    /// # Errors
    /// Fails if it is something else, does not follow version 1, tells nonsense about itself, or memory runs short. The device is then
    /// marked as failed.
    pub fn probe(transport: Box<dyn Transport>, config: Config) -> Result<Self, ProbeError> {
        let start = |transport: &mut dyn Transport| start(transport, config);
        let (transport, (high_priority, requests, info)) =
            probe(transport, DeviceType::FILE_SYSTEM, start)?;
        Ok(Self::new(transport, high_priority, requests, info))
    }
}

fn start(
    transport: &mut dyn Transport,
    config: Config,
) -> Result<(Queue, Queue, FuseInfo), ProbeError> {
    let wanted = INDIRECT_DESC | EVENT_IDX | ACCESS_PLATFORM;
    let features = device::negotiate(transport, wanted, 0)?;
    let (tag, queues) = device::consistent(transport, identity).ok_or(ProbeError::Config)?;
    let tag = tag_text(&tag).ok_or(NO_TAG)?;
    if queues == 0 {
        return Err(NO_REQUESTS);
    }
    let mut queue = |index, size| Queue::new(transport, index, size, features);
    let high_priority = queue(HIGH_PRIORITY, config.high_priority)?;
    let requests = queue(REQUESTS, config.requests)?;
    // Two for the message and its answer. An indirect table may not be longer than the queue either (2.7.5.3.1).
    if requests.size() < 2 {
        return Err(ProbeError::ShortQueue(requests.size()));
    }
    let indirect = features & INDIRECT_DESC != 0;
    let depth = requests.size() / if indirect { 1 } else { 2 };
    device::start(transport);
    Ok((high_priority, requests, FuseInfo { tag, depth }))
}

/// The bytes of the tag, and the number of request queues.
fn identity(transport: &dyn Transport) -> Option<([u8; TAG_BYTES], u32)> {
    let mut tag = [0; TAG_BYTES];
    for (offset, byte) in (TAG..).zip(&mut tag) {
        *byte = device::field(transport, offset)?;
    }
    Some((tag, device::field(transport, REQUEST_QUEUES)?))
}

/// 5.11.4: the tag is UTF-8, and padded with zeros if it is shorter than its field.
fn tag_text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0);
    let text = str::from_utf8(&bytes[..end.unwrap_or(bytes.len())]).ok()?;
    let is_plain = !text.is_empty() && !text.contains(char::is_control);
    is_plain.then(|| String::from(text))
}
