//! The monitor's own file, as far as it is mapped here.

use std::ffi::c_void;

use torov_abi::PAGE;
use torov_abi::word::size;

unsafe extern "C" {
    // Every linker of ELF files says where the file begins in memory and where its code ends.
    static __executable_start: u8;
    static etext: u8;
}

/// Gives back the pages of the monitor's file that the start has read: parsers, loader, tables. What is used again is
/// mapped again from the host's cache of the file.
pub fn give_back_pages() {
    let page = size(PAGE);
    let first = &raw const __executable_start;
    let end = (&raw const etext).addr() & !(page - 1);
    let len = end.saturating_sub(first.addr());
    if len == 0 || !first.addr().is_multiple_of(page) {
        return;
    }
    // SAFETY: from its first page to the end of its code a file is mapped without the right to write, in every layout
    // that linkers make: what relocation changes lies behind. So all that goes is what the file holds as well.
    let _ = unsafe { libc::madvise(first.cast::<c_void>().cast_mut(), len, libc::MADV_DONTNEED) };
}
