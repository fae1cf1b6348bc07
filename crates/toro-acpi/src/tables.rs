//! [`Tables`]: the root table and what hangs from it.

use core::fmt;

use crate::aml::{self, SleepType};
use crate::fadt::Fadt;
use crate::madt::Madt;
use crate::mcfg::Mcfg;
use crate::memory::PhysMemory;
use crate::{field, rsdp};

/// Length of the header that every table starts with (ACPI 6.5, 5.2.6).
pub(crate) const HEADER_LEN: usize = 36;
/// Longest table that is looked at. The largest DSDTs of real servers stay below 1 MiB.
const LEN_MAX: usize = 4 << 20;
/// Most pointers of the root table that are followed.
const ENTRIES_MAX: usize = 256;

/// Why a table cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// There is no such table.
    Missing,
    /// The table, or part of it, lies where memory cannot be read.
    Unreadable,
    /// The length in the header is too small or too large.
    BadLength,
    /// The bytes do not sum to zero.
    BadChecksum,
    /// The table has another signature than its place promises.
    BadSignature,
    /// A record inside the table runs beyond the end, or a field makes no sense.
    Malformed,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "there is no such table",
            Self::Unreadable => "the table lies outside readable memory",
            Self::BadLength => "the table has an impossible length",
            Self::BadChecksum => "the table has a wrong checksum",
            Self::BadSignature => "the table has a wrong signature",
            Self::Malformed => "a record of the table is malformed",
        })
    }
}

impl core::error::Error for TableError {}

/// The ACPI tables of this machine.
pub struct Tables<'m> {
    memory: &'m dyn PhysMemory,
    /// The pointers of the RSDT or XSDT.
    pointers: &'m [u8],
    /// Length of one pointer in bytes: 4 or 8.
    pointer_len: usize,
}

impl fmt::Debug for Tables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables")
            .field("count", &self.addresses().count())
            .finish_non_exhaustive()
    }
}

impl<'m> Tables<'m> {
    /// Finds the tables, from the RSDP that the boot protocol named or by searching for one.
    ///
    /// # Errors
    /// [`TableError::Missing`] if there is no RSDP; otherwise what is wrong with the root table.
    pub fn find(memory: &'m dyn PhysMemory, hint: Option<u64>) -> Result<Self, TableError> {
        let rsdp = hint
            .and_then(|addr| rsdp::read(memory, addr))
            .or_else(|| rsdp::search(memory))
            .ok_or(TableError::Missing)?;
        let root = |addr, signature, pointer_len| {
            let table = read_table(memory, addr, Some(signature))?;
            Ok(Self {
                memory,
                pointers: &table[HEADER_LEN..],
                pointer_len,
            })
        };
        if rsdp.xsdt != 0
            && let Ok(tables) = root(rsdp.xsdt, *b"XSDT", 8)
        {
            return Ok(tables);
        }
        root(u64::from(rsdp.rsdt), *b"RSDT", 4)
    }

    /// The processors and interrupt controllers.
    ///
    /// # Errors
    /// Fails if the MADT is missing or malformed.
    pub fn madt(&self) -> Result<Madt<'m>, TableError> {
        Madt::parse(self.table(*b"APIC")?)
    }

    /// The configuration windows of PCI Express.
    ///
    /// # Errors
    /// Fails if the MCFG is missing, as it is on machines without PCI Express, or malformed.
    pub fn mcfg(&self) -> Result<Mcfg<'m>, TableError> {
        Mcfg::parse(self.table(*b"MCFG")?)
    }

    /// The fixed hardware: power, reset, PM timer.
    ///
    /// # Errors
    /// Fails if the FADT is missing or malformed.
    pub fn fadt(&self) -> Result<Fadt, TableError> {
        Fadt::parse(self.table(*b"FACP")?)
    }

    /// The AML of the DSDT, which `fadt` points at.
    ///
    /// # Errors
    /// Fails if the DSDT is missing or malformed.
    pub fn dsdt(&self, fadt: &Fadt) -> Result<&'m [u8], TableError> {
        if fadt.dsdt == 0 {
            return Err(TableError::Missing);
        }
        read_table(self.memory, fadt.dsdt, Some(*b"DSDT")).map(|table| &table[HEADER_LEN..])
    }

    /// The values to write for S5, "soft off", from the DSDT or else from an SSDT.
    pub fn sleep_type(&self, fadt: &Fadt) -> Option<SleepType> {
        if let Some(found) = self.dsdt(fadt).ok().and_then(aml::sleep_type) {
            return Some(found);
        }
        self.matching(*b"SSDT")
            .filter_map(Result::ok)
            .find_map(|table| aml::sleep_type(&table[HEADER_LEN..]))
    }

    /// The first valid table with `signature`, whole.
    ///
    /// # Errors
    /// [`TableError::Missing`] if there is none; otherwise what is wrong with the first one.
    pub fn table(&self, signature: [u8; 4]) -> Result<&'m [u8], TableError> {
        let mut failure = TableError::Missing;
        for table in self.matching(signature) {
            match table {
                Ok(table) => return Ok(table),
                Err(error) if failure == TableError::Missing => failure = error,
                Err(_) => {}
            }
        }
        Err(failure)
    }

    fn matching(&self, signature: [u8; 4]) -> impl Iterator<Item = Result<&'m [u8], TableError>> {
        let memory = self.memory;
        self.addresses()
            .filter(move |&addr| memory.read(addr, 4) == Some(&signature))
            .map(move |addr| read_table(memory, addr, None))
    }

    fn addresses(&self) -> impl Iterator<Item = u64> + use<'m> {
        let address = |pointer: &[u8]| {
            field::u64_at(pointer, 0).or_else(|| field::u32_at(pointer, 0).map(u64::from))
        };
        self.pointers
            .chunks_exact(self.pointer_len)
            .take(ENTRIES_MAX)
            .filter_map(address)
    }
}

/// Reads the table at `addr` and checks its header.
fn read_table(
    memory: &dyn PhysMemory,
    addr: u64,
    signature: Option<[u8; 4]>,
) -> Result<&[u8], TableError> {
    let header = memory
        .read(addr, HEADER_LEN)
        .ok_or(TableError::Unreadable)?;
    if signature.is_some_and(|signature| !header.starts_with(&signature)) {
        return Err(TableError::BadSignature);
    }
    let len = field::u32_at(header, 4).and_then(|len| usize::try_from(len).ok());
    let len = len
        .filter(|len| (HEADER_LEN..=LEN_MAX).contains(len))
        .ok_or(TableError::BadLength)?;
    let table = memory.read(addr, len).ok_or(TableError::Unreadable)?;
    // A memory that hands out another length than was asked for would break the slicing above.
    if table.len() != len {
        return Err(TableError::Unreadable);
    }
    if !field::sums_to_zero(table) {
        return Err(TableError::BadChecksum);
    }
    Ok(table)
}
