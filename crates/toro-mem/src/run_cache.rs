//! [`RunCache`]: runs of pages that were freed and wait for the next allocation of their length.
//!
//! Buffers come and go in the same few lengths, and a run that is cut from a block and joined with it again each time costs
//! ten times what a small object does. So short runs go to a list of their length first, whole and last in first out,
//! linked through their own first bytes. The page allocator breaks the lists up when nothing else fits.

use crate::free_list::Link;
use crate::region::PAGE;

/// The longest runs that are kept, in pages.
const LONGEST: usize = 64;

/// A list of runs for each length.
pub(crate) struct RunCache {
    heads: [Option<Link>; LONGEST + 1],
    pages: usize,
}

impl RunCache {
    pub(crate) const fn new() -> Self {
        Self {
            heads: [None; LONGEST + 1],
            pages: 0,
        }
    }

    /// Takes a run of `pages` pages whose first has a number that is a multiple of `align`, a power of two: its first page.
    #[inline]
    pub(crate) fn take(&mut self, pages: usize, align: usize) -> Option<usize> {
        let head = self.heads.get_mut(pages)?;
        let run = (*head)?;
        if run.address() & (align * PAGE - 1) != 0 {
            return None;
        }
        *head = run.next();
        self.pages -= pages;
        Some(run.address() / PAGE)
    }

    /// Whether a run of `pages` pages is to be kept where not more than `most` pages are in all.
    #[inline]
    pub(crate) fn wants(&self, pages: usize, most: usize) -> bool {
        pages <= LONGEST && self.pages + pages <= most
    }

    /// Keeps the run at `start`, which is [wanted](Self::wants).
    #[inline]
    pub(crate) fn put(&mut self, start: Link, pages: usize) {
        start.link_to(self.heads[pages]);
        self.heads[pages] = Some(start);
        self.pages += pages;
    }

    /// Takes any run: its first page and its length.
    pub(crate) fn pop(&mut self) -> Option<(usize, usize)> {
        let pages = self.heads.iter().rposition(Option::is_some)?;
        self.take(pages, 1).map(|page| (page, pages))
    }
}
