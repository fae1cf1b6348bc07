//! [`MemoryStore`]: a store in memory.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use crate::store::{BlockStore, SECTOR, StoreError};

/// A store in memory: a disk image that came with the program, or a disk for tests.
pub struct MemoryStore {
    bytes: RefCell<Vec<u8>>,
}

impl MemoryStore {
    /// A store of these bytes; what does not fill a sector at the end is not reached.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: RefCell::new(bytes),
        }
    }

    /// What the store holds.
    pub fn to_vec(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }
}

impl BlockStore for MemoryStore {
    fn sectors(&self) -> u64 {
        (self.bytes.borrow().len() / SECTOR) as u64
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn can_flush(&self) -> bool {
        true
    }

    fn read(&self, sector: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let bytes = self.bytes.borrow();
        let rest = start(sector).and_then(|start| bytes.get(start..));
        let part = rest.and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(part.ok_or(StoreError::OutOfRange)?);
        Ok(())
    }

    fn write(&self, sector: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let mut own = self.bytes.borrow_mut();
        let rest = start(sector).and_then(|start| own.get_mut(start..));
        let part = rest.and_then(|rest| rest.get_mut(..bytes.len()));
        part.ok_or(StoreError::OutOfRange)?.copy_from_slice(bytes);
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("sectors", &self.sectors())
            .finish_non_exhaustive()
    }
}

fn start(sector: u64) -> Option<usize> {
    usize::try_from(sector).ok()?.checked_mul(SECTOR)
}
