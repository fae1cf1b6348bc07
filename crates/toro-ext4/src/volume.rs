//! [`Volume`]: the disk, and where the superblock says that things lie.

use alloc::rc::Rc;

use toro_cache::{BlockStore, Cache, StoreError};
use toro_vfs::{FileError, IoError};

use crate::bytes::{long, wide, word};

/// Where the superblock lies, in bytes.
const PLACE: u64 = 1024;

const MAGIC: u16 = 0xef53;

/// Largest block, as a power of two above 1 KiB: 64 KiB.
const LARGEST: u32 = 6;

/// The journal must be played back.
const RECOVERY: u32 = 0x4;
/// Numbers of blocks have 64 bits.
const WIDE: u32 = 0x80;
/// What a reader has to know and this one does: types in entries, extents, 64 bits, protection from two mounts, flexible groups,
/// attributes in inodes, a seed for checksums, large directories.
const KNOWN: u32 = 0x2 | 0x40 | WIDE | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000;

/// A disk with a file system.
#[derive(Debug)]
pub(crate) struct Volume {
    cache: Cache,
    /// Bytes of a block.
    pub(crate) block: u64,
    blocks: u64,
    inodes: u32,
    inodes_per_group: u32,
    pub(crate) inode_len: u16,
    /// Where the group descriptors lie, and the bytes of one.
    descriptors: (u64, u64),
}

impl Volume {
    pub(crate) fn mount(store: Rc<dyn BlockStore>, cache_bytes: usize) -> Result<Self, FileError> {
        let mut cache = Cache::new(store, cache_bytes);
        let mut bytes = [0; 1024];
        cache.read(PLACE, &mut bytes).map_err(device)?;
        let features = long(&bytes, 96);
        let is_old = long(&bytes, 76) == 0;
        let shift = long(&bytes, 24);
        if word(&bytes, 56) != MAGIC || shift > LARGEST {
            return Err(FileError::Corrupt);
        }
        if features & RECOVERY != 0 {
            return Err(FileError::Unclean);
        }
        if features & !KNOWN != 0 {
            return Err(FileError::Unsupported);
        }
        let is_wide = features & WIDE != 0;
        let block = 1024 << shift;
        let high = if is_wide { long(&bytes, 336) } else { 0 };
        let first_block = u64::from(long(&bytes, 20));
        let descriptor = if is_wide { word(&bytes, 254) } else { 32 };
        let volume = Self {
            block,
            blocks: wide(high, long(&bytes, 4)),
            inodes: long(&bytes, 0),
            inodes_per_group: long(&bytes, 40),
            inode_len: if is_old { 128 } else { word(&bytes, 88) },
            descriptors: (first_block.saturating_add(1) * block, u64::from(descriptor)),
            cache,
        };
        let is_sane = volume.inodes_per_group > 0
            && (128..=block).contains(&u64::from(volume.inode_len))
            && (32..=1024).contains(&descriptor)
            && first_block <= 1
            && volume.blocks <= volume.cache.len() / block;
        is_sane.then_some(volume).ok_or(FileError::Corrupt)
    }

    /// Reads bytes from `offset` on.
    pub(crate) fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), FileError> {
        self.cache.read(offset, buf).map_err(device)
    }

    /// Reads bytes that begin `offset` bytes behind the start of block `number`, within `blocks` blocks from there.
    pub(crate) fn read_run(
        &mut self,
        number: u64,
        blocks: u64,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), FileError> {
        let end = number.checked_add(blocks);
        if end.is_none_or(|end| end > self.blocks) {
            return Err(FileError::Corrupt);
        }
        self.read(number * self.block + offset, buf)
    }

    /// Whether only what is in memory is read.
    pub(crate) fn stay(&mut self, stays: bool) {
        self.cache.stay(stays);
    }

    /// Where the inode of that number lies, in bytes.
    pub(crate) fn inode_place(&mut self, number: u32) -> Result<u64, FileError> {
        if !(1..=self.inodes).contains(&number) {
            return Err(FileError::Corrupt);
        }
        let (group, nth) = (
            (number - 1) / self.inodes_per_group,
            (number - 1) % self.inodes_per_group,
        );
        let mut descriptor = [0; 64];
        let (start, len) = self.descriptors;
        let len_here = if len >= 64 { 64 } else { 32 };
        self.read(start + u64::from(group) * len, &mut descriptor[..len_here])?;
        let table = wide(long(&descriptor, 40), long(&descriptor, 8));
        if table >= self.blocks {
            return Err(FileError::Corrupt);
        }
        Ok(table * self.block + u64::from(nth) * u64::from(self.inode_len))
    }
}

/// What a failure of the device means to the caller.
fn device(error: StoreError) -> FileError {
    match error {
        // The volume says that it is larger than its device.
        StoreError::OutOfRange => FileError::Corrupt,
        StoreError::OutOfMemory => FileError::OutOfMemory,
        StoreError::NotInMemory => FileError::WouldBlock,
        StoreError::Gone => FileError::Io(IoError::Gone),
        _ => FileError::Io(IoError::Read),
    }
}
