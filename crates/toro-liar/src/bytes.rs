//! Little-endian numbers in bytes.

/// The 16-bit number at `at`; 0 behind the end.
pub(crate) fn half(bytes: &[u8], at: usize) -> u16 {
    field(bytes, at).map_or(0, u16::from_le_bytes)
}

/// The 32-bit number at `at`; 0 behind the end.
pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    field(bytes, at).map_or(0, u32::from_le_bytes)
}

/// The 64-bit number at `at`; 0 behind the end.
pub(crate) fn long(bytes: &[u8], at: usize) -> u64 {
    field(bytes, at).map_or(0, u64::from_le_bytes)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
