//! [`VirtioVsock::probe`]: from a transport to a device that runs.

use alloc::boxed::Box;

use toro_dev::socket::HEADER;
use toro_virtio::feature::{ACCESS_PLATFORM, EVENT_IDX};
use toro_virtio::{DeviceType, ProbeError, Queue, Transport, device, probe};

use crate::device::VirtioVsock;
use crate::queues::Queues;

/// Descriptors of the event queue: one event is known, and it says all.
const EVENTS: u16 = 4;
/// The longest packet: back ends take no more than 64 KiB of payload.
const LONGEST: usize = 64 << 10;

/// What is said of a device without a configuration, or with one that makes no sense.
pub(crate) const NO_CID: ProbeError =
    ProbeError::Useless("the device gives this machine no proper context id");

/// How much memory a device gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The most packets on their way, in each direction.
    pub packets: u16,
    /// Bytes of a packet, with its header.
    pub packet_len: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            packets: 32,
            packet_len: 16 << 10,
        }
    }
}

impl VirtioVsock {
    /// Starts the device behind `transport`.
    ///
    /// # Errors
    /// Fails if it is something else, does not follow version 1, or memory runs short. The device is then marked as failed.
    pub fn probe(transport: Box<dyn Transport>, config: Config) -> Result<Self, ProbeError> {
        let config = Config {
            packets: config.packets.max(2),
            packet_len: config.packet_len.clamp(4 * HEADER, LONGEST),
        };
        let start = |transport: &mut dyn Transport| start(transport, config);
        let (transport, (queues, cid)) = probe(transport, DeviceType::SOCKET, start)?;
        Ok(Self::new(transport, config, queues, cid))
    }
}

/// Agrees on features, sets the queues up, and lets the device run.
pub(crate) fn start(
    transport: &mut dyn Transport,
    config: Config,
) -> Result<(Queues, u32), ProbeError> {
    let wanted = EVENT_IDX | ACCESS_PLATFORM;
    let features = device::negotiate(transport, wanted, 0)?;
    let cid = cid(transport)?;
    let mut queue = |index, size| Queue::new(transport, index, size, features);
    // 5.10.2: receive, transmit, events.
    let (receiving, sending) = (queue(0, config.packets)?, queue(1, config.packets)?);
    let events = queue(2, EVENTS)?;
    let queues = Queues::try_new(receiving, sending, events, config.packet_len);
    let queues = queues?;
    device::start(transport);
    Ok((queues, cid))
}

/// The context id of this machine (5.10.4): 0 to 2 are others', and the largest is anybody's.
pub(crate) fn cid(transport: &dyn Transport) -> Result<u32, ProbeError> {
    let read = |transport: &dyn Transport| {
        let low = device::field::<u32>(transport, 0)?;
        Some((low, device::field::<u32>(transport, 4)?))
    };
    match device::consistent(transport, read) {
        Some((cid @ 3..=0xffff_fffe, 0)) => Ok(cid),
        _ => Err(NO_CID),
    }
}
