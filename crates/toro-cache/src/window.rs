//! [`Window`]: a part of a store, as a partition is.

use alloc::rc::Rc;
use core::fmt;

use crate::store::{BlockStore, SECTOR, StoreError};

/// Some sectors of a store in a row, as a store of their own.
#[derive(Clone)]
pub struct Window {
    store: Rc<dyn BlockStore>,
    start: u64,
    sectors: u64,
}

impl Window {
    /// The `sectors` sectors of `store` from `start` on.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] if the store ends before.
    pub fn new(store: Rc<dyn BlockStore>, start: u64, sectors: u64) -> Result<Self, StoreError> {
        let end = start.checked_add(sectors);
        end.filter(|end| *end <= store.sectors())
            .ok_or(StoreError::OutOfRange)?;
        Ok(Self {
            store,
            start,
            sectors,
        })
    }

    /// The sector of the store below, if all `len` bytes lie in the window.
    fn translate(&self, sector: u64, len: usize) -> Result<u64, StoreError> {
        let end = sector.checked_add((len / SECTOR) as u64);
        end.filter(|end| *end <= self.sectors)
            .ok_or(StoreError::OutOfRange)?;
        Ok(self.start + sector)
    }
}

impl BlockStore for Window {
    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn is_read_only(&self) -> bool {
        self.store.is_read_only()
    }

    fn can_flush(&self) -> bool {
        self.store.can_flush()
    }

    fn read(&self, sector: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        self.store.read(self.translate(sector, buf.len())?, buf)
    }

    fn write(&self, sector: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let sector = self.translate(sector, bytes.len())?;
        self.store.write(sector, bytes)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.store.flush()
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("start", &self.start)
            .field("sectors", &self.sectors)
            .finish_non_exhaustive()
    }
}
