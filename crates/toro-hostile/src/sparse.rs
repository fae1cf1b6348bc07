//! [`SparseStore`]: a disk that costs only what is on it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use toro_cache::{BlockStore, SECTOR, StoreError};

/// A disk that begins with given bytes and is zero behind them.
#[derive(Debug)]
pub(crate) struct SparseStore {
    sectors: u64,
    /// What it began with, without the zeros.
    start: Vec<u8>,
    written: RefCell<BTreeMap<u64, [u8; SECTOR]>>,
}

impl SparseStore {
    /// A disk of so many sectors, or as many as `start` fills.
    pub(crate) fn new(start: &[u8], sectors: u64) -> Self {
        Self {
            sectors: sectors.max(start.len().div_ceil(SECTOR) as u64),
            start: start.to_vec(),
            written: RefCell::default(),
        }
    }

    fn check(&self, sector: u64, len: usize) -> Result<(), StoreError> {
        let end = sector.checked_add((len / SECTOR) as u64);
        match end {
            Some(end) if end <= self.sectors => Ok(()),
            _ => Err(StoreError::OutOfRange),
        }
    }
}

impl BlockStore for SparseStore {
    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn can_flush(&self) -> bool {
        true
    }

    fn read(&self, sector: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        self.check(sector, buf.len())?;
        let written = self.written.borrow();
        for (sector, bytes) in (sector..).zip(buf.chunks_exact_mut(SECTOR)) {
            if let Some(own) = written.get(&sector) {
                bytes.copy_from_slice(own);
                continue;
            }
            let at = usize::try_from(sector).map_or(usize::MAX, |at| at.saturating_mul(SECTOR));
            let rest = self.start.get(at..).unwrap_or(&[]);
            let len = rest.len().min(SECTOR);
            bytes[..len].copy_from_slice(&rest[..len]);
            bytes[len..].fill(0);
        }
        Ok(())
    }

    fn write(&self, sector: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.check(sector, bytes.len())?;
        let mut written = self.written.borrow_mut();
        for (sector, bytes) in (sector..).zip(bytes.chunks_exact(SECTOR)) {
            written.insert(sector, bytes.try_into().expect("a sector"));
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
