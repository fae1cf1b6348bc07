//! [`Partition`]: what a table says of a part of the disk.

use alloc::rc::Rc;
use alloc::string::String;
use core::fmt;

use toro_cache::{BlockStore, StoreError, Window};

/// A part of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// From 1 on; `blk0p1` is number 1 of the first disk. Logical partitions begin with 5.
    pub number: u32,
    /// Its first sector.
    pub start: u64,
    /// How many sectors it has.
    pub sectors: u64,
    /// What the table says it holds.
    pub kind: Kind,
    /// Its name; a MBR has none.
    pub name: String,
}

/// What a table says a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The type of a MBR: 0x0c is FAT32, 0x83 a Linux file system.
    Mbr(u8),
    /// The type of a GPT, as it lies on the disk.
    Gpt([u8; 16]),
}

impl Partition {
    /// The partition as a store of its own.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] if `store` is smaller than the disk that it was read from.
    pub fn open(&self, store: Rc<dyn BlockStore>) -> Result<Window, StoreError> {
        Window::new(store, self.start, self.sectors)
    }
}

/// Why the partitions of a disk are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionError {
    /// No disk of this core has that name.
    NoDisk,
    /// The disk has no partition of that number.
    NoPartition,
    /// There is no table.
    NoTable,
    /// The table contradicts itself or the disk, and so does its copy.
    Corrupt,
    /// The disk failed.
    Store(StoreError),
}

impl fmt::Display for PartitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDisk => f.write_str("there is no such disk"),
            Self::NoPartition => f.write_str("there is no such partition"),
            Self::NoTable => f.write_str("the disk has no partition table"),
            Self::Corrupt => f.write_str("the partition table is corrupt"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PartitionError {}
