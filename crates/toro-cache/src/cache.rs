//! [`Cache`]: bytes of a store through blocks in memory.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::block::{BLOCK, Block, SECTORS};
use crate::store::{BlockStore, SECTOR, StoreError};

/// When something reaches the store, relative to the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// At any time.
    First,
    /// Not before everything that was written as `First` is on stable storage.
    Second,
}

impl Order {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// Most blocks that are read ahead.
const MOST_AHEAD: usize = 32;

/// From this many blocks on, bytes go between the caller and the store without staying here.
const LARGE: usize = 8;

/// This part of the blocks is not put into order among itself.
const YOUNG: usize = 8;

/// Fewest blocks that a cache is made of.
const FEWEST: usize = 16;

/// A bounded cache over a store.
pub struct Cache {
    pub(crate) store: Rc<dyn BlockStore>,
    pub(crate) blocks: BTreeMap<u64, Block>,
    /// Block numbers by when they were used.
    ages: BTreeMap<u64, u64>,
    clock: u64,
    capacity: usize,
    /// How much is read ahead, and the block that goes on the sequence.
    ahead: usize,
    expected: u64,
    pub(crate) scratch: Vec<u8>,
    /// Something was written behind the last flush.
    pub(crate) is_unflushed: bool,
    /// The store is not to be read.
    stays: bool,
    /// A write or flush failed; nothing can be promised any more.
    pub(crate) failed: Option<StoreError>,
}

impl Cache {
    /// A cache of at most about `bytes` bytes over `store`; at least 64 KiB.
    pub fn new(store: Rc<dyn BlockStore>, bytes: usize) -> Self {
        Self {
            store,
            blocks: BTreeMap::new(),
            ages: BTreeMap::new(),
            clock: 1,
            capacity: (bytes / BLOCK).max(FEWEST),
            ahead: 1,
            expected: u64::MAX,
            scratch: Vec::new(),
            is_unflushed: false,
            stays: false,
            failed: None,
        }
    }

    /// Number of bytes in the store.
    #[expect(clippy::len_without_is_empty, reason = "a store is no container")]
    pub fn len(&self) -> u64 {
        self.store.sectors().saturating_mul(SECTOR as u64)
    }

    /// Whether writing is refused.
    pub fn is_read_only(&self) -> bool {
        self.store.is_read_only()
    }

    /// With `true`, what is not in memory is [`StoreError::NotInMemory`] from now on: reads never wait for the store.
    pub fn stay(&mut self, stays: bool) {
        self.stays = stays;
    }

    /// Reads `buf.len()` bytes from `offset` on.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`], or what the store fails with.
    pub fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        self.check(offset, buf.len())?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let direct = self.read_direct(at, &mut buf[done..])?;
            if direct > 0 {
                done += direct;
                continue;
            }
            let (number, range) = split(at, buf.len() - done);
            let count = range.len();
            let wanted = (range.start + buf.len() - done).div_ceil(BLOCK);
            let block = self.block(number, wanted)?;
            buf[done..done + count].copy_from_slice(&block.bytes[range]);
            done += count;
        }
        Ok(())
    }

    /// Takes `bytes`, which are to be at `offset`.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`], [`StoreError::ReadOnly`], or what the store fails with, now or before.
    pub fn write(&mut self, offset: u64, bytes: &[u8], order: Order) -> Result<(), StoreError> {
        self.check(offset, bytes.len())?;
        self.check_writable()?;
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            if order == Order::First {
                let direct = self.write_direct(at, &bytes[done..])?;
                if direct > 0 {
                    done += direct;
                    continue;
                }
            }
            let (number, range) = split(at, bytes.len() - done);
            let part = &bytes[done..done + range.len()];
            done += range.len();
            self.write_block(number, range, part, order)?;
        }
        Ok(())
    }

    /// Number of blocks in memory.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn check_writable(&self) -> Result<(), StoreError> {
        if self.store.is_read_only() {
            return Err(StoreError::ReadOnly);
        }
        self.failed.map_or(Ok(()), Err)
    }

    fn check(&self, offset: u64, len: usize) -> Result<(), StoreError> {
        let end = offset.checked_add(len as u64);
        end.filter(|end| *end <= self.len())
            .map(drop)
            .ok_or(StoreError::OutOfRange)
    }

    fn write_block(
        &mut self,
        number: u64,
        range: Range<usize>,
        bytes: &[u8],
        order: Order,
    ) -> Result<(), StoreError> {
        let known = self.blocks.get(&number);
        if known.is_some_and(|block| block.mixes(&range, order)) {
            // What is there leaves in its own order first.
            self.write_back()?;
        }
        if range.len() == BLOCK && !self.blocks.contains_key(&number) {
            let block = self.room()?;
            self.insert(number, block);
        }
        self.block(number, 1)?.put(range, bytes, order);
        Ok(())
    }

    /// Whether the store may be asked.
    fn check_reach(&self) -> Result<(), StoreError> {
        if self.stays {
            return Err(StoreError::NotInMemory);
        }
        Ok(())
    }

    /// Reads a large piece from the store into `buf`, if no part of it is here, and returns how many bytes.
    fn read_direct(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        if !offset.is_multiple_of(BLOCK as u64) || buf.len() < LARGE * BLOCK {
            return Ok(0);
        }
        let first = offset / BLOCK as u64;
        let missing = self.missing(first, buf.len() / BLOCK);
        if missing < LARGE {
            return Ok(0);
        }
        self.check_reach()?;
        let len = missing * BLOCK;
        self.store.read(first * SECTORS, &mut buf[..len])?;
        Ok(len)
    }

    /// Writes a large piece to the store, and returns how many bytes.
    fn write_direct(&mut self, offset: u64, bytes: &[u8]) -> Result<usize, StoreError> {
        if !offset.is_multiple_of(BLOCK as u64) || bytes.len() < LARGE * BLOCK {
            return Ok(0);
        }
        let first = offset / BLOCK as u64;
        let len = bytes.len() / BLOCK * BLOCK;
        self.store_write(first * SECTORS, &bytes[..len])?;
        for (number, part) in (first..).zip(bytes[..len].chunks_exact(BLOCK)) {
            if let Some(block) = self.blocks.get_mut(&number) {
                block.put_written(0..BLOCK, part);
            }
        }
        Ok(len)
    }

    /// How many of the `most` blocks from `first` on are not here until the first that is.
    fn missing(&self, first: u64, most: usize) -> usize {
        let end = first.saturating_add(most as u64);
        let next = self.blocks.range(first..end).next();
        let count = next.map_or(end, |(number, _)| *number) - first;
        usize::try_from(count).unwrap_or(most)
    }

    /// The block of that number, read with those behind it if it is not here.
    fn block(&mut self, number: u64, wanted: usize) -> Result<&mut Block, StoreError> {
        match self.blocks.get(&number) {
            Some(block) if self.is_young(block) => {}
            Some(_) => self.touch(number),
            None => {
                self.fetch(number, wanted)?;
                self.touch(number);
            }
        }
        self.blocks.get_mut(&number).ok_or(StoreError::Read)
    }

    /// Whether the block is one of those that were used last: it need not be put before them. Tables and directories are read and written
    /// a few bytes at a time, in turns.
    fn is_young(&self, block: &Block) -> bool {
        block.used > 0 && self.clock - block.used < (self.capacity / YOUNG) as u64
    }

    fn fetch(&mut self, number: u64, wanted: usize) -> Result<(), StoreError> {
        self.check_reach()?;
        self.ahead = if number == self.expected {
            (self.ahead * 2).min(MOST_AHEAD)
        } else {
            1
        };
        let most = self.ahead.max(wanted).min(self.capacity / 4);
        let count = self.missing(number, most).max(1);
        let start = number * SECTORS;
        let sectors = (count as u64 * SECTORS).min(self.store.sectors() - start);
        let len = usize::try_from(sectors).map_err(|_| StoreError::OutOfRange)? * SECTOR;
        let mut bytes = core::mem::take(&mut self.scratch);
        let outcome = resize(&mut bytes, len)
            .and_then(|()| self.store.read(start, &mut bytes))
            .and_then(|()| self.keep(number, &bytes));
        self.scratch = bytes;
        self.expected = number + count as u64;
        outcome
    }

    /// Puts blocks that were read into the cache, the last one first so that `number` is the youngest.
    fn keep(&mut self, number: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let parts: Vec<_> = (number..).zip(bytes.chunks(BLOCK)).collect();
        for (number, part) in parts.into_iter().rev() {
            let mut block = self.room()?;
            block.bytes[..part.len()].copy_from_slice(part);
            block.bytes[part.len()..].fill(0);
            self.insert(number, block);
        }
        Ok(())
    }

    /// A block that is nobody's, whatever it holds.
    ///
    /// Memory of the block that goes is used again where it lies: a full cache that gave it back and took other pages each time would in the
    /// end have one in every corner of the heap, and leave no long piece free between them.
    fn room(&mut self) -> Result<Block, StoreError> {
        let mut gone = None;
        while self.blocks.len() >= self.capacity {
            gone = self.evict()?;
        }
        match gone {
            Some(block) => Ok(block.anew()),
            None => Block::zeroed(),
        }
    }

    fn insert(&mut self, number: u64, block: Block) {
        self.blocks.insert(number, block);
        self.touch(number);
    }

    /// Makes `number` the block that was used last.
    fn touch(&mut self, number: u64) {
        if let Some(block) = self.blocks.get_mut(&number) {
            if block.used == self.clock {
                return;
            }
            self.clock += 1;
            self.ages.remove(&block.used);
            block.used = self.clock;
            self.ages.insert(self.clock, number);
        }
    }

    /// Takes out the block that was not used for longest; writes what must be written first.
    fn evict(&mut self) -> Result<Option<Block>, StoreError> {
        let oldest = self.ages.first_key_value();
        let (age, number) = oldest
            .map(|(a, n)| (*a, *n))
            .ok_or(StoreError::OutOfMemory)?;
        let block = self.blocks.get(&number);
        if block.is_some_and(Block::is_dirty) {
            self.write_back()?;
        }
        self.ages.remove(&age);
        Ok(self.blocks.remove(&number))
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("blocks", &self.blocks.len())
            .field("capacity", &self.capacity)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// Resizes a buffer, or says that there is no memory for it.
pub(crate) fn resize(bytes: &mut Vec<u8>, len: usize) -> Result<(), StoreError> {
    bytes.clear();
    bytes
        .try_reserve_exact(len)
        .map_err(|_| StoreError::OutOfMemory)?;
    bytes.resize(len, 0);
    Ok(())
}

/// The block that holds `offset`, and the bytes of it up to `len`.
fn split(offset: u64, len: usize) -> (u64, Range<usize>) {
    let block = BLOCK as u64;
    let start = usize::try_from(offset % block).expect("a block is smaller than memory");
    (offset / block, start..(start + len).min(BLOCK))
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::rc::Rc;
    use alloc::vec;

    use super::{BLOCK, Cache, FEWEST};
    use crate::MemoryStore;

    #[test]
    fn a_full_cache_keeps_its_memory() {
        let store = Rc::new(MemoryStore::new(vec![7; 64 * BLOCK]));
        let mut cache = Cache::new(store, FEWEST * BLOCK);
        let mut memory = BTreeSet::new();
        for round in 0..3 {
            for block in 0..64 {
                let mut bytes = [0; 100];
                let read = cache.read(block * BLOCK as u64, &mut bytes);
                assert_eq!((read, bytes), (Ok(()), [7; 100]));
                if round > 0 {
                    let places = cache.blocks.values().map(|block| block.bytes.as_ptr());
                    memory.extend(places);
                }
            }
        }
        assert_eq!(memory.len(), FEWEST);
    }
}
