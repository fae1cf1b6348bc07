//! [`ReadOnly`]: a store that is read and never written.

use core::fmt;

use crate::store::{BlockStore, StoreError};

/// A store that refuses every write, whatever the one below would say: what a mount with `ro` sees.
pub struct ReadOnly<S>(S);

impl<S: BlockStore> ReadOnly<S> {
    /// Lets `store` be read only.
    pub fn new(store: S) -> Self {
        Self(store)
    }
}

impl<S: BlockStore> BlockStore for ReadOnly<S> {
    fn sectors(&self) -> u64 {
        self.0.sectors()
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn can_flush(&self) -> bool {
        self.0.can_flush()
    }

    fn read(&self, sector: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        self.0.read(sector, buf)
    }

    fn write(&self, _sector: u64, _bytes: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    /// Nothing was written through here, so there is nothing to do.
    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl<S: BlockStore> fmt::Debug for ReadOnly<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOnly")
            .field("sectors", &self.sectors())
            .finish_non_exhaustive()
    }
}
