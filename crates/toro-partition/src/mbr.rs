//! The table in the first sector of a disk, and the chain of tables in an extended partition.

use alloc::string::String;
use alloc::vec::Vec;

use toro_cache::{BlockStore, SECTOR};

use crate::partition::{Kind, Partition, PartitionError};
use crate::sector;

/// Where the four entries lie.
const ENTRIES: usize = 446;

/// Most logical partitions.
const MOST_LOGICAL: u32 = 128;

/// The type that says that the real table is a GPT.
const PROTECTIVE: u8 = 0xee;

#[derive(Clone, Copy)]
struct Entry {
    status: u8,
    kind: u8,
    start: u64,
    sectors: u64,
}

/// Whether the sector only keeps others away from a GPT.
pub(crate) fn is_protective(first: &[u8; SECTOR]) -> bool {
    has_signature(first) && entries(first).any(|entry| entry.kind == PROTECTIVE)
}

pub(crate) fn read(
    store: &dyn BlockStore,
    first: &[u8; SECTOR],
) -> Result<Vec<Partition>, PartitionError> {
    // The boot sector of a file system has the same signature, but code where the entries would be.
    let is_table = has_signature(first)
        && entries(first).all(|entry| matches!(entry.status, 0 | 0x80))
        && entries(first).any(|entry| entry.kind != 0);
    if !is_table {
        return Err(PartitionError::NoTable);
    }
    let mut found = Vec::new();
    for (number, entry) in (1..).zip(entries(first)) {
        if is_extended(entry.kind) {
            read_logical(store, entry, &mut found)?;
        } else if entry.kind != 0 {
            found.push(partition(store, number, entry, 0)?);
        }
    }
    found.sort_by_key(|partition| partition.number);
    Ok(found)
}

/// Follows the chain: each table has one partition, relative to itself, and the next table, relative to the first.
fn read_logical(
    store: &dyn BlockStore,
    extended: Entry,
    found: &mut Vec<Partition>,
) -> Result<(), PartitionError> {
    let mut at = extended.start;
    for number in 5..5 + MOST_LOGICAL {
        if at == 0 || at >= store.sectors() {
            return Err(PartitionError::Corrupt);
        }
        let table = sector(store, at)?;
        if !has_signature(&table) {
            return Err(PartitionError::Corrupt);
        }
        let mut entries = entries(&table);
        let (Some(own), Some(next)) = (entries.next(), entries.next()) else {
            return Ok(());
        };
        if own.kind != 0 {
            found.push(partition(store, number, own, at)?);
        }
        if !is_extended(next.kind) {
            return Ok(());
        }
        at = extended.start + next.start;
    }
    Err(PartitionError::Corrupt)
}

fn partition(
    store: &dyn BlockStore,
    number: u32,
    entry: Entry,
    base: u64,
) -> Result<Partition, PartitionError> {
    let start = base + entry.start;
    let fits = entry.start > 0 && entry.sectors > 0 && start + entry.sectors <= store.sectors();
    let found = Partition {
        number,
        start,
        sectors: entry.sectors,
        kind: Kind::Mbr(entry.kind),
        name: String::new(),
    };
    fits.then_some(found).ok_or(PartitionError::Corrupt)
}

fn has_signature(table: &[u8; SECTOR]) -> bool {
    table[510..] == [0x55, 0xaa]
}

fn is_extended(kind: u8) -> bool {
    matches!(kind, 0x05 | 0x0f | 0x85)
}

fn entries(table: &[u8; SECTOR]) -> impl Iterator<Item = Entry> {
    let long = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte))
    };
    table[ENTRIES..510]
        .chunks_exact(16)
        .map(move |entry| Entry {
            status: entry[0],
            kind: entry[4],
            start: long(&entry[8..12]),
            sectors: long(&entry[12..]),
        })
}
