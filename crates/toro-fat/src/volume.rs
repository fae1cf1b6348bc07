//! [`Volume`]: the state of a mounted volume, and the bytes under it.

use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::vec::Vec;

use toro_cache::{BlockStore, Cache, Order, SECTOR, StoreError};
use toro_vfs::{FileError, IoError};

use crate::geometry::Geometry;
use crate::index::Indexes;
use crate::nodes::Nodes;

/// Most removed files that wait to be freed.
const MOST_PENDING: usize = 512;

/// The signatures of the sector with the number of free clusters.
const INFO: [(usize, u32); 2] = [(0, 0x4161_5252), (484, 0x6141_7272)];

/// The state of a mounted volume.
#[derive(Debug)]
pub(crate) struct Volume {
    cache: Cache,
    pub(crate) geometry: Geometry,
    pub(crate) nodes: Nodes,
    /// Where names lie in large directories.
    pub(crate) indexes: Indexes,
    /// Number of free clusters, once they were counted.
    pub(crate) free: Option<u32>,
    /// Where the search for a free cluster goes on.
    pub(crate) hint: u32,
    /// First clusters of chains that no name leads to, once the directories are flushed.
    pub(crate) pending: Vec<u32>,
    /// Slots of files whose chain may be longer than the file.
    pub(crate) trims: BTreeSet<u64>,
    pub(crate) clock: fn() -> u64,
    /// The disk says that the volume is in use.
    is_marked: bool,
}

impl Volume {
    pub(crate) fn mount(
        store: Rc<dyn BlockStore>,
        cache_bytes: usize,
        clock: fn() -> u64,
    ) -> Result<Self, FileError> {
        let mut cache = Cache::new(store, cache_bytes);
        let mut boot = [0; SECTOR];
        if cache.len() < SECTOR as u64 {
            return Err(FileError::Corrupt);
        }
        cache.read(0, &mut boot).map_err(device)?;
        let geometry = Geometry::parse(&boot, cache.len())?;
        let mut volume = Self {
            cache,
            geometry,
            nodes: Nodes::new(),
            indexes: Indexes::default(),
            free: None,
            hint: 2,
            pending: Vec::new(),
            trims: BTreeSet::new(),
            clock,
            is_marked: false,
        };
        if volume.in_use()? & 1 != 0 && !volume.cache.is_read_only() {
            volume.is_marked = true;
            volume.recover()?;
        }
        Ok(volume)
    }

    pub(crate) fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), FileError> {
        self.cache.read(offset, buf).map_err(device)
    }

    /// Whether only what is in memory is read.
    pub(crate) fn stay(&mut self, stays: bool) {
        self.cache.stay(stays);
    }

    pub(crate) fn write(&mut self, at: u64, bytes: &[u8], order: Order) -> Result<(), FileError> {
        self.cache.write(at, bytes, order).map_err(device)
    }

    /// Everything that was written first is on stable storage now.
    pub(crate) fn barrier(&mut self) -> Result<(), FileError> {
        self.cache.barrier().map_err(device)
    }

    /// Says on the disk that the volume is in use; to be called before anything is changed.
    pub(crate) fn begin_change(&mut self) -> Result<(), FileError> {
        if self.cache.is_read_only() {
            return Err(FileError::ReadOnly);
        }
        if self.is_marked {
            return Ok(());
        }
        let flags = self.in_use()?;
        self.write(self.geometry.in_use, &[flags | 1], Order::First)?;
        self.barrier()?;
        self.is_marked = true;
        Ok(())
    }

    /// Returns when all is on stable storage; then frees what nothing leads to any more.
    pub(crate) fn sync(&mut self) -> Result<(), FileError> {
        self.cache.sync().map_err(device)?;
        self.free_pending()
    }

    /// Frees what was removed, as far as the disk can be trusted to know of it.
    pub(crate) fn settle(&mut self) -> Result<(), FileError> {
        match self.cache.sync() {
            // The order of the writes is all that such a disk has.
            Ok(()) | Err(StoreError::NoFlush) => self.free_pending(),
            Err(error) => Err(device(error)),
        }
    }

    /// Puts a chain aside until no entry on the disk leads to it.
    pub(crate) fn free_later(&mut self, first: u32) -> Result<(), FileError> {
        if first == 0 {
            return Ok(());
        }
        self.pending.push(first);
        if self.pending.len() + self.trims.len() > MOST_PENDING {
            self.settle()?;
        }
        Ok(())
    }

    /// Leaves the volume as one that nobody uses.
    pub(crate) fn end_use(&mut self) -> Result<(), FileError> {
        self.sync()?;
        if !self.is_marked {
            return Ok(());
        }
        self.write_info()?;
        self.sync()?;
        let flags = self.in_use()?;
        self.write(self.geometry.in_use, &[flags & !1], Order::First)?;
        self.sync()?;
        self.is_marked = false;
        Ok(())
    }

    fn in_use(&mut self) -> Result<u8, FileError> {
        let mut flags = [0];
        self.read(self.geometry.in_use, &mut flags)?;
        Ok(flags[0])
    }

    /// Writes the number of free clusters for those who mount the volume next.
    fn write_info(&mut self) -> Result<(), FileError> {
        let (Some(place), Some(free)) = (self.geometry.info, self.free) else {
            return Ok(());
        };
        for (at, signature) in INFO {
            let mut found = [0; 4];
            self.read(place + at as u64, &mut found)?;
            if u32::from_le_bytes(found) != signature {
                return Ok(());
            }
        }
        self.write(place + 488, &free.to_le_bytes(), Order::First)?;
        let hint = if self.hint < self.geometry.end {
            self.hint
        } else {
            2
        };
        self.write(place + 492, &hint.to_le_bytes(), Order::First)
    }
}

/// Whether two places lie in the same sector, which the disk writes whole.
pub(crate) fn same_sector(one: u64, other: u64) -> bool {
    one / SECTOR as u64 == other / SECTOR as u64
}

/// What a failure of the device means to the caller.
pub(crate) fn device(error: StoreError) -> FileError {
    match error {
        StoreError::Read => FileError::Io(IoError::Read),
        StoreError::Write => FileError::Io(IoError::Write),
        StoreError::Flush => FileError::Io(IoError::Flush),
        StoreError::NoFlush => FileError::Io(IoError::NoFlush),
        StoreError::ReadOnly => FileError::ReadOnly,
        // The volume says that it is larger than its device.
        StoreError::OutOfRange => FileError::Corrupt,
        StoreError::NotInMemory => FileError::WouldBlock,
        StoreError::OutOfMemory => FileError::OutOfMemory,
        _ => FileError::Io(IoError::Gone),
    }
}
