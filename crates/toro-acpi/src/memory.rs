//! [`PhysMemory`]: how the parser reaches tables, and the search that the two firmware pointers share.

use core::ops::Range;

use crate::field;

/// Memory as the firmware addresses it.
pub trait PhysMemory {
    /// The `len` bytes at physical address `addr`, or `None` if any of them cannot be read.
    ///
    /// Called with whatever address and length the tables hold: it must refuse ranges that wrap around
    /// or leave the memory that is mapped.
    fn read(&self, addr: u64, len: usize) -> Option<&[u8]>;
}

/// Finds the 16-byte aligned place in `range` that starts with `signature` and satisfies `is_valid`.
///
/// Parts of the range that cannot be read are passed over.
pub(crate) fn find_signature(
    memory: &dyn PhysMemory,
    range: Range<u64>,
    signature: &[u8],
    is_valid: impl Fn(u64) -> bool,
) -> Option<u64> {
    range
        .step_by(16)
        .find(|&addr| memory.read(addr, signature.len()) == Some(signature) && is_valid(addr))
}

/// The first KiB of the extended BIOS data area, where the word at 0x40E says it is.
pub(crate) fn extended_bios_data(memory: &dyn PhysMemory) -> Range<u64> {
    let segment = memory
        .read(0x40E, 2)
        .and_then(|word| field::u16_at(word, 0))
        .unwrap_or(0);
    let start = u64::from(segment) << 4;
    // An EBDA lies at the end of the first 640 KiB; anything else is not one.
    if (0x8_0000..0xA_0000).contains(&start) {
        start..start + 0x400
    } else {
        0..0
    }
}
