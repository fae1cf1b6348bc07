//! [`Block`]: the bytes of a block in memory, and which of its sectors must still be written.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use crate::cache::Order;
use crate::store::{SECTOR, StoreError};

/// Bytes of a block: what is cached together.
pub const BLOCK: usize = 4096;

/// Sectors of a block.
pub(crate) const SECTORS: u64 = (BLOCK / SECTOR) as u64;

/// A block in memory.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) bytes: Box<[u8]>,
    /// One bit per sector, for each order.
    dirty: [u8; 2],
    /// When it was used last.
    pub(crate) used: u64,
}

impl Block {
    pub(crate) fn zeroed() -> Result<Self, StoreError> {
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(BLOCK)
            .map_err(|_| StoreError::OutOfMemory)?;
        bytes.resize(BLOCK, 0);
        Ok(Self {
            bytes: bytes.into_boxed_slice(),
            dirty: [0; 2],
            used: 0,
        })
    }

    /// The same memory for another block.
    pub(crate) fn anew(self) -> Self {
        Self {
            bytes: self.bytes,
            dirty: [0; 2],
            used: 0,
        }
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty != [0; 2]
    }

    /// The sectors that are to be written in that order.
    pub(crate) fn dirty(&self, order: Order) -> u8 {
        self.dirty[order as usize]
    }

    /// Whether writing `range` in `order` would mix the two orders in one sector.
    pub(crate) fn mixes(&self, range: &Range<usize>, order: Order) -> bool {
        self.dirty(order.other()) & mask(range) != 0
    }

    /// Takes bytes that are to be written in that order.
    pub(crate) fn put(&mut self, range: Range<usize>, bytes: &[u8], order: Order) {
        self.dirty[order as usize] |= mask(&range);
        self.bytes[range].copy_from_slice(bytes);
    }

    /// Takes bytes that are on the store already.
    pub(crate) fn put_written(&mut self, range: Range<usize>, bytes: &[u8]) {
        let kept = !mask(&range);
        self.dirty = self.dirty.map(|sectors| sectors & kept);
        self.bytes[range].copy_from_slice(bytes);
    }

    pub(crate) fn clean(&mut self, order: Order) {
        self.dirty[order as usize] = 0;
    }
}

/// One bit for each sector that `range` touches.
fn mask(range: &Range<usize>) -> u8 {
    let sectors = range.start / SECTOR..range.end.div_ceil(SECTOR);
    sectors.fold(0, |mask, sector| mask | 1 << sector)
}
