//! How what was written leaves the cache: in order, in long runs, with a flush between the orders.

use alloc::vec::Vec;

use crate::block::{Block, SECTORS};
use crate::cache::{Cache, Order, resize};
use crate::store::{SECTOR, StoreError};

/// Most bytes of one write.
const RUN: usize = 64 * 1024;

impl Cache {
    /// Returns when all that was written is on stable storage.
    ///
    /// # Errors
    /// [`StoreError::NoFlush`] if the store cannot promise that; it was written nevertheless. Any other error stays:
    /// later writes and syncs fail with it.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.write_back()?;
        if !self.store.can_flush() {
            return Err(StoreError::NoFlush);
        }
        self.store_flush()
    }

    /// Writes everything, and flushes between the orders; but does not wait for the last of it to be stable.
    ///
    /// # Errors
    /// What the store fails with. The error stays.
    pub fn write_back(&mut self) -> Result<(), StoreError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let is_second = |block: &Block| block.dirty(Order::Second) != 0;
        if !self.blocks.values().any(is_second) {
            return self.write_order(Order::First);
        }
        // Without a flush, the order of the writes is all there is.
        self.barrier()?;
        self.write_order(Order::Second)
    }

    /// Returns when all that was written as [`Order::First`] is on stable storage, as far as the store has such.
    ///
    /// # Errors
    /// What the store fails with. The error stays.
    pub fn barrier(&mut self) -> Result<(), StoreError> {
        self.check_writable()?;
        self.write_order(Order::First)?;
        if self.store.can_flush() {
            self.store_flush()?;
        }
        Ok(())
    }

    /// Writes to the store; a failure stays.
    pub(crate) fn store_write(&mut self, sector: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.is_unflushed = true;
        let outcome = self.store.write(sector, bytes);
        self.failed = outcome.err();
        outcome
    }

    fn store_flush(&mut self) -> Result<(), StoreError> {
        if !self.is_unflushed {
            return Ok(());
        }
        let outcome = self.store.flush();
        self.failed = outcome.err();
        self.is_unflushed = outcome.is_err();
        outcome
    }

    /// Writes all sectors of one order, neighbours together.
    fn write_order(&mut self, order: Order) -> Result<(), StoreError> {
        let sectors = self.dirty_sectors(order);
        let mut bytes = core::mem::take(&mut self.scratch);
        let outcome = self.write_runs(&sectors, &mut bytes);
        self.scratch = bytes;
        outcome?;
        for block in self.blocks.values_mut() {
            block.clean(order);
        }
        Ok(())
    }

    fn dirty_sectors(&self, order: Order) -> Vec<u64> {
        let sectors = self.blocks.iter().flat_map(|(number, block)| {
            let mask = block.dirty(order);
            let dirty = (0..SECTORS).filter(move |at| mask & (1 << at) != 0);
            dirty.map(move |at| number * SECTORS + at)
        });
        sectors.collect()
    }

    fn write_runs(&mut self, sectors: &[u64], bytes: &mut Vec<u8>) -> Result<(), StoreError> {
        let mut rest = sectors;
        while let Some(&first) = rest.first() {
            let follows = (first..).zip(rest).take_while(|(next, at)| next == *at);
            let count = follows.count().min(RUN / SECTOR);
            resize(bytes, count * SECTOR)?;
            for (sector, part) in rest.iter().zip(bytes.chunks_exact_mut(SECTOR)) {
                let block = self.blocks.get(&(sector / SECTORS));
                let start = usize::try_from(sector % SECTORS).expect("it is below 8") * SECTOR;
                let block = block.expect("a sector that is to be written lies in a block");
                part.copy_from_slice(&block.bytes[start..start + SECTOR]);
            }
            self.store_write(first, bytes)?;
            rest = &rest[count..];
        }
        Ok(())
    }
}
