//! [`BlockStore`]: sectors that can be read and written, one call after the other.

use alloc::rc::Rc;
use core::fmt;

/// Bytes of a sector.
pub const SECTOR: usize = 512;

/// A disk, a partition of one, or memory that stands for one.
///
/// Calls may park the thread until the device has answered. Buffers are whole sectors.
pub trait BlockStore {
    /// How many sectors there are.
    fn sectors(&self) -> u64;

    /// Whether writing is refused.
    fn is_read_only(&self) -> bool;

    /// Whether [`flush`](Self::flush) means something.
    fn can_flush(&self) -> bool;

    /// Reads sectors from `sector` on.
    ///
    /// # Errors
    /// What `buf` holds then is not defined.
    fn read(&self, sector: u64, buf: &mut [u8]) -> Result<(), StoreError>;

    /// Writes sectors from `sector` on; a power cut may lose them until a flush has completed.
    ///
    /// # Errors
    /// What these sectors hold then is not defined.
    fn write(&self, sector: u64, bytes: &[u8]) -> Result<(), StoreError>;

    /// Returns when all that was written is on stable storage.
    ///
    /// # Errors
    /// Nothing is known of what was written since the last flush then.
    fn flush(&self) -> Result<(), StoreError>;
}

impl<S: BlockStore + ?Sized> BlockStore for Rc<S> {
    fn sectors(&self) -> u64 {
        (**self).sectors()
    }

    fn is_read_only(&self) -> bool {
        (**self).is_read_only()
    }

    fn can_flush(&self) -> bool {
        (**self).can_flush()
    }

    fn read(&self, sector: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        (**self).read(sector, buf)
    }

    fn write(&self, sector: u64, bytes: &[u8]) -> Result<(), StoreError> {
        (**self).write(sector, bytes)
    }

    fn flush(&self) -> Result<(), StoreError> {
        (**self).flush()
    }
}

/// Why a store, or the cache above it, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// Reading failed.
    Read,
    /// Writing failed.
    Write,
    /// Flushing failed.
    Flush,
    /// The store has no flush, so nothing can be promised.
    NoFlush,
    /// The store is read-only.
    ReadOnly,
    /// It reaches behind the last sector.
    OutOfRange,
    /// It is not in memory, and the store is not to be asked.
    NotInMemory,
    /// There is no memory for it.
    OutOfMemory,
    /// The device does not answer any more.
    Gone,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "reading failed",
            Self::Write => "writing failed",
            Self::Flush => "flushing failed",
            Self::NoFlush => "the store has no flush",
            Self::ReadOnly => "the store is read-only",
            Self::OutOfRange => "beyond the end of the store",
            Self::NotInMemory => "it is not in memory",
            Self::OutOfMemory => "out of memory",
            Self::Gone => "the device does not answer",
        })
    }
}

impl core::error::Error for StoreError {}
