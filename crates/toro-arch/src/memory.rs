//! Copying, filling and comparing bytes: what the prebuilt `core` calls `memcpy`, `memset`, `memmove`, `memcmp`.
//!
//! The symbols themselves are exported by `toro-rt`, so that tests on a host keep their own. Short copies are a few loads
//! and stores, blocks of 64 bytes go through SSE registers, and long ones use `rep movsq`. Loops are written in assembly,
//! or the compiler would turn them into calls to themselves.

use core::arch::asm;
use core::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_storeu_si128};

/// From here on `rep movsq` and `rep stosq` beat a loop: processors move whole cache lines then, and emulators need no
/// decoding. Eight bytes a step and not one, for `rep movsb` is slow in emulators and not faster elsewhere.
const LONG: usize = 512;

/// Copies `len` bytes between ranges that do not overlap.
///
/// # Safety
/// `from` must be readable and `to` writable for `len` bytes.
#[inline(always)]
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "pointers into the ranges of the caller"
)]
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    if len <= 16 {
        // SAFETY: the caller's duty.
        unsafe { copy_tiny(to, from, len) }
    } else if len < LONG {
        // SAFETY: the caller's duty, and there are 17 bytes or more.
        unsafe { copy_blocks(to, from, len) }
    } else {
        // SAFETY: the caller's duty: these are the last 8 bytes, and the rest is copied in whole words.
        unsafe { move_as::<u64>(to.add(len - 8), from.add(len - 8)) };
        // SAFETY: as above; the direction flag is clear by the ABI.
        unsafe {
            asm!("rep movsq", inout("rcx") len / 8 => _, inout("rdi") to => _, inout("rsi") from => _,
                options(nostack, preserves_flags));
        }
    }
}

/// Copies a `T` without regard to alignment.
#[inline(always)]
#[expect(clippy::multiple_unsafe_ops_per_block, reason = "one move")]
unsafe fn move_as<T: Copy>(to: *mut u8, from: *const u8) {
    // SAFETY: the caller's duty: both are valid for the size of a `T`, any bytes are one.
    unsafe {
        to.cast::<T>()
            .write_unaligned(from.cast::<T>().read_unaligned())
    }
}

/// Copies up to 16 bytes: two moves that may cover the same bytes do for every length between their size and twice that.
#[inline(always)]
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "the first and the last bytes of one range"
)]
unsafe fn copy_tiny(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller's duty: each move lies within `len` bytes.
    unsafe {
        if len >= 8 {
            move_as::<u64>(to, from);
            move_as::<u64>(to.add(len - 8), from.add(len - 8));
        } else if len >= 4 {
            move_as::<u32>(to, from);
            move_as::<u32>(to.add(len - 4), from.add(len - 4));
        } else if len >= 2 {
            move_as::<u16>(to, from);
            move_as::<u16>(to.add(len - 2), from.add(len - 2));
        } else if len == 1 {
            *to = *from;
        }
    }
}

/// Copies 17 bytes or more: the last 64 (or 32) once more as a block of their own, whatever the loop has left of them.
#[inline(always)]
#[expect(clippy::multiple_unsafe_ops_per_block, reason = "pieces of one range")]
unsafe fn copy_blocks(mut to: *mut u8, mut from: *const u8, len: usize) {
    // SAFETY: the caller's duty: each move lies within `len` bytes.
    unsafe {
        if len <= 32 {
            let (first, last) = (load(from), load(from.add(len - 16)));
            store(to, first);
            store(to.add(len - 16), last);
            return;
        }
        let (end, last) = (to.add(len), from.add(len));
        if len > 64 {
            asm!(
                "2:",
                "movups {a}, [{s}]",
                "movups {b}, [{s} + 16]",
                "movups {c}, [{s} + 32]",
                "movups {d}, [{s} + 48]",
                "movups [{t}], {a}",
                "movups [{t} + 16], {b}",
                "movups [{t} + 32], {c}",
                "movups [{t} + 48], {d}",
                "add {s}, 64",
                "add {t}, 64",
                "sub {n}, 64",
                "ja 2b",
                n = inout(reg) len - 64 => _,
                s = inout(reg) from => _,
                t = inout(reg) to => _,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack),
            );
            // At most 64 are left, and as many lie before the end.
            (to, from) = (end.sub(64), last.sub(64));
        }
        let (a, b) = (load(from), load(from.add(16)));
        let (c, d) = (load(last.sub(32)), load(last.sub(16)));
        store(to, a);
        store(to.add(16), b);
        store(end.sub(32), c);
        store(end.sub(16), d);
    }
}

#[inline(always)]
unsafe fn load(from: *const u8) -> __m128i {
    // SAFETY: the caller's duty: 16 bytes are readable; SSE2 is part of x86-64.
    unsafe { _mm_loadu_si128(from.cast()) }
}

#[inline(always)]
unsafe fn store(to: *mut u8, value: __m128i) {
    // SAFETY: the caller's duty: 16 bytes are writable.
    unsafe { _mm_storeu_si128(to.cast(), value) }
}

/// Copies `len` bytes from the start upwards; the ranges may overlap with `to` below `from`.
///
/// # Safety
/// `from` must be readable and `to` writable for `len` bytes.
#[inline(always)]
pub unsafe fn copy_forward(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller's duty; every access lies within `len` bytes of both pointers.
    unsafe {
        asm!(
            // 64 bytes a turn; all loads before the stores, so a lower `to` may overlap.
            "cmp {n}, 64",
            "jb 3f",
            "2:",
            "movups {a}, [{s}]",
            "movups {b}, [{s} + 16]",
            "movups {c}, [{s} + 32]",
            "movups {d}, [{s} + 48]",
            "movups [{t}], {a}",
            "movups [{t} + 16], {b}",
            "movups [{t} + 32], {c}",
            "movups [{t} + 48], {d}",
            "add {s}, 64",
            "add {t}, 64",
            "sub {n}, 64",
            "cmp {n}, 64",
            "jae 2b",
            "3:",
            "test {n}, 32",
            "jz 4f",
            "movups {a}, [{s}]",
            "movups {b}, [{s} + 16]",
            "movups [{t}], {a}",
            "movups [{t} + 16], {b}",
            "add {s}, 32",
            "add {t}, 32",
            "4:",
            "test {n}, 16",
            "jz 5f",
            "movups {a}, [{s}]",
            "movups [{t}], {a}",
            "add {s}, 16",
            "add {t}, 16",
            "5:",
            "test {n}, 8",
            "jz 6f",
            "mov {r}, [{s}]",
            "mov [{t}], {r}",
            "add {s}, 8",
            "add {t}, 8",
            "6:",
            "test {n}, 4",
            "jz 7f",
            "mov {r:e}, [{s}]",
            "mov [{t}], {r:e}",
            "add {s}, 4",
            "add {t}, 4",
            "7:",
            "and {n}, 3",
            "jz 9f",
            "8:",
            "mov {r:l}, [{s}]",
            "mov [{t}], {r:l}",
            "inc {s}",
            "inc {t}",
            "dec {n}",
            "jnz 8b",
            "9:",
            n = inout(reg) len => _,
            s = inout(reg) from => _,
            t = inout(reg) to => _,
            r = out(reg) _,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            options(nostack),
        );
    }
}

/// Copies `len` bytes from the end downwards; the ranges may overlap with `to` above `from`.
///
/// # Safety
/// `from` must be readable and `to` writable for `len` bytes.
#[inline(always)]
pub unsafe fn copy_backward(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller's duty; both pointers start at the end and never pass the beginning.
    unsafe {
        asm!(
            "add {s}, {n}",
            "add {t}, {n}",
            "2:",
            "cmp {n}, 16",
            "jb 3f",
            "sub {s}, 16",
            "sub {t}, 16",
            "movups {a}, [{s}]",
            "movups [{t}], {a}",
            "sub {n}, 16",
            "jmp 2b",
            "3:",
            "test {n}, {n}",
            "jz 5f",
            "4:",
            "dec {s}",
            "dec {t}",
            "mov {r:l}, [{s}]",
            "mov [{t}], {r:l}",
            "dec {n}",
            "jnz 4b",
            "5:",
            n = inout(reg) len => _,
            s = inout(reg) from => _,
            t = inout(reg) to => _,
            r = out(reg) _,
            a = out(xmm_reg) _,
            options(nostack),
        );
    }
}

/// Fills `len` bytes with `value`.
///
/// # Safety
/// `to` must be writable for `len` bytes.
#[inline(always)]
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "a pointer into the range of the caller"
)]
pub unsafe fn fill(to: *mut u8, value: u8, len: usize) {
    let pattern = u64::from(value) * 0x0101_0101_0101_0101;
    if len >= LONG {
        // SAFETY: the caller's duty: these are the last 8 bytes, and the rest is filled in whole words.
        unsafe { to.add(len - 8).cast::<u64>().write_unaligned(pattern) };
        // SAFETY: as above; the direction flag is clear by the ABI.
        unsafe {
            asm!("rep stosq", inout("rcx") len / 8 => _, inout("rdi") to => _, in("rax") pattern,
                options(nostack, preserves_flags));
        }
        return;
    }
    // SAFETY: the caller's duty; every store lies within `len` bytes of `to`.
    unsafe {
        asm!(
            "movq {a}, {p}",
            "punpcklqdq {a}, {a}",
            "2:",
            "cmp {n}, 64",
            "jb 3f",
            "movups [{t}], {a}",
            "movups [{t} + 16], {a}",
            "movups [{t} + 32], {a}",
            "movups [{t} + 48], {a}",
            "add {t}, 64",
            "sub {n}, 64",
            "jmp 2b",
            "3:",
            "cmp {n}, 8",
            "jb 4f",
            "mov [{t}], {p}",
            "add {t}, 8",
            "sub {n}, 8",
            "jmp 3b",
            "4:",
            "test {n}, {n}",
            "jz 6f",
            "5:",
            "mov [{t}], {p:l}",
            "inc {t}",
            "dec {n}",
            "jnz 5b",
            "6:",
            n = inout(reg) len => _,
            t = inout(reg) to => _,
            p = in(reg) pattern,
            a = out(xmm_reg) _,
            options(nostack),
        );
    }
}

/// Compares `len` bytes: less than, equal to or greater than 0, as the first that differ.
///
/// # Safety
/// Both must be readable for `len` bytes.
#[inline(always)]
pub unsafe fn compare(a: *const u8, b: *const u8, len: usize) -> i32 {
    // SAFETY: the caller's duty.
    let a = unsafe { core::slice::from_raw_parts(a, len) };
    // SAFETY: the caller's duty.
    let b = unsafe { core::slice::from_raw_parts(b, len) };
    let (blocks_a, rest_a) = a.as_chunks::<8>();
    let (blocks_b, rest_b) = b.as_chunks::<8>();
    for (x, y) in blocks_a.iter().zip(blocks_b) {
        let (x, y) = (u64::from_be_bytes(*x), u64::from_be_bytes(*y));
        if x != y {
            return if x < y { -1 } else { 1 };
        }
    }
    for (&x, &y) in rest_a.iter().zip(rest_b) {
        if x != y {
            return i32::from(x) - i32::from(y);
        }
    }
    0
}

#[cfg(test)]
#[expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every range lies in a vector of the test"
)]
#[expect(clippy::multiple_unsafe_ops_per_block, reason = "as above")]
#[expect(clippy::cast_possible_truncation, reason = "test patterns wrap")]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
    }

    /// Every length that takes another path, at several alignments.
    fn lengths() -> impl Iterator<Item = usize> {
        (0..200).chain([
            255, 256, 511, 512, 513, 519, 1000, 4096, 65_535, 65_536, 70_001,
        ])
    }

    #[test]
    fn copies_every_length() {
        for len in lengths() {
            for shift in [0, 1, 7] {
                let from = pattern(len + shift);
                let mut to = alloc::vec![0xEE; len + shift + 16];
                unsafe { copy(to.as_mut_ptr().add(shift), from.as_ptr().add(shift), len) };
                assert_eq!(to[shift..shift + len], from[shift..]);
                assert!(
                    to[..shift]
                        .iter()
                        .chain(&to[shift + len..])
                        .all(|&b| b == 0xEE),
                    "{len}"
                );
            }
        }
    }

    #[test]
    fn copies_overlapping_ranges_both_ways() {
        for len in lengths() {
            for distance in [1, 3, 8, 16, 63, 64, 200] {
                let mut up = pattern(len + distance);
                let mut expected = up.clone();
                expected.copy_within(..len, distance);
                let base = up.as_mut_ptr();
                unsafe { copy_backward(base.add(distance), base, len) };
                assert_eq!(up, expected, "up {len} by {distance}");

                let mut down = pattern(len + distance);
                let mut expected = down.clone();
                expected.copy_within(distance.., 0);
                let base = down.as_mut_ptr();
                unsafe { copy_forward(base, base.add(distance), len) };
                assert_eq!(down, expected, "down {len} by {distance}");
            }
        }
    }

    #[test]
    fn fills_every_length() {
        for len in lengths() {
            let mut to = alloc::vec![0xEE; len + 17];
            unsafe { fill(to.as_mut_ptr().add(1), 0x5A, len) };
            assert!(to[1..=len].iter().all(|&b| b == 0x5A));
            assert!(
                to[..1].iter().chain(&to[len + 1..]).all(|&b| b == 0xEE),
                "{len}"
            );
        }
    }

    #[test]
    fn compares_as_slices_do() {
        for len in 0..40 {
            let a = pattern(len);
            assert_eq!(unsafe { compare(a.as_ptr(), a.as_ptr(), len) }, 0);
            for at in 0..len {
                let mut b = a.clone();
                b[at] = b[at].wrapping_add(100);
                let sign = unsafe { compare(a.as_ptr(), b.as_ptr(), len) }.signum();
                assert_eq!(sign, a.cmp(&b) as i32, "{len} at {at}");
            }
        }
    }
}
