//! [`VirtioNet::probe`]: from a transport to a card that runs.

use alloc::boxed::Box;

use toro_dev::net::NetInfo;
use toro_mem::DmaBuf;
use toro_virtio::feature::{ACCESS_PLATFORM, EVENT_IDX};
use toro_virtio::{Buffer, DeviceType, ProbeError, Queue, Transport, device, probe};

use crate::device::{Parts, VirtioNet};
use crate::header;

/// Feature bits of network cards (5.1.3).
mod feature {
    pub(super) const CSUM: u64 = 1 << 0;
    pub(super) const GUEST_CSUM: u64 = 1 << 1;
    pub(super) const MTU: u64 = 1 << 3;
    pub(super) const MAC: u64 = 1 << 5;
    pub(super) const GUEST_TSO4: u64 = 1 << 7;
    pub(super) const GUEST_TSO6: u64 = 1 << 8;
    pub(super) const HOST_TSO4: u64 = 1 << 11;
    pub(super) const MRG_RXBUF: u64 = 1 << 15;
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
    /// Buffers for frames to receive: a power of two, or the next smaller one is taken.
    pub rx_buffers: u16,
    /// Bytes of each where packets may lie in several: the longer, the fewer there are of a long packet. At least 2 KiB.
    pub rx_len: usize,
    /// Frames that may wait to be sent; their buffers are allocated as they are needed.
    pub tx_buffers: u16,
    /// Frames of up to 64 KiB, for the device to cut, that may be on their way at once; allocated as they are needed.
    pub long_frames: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rx_buffers: 256,
            rx_len: LEAST_BUFFER,
            tx_buffers: 256,
            long_frames: 32,
        }
    }
}

impl VirtioNet {
    /// Starts the card behind `transport`.
    ///
    /// # Errors
    /// Fails if it is no card, lacks a feature, tells nonsense about itself, or memory runs short. The
    /// device is then reset or marked as failed.
    pub fn probe(transport: Box<dyn Transport>, config: Config) -> Result<Self, ProbeError> {
        let start = |transport: &mut dyn Transport| start(transport, config);
        let (transport, parts) = probe(transport, DeviceType::NET, start)?;
        Ok(Self::new(transport, parts))
    }
}

/// What is said of a card whose address no card can have.
pub(crate) const GROUP_MAC: ProbeError =
    ProbeError::Useless("the device has the address of a group (mac=)");

/// What device and driver have agreed on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreed {
    pub(crate) features: u64,
    pub(crate) info: NetInfo,
    pub(crate) has_status: bool,
    /// Bytes of a buffer to send with, and of one to receive into.
    pub(crate) buffer_len: usize,
    pub(crate) receive_len: usize,
    pub(crate) long_limit: u16,
    pub(crate) merges: bool,
    pub(crate) large: bool,
}

fn start(transport: &mut dyn Transport, config: Config) -> Result<Parts, ProbeError> {
    let agreed = agree(transport, 0, config)?;
    let mut parts = first_pair(transport, agreed, config)?;
    device::start(transport);
    parts.receive.notify_if_needed();
    Ok(parts)
}

/// Resets the device and agrees with it, on `more` features too if it has them.
pub(crate) fn agree(
    transport: &mut dyn Transport,
    more: u64,
    config: Config,
) -> Result<Agreed, ProbeError> {
    let choose = |offered| chosen(offered, more);
    let features = device::negotiate_chosen(transport, &choose, feature::MAC)?;
    let has = |wanted| features & wanted == wanted;
    let (mac, mtu) = identity(transport, features)?;
    let info = NetInfo {
        mac,
        mtu: usize::from(mtu),
        tx_checksum: has(feature::CSUM),
        rx_checksum: has(feature::GUEST_CSUM),
    };
    // With room for a VLAN tag, which the device may leave in.
    let buffer_len = header::LEN + header::ETHERNET + 4 + usize::from(mtu);
    let buffer_len = buffer_len.next_multiple_of(64).max(LEAST_BUFFER);
    let receive_len = if has(feature::MRG_RXBUF) {
        config.rx_len.max(buffer_len)
    } else {
        buffer_len
    };
    let has_segments = has(feature::CSUM | feature::HOST_TSO4);
    Ok(Agreed {
        features,
        info,
        has_status: has(feature::STATUS),
        buffer_len,
        receive_len,
        long_limit: if has_segments { config.long_frames } else { 0 },
        merges: has(feature::MRG_RXBUF),
        large: features & LARGE != 0,
    })
}

const LARGE: u64 = feature::GUEST_TSO4 | feature::GUEST_TSO6;

/// The features that are wanted of those that are offered.
fn chosen(offered: u64, more: u64) -> u64 {
    let wanted = feature::CSUM | feature::GUEST_CSUM | feature::MTU | feature::STATUS;
    let wanted = wanted | feature::HOST_TSO4 | feature::MRG_RXBUF | LARGE;
    let wanted = offered & (wanted | EVENT_IDX | ACCESS_PLATFORM | more);
    // 5.1.3.1: large segments come without a full checksum. Here they also need several buffers.
    let basis = feature::GUEST_CSUM | feature::MRG_RXBUF;
    if wanted & basis == basis {
        wanted
    } else {
        wanted & !LARGE
    }
}

/// Sets the first queue pair up, with buffers to receive into.
pub(crate) fn first_pair(
    transport: &mut dyn Transport,
    agreed: Agreed,
    config: Config,
) -> Result<Parts, ProbeError> {
    let mut queue = |index, size| {
        Queue::new(transport, index, size, agreed.features).map_err(ProbeError::Queue)
    };
    let receive = queue(RECEIVE, config.rx_buffers)?;
    let transmit = queue(TRANSMIT, config.tx_buffers)?;
    filled(receive, transmit, agreed)
}

/// Gives a pair of queues what they need to run.
pub(crate) fn filled(
    mut receive: Queue,
    mut transmit: Queue,
    agreed: Agreed,
) -> Result<Parts, ProbeError> {
    fill(&mut receive, agreed.receive_len)?;
    transmit.disable_interrupts();
    Ok(Parts {
        receive,
        transmit,
        agreed,
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
        return Err(GROUP_MAC);
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
                let added = receive.add_one(Buffer::writable(buf, 0..buffer_len));
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
