//! The GPT: a header and a list of entries with sums over both, and a copy of them at the end of the disk.

use alloc::string::String;
use alloc::vec::Vec;

use toro_cache::{BlockStore, SECTOR};

use crate::partition::{Kind, Partition, PartitionError};
use crate::sector;

/// Most bytes of entries that are read: 1,024 of the usual size.
const MOST_BYTES: u64 = 128 * 1024;

/// The parts of a header that matter.
struct Header {
    /// The sectors that partitions may use.
    usable: (u64, u64),
    entries: u64,
    count: u32,
    size: u32,
    sum: u32,
}

pub(crate) fn read(store: &dyn BlockStore) -> Result<Vec<Partition>, PartitionError> {
    let first = read_at(store, 1);
    match first {
        // The disk may be damaged only here.
        Err(_) if store.sectors() > 2 => read_at(store, store.sectors() - 1).or(first),
        other => other,
    }
}

fn read_at(store: &dyn BlockStore, at: u64) -> Result<Vec<Partition>, PartitionError> {
    if at >= store.sectors() {
        return Err(PartitionError::Corrupt);
    }
    let header = Header::parse(&sector(store, at)?, at, store.sectors())?;
    let len = u64::from(header.count) * u64::from(header.size);
    let sectors = len.div_ceil(SECTOR as u64);
    let end = header.entries.checked_add(sectors);
    if len > MOST_BYTES || end.is_none_or(|end| end > store.sectors()) {
        return Err(PartitionError::Corrupt);
    }
    let mut bytes = Vec::new();
    for at in header.entries..header.entries + sectors {
        bytes.extend_from_slice(&sector(store, at)?);
    }
    bytes.truncate(usize::try_from(len).map_err(|_| PartitionError::Corrupt)?);
    if crc32(&[&bytes]) != header.sum {
        return Err(PartitionError::Corrupt);
    }
    let size = usize::try_from(header.size).map_err(|_| PartitionError::Corrupt)?;
    let entries = (1..).zip(bytes.chunks_exact(size));
    let used = entries.filter(|(_, entry)| entry[..16] != [0; 16]);
    used.map(|(number, entry)| header.partition(number, entry))
        .collect()
}

impl Header {
    fn parse(bytes: &[u8; SECTOR], at: u64, sectors: u64) -> Result<Self, PartitionError> {
        let long = |at: usize| u32::from_le_bytes(core::array::from_fn(|nth| bytes[at + nth]));
        let double = |at: usize| u64::from_le_bytes(core::array::from_fn(|nth| bytes[at + nth]));
        let size = usize::try_from(long(12)).unwrap_or(usize::MAX);
        if &bytes[..8] != b"EFI PART" || !(92..=SECTOR).contains(&size) || double(24) != at {
            return Err(PartitionError::Corrupt);
        }
        // The sum is made with its own place empty.
        if crc32(&[&bytes[..16], &[0; 4], &bytes[20..size]]) != long(16) {
            return Err(PartitionError::Corrupt);
        }
        let header = Self {
            usable: (double(40), double(48)),
            entries: double(72),
            count: long(80),
            size: long(84),
            sum: long(88),
        };
        let is_sane = header.usable.0 > 1
            && header.usable.0 <= header.usable.1
            && header.usable.1 < sectors
            && (128..=4096).contains(&header.size)
            && header.size.is_power_of_two();
        is_sane.then_some(header).ok_or(PartitionError::Corrupt)
    }

    fn partition(&self, number: u32, entry: &[u8]) -> Result<Partition, PartitionError> {
        let double = |at: usize| u64::from_le_bytes(core::array::from_fn(|nth| entry[at + nth]));
        let (start, last) = (double(32), double(40));
        if start < self.usable.0 || start > last || last > self.usable.1 {
            return Err(PartitionError::Corrupt);
        }
        let units = entry[56..128].chunks_exact(2);
        let units = units.map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        let name: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        Ok(Partition {
            number,
            start,
            sectors: last - start + 1,
            kind: Kind::Gpt(core::array::from_fn(|at| entry[at])),
            name: String::from_utf16_lossy(&name),
        })
    }
}

/// CRC-32 (IEEE 802.3) over the pieces in a row.
fn crc32(pieces: &[&[u8]]) -> u32 {
    let bytes = pieces.iter().flat_map(|piece| piece.iter());
    !bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            let carry = if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
            sum >> 1 ^ carry
        })
    })
}

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn sums_are_those_of_the_standard() {
        assert_eq!(crc32(&[b"1234", b"56789"]), 0xcbf4_3926);
    }
}
