//! The block class: [`BlockDevice`], a disk with many requests in flight, used by one core.
//!
//! Buffers are owned: one goes in with its [`Request`] and comes back with the [`Completion`]; in between only the device touches it.

use core::fmt;
use core::task::Waker;

use toro_mem::DmaBuf;

/// Bytes of a sector: the unit of addresses and lengths, whatever the device's blocks are.
pub const SECTOR: usize = 512;

/// What must be known of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// Its size. Below 2^55, so that bytes can be counted too.
    pub sectors: u64,
    /// Bytes of a block: addresses and lengths are multiples of it. A power of two, at least a sector.
    pub block_size: u32,
    /// The most bytes that one request moves: a multiple of the block size.
    pub max_transfer: u32,
    /// The most sectors of one discard; 0 if the device cannot.
    pub max_discard: u32,
    /// The most sectors of one write of zeroes; 0 if the device cannot.
    pub max_write_zeroes: u32,
    /// Writing is refused.
    pub is_read_only: bool,
    /// The device has a cache that it can write back. Without it nobody can tell when a write is safe.
    pub can_flush: bool,
}

/// What to do.
#[derive(Debug)]
pub enum Op {
    /// Fill the whole buffer from the disk.
    Read(DmaBuf),
    /// Write the whole buffer to the disk.
    Write(DmaBuf),
    /// Make every write that has completed safe from a loss of power. The sector does not matter.
    Flush,
    /// Forget these sectors: what they hold afterwards is not defined.
    Discard {
        /// How many.
        sectors: u32,
    },
    /// Make these sectors zero.
    WriteZeroes {
        /// How many.
        sectors: u32,
    },
}

impl Op {
    /// Gives the buffer back, if there is one.
    pub fn into_buf(self) -> Option<DmaBuf> {
        match self {
            Self::Read(buf) | Self::Write(buf) => Some(buf),
            Self::Flush | Self::Discard { .. } | Self::WriteZeroes { .. } => None,
        }
    }
}

/// A request: what to do, and from which sector on.
#[derive(Debug)]
pub struct Request {
    /// The first sector.
    pub sector: u64,
    /// What to do.
    pub op: Op,
}

/// Why a request failed, or was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// It reaches beyond the end of the disk.
    OutOfRange,
    /// It does not begin and end with a block, or is empty.
    Misaligned,
    /// It is more than one request can do; see [`BlockInfo::max_transfer`].
    TooLarge,
    /// The disk is read-only.
    ReadOnly,
    /// The device cannot do this.
    Unsupported,
    /// The device says that it failed.
    Io,
    /// The device did not answer in time. Whether the request is carried out is not known.
    TimedOut,
    /// The device has broken a rule and was given up.
    Failed,
    /// There is no memory for it.
    OutOfMemory,
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "beyond the end of the disk",
            Self::Misaligned => "not whole blocks",
            Self::TooLarge => "too much for one request",
            Self::ReadOnly => "the disk is read-only",
            Self::Unsupported => "the disk cannot do this",
            Self::Io => "the disk reports an error",
            Self::TimedOut => "the disk does not answer",
            Self::Failed => "the disk was given up",
            Self::OutOfMemory => "out of memory",
        })
    }
}

impl core::error::Error for BlockError {}

/// A request that was not accepted, given back.
#[derive(Debug)]
pub enum Refused {
    /// As many requests as can be are in flight.
    Full(Request),
    /// It can never be carried out.
    Never(Request, BlockError),
}

/// Names a request while it is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub u16);

/// A request that is done.
#[derive(Debug)]
pub struct Completion {
    /// As [`BlockDevice::submit`] named it.
    pub token: Token,
    /// Its buffer, if it had one. A device that was given up keeps it.
    pub buf: Option<DmaBuf>,
    /// Whether it was carried out. If not, what the buffer or the disk holds there is not defined.
    pub result: Result<(), BlockError>,
}

/// A disk. No call blocks.
pub trait BlockDevice {
    /// What must be known of it. The size changes if the host resizes the disk, all else never.
    fn info(&self) -> BlockInfo;

    /// Accepts a request. Nothing moves before [`kick`](Self::kick).
    ///
    /// Requests in flight are carried out in any order, and a flush covers only writes that had completed.
    ///
    /// # Errors
    /// Hands the request back if there is no room for it or it makes no sense.
    fn submit(&mut self, request: Request) -> Result<Token, Refused>;

    /// Makes what was accepted known to the device: one notification a batch.
    fn kick(&mut self);

    /// Takes the next request that is done.
    fn complete(&mut self) -> Option<Completion>;

    /// Asks for `waker` to be woken at the next completion. Returns `false` if there is one already: take it before
    /// parking.
    fn arm(&mut self, waker: &Waker) -> bool;
}

impl BlockInfo {
    /// Says whether a request suits this disk.
    ///
    /// # Errors
    /// Names what does not.
    pub fn check(&self, request: &Request) -> Result<(), BlockError> {
        let (bytes, most) = match &request.op {
            Op::Read(buf) => (buf.len() as u64, u64::from(self.max_transfer)),
            _ if self.is_read_only && !matches!(request.op, Op::Flush) => {
                return Err(BlockError::ReadOnly);
            }
            Op::Write(buf) => (buf.len() as u64, u64::from(self.max_transfer)),
            Op::Flush if self.can_flush => return Ok(()),
            Op::Discard { sectors } if self.max_discard > 0 => {
                (in_bytes(*sectors), in_bytes(self.max_discard))
            }
            Op::WriteZeroes { sectors } if self.max_write_zeroes > 0 => {
                (in_bytes(*sectors), in_bytes(self.max_write_zeroes))
            }
            Op::Flush | Op::Discard { .. } | Op::WriteZeroes { .. } => {
                return Err(BlockError::Unsupported);
            }
        };
        let block = u64::from(self.block_size);
        let start = request.sector.checked_mul(SECTOR as u64);
        let end = start.and_then(|start| start.checked_add(bytes));
        let (Some(start), Some(end)) = (start, end) else {
            return Err(BlockError::OutOfRange);
        };
        if bytes == 0 || bytes % block != 0 || start % block != 0 {
            return Err(BlockError::Misaligned);
        }
        if end > self.sectors.saturating_mul(SECTOR as u64) {
            return Err(BlockError::OutOfRange);
        }
        if bytes > most {
            return Err(BlockError::TooLarge);
        }
        Ok(())
    }
}

fn in_bytes(sectors: u32) -> u64 {
    u64::from(sectors) * SECTOR as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: BlockInfo = BlockInfo {
        sectors: 100,
        block_size: 1024,
        max_transfer: 4096,
        max_discard: 20,
        max_write_zeroes: 10,
        is_read_only: false,
        can_flush: true,
    };

    fn buf(len: usize) -> DmaBuf {
        DmaBuf::try_new(len).expect("memory")
    }

    fn check(info: BlockInfo, sector: u64, op: Op, expected: Result<(), BlockError>) {
        assert_eq!(info.check(&Request { sector, op }), expected);
    }

    #[test]
    fn transfers_are_whole_blocks_inside_the_disk() {
        check(DISK, 0, Op::Read(buf(1024)), Ok(()));
        check(DISK, 98, Op::Write(buf(1024)), Ok(()));
        check(DISK, 92, Op::Read(buf(4096)), Ok(()));
        check(DISK, 94, Op::Read(buf(4096)), Err(BlockError::OutOfRange));
        check(DISK, 100, Op::Read(buf(1024)), Err(BlockError::OutOfRange));
        check(DISK, 1, Op::Read(buf(1024)), Err(BlockError::Misaligned));
        check(DISK, 0, Op::Read(buf(512)), Err(BlockError::Misaligned));
        check(DISK, 0, Op::Write(buf(1)), Err(BlockError::Misaligned));
        check(DISK, 0, Op::Read(buf(5120)), Err(BlockError::TooLarge));
        for far in [1 << 54, 1 << 55, u64::MAX / 512, u64::MAX - 1] {
            check(DISK, far, Op::Read(buf(1024)), Err(BlockError::OutOfRange));
        }
    }

    #[test]
    fn ranges_are_bounded_by_what_the_device_takes() {
        check(DISK, 0, Op::Discard { sectors: 20 }, Ok(()));
        check(
            DISK,
            0,
            Op::Discard { sectors: 22 },
            Err(BlockError::TooLarge),
        );
        check(DISK, 0, Op::WriteZeroes { sectors: 10 }, Ok(()));
        let most = Op::WriteZeroes { sectors: u32::MAX };
        check(DISK, 0, most, Err(BlockError::Misaligned));
        let none = Op::Discard { sectors: 0 };
        check(DISK, 0, none, Err(BlockError::Misaligned));
    }

    #[test]
    fn what_the_device_lacks_is_refused() {
        let plain = BlockInfo {
            max_discard: 0,
            max_write_zeroes: 0,
            can_flush: false,
            ..DISK
        };
        let unsupported = Err(BlockError::Unsupported);
        check(plain, 0, Op::Flush, unsupported);
        check(plain, 0, Op::Discard { sectors: 2 }, unsupported);
        check(plain, 0, Op::WriteZeroes { sectors: 2 }, unsupported);
        check(DISK, u64::MAX, Op::Flush, Ok(()));
    }

    #[test]
    fn a_read_only_disk_is_only_read() {
        let disk = BlockInfo {
            is_read_only: true,
            ..DISK
        };
        check(disk, 0, Op::Read(buf(1024)), Ok(()));
        check(disk, 0, Op::Write(buf(1024)), Err(BlockError::ReadOnly));
        check(
            disk,
            0,
            Op::Discard { sectors: 2 },
            Err(BlockError::ReadOnly),
        );
        check(disk, 0, Op::Flush, Ok(()));
    }
}
