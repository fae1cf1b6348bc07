//! The table of the image that runs: its place is filled in when the image is finished.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use toro_abi::symbols::MAGIC;

use crate::Symbols;

/// What `xtask` patches: the layout of `toro_abi::symbols::Descriptor`.
#[repr(C)]
struct Place {
    magic: AtomicU64,
    addr: AtomicU64,
    len: AtomicU64,
    build_id: AtomicU64,
}

/// Found by its name. Atomics, because the tool writes to it behind the compiler's back.
#[unsafe(no_mangle)]
static TORO_SYMBOLS: Place = Place {
    magic: AtomicU64::new(MAGIC),
    addr: AtomicU64::new(0),
    len: AtomicU64::new(0),
    build_id: AtomicU64::new(0),
};

/// The memory that holds the symbol table, empty if the image carries none.
///
/// It lies behind the end of the image that the linker knows, so whoever hands out memory has to spare it.
pub fn image_table() -> Range<u64> {
    let addr = TORO_SYMBOLS.addr.load(Ordering::Relaxed);
    let whole = TORO_SYMBOLS.magic.load(Ordering::Relaxed) == MAGIC;
    let len = if whole {
        TORO_SYMBOLS.len.load(Ordering::Relaxed)
    } else {
        0
    };
    addr..addr.saturating_add(len)
}

/// What tells this image from other builds of it: 0 if it was not finished by `xtask`.
pub fn build_id() -> u64 {
    TORO_SYMBOLS.build_id.load(Ordering::Relaxed)
}

/// The symbols of the image that runs, `None` if it carries none.
///
/// # Safety
/// The memory of [`image_table`] is mapped and still holds what the loader put there.
pub unsafe fn image_symbols() -> Option<Symbols<'static>> {
    let table = image_table();
    let len = usize::try_from(table.end - table.start).ok()?;
    if len == 0 {
        return None;
    }
    // SAFETY: the memory of the table is mapped and unchanged, as the caller says, and nobody writes to it.
    Symbols::from_bytes(unsafe { core::slice::from_raw_parts(table.start as *const u8, len) })
}
