//! [`PageAllocator`]: runs of whole pages, for one core.
//!
//! A buddy allocator whose runs need not be powers of two: the pages beyond a run go back at once, and a run is freed as the
//! aligned blocks that it consists of. What no list can serve comes from the frontier of a [`Region`], exactly as long as it
//! is, so even a run of most of the memory can be had. Short runs that were freed wait in a [`RunCache`] for the next of their
//! length before they are joined with what lies around them. Nothing here is atomic: a core allocates from its own.
//!
//! A trace shows how many pages are handed out. Nobody looks whether there is one: while there is, the two bounds that each call looks at
//! anyway (`notable` and `keeps`) send it another way.

use core::fmt;
use core::ptr::{self, NonNull};

use toro_trace::{IS_COMPILED, Kind};

use crate::free_list::{FreeLists, Link, ORDERS};
use crate::region::{PAGE, Region};
use crate::run_cache::RunCache;

/// The most pieces of memory that one core can have.
const MAX_REGIONS: usize = 32;
/// Not more than this part of the memory waits in the cache of runs.
const KEPT_PART: usize = 8;

/// The pages of one core, in up to 32 regions.
pub struct PageAllocator {
    lists: FreeLists,
    kept: RunCache,
    regions: [Region; MAX_REGIONS],
    region_count: usize,
    /// The lowest address of all regions, and the distance to the highest.
    start: usize,
    len: usize,
    total: usize,
    free: usize,
    least_free: usize,
    /// When fewer pages than this are free, something is to be noted: the least ever, or whatever there is for a trace.
    notable: usize,
    /// So many pages are kept for their lengths without a further look; none while there is a trace.
    keeps: usize,
    /// Whether a trace shows how many pages are handed out.
    is_traced: bool,
}

// SAFETY: the pointers inside lead to memory that is the allocator's alone, so it may move to another core whole.
unsafe impl Send for PageAllocator {}

impl PageAllocator {
    /// An allocator without memory.
    pub const fn new() -> Self {
        Self {
            lists: FreeLists::new(),
            kept: RunCache::new(),
            regions: [Region::EMPTY; MAX_REGIONS],
            region_count: 0,
            start: 0,
            len: 0,
            total: 0,
            free: 0,
            least_free: 0,
            notable: 0,
            keeps: 0,
            is_traced: false,
        }
    }

    /// Adds the memory from address `start` to address `end`, without touching it.
    ///
    /// Returns whether it can be used: pieces of less than four pages and the 33rd piece cannot.
    ///
    /// # Safety
    /// 1. The memory is mapped one to one, and nobody else uses it from now on, ever.
    /// 2. A pointer to it may be made from its address: it is RAM outside of all Rust objects, or was exposed.
    pub unsafe fn add_region(&mut self, start: usize, end: usize) -> bool {
        if self.region_count == MAX_REGIONS {
            return false;
        }
        // SAFETY: 1. by this function's duties 1 and 2.
        let Some(region) = (unsafe { Region::new(start, end) }) else {
            return false;
        };
        self.regions[self.region_count] = region;
        self.region_count += 1;
        self.widen(region.span());
        self.total += region.pages();
        self.free += region.pages();
        self.least_free = self.free;
        self.set_bounds();
        true
    }

    /// Has a trace shown how many pages are handed out, or not any more.
    pub(crate) fn trace(&mut self, is_wanted: bool) {
        self.is_traced = is_wanted;
        self.set_bounds();
    }

    fn set_bounds(&mut self) {
        (self.notable, self.keeps) = match self.is_traced {
            true => (usize::MAX, 0),
            false => (self.least_free, self.most_kept()),
        };
    }

    fn most_kept(&self) -> usize {
        self.total / KEPT_PART
    }

    fn widen(&mut self, (start, end): (usize, usize)) {
        if self.region_count == 1 {
            (self.start, self.len) = (start, end - start);
            return;
        }
        let end = end.max(self.start + self.len);
        self.start = self.start.min(start);
        self.len = end - self.start;
    }

    /// The lowest address, and the distance to the highest: no other core has memory in between.
    pub fn span(&self) -> (usize, usize) {
        (self.start, self.len)
    }

    /// Whether `address` lies between the lowest and the highest address of this core's memory.
    #[inline]
    pub fn spans(&self, address: usize) -> bool {
        address.wrapping_sub(self.start) < self.len
    }

    /// Pages in all regions, tables not counted.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Pages that are not handed out.
    pub fn free_count(&self) -> usize {
        self.free
    }

    /// The most pages that were handed out at one time.
    pub fn high_water(&self) -> usize {
        self.total - self.least_free
    }

    /// Hands out `pages` consecutive pages whose first has a number that is a multiple of `align`, a power of two.
    ///
    /// The memory holds whatever it held before.
    pub fn allocate(&mut self, pages: usize, align: usize) -> Option<NonNull<u8>> {
        debug_assert!(pages > 0 && align.is_power_of_two());
        if pages > self.free {
            return None;
        }
        let page = match self.kept.take(pages, align) {
            Some(page) => page,
            None => self.take_new(pages, align)?,
        };
        self.note_taken(pages);
        NonNull::new(ptr::with_exposed_provenance_mut(page * PAGE))
    }

    fn note_taken(&mut self, pages: usize) {
        self.free -= pages;
        if !IS_COMPILED {
            self.least_free = self.least_free.min(self.free);
        } else if self.free < self.notable {
            self.note_free();
        }
    }

    /// Notes how many pages are free: fewer than ever, or a trace is to show them.
    #[cold]
    #[inline(never)]
    fn note_free(&mut self) {
        self.least_free = self.least_free.min(self.free);
        if self.is_traced {
            let held = (self.total - self.free) * PAGE;
            toro_trace::note_here(Kind::Heap, held as u64);
        } else {
            self.notable = self.least_free;
        }
    }

    /// Takes pages that are not kept for their length.
    #[inline(never)]
    fn take_new(&mut self, pages: usize, align: usize) -> Option<usize> {
        self.take_block(pages, align)
            .or_else(|| self.take_frontier(pages, align))
            .or_else(|| {
                self.release_kept();
                self.take_block(pages, align)
            })
            .or_else(|| {
                self.retreat();
                self.take_frontier(pages, align)
            })
            .or_else(|| self.take_joined(pages, align))
    }

    /// Takes a run that is free but lies in several blocks, which are no buddies: the last resort, since it looks at every page.
    ///
    /// Without it, many runs of odd lengths that come and go leave most of the memory free in the end, and no block of more than 16 pages.
    #[cold]
    fn take_joined(&mut self, pages: usize, align: usize) -> Option<usize> {
        let run = |region: &Region| region.free_run(pages, align);
        let page = self.regions().find_map(run)?;
        self.claim(page, page + pages);
        Some(page)
    }

    /// Joins the runs that are kept with what lies around them, and says whether there were any.
    #[cold]
    #[inline(never)]
    fn release_kept(&mut self) -> bool {
        let mut any = false;
        while let Some((page, pages)) = self.kept.pop() {
            self.release(page, page + pages);
            any = true;
        }
        any
    }

    /// Takes the start of a free block that is large enough and puts the rest back.
    fn take_block(&mut self, pages: usize, align: usize) -> Option<usize> {
        let wanted = pages.max(align).checked_next_power_of_two()?;
        let order = self.lists.smallest_from(wanted.trailing_zeros() as usize)?;
        let page = self.lists.pop(order)?.address() / PAGE;
        self.region_of(page).set_block(page, None);
        self.release(page + pages, page + (1 << order));
        Some(page)
    }

    /// Takes pages that nobody has had yet.
    fn take_frontier(&mut self, pages: usize, align: usize) -> Option<usize> {
        let (passed, taken) = self.regions[..self.region_count]
            .iter_mut()
            .find_map(|region| region.advance(pages, align))?;
        self.release(passed, taken);
        Some(taken)
    }

    /// Gives the free blocks that end at a frontier back to it, so that it can serve a run that crosses them.
    #[cold]
    fn retreat(&mut self) {
        for region in &mut self.regions[..self.region_count] {
            while let Some((page, order)) = region.last_block() {
                self.lists.remove(order, region.set_block(page, None));
                region.retreat(page);
            }
        }
    }

    /// Takes `pages` pages back.
    ///
    /// # Safety
    /// 1. They are pages that [`allocate`](Self::allocate) of this allocator handed out, all or part of a run.
    /// 2. Nobody uses them any more.
    pub unsafe fn free(&mut self, start: NonNull<u8>, pages: usize) {
        let page = start.addr().get() / PAGE;
        self.free += pages;
        let most = match IS_COMPILED {
            true => self.keeps,
            false => self.most_kept(),
        };
        if self.kept.wants(pages, most) {
            // SAFETY: 1. the pages are the allocator's again, by duty 2; 2. page 0 is in no region, and the memory was exposed.
            let run = unsafe { Link::to(page * PAGE) };
            self.kept.put(run, pages);
        } else if IS_COMPILED && self.is_traced {
            // SAFETY: 1. and 2. are this function's.
            unsafe { self.free_traced(page, pages) };
        } else {
            self.release(page, page + pages);
        }
    }

    /// Takes pages back, of which a trace is to be told. Apart, so that others save no registers for it.
    ///
    /// # Safety
    /// 1. The pages from number `page` on are pages that [`allocate`](Self::allocate) handed out, and are counted as free.
    /// 2. Nobody uses them any more.
    #[cold]
    #[inline(never)]
    unsafe fn free_traced(&mut self, page: usize, pages: usize) {
        self.note_free();
        if self.kept.wants(pages, self.most_kept()) {
            // SAFETY: as in `free`.
            let run = unsafe { Link::to(page * PAGE) };
            self.kept.put(run, pages);
        } else {
            self.release(page, page + pages);
        }
    }

    /// Makes a run of `old` pages one of `new` pages where it stands, if the pages behind it allow that.
    ///
    /// # Safety
    /// 1. `old` pages at `start` were handed out by this allocator.
    /// 2. If `new` is less, nobody uses the pages beyond it any more.
    pub unsafe fn resize(&mut self, start: NonNull<u8>, old: usize, new: usize) -> bool {
        let page = start.addr().get() / PAGE;
        let (old_end, new_end) = (page + old, page.saturating_add(new));
        if new_end <= old_end {
            self.free += old - new;
            self.release(new_end, old_end);
            if IS_COMPILED && self.is_traced {
                self.note_free();
            }
            return true;
        }
        let grown =
            self.grow(old_end, new_end) || (self.release_kept() && self.grow(old_end, new_end));
        if grown {
            self.note_taken(new - old);
        }
        grown
    }

    /// Takes exactly the pages from `from` up to `to`, if they are free.
    fn grow(&mut self, from: usize, to: usize) -> bool {
        let region = self.region_of(from - 1);
        let mut free_to = from;
        while free_to < to {
            match region.block_at(free_to) {
                Some(order) => free_to += 1 << order,
                None if region.ends_at(free_to) => {
                    if region.advance(to - free_to, 1).is_none() {
                        return false;
                    }
                    free_to = to;
                }
                None => return false,
            }
        }
        self.claim(from, to);
        true
    }

    /// The pieces of memory, in the order in which they were added.
    pub(crate) fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions[..self.region_count].iter()
    }

    /// Takes free pages from `from` up to `to` out of the lists, as far as they lie below the frontier.
    fn claim(&mut self, from: usize, to: usize) {
        let first = self.region_of(from).block_over(from);
        let start = first.map_or(from, |(start, _)| start);
        let mut end = start;
        while let Some(order) = self.region_of(from).block_at(end).filter(|_| end < to) {
            let link = self.region_of(from).set_block(end, None);
            self.lists.remove(order, link);
            end += 1 << order;
        }
        self.release(start, from);
        self.release(to, end);
    }

    /// Takes pages that are free, without a word of how many were ever in use at one time.
    pub(crate) fn take_lent(&mut self, from: usize, to: usize) {
        self.claim(from, to);
        self.free -= to - from;
    }

    /// Puts the pages from `from` up to `to` into the lists, as the fewest aligned blocks.
    fn release(&mut self, mut from: usize, to: usize) {
        while from < to {
            let order = from.trailing_zeros().min((to - from).ilog2()) as usize;
            let order = order.min(ORDERS - 1);
            self.merge(from, order);
            from += 1 << order;
        }
    }

    /// Puts one block into the lists, joined with its buddy as often as that is free.
    fn merge(&mut self, mut page: usize, mut order: usize) {
        let index = self.index_of(page);
        let region = &mut self.regions[index];
        debug_assert!(region.block_at(page).is_none(), "pages are freed once");
        while order < ORDERS - 1 && region.is_block(page ^ (1 << order), order) {
            let buddy = region.set_block(page ^ (1 << order), None);
            self.lists.remove(order, buddy);
            page &= !(1 << order);
            order += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "orders are below 19")]
        let link = region.set_block(page, Some(order as u8));
        self.lists.push(order, link);
    }

    fn region_of(&mut self, page: usize) -> &mut Region {
        let index = self.index_of(page);
        &mut self.regions[index]
    }

    /// # Panics
    /// Panics if the page is in no region: whoever freed it never got it from here.
    fn index_of(&self, page: usize) -> usize {
        self.regions[..self.region_count]
            .iter()
            .position(|region| region.contains(page))
            .expect("a page goes back to the core that handed it out")
    }
}

impl Default for PageAllocator {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for PageAllocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PageAllocator({} of {} pages free)",
            self.free, self.total
        )
    }
}

#[cfg(test)]
mod tests;
