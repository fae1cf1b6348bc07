//! What the library believes of a superblock is checked here first: it makes tables as large as that says.

use toro_cache::Cache;
use toro_vfs::{FileError, IoError};

/// Where the superblock lies.
const PLACE: u64 = 1024;

/// Largest block, as a power of two above 1 KiB: 64 KiB.
const LARGEST: u32 = 6;

/// Fewest blocks of a group; `mke2fs` makes none with fewer.
const FEWEST: u64 = 256;

/// The feature that blocks are counted in 64 bits.
const WIDE: u32 = 0x80;

/// Whether the volume fits on its disk, and has no more groups than such a disk could have.
pub(crate) fn check(cache: &mut Cache) -> Result<(), FileError> {
    let mut bytes = [0; 1024];
    if cache.len() < PLACE + 1024 {
        return Err(FileError::Corrupt);
    }
    cache
        .read(PLACE, &mut bytes)
        .map_err(|_| FileError::Io(IoError::Read))?;
    let long = |at: usize| u32::from_le_bytes(core::array::from_fn(|nth| bytes[at + nth]));
    let high = if long(96) & WIDE == 0 { 0 } else { long(336) };
    let blocks = u64::from(high) << 32 | u64::from(long(4));
    let is_sane = long(24) <= LARGEST
        && u64::from(long(32)) >= FEWEST
        && blocks <= cache.len() >> 10 >> long(24).min(LARGEST);
    is_sane.then_some(()).ok_or(FileError::Corrupt)
}
