//! The registers beyond the general ones, as XSAVE lays them out (Intel SDM 1, 13.4).
//!
//! ```text
//!   0    x87 and SSE as FXSAVE has them; 24 is MXCSR, 464 to 511 belong to whoever stores the image
//!   512  the header: which parts follow, then zeros
//!   576  the other parts, each where `cpuid` says
//! ```

use std::arch::x86_64::__cpuid_count as cpuid_count;

/// Where the header lies.
const HEADER: usize = 512;
/// Where the other parts begin.
const PARTS: usize = 576;
/// Where the upper halves of the AVX registers are, of 16 bytes each.
pub const UPPER: usize = PARTS;
/// Where they end.
const AVX_END: usize = UPPER + 16 * 16;
/// Bits of MXCSR that a processor takes.
const MXCSR_MASK: u32 = 0xffff;

/// Whether a program has AVX registers. Where a machine has them not, an image is too short for them.
#[must_use]
pub fn has_avx() -> bool {
    crate::cpuid::offered_states() & 4 != 0
}

/// `image` for a core file: x87, SSE and AVX. What follows lies at places that differ by the maker of the processor, and gdb
/// takes them for the same. Linux says by XCR0, in a place that the processor leaves free, what is there.
#[must_use]
pub fn for_core(image: &[u8]) -> Vec<u8> {
    const XCR0_AT: usize = 464;
    let end = if image.len() < AVX_END {
        PARTS
    } else {
        AVX_END
    };
    let mut cut = image.to_vec();
    cut.resize(end, 0);
    let states = if end == AVX_END { 7 } else { 3 };
    cut[XCR0_AT] = states;
    cut[XCR0_AT + 1..HEADER].fill(0);
    cut[HEADER] &= states;
    cut[HEADER + 1..PARTS].fill(0);
    cut
}

/// How many bytes an image has for the parts of `states`, as in XCR0.
#[must_use]
pub fn len(states: u64) -> usize {
    let ends = (2..63).filter(|part| states >> part & 1 == 1).map(|part| {
        let leaf = cpuid_count(0xd, part);
        torov_abi::word::size(u64::from(leaf.eax) + u64::from(leaf.ebx))
    });
    ends.max().unwrap_or(PARTS).max(PARTS)
}

/// The image of a program at its first instruction: nothing but the two control words.
#[must_use]
pub fn initial() -> [u8; PARTS] {
    let mut image = [0; PARTS];
    image[..2].copy_from_slice(&0x037f_u16.to_le_bytes());
    image[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
    // x87 and SSE are there; that makes the processor read both control words.
    image[HEADER] = 3;
    image
}

/// `image` with all put right that a processor with `states` and images of `len` bytes would refuse. Of a short image only x87 and SSE are
/// taken.
#[must_use]
pub fn harmless(image: &[u8], states: u64, len: usize) -> Vec<u8> {
    let mut whole = vec![0; len.max(PARTS)];
    let taken = image.len().min(whole.len());
    whole[..taken].copy_from_slice(&image[..taken]);
    let mut mxcsr = [0; 4];
    mxcsr.copy_from_slice(&whole[24..28]);
    let mxcsr = u32::from_le_bytes(mxcsr) & MXCSR_MASK;
    whole[24..28].copy_from_slice(&mxcsr.to_le_bytes());
    let mut parts = [0; 8];
    parts.copy_from_slice(&whole[HEADER..HEADER + 8]);
    let parts = if image.len() < whole.len() {
        3
    } else {
        u64::from_le_bytes(parts) & (states | 3)
    };
    whole[HEADER..PARTS].fill(0);
    whole[HEADER..HEADER + 8].copy_from_slice(&parts.to_le_bytes());
    whole
}

#[cfg(test)]
mod tests {
    use super::{HEADER, PARTS, for_core, harmless, initial, len};

    #[test]
    fn a_core_file_has_what_gdb_knows() {
        let cut = for_core(&[0xff; 2696]);
        assert_eq!((cut.len(), cut[464], cut[HEADER]), (832, 7, 7));
        assert!(cut[465..HEADER].iter().all(|byte| *byte == 0));
        assert_eq!(for_core(&initial()).len(), PARTS);
    }

    #[test]
    fn nothing_of_a_guest_s_image_is_refused() {
        let image = harmless(&[0xff; 4096], 0, len(0));
        assert_eq!(image.len(), PARTS);
        assert_eq!(image[24..28], [0xff, 0xff, 0, 0]);
        assert_eq!(image[HEADER..HEADER + 9], [3, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_short_image_brings_only_the_old_parts() {
        let states = 7;
        assert_eq!(len(states), PARTS + 256);
        let image = harmless(&initial(), states, len(states));
        assert_eq!((image.len(), image[HEADER]), (PARTS + 256, 3));
    }
}
