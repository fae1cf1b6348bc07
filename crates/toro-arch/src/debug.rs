//! What a debugger asks of a core: debug registers, and memory that is read and written whatever its pages allow.
//!
//! The debug registers of a core hold four addresses (DR0 to DR3), say what is watched there (DR7), and which of it happened (DR6): Intel SDM
//! volume 3, 18.2.

use core::arch::asm;

use x86_64::instructions::interrupts::without_interrupts;
use x86_64::registers::control::{Cr0, Cr0Flags};
use x86_64::registers::model_specific::{FsBase, GsBase};

use crate::{cpu, paging};

/// The flag of RFLAGS that makes an exception follow the next instruction.
pub const TRAP: u64 = 1 << 8;
/// The flag of RFLAGS that lets the next instruction pass a breakpoint of the debug registers.
pub const RESUME: u64 = 1 << 16;
/// The bit of DR6 that tells of a single step.
pub const STEPPED: u64 = 1 << 14;

/// As many places as a core can watch.
pub const WATCHES: usize = 4;

/// What a debug register watches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The execution of the instruction there.
    Execute,
    /// Writes.
    Write,
    /// Reads and writes.
    Any,
}

/// A place that the debug registers watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The first byte, a multiple of the length.
    pub address: u64,
    /// 1, 2, 4 or 8 bytes; 1 for execution.
    pub len: u8,
    /// What is watched for.
    pub access: Access,
}

impl Watch {
    /// A watch that the processor can have; `None` for other lengths and for addresses between.
    pub fn new(address: u64, len: u64, access: Access) -> Option<Self> {
        let len = u8::try_from(len).ok()?;
        let fits = matches!(len, 1 | 2 | 4 | 8) && address.is_multiple_of(u64::from(len));
        fits.then_some(Self {
            address,
            len,
            access,
        })
    }

    /// Its bits in DR7 as register `index`.
    fn bits(self, index: usize) -> u64 {
        let kind = match self.access {
            Access::Execute => 0b00,
            Access::Write => 0b01,
            Access::Any => 0b11,
        };
        let len = match self.len {
            2 => 0b01,
            4 => 0b11,
            8 => 0b10,
            _ => 0b00,
        };
        1 << (2 * index + 1) | kind << (16 + 4 * index) | len << (18 + 4 * index)
    }
}

/// Makes the running core watch these places, and no others.
pub fn watch(watches: &[Option<Watch>; WATCHES]) {
    let address = |index: usize| watches[index].map_or(0, |watch| watch.address);
    let used = watches.iter().enumerate();
    let control = used
        .filter_map(|(index, watch)| Some(watch.as_ref()?.bits(index)))
        .fold(1 << 10, |all, bits| all | bits);
    // SAFETY: debug registers make exceptions and change nothing else.
    unsafe {
        asm!(
            "mov dr7, {off}",
            "mov dr0, {a}",
            "mov dr1, {b}",
            "mov dr2, {c}",
            "mov dr3, {d}",
            "mov dr7, {control}",
            off = in(reg) 1_u64 << 10,
            a = in(reg) address(0),
            b = in(reg) address(1),
            c = in(reg) address(2),
            d = in(reg) address(3),
            control = in(reg) control,
            options(nomem, nostack, preserves_flags),
        );
    }
}

/// Makes the running core watch nothing, and says what DR6 tells of the last debug exception: a bit for each place, and [`STEPPED`].
pub fn take_status() -> u64 {
    let status: u64;
    // SAFETY: as in `watch`; the bits of DR6 that are always set stay so.
    unsafe {
        asm!(
            "mov dr7, {off}",
            "mov {status}, dr6",
            "mov dr6, {clear}",
            off = in(reg) 1_u64 << 10,
            clear = in(reg) 0xFFFF_0FF0_u64,
            status = out(reg) status,
            options(nomem, nostack, preserves_flags),
        );
    }
    status
}

/// Raises a breakpoint exception. Returns when its handler does.
#[inline(always)]
pub fn breakpoint() {
    x86_64::instructions::interrupts::int3();
}

/// The upper halves of the AVX registers, YMM0 first.
pub type UpperHalves = [[u8; 16]; 16];

/// Whether this machine has AVX registers: then all cores have.
pub fn has_avx() -> bool {
    let registers = cpu::control_registers();
    registers.xcr0 & 1 << 2 != 0
}

/// What a core has beyond the registers of a [`TrapFrame`](crate::trap::TrapFrame). Code of the kernel leaves all of it alone, exception handlers too.
#[derive(Clone, Copy, Debug)]
pub struct Beyond {
    /// The bases of the segments FS and GS.
    pub bases: [u64; 2],
    /// The upper halves, if there is AVX.
    pub upper: Option<UpperHalves>,
}

impl Beyond {
    /// Reads the running core's.
    pub fn read() -> Self {
        Self {
            bases: [FsBase::read().as_u64(), GsBase::read().as_u64()],
            upper: has_avx().then(upper_halves),
        }
    }

    /// Sets the upper halves of the running core's AVX registers.
    pub fn write_upper(&self) {
        if let Some(upper) = self.upper.as_ref().filter(|_| has_avx()) {
            set_upper_halves(upper);
        }
    }
}

fn upper_halves() -> UpperHalves {
    let mut halves = [[0; 16]; 16];
    // SAFETY: writes the 16 times 16 bytes of the array; there is AVX (`read`).
    unsafe {
        asm!(
            // Intel SDM volume 2, VEXTRACTF128: 1 is the upper half.
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            r"vextractf128 xmmword ptr [{at} + 16 * \n], ymm\n, 1",
            ".endr",
            at = in(reg) &raw mut halves,
            options(nostack, preserves_flags),
        );
    }
    halves
}

fn set_upper_halves(halves: &UpperHalves) {
    // SAFETY: reads the 16 times 16 bytes of the array; there is AVX (`write_upper`). The lower halves, which compiled code uses, stay
    // as they are.
    unsafe {
        asm!(
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            r"vinsertf128 ymm\n, ymm\n, xmmword ptr [{at} + 16 * \n], 1",
            ".endr",
            at = in(reg) halves,
            options(nostack, preserves_flags, readonly),
        );
    }
}

/// Reads memory from `address` on until `bytes` are full or an access would fault; returns how many were read.
///
/// Others may write there meanwhile: what is read is bytes, not values.
pub fn read(address: u64, bytes: &mut [u8]) -> usize {
    let mut mapped_until = address;
    for (done, byte) in bytes.iter_mut().enumerate() {
        let Some(at) = address.checked_add(done as u64) else {
            return done;
        };
        if at >= mapped_until {
            match paging::lookup(at) {
                Some(mapping) => mapped_until = mapping.end,
                None => return done,
            }
        }
        // SAFETY: the byte is mapped, and any bits are a byte.
        *byte = unsafe { (at as *const u8).read_volatile() };
    }
    bytes.len()
}

/// Whether the page of 4 KiB at `address` holds nothing but zeros; `None` if an access would fault.
pub fn is_zero(address: u64) -> Option<bool> {
    let start = address & !(paging::PAGE - 1);
    paging::lookup(start)?;
    let words = (start..).step_by(8).take(512);
    Some(words.into_iter().all(|at| {
        // SAFETY: a page is mapped as a whole, and any bits are a word.
        unsafe { (at as *const u64).read_volatile() == 0 }
    }))
}

/// Reads the page of 4 KiB at `address` as [`read`] does, faster; `false`, and nothing read, if an access would fault.
pub fn read_page(address: u64, page: &mut [u8; 4096]) -> bool {
    let start = address & !(paging::PAGE - 1);
    if paging::lookup(start).is_none() {
        return false;
    }
    let (words, _) = page.as_chunks_mut::<8>();
    for (at, word) in (start..).step_by(8).zip(words) {
        // SAFETY: as in `is_zero`.
        *word = unsafe { (at as *const u64).read_volatile() }.to_ne_bytes();
    }
    true
}

/// Writes `bytes` to memory from `address` on, past the write protection of its pages; `false`, and nothing written, if a page is not
/// mapped.
///
/// # Safety
/// 1. No other core runs, but for cores that wait in their exception handlers.
/// 2. Whatever the bytes make of the image is wanted: code, data and the objects of others can be changed.
pub unsafe fn write(address: u64, bytes: &[u8]) -> bool {
    let Some(end) = address.checked_add(bytes.len() as u64) else {
        return false;
    };
    let mut at = address;
    while at < end {
        match paging::lookup(at) {
            Some(mapping) => at = mapping.end,
            None => return false,
        }
    }
    without_interrupts(|| {
        let flags = Cr0::read();
        // SAFETY: for these few instructions ring 0 may write to pages that are only read. Interrupts are off, and no other code
        // runs on this core before the flag is back.
        unsafe { Cr0::write(flags - Cr0Flags::WRITE_PROTECT) };
        for (at, &byte) in (address..).zip(bytes) {
            // SAFETY: the page is mapped, as was just seen; duty 2 for what becomes of it.
            unsafe { (at as *mut u8).write_volatile(byte) };
        }
        // SAFETY: the flags as they were. Writing CR0 also makes the processor forget instructions that it has read ahead.
        unsafe { Cr0::write(flags) };
    });
    true
}

#[cfg(test)]
mod tests {
    use super::{Access, Watch};

    #[test]
    fn only_what_the_processor_can_watch_is_watched() {
        assert!(Watch::new(8, 8, Access::Write).is_some());
        assert!(Watch::new(4, 8, Access::Write).is_none());
        assert!(Watch::new(0, 3, Access::Any).is_none());
        assert!(Watch::new(0, 16, Access::Any).is_none());
        assert!(Watch::new(3, 1, Access::Execute).is_some());
    }

    #[test]
    fn each_watch_has_its_bits() {
        let bits = |len, access, index| Watch::new(0, len, access).unwrap().bits(index);
        assert_eq!(bits(1, Access::Execute, 0), 0x2);
        assert_eq!(bits(4, Access::Write, 0), 0xD_0002);
        assert_eq!(bits(8, Access::Any, 3), 0xB000_0080);
    }
}
