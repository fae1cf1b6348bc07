//! The symbols that the prebuilt `core` and the compiler's own code call: `memcpy` and its kin.
//!
//! The work is done in `toro_arch::memory`. Only images link this crate, so a test on a host keeps its C library's.

use core::ffi::{c_char, c_int};

use toro_arch::memory;

/// # Safety
/// C11, 7.24.2.1: both ranges of `len` bytes are valid and do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller's duty.
    unsafe { memory::copy(to, from, len) };
    to
}

/// # Safety
/// C11, 7.24.2.2: both ranges of `len` bytes are valid.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= len {
        // SAFETY: the caller's duty; `to` is below `from` or past its end.
        unsafe { memory::copy_forward(to, from, len) };
    } else {
        // SAFETY: the caller's duty.
        unsafe { memory::copy_backward(to, from, len) };
    }
    to
}

/// # Safety
/// C11, 7.24.6.1: `len` bytes are valid.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: c_int, len: usize) -> *mut u8 {
    // SAFETY: the caller's duty; C converts the value to a byte.
    unsafe { memory::fill(to, value.to_le_bytes()[0], len) };
    to
}

/// # Safety
/// C11, 7.24.4.1: both ranges of `len` bytes are valid.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> c_int {
    // SAFETY: the caller's duty.
    unsafe { memory::compare(a, b, len) }
}

/// # Safety
/// As for `memcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> c_int {
    // SAFETY: the caller's duty.
    unsafe { memory::compare(a, b, len) }
}

/// # Safety
/// C11, 7.24.6.3: `text` ends with a NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const c_char) -> usize {
    let mut at = text;
    // SAFETY: the caller's duty: up to the NUL every byte is valid.
    while unsafe { at.read_volatile() } != 0 {
        // SAFETY: as above: this byte was not the last.
        at = unsafe { at.add(1) };
    }
    at as usize - text as usize
}
