//! [`open`]: the store behind a name such as `blk0` or `blk0p1`.

use alloc::rc::Rc;

use toro_block::{BlockError, Disk};
use toro_cache::{BlockStore, StoreError};

use crate::partition::PartitionError;

/// Opens a disk of this core, or a partition of one, by its name.
///
/// # Errors
/// [`PartitionError::NoDisk`] and [`PartitionError::NoPartition`] if there is none of that name, and as
/// [`read`](crate::read).
pub fn open(name: &str) -> Result<Rc<dyn BlockStore>, PartitionError> {
    if let Some(disk) = toro_block::open(name) {
        return Ok(Rc::new(DiskStore(disk)));
    }
    let (disk, number) = name.rsplit_once('p').ok_or(PartitionError::NoDisk)?;
    let number: u32 = number.parse().map_err(|_| PartitionError::NoDisk)?;
    let disk = toro_block::open(disk).ok_or(PartitionError::NoDisk)?;
    let disk: Rc<dyn BlockStore> = Rc::new(DiskStore(disk));
    let mut found = crate::read(&*disk)?.into_iter();
    let found = found.find(|partition| partition.number == number);
    let partition = found.ok_or(PartitionError::NoPartition)?;
    let window = partition.open(disk).map_err(PartitionError::Store)?;
    Ok(Rc::new(window))
}

/// A disk as file systems take it. Calls park until the disk has answered.
struct DiskStore(Disk);

impl BlockStore for DiskStore {
    fn sectors(&self) -> u64 {
        self.0.info().sectors
    }

    fn is_read_only(&self) -> bool {
        self.0.info().is_read_only
    }

    fn can_flush(&self) -> bool {
        self.0.info().can_flush
    }

    fn read(&self, sector: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let outcome = self.0.read(sector, buf);
        outcome.map_err(|error| translate(error, StoreError::Read))
    }

    fn write(&self, sector: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let outcome = self.0.write(sector, bytes);
        outcome.map_err(|error| translate(error, StoreError::Write))
    }

    fn flush(&self) -> Result<(), StoreError> {
        let outcome = self.0.flush();
        outcome.map_err(|error| translate(error, StoreError::Flush))
    }
}

fn translate(error: BlockError, otherwise: StoreError) -> StoreError {
    match error {
        BlockError::OutOfRange => StoreError::OutOfRange,
        BlockError::ReadOnly => StoreError::ReadOnly,
        BlockError::OutOfMemory => StoreError::OutOfMemory,
        BlockError::TimedOut | BlockError::Failed => StoreError::Gone,
        _ => otherwise,
    }
}
