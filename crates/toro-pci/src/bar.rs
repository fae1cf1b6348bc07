//! Base address registers: where the registers of a function lie in memory, and how many there are.

use core::fmt;

use crate::config::{Address, ConfigSpace};

/// How many base address registers a function has.
pub(crate) const BARS: u8 = 6;

/// Why a range of a BAR cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarError {
    /// There are six of them; the function named another.
    NoSuchBar(u8),
    /// It holds I/O ports, not memory.
    NotMemory(u8),
    /// Firmware has given it no address.
    Unassigned(u8),
    /// Size or address make no sense.
    Malformed(u8),
    /// The range does not lie inside.
    OutOfRange(u8),
    /// It lies where we have no mapping.
    Unmapped {
        /// Which one.
        bar: u8,
        /// Its physical address.
        address: u64,
    },
}

impl fmt::Display for BarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchBar(bar) => write!(f, "bar {bar} does not exist"),
            Self::NotMemory(bar) => write!(f, "bar {bar} is not memory"),
            Self::Unassigned(bar) => write!(f, "firmware gave bar {bar} no address"),
            Self::Malformed(bar) => write!(f, "bar {bar} has a senseless size or address"),
            Self::OutOfRange(bar) => write!(f, "a range exceeds bar {bar}"),
            Self::Unmapped { bar, address } => write!(f, "bar {bar} at {address:#x} is not mapped"),
        }
    }
}

impl core::error::Error for BarError {}

/// A memory BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryBar {
    pub(crate) address: u64,
    pub(crate) size: u64,
}

/// Reads where BAR `bar` lies and, by writing all ones and reading back, how large it is.
///
/// The caller has switched decoding off, so that the function answers nowhere meanwhile.
pub(crate) fn size(
    config: &dyn ConfigSpace,
    function: Address,
    bar: u8,
) -> Result<MemoryBar, BarError> {
    if bar >= BARS {
        return Err(BarError::NoSuchBar(bar));
    }
    let register = 0x10 + 4 * bar;
    let low = config.read(function, register);
    if low & 1 != 0 {
        return Err(BarError::NotMemory(bar));
    }
    let is_wide = low & 0b110 == 0b100;
    if is_wide && bar + 1 >= BARS {
        return Err(BarError::Malformed(bar));
    }
    let mut address = u64::from(low & !0xf);
    let mut mask = u64::from(probe(config, function, register, low) & !0xf);
    if is_wide {
        let high = config.read(function, register + 4);
        address |= u64::from(high) << 32;
        mask |= u64::from(probe(config, function, register + 4, high)) << 32;
    } else if mask != 0 {
        mask |= 0xffff_ffff << 32;
    }
    let size = mask.wrapping_neg();
    if address == 0 || size == 0 {
        return Err(BarError::Unassigned(bar));
    }
    if !size.is_power_of_two() || address.checked_add(size).is_none() {
        return Err(BarError::Malformed(bar));
    }
    Ok(MemoryBar { address, size })
}

/// Finds which bits of a register can be set, and puts `value` back.
fn probe(config: &dyn ConfigSpace, function: Address, register: u8, value: u32) -> u32 {
    config.write(function, register, u32::MAX);
    let mask = config.read(function, register);
    config.write(function, register, value);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeConfig;

    fn check(bar: u8, expected: Result<MemoryBar, BarError>) {
        let config = FakeConfig::virtio();
        assert_eq!(size(&config, FakeConfig::FUNCTION, bar), expected);
    }

    #[test]
    fn sizes_bars_of_both_widths() {
        check(
            1,
            Ok(MemoryBar {
                address: 0xfebd_1000,
                size: 0x1000,
            }),
        );
        check(
            4,
            Ok(MemoryBar {
                address: 0xe_0000_4000,
                size: 0x4000,
            }),
        );
    }

    #[test]
    fn refuses_what_is_no_memory_bar() {
        check(0, Err(BarError::NotMemory(0)));
        check(2, Err(BarError::Unassigned(2)));
        check(6, Err(BarError::NoSuchBar(6)));
        check(255, Err(BarError::NoSuchBar(255)));
    }

    #[test]
    fn sizing_puts_the_address_back() {
        let config = FakeConfig::virtio();
        for _ in 0..2 {
            let bar = size(&config, FakeConfig::FUNCTION, 4).expect("bar 4 is there");
            assert_eq!(bar.address, 0xe_0000_4000);
        }
    }

    #[test]
    fn wide_bar_at_the_end_is_malformed() {
        let config = FakeConfig::virtio();
        config.set(0x24, 0xe000_0004);
        assert_eq!(
            size(&config, FakeConfig::FUNCTION, 5),
            Err(BarError::Malformed(5))
        );
    }
}
