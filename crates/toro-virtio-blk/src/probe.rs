//! [`VirtioBlk::probe`]: from a transport to a disk that runs.

use alloc::boxed::Box;
use alloc::vec::Vec;

use toro_dev::block::BlockInfo;
use toro_pci::Registers;
use toro_virtio::feature::{ACCESS_PLATFORM, EVENT_IDX, INDIRECT_DESC};
use toro_virtio::{DeviceType, Message, ProbeError, Queue, Transport, device, probe};

use crate::device::VirtioBlk;
use crate::further::{FurtherQueue, further};
use crate::together::Together;

/// Feature bits of disks (5.2.3).
mod feature {
    pub(super) const SIZE_MAX: u64 = 1 << 1;
    pub(super) const RO: u64 = 1 << 5;
    pub(super) const BLK_SIZE: u64 = 1 << 6;
    pub(super) const FLUSH: u64 = 1 << 9;
    pub(super) const MQ: u64 = 1 << 12;
    pub(super) const DISCARD: u64 = 1 << 13;
    pub(super) const WRITE_ZEROES: u64 = 1 << 14;
}

/// Offsets of configuration fields (5.2.4).
mod field {
    pub(super) const CAPACITY: usize = 0;
    pub(super) const SIZE_MAX: usize = 8;
    pub(super) const BLK_SIZE: usize = 20;
    pub(super) const NUM_QUEUES: usize = 34;
    pub(super) const MAX_DISCARD: usize = 36;
    pub(super) const MAX_WRITE_ZEROES: usize = 48;
}

const REQUESTS: u16 = 0;
/// The most bytes of a request, for a device that names no limit.
const MOST_BYTES: u32 = 1 << 20;
/// Bytes of a block: at least a sector.
const BLOCKS: core::ops::RangeInclusive<u32> = SECTOR..=1 << 16;
const SECTOR: u32 = 512;
/// More sectors than this no disk has: their bytes fit into 64 bits.
const MOST_SECTORS: u64 = 1 << 55;

/// How much may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Descriptors: as many requests, or a third where the device takes no indirect ones.
    pub queue: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { queue: 128 }
    }
}

impl VirtioBlk {
    /// Starts the disk behind `transport`.
    ///
    /// # Errors
    /// Fails if it is no disk, does not follow version 1, tells nonsense about itself, or memory runs short. The device is
    /// then marked as failed.
    pub fn probe(transport: Box<dyn Transport>, config: Config) -> Result<Self, ProbeError> {
        Self::probe_queues(transport, config, &[]).map(|(disk, _)| disk)
    }

    /// As [`probe`](Self::probe), and sets up a further queue for each of the other cores, whose interrupt is its entry of `cores`, as far as
    /// the device has queues and interrupts for them; none if it has one queue only.
    ///
    /// # Errors
    /// As [`probe`](Self::probe). A further queue that cannot be had is no error: there are fewer then.
    pub fn probe_queues(
        transport: Box<dyn Transport>,
        config: Config,
        cores: &[Message],
    ) -> Result<(Self, Vec<FurtherQueue>), ProbeError> {
        let start = |transport: &mut dyn Transport| start(transport, config, cores);
        let (transport, (queue, info, queues)) = probe(transport, DeviceType::BLOCK, start)?;
        let together = Together::new(info.sectors);
        let queues = queues.into_iter();
        let queues = queues.map(|queue| FurtherQueue::new(queue, info, together.clone()));
        let queues = queues.collect();
        Ok((Self::new(transport, queue, info, together), queues))
    }
}

/// The first queue, what the disk is, and the further queues.
type Started = (Queue, BlockInfo, Vec<(Queue, Option<Registers>)>);

fn start(
    transport: &mut dyn Transport,
    config: Config,
    cores: &[Message],
) -> Result<Started, ProbeError> {
    let wanted = feature::SIZE_MAX | feature::RO | feature::BLK_SIZE | feature::FLUSH;
    let wanted = wanted | feature::DISCARD | feature::WRITE_ZEROES;
    let wanted = wanted | INDIRECT_DESC | EVENT_IDX | ACCESS_PLATFORM;
    let several = if cores.is_empty() { 0 } else { feature::MQ };
    let features = device::negotiate(transport, wanted | several, 0)?;
    let read = |transport: &dyn Transport| {
        Some((identity(transport, features)?, queues(transport, features)?))
    };
    let (info, most) = device::consistent(transport, read).ok_or(ProbeError::Config)?;
    let queue = Queue::new(transport, REQUESTS, config.queue, features)?;
    check_size(&queue)?;
    let cores = &cores[..cores.len().min(usize::from(most - 1))];
    let queues = further(transport, config.queue, features, cores);
    device::start(transport);
    Ok((queue, info, queues))
}

/// Whether a request fits: three descriptors for header, data and status. An indirect table may not be longer than the queue either (2.7.5.3.1).
pub(crate) fn check_size(queue: &Queue) -> Result<(), ProbeError> {
    match queue.size() {
        size @ 0..4 => Err(ProbeError::ShortQueue(size)),
        _ => Ok(()),
    }
}

/// How many queues the device has, as it says; at least the one that every disk has.
fn queues(transport: &dyn Transport, features: u64) -> Option<u16> {
    if features & feature::MQ == 0 {
        return Some(1);
    }
    let queues: u16 = device::field(transport, field::NUM_QUEUES)?;
    if queues == 0 {
        log::warn!("blk: the device names no queues; using one");
    }
    Some(queues.max(1))
}

/// Reads what the disk is, and keeps it within bounds.
fn identity(transport: &dyn Transport, features: u64) -> Option<BlockInfo> {
    let has = |bit| features & bit != 0;
    let optional = |bit, offset| match has(bit) {
        true => device::field::<u32>(transport, offset),
        false => Some(0),
    };
    let block_size = match optional(feature::BLK_SIZE, field::BLK_SIZE)? {
        size if size.is_power_of_two() && BLOCKS.contains(&size) => size,
        0 => SECTOR,
        size => {
            log::warn!("blk: the device names blocks of {size} bytes; using {SECTOR}");
            SECTOR
        }
    };
    let most = match optional(feature::SIZE_MAX, field::SIZE_MAX)? {
        0 => MOST_BYTES,
        most => most.clamp(block_size, MOST_BYTES),
    };
    Some(BlockInfo {
        sectors: capacity(transport)?,
        block_size,
        max_transfer: most - most % block_size,
        max_discard: optional(feature::DISCARD, field::MAX_DISCARD)?,
        max_write_zeroes: optional(feature::WRITE_ZEROES, field::MAX_WRITE_ZEROES)?,
        is_read_only: has(feature::RO),
        can_flush: has(feature::FLUSH),
    })
}

/// The size of the disk in sectors.
fn capacity(transport: &dyn Transport) -> Option<u64> {
    let low: u32 = device::field(transport, field::CAPACITY)?;
    let high: u32 = device::field(transport, field::CAPACITY + 4)?;
    Some((u64::from(low) | u64::from(high) << 32).min(MOST_SECTORS))
}

/// The size of the disk now, if the device lets it be read.
pub(crate) fn read_capacity(transport: &dyn Transport) -> Option<u64> {
    device::consistent(transport, capacity)
}
