//! [`Region`]: a piece of memory without holes, and what its allocator knows of each page.
//!
//! A region begins with a table of one byte for each page: the order of the free block that starts there, or nothing. Memory
//! from the *frontier* up has never been handed out (or was given back to it) and has no valid bytes in the table, so a
//! region of any size is ready at once and touches no memory that nobody asked for.
//!
//! ```text
//! start       first                    frontier                    end
//!   | table ... | handed out and free pages | untouched ............. |
//! ```

use core::ptr;

use crate::free_list::{Link, ORDERS};

/// The size of a page in bytes.
pub const PAGE: usize = 4096;
/// Less than this is not worth a table.
const FEWEST_PAGES: usize = 4;
/// The table's entry for a page at which no free block starts; other entries are an order and one.
const NO_BLOCK: u8 = 0;

/// All numbers are page numbers: addresses divided by [`PAGE`].
#[derive(Clone, Copy)]
pub(crate) struct Region {
    first: usize,
    frontier: usize,
    end: usize,
    table: *mut u8,
}

impl Region {
    pub(crate) const EMPTY: Self = Self {
        first: 0,
        frontier: 0,
        end: 0,
        table: ptr::null_mut(),
    };

    /// The whole pages from address `start` to address `end`; `None` if they are too few.
    ///
    /// # Safety
    /// 1. The memory is mapped, exposed, and the region's alone for ever.
    pub(crate) unsafe fn new(start: usize, end: usize) -> Option<Self> {
        // Page 0 is never handed out: its address is the null pointer.
        let start_page = start.div_ceil(PAGE).max(1);
        let end = end / PAGE;
        let pages = end.checked_sub(start_page)?;
        if pages < FEWEST_PAGES {
            return None;
        }
        let first = start_page + pages.div_ceil(PAGE + 1);
        Some(Self {
            first,
            frontier: first,
            end,
            table: ptr::with_exposed_provenance_mut(start_page * PAGE),
        })
    }

    /// Pages that can be handed out.
    pub(crate) fn pages(&self) -> usize {
        self.end - self.first
    }

    /// The addresses of the pages that can be handed out.
    pub(crate) fn span(&self) -> (usize, usize) {
        (self.first * PAGE, self.end * PAGE)
    }

    pub(crate) fn contains(&self, page: usize) -> bool {
        page >= self.first && page < self.end
    }

    /// Takes `pages` pages with a multiple of `align` from the frontier: the first page that was passed over, and the first
    /// that is taken.
    pub(crate) fn advance(&mut self, pages: usize, align: usize) -> Option<(usize, usize)> {
        let passed = self.frontier;
        let taken = passed.checked_next_multiple_of(align)?;
        let frontier = taken.checked_add(pages)?;
        if frontier > self.end {
            return None;
        }
        // SAFETY: `first <= frontier` (the old one), and the table has an entry for each page from `first` to `end`.
        let entries = unsafe { self.table.add(passed - self.first) };
        // SAFETY: the entries up to the new frontier, which is not above `end`, lie in the table as well.
        unsafe { entries.write_bytes(NO_BLOCK, frontier - passed) };
        self.frontier = frontier;
        Some((passed, taken))
    }

    /// Whether the frontier is behind `page`.
    pub(crate) fn has_handed_out(&self, page: usize) -> bool {
        page < self.frontier
    }

    /// Whether the frontier stands at `page`.
    pub(crate) fn ends_at(&self, page: usize) -> bool {
        self.frontier == page
    }

    /// The free block that ends at the frontier: its first page and its order.
    pub(crate) fn last_block(&self) -> Option<(usize, usize)> {
        // Ends at the region's start at the latest, which is a few bytes of code where a loop over `ORDERS` is unrolled.
        let mut order = 0;
        loop {
            let page = self.frontier.checked_sub(1 << order)?;
            if page < self.first {
                return None;
            }
            if self.is_block(page, order) {
                return Some((page, order));
            }
            order += 1;
        }
    }

    /// Gives the memory from `page` up back to the frontier.
    pub(crate) fn retreat(&mut self, page: usize) {
        self.frontier = page;
    }

    /// Whether a free block of `order` starts at `page`.
    pub(crate) fn is_block(&self, page: usize, order: usize) -> bool {
        self.block_at(page) == Some(order)
    }

    /// The order of the free block that starts at `page`, if one does.
    pub(crate) fn block_at(&self, page: usize) -> Option<usize> {
        if page < self.first || page >= self.frontier {
            return None;
        }
        // SAFETY: the page has an entry, since it is from `first` up and below `end`.
        let entry = unsafe { self.table.add(page - self.first) };
        // SAFETY: `advance` wrote the entries of all pages below the frontier.
        usize::from(unsafe { entry.read() }).checked_sub(1)
    }

    /// The first of `pages` consecutive free pages below the frontier whose number is a multiple of `align`.
    pub(crate) fn free_run(&self, pages: usize, align: usize) -> Option<usize> {
        let (mut page, mut run) = (self.first, None);
        while page < self.frontier {
            let Some(order) = self.block_at(page) else {
                page += 1;
                run = None;
                continue;
            };
            let start = run.get_or_insert(page.next_multiple_of(align));
            page += 1 << order;
            if start.checked_add(pages)? <= page {
                return run;
            }
        }
        None
    }

    /// The free block that `page` lies in: its first page and its order.
    pub(crate) fn block_over(&self, page: usize) -> Option<(usize, usize)> {
        (0..ORDERS)
            .map(|order| (page & !((1 << order) - 1), order))
            .find(|(start, order)| self.is_block(*start, *order))
    }

    /// Notes that a free block of `order`, or no block any more, starts at `page`, and names it.
    pub(crate) fn set_block(&mut self, page: usize, order: Option<u8>) -> Link {
        debug_assert!(page >= self.first && page < self.frontier);
        // SAFETY: the page is part of a block that was handed out or is free, so it lies below the frontier and has an entry.
        let entry = unsafe { self.table.add(page - self.first) };
        // SAFETY: the entry lies in the table.
        unsafe { entry.write(order.map_or(NO_BLOCK, |order| order + 1)) };
        // SAFETY: 1. the callers note only blocks that are or have just been free; 2. page 0 is in no region, and `new` was
        // given exposed memory.
        unsafe { Link::to(page * PAGE) }
    }
}
