//! [`VirtioNet::probe`]: from a transport to a card that runs.

use alloc::boxed::Box;
use core::fmt;

use toro_dev::net::NetInfo;
use toro_mem::{DmaBuf, OutOfMemory};
use toro_virtio::feature::{ACCESS_PLATFORM, EVENT_IDX};
use toro_virtio::{Buffer, DeviceType, NegotiateError, Queue, SetQueueError, Transport, device};

use crate::device::{Parts, VirtioNet};
use crate::header;

/// Feature bits of network cards (5.1.3).
mod feature {
    pub(super) const CSUM: u64 = 1 << 0;
    pub(super) const GUEST_CSUM: u64 = 1 << 1;
    pub(super) const MTU: u64 = 1 << 3;
    pub(super) const MAC: u64 = 1 << 5;
    pub(super) const HOST_TSO4: u64 = 1 << 11;
    pub(super) const STATUS: u64 = 1 << 16;
}

/// Offsets of configuration fields (5.1.4).
mod field {
    pub(super) const MAC: usize = 0;
    pub(super) const STATUS: usize = 6;
    pub(super) const MTU: usize = 10;
}

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
/// Packets of Ethernet, where the device names no other size.
const DEFAULT_MTU: u16 = 1500;
/// Smallest that IPv4 allows, and largest that is worth buffers of this size.
const MTU_RANGE: core::ops::RangeInclusive<u16> = 68..=9216;
/// Buffers are no smaller, so that the heap takes them from a class of its own.
const LEAST_BUFFER: usize = 2048;

/// How much memory a card gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Buffers of 2 KiB for frames to receive: a power of two, or the next smaller one is taken.
    pub rx_buffers: u16,
    /// Frames that may wait to be sent; their buffers are allocated as they are needed.
    pub tx_buffers: u16,
    /// Frames of up to 64 KiB, for the device to cut, that may be on their way at once; allocated as they are needed.
    pub long_frames: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rx_buffers: 256,
            tx_buffers: 256,
            long_frames: 32,
        }
    }
}

/// Why a card could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// The device is something else.
    NotNet(DeviceType),
    /// Its features do not suit.
    Negotiate(NegotiateError),
    /// Its configuration is too short or never at rest.
    Config,
    /// Its address is that of a group.
    GroupMac([u8; 6]),
    /// A queue could not be set up.
    Queue(SetQueueError),
    /// There is no memory for a single receive buffer.
    OutOfMemory(OutOfMemory),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNet(device_type) => write!(f, "device type {} is no net card", device_type.0),
            Self::Negotiate(error) => write!(f, "{error}"),
            Self::Config => f.write_str("the device has no proper configuration"),
            Self::GroupMac(mac) => write!(f, "the device has a group's address: {mac:02x?}"),
            Self::Queue(error) => write!(f, "{error}"),
            Self::OutOfMemory(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for ProbeError {}

impl VirtioNet {
    /// Starts the card behind `transport`.
    ///
    /// # Errors
    /// Fails if it is no card, lacks a feature, tells nonsense about itself, or memory runs short. The
    /// device is then reset or marked as failed.
    pub fn probe(mut transport: Box<dyn Transport>, config: Config) -> Result<Self, ProbeError> {
        let device_type = transport.device_type();
        if device_type != DeviceType::NET {
            return Err(ProbeError::NotNet(device_type));
        }
        match start(&mut *transport, config) {
            Ok(parts) => Ok(Self::new(transport, parts)),
            Err(error) => {
                device::fail(&mut *transport);
                Err(error)
            }
        }
    }
}

fn start(transport: &mut dyn Transport, config: Config) -> Result<Parts, ProbeError> {
    let wanted = feature::CSUM | feature::GUEST_CSUM | feature::MTU | feature::STATUS;
    let wanted = wanted | feature::HOST_TSO4 | EVENT_IDX | ACCESS_PLATFORM;
    let features =
        device::negotiate(transport, wanted, feature::MAC).map_err(ProbeError::Negotiate)?;
    let segments = feature::CSUM | feature::HOST_TSO4;
    let has_segments = features & segments == segments;
    let has_status = features & feature::STATUS != 0;
    let (mac, mtu) = identity(transport, features)?;
    let info = NetInfo {
        mac,
        mtu: usize::from(mtu),
        tx_checksum: features & feature::CSUM != 0,
        rx_checksum: features & feature::GUEST_CSUM != 0,
    };
    // With room for a VLAN tag, which the device may leave in.
    let buffer_len = header::LEN + header::ETHERNET + 4 + usize::from(mtu);
    let buffer_len = buffer_len.next_multiple_of(64).max(LEAST_BUFFER);
    let mut queue =
        |index, size| Queue::new(transport, index, size, features).map_err(ProbeError::Queue);
    let mut receive = queue(RECEIVE, config.rx_buffers)?;
    let mut transmit = queue(TRANSMIT, config.tx_buffers)?;
    fill(&mut receive, buffer_len)?;
    transmit.disable_interrupts();
    device::start(transport);
    receive.notify_if_needed();
    Ok(Parts {
        receive,
        transmit,
        info,
        has_status,
        buffer_len,
        long_limit: if has_segments { config.long_frames } else { 0 },
    })
}

/// Reads and checks the address and the packet size.
fn identity(transport: &dyn Transport, features: u64) -> Result<([u8; 6], u16), ProbeError> {
    let read = |transport: &dyn Transport| {
        let mut mac = [0; 6];
        for (offset, byte) in (field::MAC..).zip(&mut mac) {
            *byte = device::field(transport, offset)?;
        }
        let has_mtu = features & feature::MTU != 0;
        let mtu = if has_mtu {
            device::field(transport, field::MTU)?
        } else {
            DEFAULT_MTU
        };
        Some((mac, mtu))
    };
    let (mac, mtu) = device::consistent(transport, read).ok_or(ProbeError::Config)?;
    if mac[0] & 1 != 0 {
        return Err(ProbeError::GroupMac(mac));
    }
    if MTU_RANGE.contains(&mtu) {
        return Ok((mac, mtu));
    }
    log::warn!("net: the device names a packet size of {mtu}; using {DEFAULT_MTU}");
    Ok((mac, DEFAULT_MTU))
}

/// Gives the device buffers, as many as the queue takes and memory allows.
fn fill(receive: &mut Queue, buffer_len: usize) -> Result<(), ProbeError> {
    while receive.free() > 0 {
        match DmaBuf::try_new(buffer_len) {
            Ok(buf) => {
                let added = receive.add(Buffer::writable(buf, 0..buffer_len).into());
                debug_assert!(added.is_ok(), "a descriptor was free");
            }
            Err(error) if receive.outstanding() == 0 => return Err(ProbeError::OutOfMemory(error)),
            Err(error) => {
                log::warn!(
                    "net: {} receive buffers only: {error}",
                    receive.outstanding()
                );
                break;
            }
        }
    }
    Ok(())
}

/// Whether the link is up, as the device says; up if its configuration does not tell.
pub(crate) fn read_link(transport: &dyn Transport) -> bool {
    device::field::<u16>(transport, field::STATUS).is_none_or(|status| status & 1 != 0)
}
