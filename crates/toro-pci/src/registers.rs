//! [`Registers`]: a mapped range of device registers, read and written whole and inside its bounds.

use core::ptr::NonNull;

use toro_arch::paging;

/// Where the entry stub's map ends.
const LOW_END: u64 = 1 << 32;

/// Gives the mapping of `len` bytes of device memory at a physical address, or `None` if it has none.
pub type MapDevice = fn(address: u64, len: usize) -> Option<NonNull<u8>>;

/// Maps device memory anywhere, one to one; what lies below 4 GiB is mapped since the entry stub.
///
/// # Context
/// On the bare machine only: it changes page tables.
pub fn map_device(address: u64, len: usize) -> Option<NonNull<u8>> {
    /// Where the lower half of the address space ends.
    const END: u64 = 1 << 47;
    let bytes = u64::try_from(len).ok()?;
    let end = address.checked_add(bytes)?;
    if end <= LOW_END {
        return map_low(address, len);
    }
    if end > END {
        return None;
    }
    paging::map(address, bytes, paging::Use::Device).ok()?;
    NonNull::new(core::ptr::with_exposed_provenance_mut(
        usize::try_from(address).ok()?,
    ))
}

/// Maps device memory below 4 GiB, where the entry stub has mapped everything one to one.
pub fn map_low(address: u64, len: usize) -> Option<NonNull<u8>> {
    let end = address.checked_add(u64::try_from(len).ok()?)?;
    if end > LOW_END {
        return None;
    }
    NonNull::new(core::ptr::with_exposed_provenance_mut(
        usize::try_from(address).ok()?,
    ))
}

/// The widths in which a device takes accesses.
pub trait Register: Copy + sealed::Sealed {}

impl Register for u8 {}
impl Register for u16 {}
impl Register for u32 {}

mod sealed {
    pub trait Sealed {}

    impl Sealed for u8 {}
    impl Sealed for u16 {}
    impl Sealed for u32 {}
}

/// A range of device registers.
#[derive(Debug, Clone, Copy)]
pub struct Registers {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: registers belong to the machine, not to a core; accesses are volatile and carry no references.
unsafe impl Send for Registers {}

impl Registers {
    /// Takes the `len` bytes at `base`.
    ///
    /// # Safety
    /// 1. The range is mapped and stays so for good, and holds device registers (or memory that nothing
    ///    refers to meanwhile).
    /// 2. Writes to these registers touch no memory except as the driver tells the device.
    pub const unsafe fn new(base: NonNull<u8>, len: usize) -> Self {
        Self { base, len }
    }

    /// Length in bytes.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the range is empty.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The `len` bytes from `offset`, or `None` if they do not lie inside.
    pub fn part(&self, offset: usize, len: usize) -> Option<Self> {
        if len > self.len.checked_sub(offset)? {
            return None;
        }
        // SAFETY: `offset <= self.len` was checked, so this stays inside the range.
        let base = unsafe { self.base.add(offset) };
        Some(Self { base, len })
    }

    /// Reads the register at `offset`.
    ///
    /// # Panics
    /// Panics if it is misaligned or does not lie inside: offsets that a device chose are checked before.
    pub fn read<T: Register>(&self, offset: usize) -> T {
        // SAFETY: `at` has checked bounds and alignment; duty 1 of `new` says that the range is mapped.
        unsafe { self.at::<T>(offset).read_volatile() }
    }

    /// Writes the register at `offset`.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    pub fn write<T: Register>(&self, offset: usize, value: T) {
        // SAFETY: as in `read`; duty 2 of `new` says that the write touches no one's memory.
        unsafe { self.at::<T>(offset).write_volatile(value) };
    }

    /// Writes the 64-bit register at `offset` as two halves, low one first.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    pub fn write_u64(&self, offset: usize, value: u64) {
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let (low, high) = (value as u32, (value >> 32) as u32);
        self.write(offset, low);
        self.write(offset + 4, high);
    }

    fn at<T: Register>(&self, offset: usize) -> NonNull<T> {
        assert!(
            offset < self.len && size_of::<T>() <= self.len - offset,
            "the register lies inside"
        );
        // SAFETY: `offset` was checked against the length.
        let register = unsafe { self.base.add(offset) }.cast();
        assert!(register.is_aligned(), "the register is aligned");
        register
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_mapping_ends_at_4_gib() {
        assert!(map_low(0xfee0_0000, 0x1000).is_some());
        assert!(map_low(0xffff_f000, 0x1000).is_some());
        assert!(map_low(0xffff_f000, 0x1001).is_none());
        assert!(map_low(u64::MAX, 2).is_none());
        assert!(map_low(0, 0x1000).is_none(), "page 0 is not mapped");
    }

    #[test]
    fn part_must_lie_inside() {
        let mut memory = [0u32; 4];
        // SAFETY: the array outlives the registers, and nothing else refers to it.
        let all = unsafe { Registers::new(NonNull::from(&mut memory).cast(), 16) };
        all.write(12, 0xaabb_ccddu32);
        assert_eq!(all.part(12, 4).expect("inside").read::<u16>(2), 0xaabb);
        assert!(all.part(12, 5).is_none());
        assert!(all.part(17, 0).is_none());
        assert!(all.part(usize::MAX, usize::MAX).is_none());
    }
}
