//! Memory and chance for the tests of this crate.

extern crate std;

use core::ffi::{c_int, c_void};
use core::ptr;

unsafe extern "C" {
    fn mmap(
        addr: *mut c_void,
        len: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn mincore(addr: *mut c_void, len: usize, resident: *mut u8) -> c_int;
}

const READ_WRITE: c_int = 3;
/// Private, anonymous, without a claim on memory before a page is touched.
const RESERVE: c_int = 0x4022;

/// Reserves `len` bytes of address space for ever and returns where they start, a multiple of 4 MiB.
pub(crate) fn reserve(len: usize) -> usize {
    const ALIGN: usize = 4 << 20;
    // SAFETY: a new mapping at a free address touches nothing else.
    let start = unsafe { mmap(ptr::null_mut(), len + ALIGN, READ_WRITE, RESERVE, -1, 0) };
    assert_ne!(start.addr(), usize::MAX, "address space is plentiful");
    start.expose_provenance().next_multiple_of(ALIGN)
}

/// How many pages from `start` up to `end` have been touched.
pub(crate) fn touched(start: usize, end: usize) -> usize {
    let mut resident = std::vec![0; (end - start) / crate::PAGE];
    let first = ptr::with_exposed_provenance_mut(start);
    // SAFETY: there is a byte for each page.
    let result = unsafe { mincore(first, end - start, resident.as_mut_ptr()) };
    assert_eq!(result, 0, "the range was reserved");
    resident.iter().filter(|&&flags| flags & 1 != 0).count()
}

/// Marsaglia's xorshift: a fixed seed makes a failure repeatable.
pub(crate) struct XorShift(pub(crate) u64);

impl XorShift {
    /// The next number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0).expect("tests run on 64 bits") % bound
    }
}
