//! The MP table: processors and I/O APICs of machines without ACPI (MultiProcessor Specification 1.4, 4).

use crate::memory::{self, PhysMemory};
use crate::{TableError, field};

const POINTER_SIGNATURE: &[u8] = b"_MP_";
const POINTER_LEN: usize = 16;
const HEADER_LEN: usize = 44;

/// A checked MP configuration table.
///
/// Take the MADT where there is one: SeaBIOS lists only one processor per socket here.
#[derive(Clone, Copy, Debug)]
pub struct MpTable<'m> {
    table: &'m [u8],
}

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    /// The id of its local APIC.
    pub apic_id: u8,
    /// It can be used.
    pub enabled: bool,
    /// The machine booted on it.
    pub is_boot: bool,
}

/// An I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Its id.
    pub id: u8,
    /// Physical address of its registers.
    pub address: u32,
}

impl<'m> MpTable<'m> {
    /// Searches the places where a BIOS may put the floating pointer, and reads the table it names.
    ///
    /// # Errors
    /// [`TableError::Missing`] if there is no pointer or it names one of the default configurations;
    /// otherwise what is wrong with the table.
    pub fn find(memory: &'m dyn PhysMemory) -> Result<Self, TableError> {
        let is_valid = |addr| {
            memory.read(addr, POINTER_LEN).is_some_and(|pointer| {
                field::u8_at(pointer, 8) == Some(1) && field::sums_to_zero(pointer)
            })
        };
        let places = [
            memory::extended_bios_data(memory),
            0x9_FC00..0xA_0000,
            0xF_0000..0x10_0000,
        ];
        let pointer = places
            .into_iter()
            .find_map(|place| memory::find_signature(memory, place, POINTER_SIGNATURE, is_valid))
            .and_then(|addr| memory.read(addr, POINTER_LEN))
            .ok_or(TableError::Missing)?;
        match field::u32_at(pointer, 4) {
            Some(0) | None => Err(TableError::Missing),
            Some(addr) => Self::read(memory, u64::from(addr)),
        }
    }

    /// Physical address of the local APIC's registers.
    pub fn local_apic_address(&self) -> u32 {
        field::u32_at(self.table, 36).unwrap_or(0)
    }

    /// The processors.
    pub fn processors(&self) -> impl Iterator<Item = Processor> + use<'m> {
        self.entries(0).filter_map(|entry| {
            let flags = field::u8_at(entry, 3)?;
            Some(Processor {
                apic_id: field::u8_at(entry, 1)?,
                enabled: flags & 1 != 0,
                is_boot: flags & 2 != 0,
            })
        })
    }

    /// The I/O APICs that can be used.
    pub fn io_apics(&self) -> impl Iterator<Item = IoApic> + use<'m> {
        self.entries(2)
            .filter(|entry| entry[3] & 1 != 0)
            .filter_map(|entry| {
                Some(IoApic {
                    id: field::u8_at(entry, 1)?,
                    address: field::u32_at(entry, 4)?,
                })
            })
    }

    fn read(memory: &'m dyn PhysMemory, addr: u64) -> Result<Self, TableError> {
        let header = memory
            .read(addr, HEADER_LEN)
            .ok_or(TableError::Unreadable)?;
        if !header.starts_with(b"PCMP") {
            return Err(TableError::BadSignature);
        }
        let len = field::u16_at(header, 4).map_or(0, usize::from);
        if len < HEADER_LEN {
            return Err(TableError::BadLength);
        }
        let table = memory.read(addr, len).ok_or(TableError::Unreadable)?;
        if !field::sums_to_zero(table) {
            return Err(TableError::BadChecksum);
        }
        let found = Self { table };
        let count = field::u16_at(table, 34).map_or(0, usize::from);
        if found.all().count() == count {
            Ok(found)
        } else {
            Err(TableError::Malformed)
        }
    }

    fn entries(&self, kind: u8) -> impl Iterator<Item = &'m [u8]> + use<'m> {
        self.all().filter(move |entry| entry[0] == kind)
    }

    /// The entries up to the first of an unknown type, whose length nobody knows.
    fn all(&self) -> impl Iterator<Item = &'m [u8]> + use<'m> {
        let mut rest = self.table.get(HEADER_LEN..).unwrap_or(&[]);
        core::iter::from_fn(move || {
            let len = match rest.first()? {
                0 => 20,
                1..=4 => 8,
                _ => return None,
            };
            let (entry, after) = rest.split_at_checked(len)?;
            rest = after;
            Some(entry)
        })
    }
}
