//! [`CoreHeap`]: objects of any size, for one core.
//!
//! Small objects come from slabs of their size class, large ones are runs of pages. Rust hands the layout back when an
//! object is freed, so objects have no header and the class needs no looking up. The common cases are a table look-up and a
//! few moves on the free list of the class's first slab; all else is in the cold functions below them.
//!
//! A bin lists the slabs of its class that may have free objects. Full ones leave the list when an allocation meets them,
//! and come back with the first object that is freed in them. An empty slab goes back to the pages, unless it is the only
//! one in its list: that one stays, so that a single object that comes and goes does not move pages.

use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

use crate::class::{self, CLASSES, SIZES, class_of};
use crate::pages::PageAllocator;
use crate::region::PAGE;
use crate::remote::RemoteFrees;
use crate::slab::SlabRef;
use crate::stats::Stats;

/// The slabs of one class.
#[derive(Clone, Copy)]
struct Bin {
    first: Option<SlabRef>,
    allocations: u64,
    frees: u64,
}

/// Objects that have pages of their own.
#[derive(Clone, Copy)]
struct Large {
    pages: usize,
    allocations: u64,
    frees: u64,
}

/// The heap of one core: not shared, not locked, and not to be entered from an interrupt.
#[repr(C)]
pub struct CoreHeap {
    /// First, or the address of a bin takes one step more.
    bins: [Bin; CLASSES],
    large: Large,
    pages: PageAllocator,
    /// What other cores freed of this heap's objects.
    remote: Option<&'static RemoteFrees>,
}

// SAFETY: the pointers inside lead to memory that is the heap's alone, so it may move to another core whole.
unsafe impl Send for CoreHeap {}

impl CoreHeap {
    /// A heap without memory, whose objects are freed by nobody else.
    pub const fn new() -> Self {
        Self {
            bins: [Bin {
                first: None,
                allocations: 0,
                frees: 0,
            }; CLASSES],
            large: Large {
                pages: 0,
                allocations: 0,
                frees: 0,
            },
            pages: PageAllocator::new(),
            remote: None,
        }
    }

    /// A heap without memory that also takes back what lies in `remote`, whenever it needs more than its free lists.
    ///
    /// # Safety
    /// 1. Only objects of this heap are pushed to `remote`.
    pub const unsafe fn with_remote(remote: &'static RemoteFrees) -> Self {
        let mut heap = Self::new();
        heap.remote = Some(remote);
        heap
    }

    /// Adds the memory from address `start` to address `end`: [`PageAllocator::add_region`].
    ///
    /// # Safety
    /// 1. The duties of [`PageAllocator::add_region`].
    pub unsafe fn add_region(&mut self, start: usize, end: usize) -> bool {
        // SAFETY: the duties are passed on.
        unsafe { self.pages.add_region(start, end) }
    }

    /// Has a trace shown how many bytes the heap holds, objects or not: single objects come and go too quickly for that.
    pub(crate) fn trace(&mut self, is_wanted: bool) {
        self.pages.trace(is_wanted);
    }

    /// The pages below the objects.
    pub fn pages(&self) -> &PageAllocator {
        &self.pages
    }

    /// Hands out memory for `layout`, whose size is not 0, or `None` if there is not enough.
    #[inline]
    pub fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        debug_assert!(layout.size() > 0, "nothing needs no memory");
        let Some(class) = class(layout) else {
            return self.allocate_large(layout);
        };
        let bin = &mut self.bins[class];
        if let Some(object) = bin.first.and_then(SlabRef::take) {
            bin.allocations += 1;
            return Some(object);
        }
        self.allocate_slow(class)
    }

    /// Takes an object back.
    ///
    /// # Safety
    /// 1. [`allocate`](Self::allocate) of this heap returned `object` for a layout like `layout`, and it was not freed since.
    /// 2. Nobody uses it any more.
    #[inline]
    pub unsafe fn free(&mut self, object: NonNull<u8>, layout: Layout) {
        let Some(class) = class(layout) else {
            // SAFETY: 1. and 2. by the same duties; the layout has no class.
            return unsafe { self.free_large(object, layout) };
        };
        self.bins[class].frees += 1;
        // SAFETY: 1. an object of this class came from a slab of it, which lives as long as one of its objects does.
        let slab = unsafe { SlabRef::of(object, class) };
        // SAFETY: 1. by duties 1 and 2.
        if unsafe { slab.put(object) } {
            self.attend(slab, class);
        }
    }

    /// Gives an object another size where it stands, if its class or the pages behind it allow that.
    ///
    /// # Safety
    /// 1. [`allocate`](Self::allocate) of this heap returned `object` for a layout like `layout`, and it was not freed since.
    /// 2. `new_size` is not 0 and, rounded up to the alignment, not above `isize::MAX`.
    /// 3. Nobody uses the bytes beyond `new_size` any more.
    pub unsafe fn resize(&mut self, object: NonNull<u8>, layout: Layout, new_size: usize) -> bool {
        // SAFETY: the size is in range by duty 2, and the alignment is that of a layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (class(layout), class(wanted)) {
            // SAFETY: 1. both have no class; the rest by duties 1 and 3.
            (None, None) => unsafe { self.resize_large(object, layout, wanted) },
            (old, new) => old == new,
        }
    }

    /// Takes back what other cores have freed.
    pub fn collect(&mut self) {
        let Some(remote) = self.remote else {
            return;
        };
        for (object, layout) in remote.take_all() {
            // SAFETY: 1. by the duty of `with_remote`; 2. whoever pushed the object gave it up.
            unsafe { self.free(object, layout) };
        }
    }

    /// Hands out free pages as [`PageAllocator::lend`] does: they are freed as an object of their length in bytes.
    pub fn lend(&mut self, from: usize, most: usize) -> Option<(NonNull<u8>, usize)> {
        self.collect();
        let (start, pages) = self.pages.lend(from, most)?;
        self.large.pages += pages;
        self.large.allocations += 1;
        Some((start, pages * PAGE))
    }

    /// What the memory is used for at present.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            total: self.pages.total() * PAGE,
            in_use: self.large.pages * PAGE,
            free: self.pages.free_count() * PAGE,
            high_water: self.pages.high_water() * PAGE,
            allocations: self.large.allocations,
            frees: self.large.frees,
        };
        for (bin, &size) in self.bins.iter().zip(&SIZES) {
            stats.allocations += bin.allocations;
            stats.frees += bin.frees;
            let live = usize::try_from(bin.allocations - bin.frees);
            stats.in_use += live.expect("objects in use fit into memory") * size;
        }
        stats
    }

    /// Finds an object of `class` when the first slab has none at hand.
    #[cold]
    #[inline(never)]
    fn allocate_slow(&mut self, class: usize) -> Option<NonNull<u8>> {
        self.collect();
        let object = match self.take_listed(class) {
            Some(object) => object,
            None => {
                let pages = class::slab_pages(class);
                let start = self.take_pages(pages, pages)?;
                // SAFETY: 1. the pages are as long as a slab and aligned to that, and were handed out to be one.
                let slab = unsafe { SlabRef::create(start, class) };
                self.list(slab, class);
                slab.cut(class);
                slab.take()?
            }
        };
        self.bins[class].allocations += 1;
        Some(object)
    }

    /// Takes an object from the listed slabs, and strikes those that are full.
    fn take_listed(&mut self, class: usize) -> Option<NonNull<u8>> {
        while let Some(slab) = self.bins[class].first {
            if let Some(object) = slab.take() {
                return Some(object);
            }
            slab.cut(class);
            if let Some(object) = slab.take() {
                return Some(object);
            }
            self.strike(slab, class);
        }
        None
    }

    /// Lists a slab that has free objects again, or releases one that has become empty.
    #[cold]
    #[inline(never)]
    fn attend(&mut self, slab: SlabRef, class: usize) {
        if !slab.listed.get() {
            self.list(slab, class);
        }
        let alone = slab.previous.get().is_none() && slab.next.get().is_none();
        if slab.is_empty() && !alone {
            self.release(slab, class);
        }
    }

    fn list(&mut self, slab: SlabRef, class: usize) {
        let first = self.bins[class].first.replace(slab);
        if let Some(first) = first {
            first.previous.set(Some(slab));
        }
        slab.previous.set(None);
        slab.next.set(first);
        slab.listed.set(true);
    }

    fn strike(&mut self, slab: SlabRef, class: usize) {
        let (previous, next) = (slab.previous.take(), slab.next.take());
        if let Some(next) = next {
            next.previous.set(previous);
        }
        match previous {
            Some(previous) => previous.next.set(next),
            None => self.bins[class].first = next,
        }
        slab.listed.set(false);
    }

    #[cold]
    #[inline(never)]
    fn allocate_large(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.collect();
        let pages = pages_of(layout);
        let align = layout.align().div_ceil(PAGE);
        let object = self.take_pages(pages, align)?;
        self.large.pages += pages;
        self.large.allocations += 1;
        Some(object)
    }

    /// Takes pages, if need be from bins that keep an empty slab.
    fn take_pages(&mut self, pages: usize, align: usize) -> Option<NonNull<u8>> {
        self.pages.allocate(pages, align).or_else(|| {
            self.release_empty();
            self.pages.allocate(pages, align)
        })
    }

    /// Gives the empty slab that each bin may keep back to the pages.
    #[cold]
    fn release_empty(&mut self) {
        for class in 0..CLASSES {
            let mut slab = self.bins[class].first;
            while let Some(listed) = slab {
                slab = listed.next.get();
                if listed.is_empty() {
                    self.release(listed, class);
                }
            }
        }
    }

    /// Gives a listed slab back to the pages: no object of it is in use.
    fn release(&mut self, slab: SlabRef, class: usize) {
        self.strike(slab, class);
        // SAFETY: 1. the pages of a slab came from `take_pages`; 2. nobody uses an object of it, and no list knows it.
        unsafe { self.pages.free(slab.start(class), class::slab_pages(class)) };
    }

    /// # Safety
    /// 1. The duties of [`free`](Self::free), for a layout that has no class.
    #[cold]
    #[inline(never)]
    unsafe fn free_large(&mut self, object: NonNull<u8>, layout: Layout) {
        let pages = pages_of(layout);
        self.large.pages -= pages;
        self.large.frees += 1;
        // SAFETY: 1. and 2. by duty 1: `allocate_large` took as many pages.
        unsafe { self.pages.free(object, pages) };
    }

    /// # Safety
    /// 1. `object` is one of this heap for `old`; neither layout has a class, and nobody uses what is cut off.
    unsafe fn resize_large(&mut self, object: NonNull<u8>, old: Layout, new: Layout) -> bool {
        let (old, new) = (pages_of(old), pages_of(new));
        // SAFETY: 1. and 2. by duty 1.
        let resized = unsafe { self.pages.resize(object, old, new) };
        if resized {
            self.large.pages = self.large.pages - old + new;
        }
        resized
    }
}

/// The class of objects for `layout`; `None` if they have pages of their own.
#[inline(always)]
fn class(layout: Layout) -> Option<usize> {
    // Every class is aligned to 16, so small alignments need no care.
    if layout.align() <= 16 {
        class_of(layout.size())
    } else {
        class_of(rounded(layout))
    }
}

/// The size that decides on the class: a multiple of the alignment.
#[inline(always)]
fn rounded(layout: Layout) -> usize {
    // A layout's size stays below `isize::MAX` when it is rounded up.
    (layout.size() + layout.align() - 1) & !(layout.align() - 1)
}

fn pages_of(layout: Layout) -> usize {
    layout.size().div_ceil(PAGE).max(1)
}

impl Default for CoreHeap {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CoreHeap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.stats(), f)
    }
}

#[cfg(test)]
mod tests;
