//! [`VirtioVsock::probe`]: from a transport to a device that runs.

use alloc::boxed::Box;
use core::fmt;

use toro_dev::socket::HEADER;
use toro_mem::OutOfMemory;
use toro_virtio::feature::{ACCESS_PLATFORM, EVENT_IDX};
use toro_virtio::{DeviceType, NegotiateError, Queue, SetQueueError, Transport, device};

use crate::device::VirtioVsock;
use crate::queues::Queues;

/// Descriptors of the event queue: one event is known, and it says all.
const EVENTS: u16 = 4;
/// The longest packet: back ends take no more than 64 KiB of payload.
const LONGEST: usize = 64 << 10;

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

/// Why a device could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// The device is something else.
    NotVsock(DeviceType),
    /// Its features do not suit.
    Negotiate(NegotiateError),
    /// Its configuration is too short or never at rest, or gives us no proper context id.
    Config,
    /// One of its queues could not be set up.
    Queue(SetQueueError),
    /// There is no memory for its packets.
    OutOfMemory(OutOfMemory),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotVsock(other) => write!(f, "device type {} is no socket device", other.0),
            Self::Negotiate(error) => write!(f, "{error}"),
            Self::Config => f.write_str("the device gives this machine no proper context id"),
            Self::Queue(error) => write!(f, "{error}"),
            Self::OutOfMemory(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for ProbeError {}

impl VirtioVsock {
    /// Starts the device behind `transport`.
    ///
    /// # Errors
    /// Fails if it is something else, does not follow version 1, or memory runs short. The device is then marked as failed.
    pub fn probe(mut transport: Box<dyn Transport>, config: Config) -> Result<Self, ProbeError> {
        let device_type = transport.device_type();
        if device_type != DeviceType::SOCKET {
            return Err(ProbeError::NotVsock(device_type));
        }
        let config = Config {
            packets: config.packets.max(2),
            packet_len: config.packet_len.clamp(4 * HEADER, LONGEST),
        };
        match start(&mut *transport, config) {
            Ok((queues, cid)) => Ok(Self::new(transport, config, queues, cid)),
            Err(error) => {
                device::fail(&mut *transport);
                Err(error)
            }
        }
    }
}

/// Agrees on features, sets the queues up, and lets the device run.
pub(crate) fn start(
    transport: &mut dyn Transport,
    config: Config,
) -> Result<(Queues, u32), ProbeError> {
    let wanted = EVENT_IDX | ACCESS_PLATFORM;
    let features = device::negotiate(transport, wanted, 0).map_err(ProbeError::Negotiate)?;
    let cid = cid(transport)?;
    let mut queue =
        |index, size| Queue::new(transport, index, size, features).map_err(ProbeError::Queue);
    // 5.10.2: receive, transmit, events.
    let (receiving, sending) = (queue(0, config.packets)?, queue(1, config.packets)?);
    let events = queue(2, EVENTS)?;
    let queues = Queues::try_new(receiving, sending, events, config.packet_len);
    let queues = queues.map_err(ProbeError::OutOfMemory)?;
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
        _ => Err(ProbeError::Config),
    }
}
