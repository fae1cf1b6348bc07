//! What each part of the image allows: text is executed, constants are read, data is neither, page 0 and the guard page below
//! the boot stack are nothing.

use core::ops::Range;

use log::warn;
use toro_arch::paging::{self, OutOfTables, Rights};

unsafe extern "C" {
    static __image_start: u8;
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __data_start: u8;
    static __data_end: u8;
    /// The page below the boot stack, of `toro-boot`.
    static toro_boot_guard: u8;
}

/// Where the guard page below the boot thread's stack starts.
fn boot_guard() -> u64 {
    &raw const toro_boot_guard as u64
}

/// The boot thread's stack, with the guard page at its start.
pub(crate) fn boot_stack() -> Range<u64> {
    boot_guard()..boot_guard() + paging::PAGE + toro_boot::BOOT_STACK as u64
}

/// The data of the image, what is zero at the start too.
#[cfg(feature = "core-file")]
pub(crate) fn data() -> Range<u64> {
    &raw const __data_start as u64..&raw const __data_end as u64
}

/// The code and the constants of the image, which lie in its file as they are.
#[cfg(feature = "core-file")]
pub(crate) fn code() -> Range<u64> {
    &raw const __image_start as u64..&raw const __rodata_end as u64
}

/// Takes away the rights that nothing needs. A machine too small for the page tables runs without, and says so.
pub(crate) fn init() {
    if let Err(OutOfTables) = protect() {
        warn!("no memory for page tables: the image runs without write protection");
    }
}

fn protect() -> Result<(), OutOfTables> {
    let address = |symbol: *const u8| symbol as u64;
    let headers = address(&raw const __image_start)..address(&raw const __text_start);
    let text = address(&raw const __text_start)..address(&raw const __text_end);
    let rodata = address(&raw const __rodata_start)..address(&raw const __rodata_end);
    // The rest of the large pages that the image lies in counts as data: splitting them has left it executable.
    let below = paging::PAGE..headers.start;
    let data = address(&raw const __data_start)
        ..address(&raw const __data_end).next_multiple_of(paging::LARGE_PAGE);
    // SAFETY: the linker script puts code, constants and data on pages of their own, and says where; nothing writes to
    // the first two, and nothing is executed from the others.
    unsafe { paging::protect(text, Rights::ReadExecute) }?;
    // SAFETY: as above.
    unsafe { paging::protect(rodata, Rights::Read) }?;
    // SAFETY: as above.
    unsafe { paging::protect(headers, Rights::Read) }?;
    // SAFETY: as above.
    unsafe { paging::protect(data, Rights::ReadWrite) }?;
    // SAFETY: as above.
    unsafe { paging::protect(below, Rights::ReadWrite) }?;
    // SAFETY: no object lies at address 0; the firmware's data there has been read.
    unsafe { paging::protect(0..paging::PAGE, Rights::Nothing) }?;
    // SAFETY: 1. the entry code sets this page aside, for this.
    unsafe { paging::withhold(boot_guard()) }?;
    // SAFETY: the pages of the image have their rights, and there is no other code.
    unsafe { paging::forbid_execution() }
}
