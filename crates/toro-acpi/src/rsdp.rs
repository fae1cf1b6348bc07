//! The RSDP: the firmware's pointer to the root table (ACPI 6.5, 5.2.5).

use crate::field;
use crate::memory::{self, PhysMemory};

const SIGNATURE: &[u8] = b"RSD PTR ";
/// The structure of ACPI 1.0, which the first checksum covers.
const LEN_REV_1: usize = 20;
/// The structure since ACPI 2.0.
const LEN_REV_2: usize = 36;

/// What the RSDP says of the root table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rsdp {
    /// Address of the table of 32-bit pointers; 0 if there is none.
    pub(crate) rsdt: u32,
    /// Address of the table of 64-bit pointers; 0 if there is none.
    pub(crate) xsdt: u64,
}

/// Reads the RSDP at `addr`, if there is a valid one.
pub(crate) fn read(memory: &dyn PhysMemory, addr: u64) -> Option<Rsdp> {
    let first = memory.read(addr, LEN_REV_1)?;
    if !first.starts_with(SIGNATURE) || !field::sums_to_zero(first) {
        return None;
    }
    let rsdt = field::u32_at(first, 16)?;
    let revision = field::u8_at(first, 15)?;
    let xsdt = if revision >= 2 {
        extended(memory, addr).unwrap_or(0)
    } else {
        0
    };
    Some(Rsdp { rsdt, xsdt })
}

/// Searches the two places where a BIOS may put the RSDP.
pub(crate) fn search(memory: &dyn PhysMemory) -> Option<Rsdp> {
    let is_valid = |addr| read(memory, addr).is_some();
    let places = [memory::extended_bios_data(memory), 0xE_0000..0x10_0000];
    places
        .into_iter()
        .find_map(|place| memory::find_signature(memory, place, SIGNATURE, is_valid))
        .and_then(|addr| read(memory, addr))
}

/// The address of the XSDT, if the second checksum holds.
fn extended(memory: &dyn PhysMemory, addr: u64) -> Option<u64> {
    let whole = memory.read(addr, LEN_REV_2)?;
    if !field::sums_to_zero(whole) {
        return None;
    }
    field::u64_at(whole, 24)
}
