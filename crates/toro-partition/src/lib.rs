//! Partition tables: MBR and GPT.
//!
//! [`read`] finds the partitions of a disk; [`Partition::open`] makes one a store of its own, which a file system is
//! mounted on; [`open`] does both for a name such as `blk0p1`. A GPT is checked against its sums, and the copy at the end of the disk stands in for a damaged one. What is on
//! the disk is hostile: every number is checked and every chain is bounded.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod disk;
mod gpt;
mod mbr;
mod partition;

use alloc::vec::Vec;

use toro_cache::{BlockStore, SECTOR};

pub use disk::open;
pub use partition::{Kind, Partition, PartitionError};

/// Finds the partitions of a disk, in the order of their numbers.
///
/// # Errors
/// [`PartitionError::NoTable`] if the disk has none: then a file system may begin in its first sector.
pub fn read(store: &dyn BlockStore) -> Result<Vec<Partition>, PartitionError> {
    if store.sectors() == 0 {
        return Err(PartitionError::NoTable);
    }
    let first = sector(store, 0)?;
    if mbr::is_protective(&first) {
        return gpt::read(store);
    }
    mbr::read(store, &first)
}

fn sector(store: &dyn BlockStore, at: u64) -> Result<[u8; SECTOR], PartitionError> {
    let mut bytes = [0; SECTOR];
    store.read(at, &mut bytes).map_err(PartitionError::Store)?;
    Ok(bytes)
}
