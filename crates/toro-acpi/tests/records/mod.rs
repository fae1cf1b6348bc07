//! Physical memory made of records: what the fixtures hold and the fuzzer mutates.

use toro_acpi::PhysMemory;

/// Pieces of memory with their addresses; all the rest cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Records(pub(crate) Vec<(u64, Vec<u8>)>);

impl Records {
    /// Parses `address: u64, length: u32, bytes` records as far as they go.
    pub(crate) fn parse(mut file: &[u8]) -> Self {
        let mut records = Vec::new();
        while let Some((head, rest)) = file.split_first_chunk::<12>() {
            let address = u64::from_le_bytes(*head.first_chunk().expect("12 bytes hold 8"));
            let len = u32::from_le_bytes(*head.last_chunk().expect("12 bytes hold 4"));
            let len = rest.len().min(len as usize);
            records.push((address, rest[..len].to_vec()));
            file = &rest[len..];
        }
        Self(records)
    }
}

impl PhysMemory for Records {
    fn read(&self, addr: u64, len: usize) -> Option<&[u8]> {
        self.0.iter().find_map(|(start, bytes)| {
            let offset = usize::try_from(addr.checked_sub(*start)?).ok()?;
            bytes.get(offset..offset.checked_add(len)?)
        })
    }
}
