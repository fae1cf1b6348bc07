//! The sizes of small objects: 16 bytes apart up to 128, then four steps to each doubling.
//!
//! A class above 128 is a multiple of a quarter of the power of two below it. So a size that is rounded up to its alignment
//! always falls into a class whose size is a multiple of that alignment, and objects that follow each other from an aligned
//! address need no further care.

use crate::region::PAGE;

/// The largest size that has a class; above it, objects have pages of their own.
pub(crate) const LARGEST: usize = 2048;
/// How many classes there are.
pub(crate) const CLASSES: usize = 24;

const STEP: usize = 16;
/// Slabs of these classes, up to 256 bytes, have one page; the others four, so that they hold at least seven objects.
const ONE_PAGE_CLASSES: usize = 12;
const _: () = assert!(SIZES[ONE_PAGE_CLASSES - 1] == 256);

/// The size of the objects of each class.
pub(crate) const SIZES: [usize; CLASSES] = {
    let mut sizes = [0; CLASSES];
    let mut class = 0;
    while class < 8 {
        sizes[class] = 16 * (class + 1);
        class += 1;
    }
    while class < CLASSES {
        let doubling = (class - 8) / 4;
        let quarter = (class - 8) % 4 + 1;
        sizes[class] = (128 + 32 * quarter) << doubling;
        class += 1;
    }
    sizes
};

/// The class of each size, in steps of 16 bytes.
static CLASS_OF: [u8; LARGEST / STEP + 1] = {
    let mut table = [0; LARGEST / STEP + 1];
    let mut class = 0;
    let mut step = 0;
    while step < table.len() {
        if step * STEP > SIZES[class] {
            class += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "there are 24 classes")]
        let entry = class as u8;
        table[step] = entry;
        step += 1;
    }
    table
};

/// The class of an object of `size` bytes, which is a possible size; `None` if it is too large for one.
#[inline(always)]
pub(crate) fn class_of(size: usize) -> Option<usize> {
    let class = CLASS_OF.get((size + (STEP - 1)) >> STEP.trailing_zeros())?;
    Some(usize::from(*class))
}

/// The pages of a slab of `class`, which also are its alignment.
#[inline]
pub(crate) const fn slab_pages(class: usize) -> usize {
    if class < ONE_PAGE_CLASSES { 1 } else { 4 }
}

/// The bytes of a slab of `class`.
#[inline]
pub(crate) const fn slab_bytes(class: usize) -> usize {
    slab_pages(class) * PAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_grow_by_a_quarter_at_most() {
        assert_eq!(SIZES[..9], [16, 32, 48, 64, 80, 96, 112, 128, 160]);
        assert_eq!(SIZES[20..], [1280, 1536, 1792, 2048]);
        for pair in SIZES[3..].windows(2) {
            assert!(pair[1] - pair[0] <= pair[0] / 4);
        }
    }

    #[test]
    fn every_size_has_the_smallest_class_that_holds_it() {
        for size in 0..=LARGEST {
            let expected = SIZES.iter().position(|&class| class >= size);
            assert_eq!(class_of(size), expected, "{size} bytes");
        }
        assert_eq!(class_of(LARGEST + 1), None);
        assert_eq!(class_of(isize::MAX as usize), None);
    }

    #[test]
    fn a_size_rounded_to_its_alignment_has_a_class_that_keeps_it() {
        for align in (0..=11).map(|shift| 1 << shift) {
            for size in (align..=LARGEST).step_by(align) {
                let class = class_of(size).unwrap();
                let unaligned = SIZES[class] % align;
                assert_eq!(unaligned, 0, "{size} bytes at {align}");
            }
        }
    }
}
