//! [`Medium`]: where the bytes of a journal lie.

use alloc::rc::Rc;
use core::cell::RefCell;
use core::fmt;

use toro_cache::{BlockStore, Cache, Order, SECTOR, StoreError};
use toro_vfs::{File, FileError, IoError};

use crate::record::HEADER;

/// Where the bytes of a journal lie. Calls may park the thread.
pub trait Medium {
    /// How far bytes can be read.
    ///
    /// # Errors
    /// What the device fails with.
    fn size(&self) -> Result<u64, FileError>;

    /// Reads from `offset` on and returns how many bytes; fewer than asked for only at the end.
    ///
    /// # Errors
    /// What the device fails with.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, FileError>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// [`FileError::NoSpace`], and what the device fails with; a part may have been written.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), FileError>;

    /// Makes sure that no record begins at `end`.
    ///
    /// # Errors
    /// What the device fails with.
    fn cut(&self, end: u64) -> Result<(), FileError>;

    /// Returns when all that was written is on stable storage.
    ///
    /// # Errors
    /// [`FileError::Io`]: then nothing is promised of what was written since the last sync.
    fn sync(&self) -> Result<(), FileError>;
}

/// A file that was opened for reading and writing.
impl Medium for File {
    fn size(&self) -> Result<u64, FileError> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        let mut done = 0;
        while done < buf.len() {
            match Self::read_at(self, &mut buf[done..], offset + done as u64)? {
                0 => break,
                len => done += len,
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        let mut done = 0;
        while done < bytes.len() {
            match self.write_at(&bytes[done..], offset + done as u64)? {
                0 => return Err(FileError::NoSpace),
                len => done += len,
            }
        }
        Ok(())
    }

    fn cut(&self, end: u64) -> Result<(), FileError> {
        if Medium::size(self)? > end {
            self.set_len(end)?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), FileError> {
        self.sync_data()
    }
}

/// A disk without a file system, or a partition of one: the journal begins in its first sector.
///
/// The disk must be empty or hold a journal: what else begins there is taken for an empty one and written over. Sectors must be written
/// whole or not at all, as disks promise.
pub struct Raw(RefCell<Cache>);

/// Bytes of the disk in memory.
const CACHE: usize = 256 << 10;

impl Raw {
    /// The disk behind `store`.
    pub fn new(store: Rc<dyn BlockStore>) -> Self {
        Self(RefCell::new(Cache::new(store, CACHE)))
    }
}

impl Medium for Raw {
    fn size(&self) -> Result<u64, FileError> {
        Ok(self.0.borrow().len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        let rest = Medium::size(self)?.saturating_sub(offset);
        let len = usize::try_from(rest).map_or(buf.len(), |rest| rest.min(buf.len()));
        let outcome = self.0.borrow_mut().read(offset, &mut buf[..len]);
        outcome.map(|()| len).map_err(device)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        let outcome = self.0.borrow_mut().write(offset, bytes, Order::First);
        outcome.map_err(device)
    }

    fn cut(&self, end: u64) -> Result<(), FileError> {
        let mut found = [0; HEADER];
        let len = self.read_at(end, &mut found)?;
        if found[..len].iter().any(|byte| *byte != 0) {
            self.write_all_at(end, &[0; HEADER][..len])?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), FileError> {
        self.0.borrow_mut().sync().map_err(device)
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sectors = self.0.borrow().len() / SECTOR as u64;
        f.debug_struct("Raw").field("sectors", &sectors).finish()
    }
}

/// What a failure of the disk means to the caller.
fn device(error: StoreError) -> FileError {
    match error {
        StoreError::Read => FileError::Io(IoError::Read),
        StoreError::Write => FileError::Io(IoError::Write),
        StoreError::Flush => FileError::Io(IoError::Flush),
        StoreError::NoFlush => FileError::Io(IoError::NoFlush),
        StoreError::ReadOnly => FileError::ReadOnly,
        // The disk ends where the journal would go on.
        StoreError::OutOfRange => FileError::NoSpace,
        StoreError::OutOfMemory => FileError::OutOfMemory,
        _ => FileError::Io(IoError::Gone),
    }
}
