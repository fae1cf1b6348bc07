//! Lending: free memory that the host may have for a while, taken out by address so that each part of it comes up once.

use core::ptr::{self, NonNull};

use crate::pages::PageAllocator;
use crate::region::{PAGE, Region};

/// Fewer pages in a row are not worth a request to the host: 512 KiB.
const LEAST: usize = 128;

impl PageAllocator {
    /// Hands out free pages that were used before, the first at or behind address `from`: at least 512 KiB in a row, at most `most` bytes.
    ///
    /// They hold whatever they held, and do not count as handed out at one time ([`high_water`](Self::high_water)). Memory that nobody has had yet
    /// is left alone: the host does not know of it either.
    pub fn lend(&mut self, from: usize, most: usize) -> Option<(NonNull<u8>, usize)> {
        let (page, order) = self
            .regions()
            .find_map(|region| find(region, from / PAGE))?;
        let (start, end) = (page.max(from / PAGE), page + (1 << order));
        let taken = (end - start).min((most / PAGE).max(1));
        self.take_lent(start, start + taken);
        let address = NonNull::new(ptr::with_exposed_provenance_mut(start * PAGE))?;
        Some((address, taken))
    }
}

/// The first free block that reaches far enough behind page `from`: its first page and its order.
fn find(region: &Region, from: usize) -> Option<(usize, usize)> {
    let mut page = from.max(region.span().0 / PAGE);
    let mut block = region.block_over(page);
    while region.has_handed_out(page) {
        let Some((start, order)) = block else {
            page += 1;
            block = region.block_at(page).map(|order| (page, order));
            continue;
        };
        let end = start + (1 << order);
        if end - page >= LEAST {
            return Some((start, order));
        }
        page = end;
        block = region.block_at(page).map(|order| (page, order));
    }
    None
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::{LEAST, PAGE};
    use crate::fixture;
    use crate::pages::PageAllocator;

    fn allocator(pages: usize) -> PageAllocator {
        let start = fixture::reserve(pages * PAGE);
        let mut allocator = PageAllocator::new();
        // SAFETY: 1. and 2. the fixture maps the memory for this test alone, and exposes it.
        assert!(unsafe { allocator.add_region(start, start + pages * PAGE) });
        allocator
    }

    #[test]
    fn what_was_freed_is_lent_once_and_comes_back() {
        let mut pages = allocator(8 * LEAST);
        assert!(pages.lend(0, usize::MAX).is_none(), "nobody has had any");
        let keep = pages.allocate(3, 1).expect("memory");
        let long = pages.allocate(4 * LEAST, 1).expect("memory");
        let end = pages.allocate(1, 1).expect("memory");
        assert!(pages.lend(0, usize::MAX).is_none(), "all of it is in use");
        // SAFETY: 1. and 2. they were just handed out and nobody uses them.
        unsafe { pages.free(long, 4 * LEAST) };
        let (free, high) = (pages.free_count(), pages.high_water());
        let (mut from, mut lent) = (0, Vec::new());
        while let Some((start, count)) = pages.lend(from, LEAST * PAGE) {
            assert!(count <= LEAST);
            from = start.addr().get() + count * PAGE;
            lent.push((start, count));
        }
        let sum: usize = lent.iter().map(|(_, count)| count).sum();
        assert!(sum > 2 * LEAST, "the rest is in blocks that are too short");
        assert_eq!(pages.free_count(), free - sum);
        assert_eq!(pages.high_water(), high);
        for (start, count) in lent {
            // SAFETY: 1. and 2. they were lent and nobody uses them.
            unsafe { pages.free(start, count) };
        }
        assert_eq!(pages.free_count(), free);
        for (start, count) in [(keep, 3), (end, 1)] {
            // SAFETY: 1. and 2. they were handed out and nobody uses them.
            unsafe { pages.free(start, count) };
        }
        let all = pages.allocate(7 * LEAST, 1);
        assert!(all.is_some(), "it is one piece again");
    }
}
