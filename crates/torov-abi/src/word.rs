//! Registers hold 64 bits, many arguments fewer: what C makes of them.

/// The lower half, as `unsigned`.
#[must_use]
pub const fn low(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The lower half, as `int`.
#[must_use]
pub const fn int(value: u64) -> i32 {
    low(value).cast_signed()
}

/// A size or an address of this machine as a register holds it.
#[must_use]
pub const fn wide(value: usize) -> u64 {
    value as u64
}

/// A register as a size of this machine: both have 64 bits.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the monitor runs on x86-64 only, where a size has 64 bits"
)]
pub const fn size(value: u64) -> usize {
    value as usize
}

/// `value` rounded up to whole pages, or `None` past the end.
#[must_use]
pub const fn page_up(value: u64) -> Option<u64> {
    match value.checked_add(crate::PAGE - 1) {
        Some(sum) => Some(sum & !(crate::PAGE - 1)),
        None => None,
    }
}

/// `value` rounded down to a page.
#[must_use]
pub const fn page_down(value: u64) -> u64 {
    value & !(crate::PAGE - 1)
}

#[cfg(test)]
mod tests {
    use super::{int, low, page_down, page_up};

    #[test]
    fn halves_are_what_c_makes_of_them() {
        assert_eq!(low(0x1_ffff_fff6), 0xffff_fff6);
        assert_eq!(int(0x1_ffff_fff6), -10);
        assert_eq!(int(u64::MAX), -1);
    }

    #[test]
    fn pages_round_and_end() {
        assert_eq!(page_up(1), Some(4096));
        assert_eq!(page_up(4096), Some(4096));
        assert_eq!(page_up(u64::MAX - 5), None);
        assert_eq!(page_down(4097), 4096);
    }
}
