//! [`KernelHeap`]: the global allocator of an image.
//!
//! It finds the running core's [`CoreHeap`], or for a free the core that the address belongs to. When memory has run out it
//! returns null, which `alloc` turns into an error or, where there is no way to return one, a panic. Before [`init`] it panics
//! itself: a path that never returns, unlike one that does, costs the others no frame.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use toro_arch::core_local::{self, MAX_CORES};
use toro_sync::{PerCore, StoppedCore};

use crate::dma::DmaBuf;
use crate::heap::CoreHeap;
use crate::region::PAGE;
use crate::remote::RemoteFrees;
use crate::stats::Stats;

/// The heap of the running core; install it with `#[global_allocator]`.
#[derive(Clone, Copy, Debug)]
pub struct KernelHeap;

/// A core's heap where it stands: at the start of the core's memory.
struct Local(UnsafeCell<CoreHeap>);

static HEAPS: PerCore<Local> = PerCore::new();

/// What other cores see of a core's memory, a cache line each.
#[repr(align(64))]
struct Owner {
    start: AtomicUsize,
    len: AtomicUsize,
    frees: RemoteFrees,
}

static OWNERS: [Owner; MAX_CORES] = [const {
    Owner {
        start: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        frees: RemoteFrees::new(),
    }
}; MAX_CORES];

/// Gives the running core its memory: pieces from a first to an end address, lowest first.
///
/// Returns the bytes that the heap can hand out. Pieces that are too small are left out.
///
/// # Panics
/// Panics if the core has memory already, or if no piece can hold a heap.
///
/// # Safety
/// 1. All pieces are RAM that is mapped one to one, and nobody else uses them from now on, ever.
/// 2. Between the lowest and the highest address lies no memory of another core's heap.
pub unsafe fn init(pieces: impl Iterator<Item = (u64, u64)>) -> usize {
    let owner = &OWNERS[core_local::id()];
    // SAFETY: 1. objects are pushed by their address, and only those of this heap have one in this core's span (duty 2).
    let mut heap = unsafe { CoreHeap::with_remote(&owner.frees) };
    let mut home = None;
    for (start, end) in pieces {
        let (start, end) = (address(start).max(PAGE), address(end));
        let rest = start.next_multiple_of(PAGE) + size_of::<Local>().next_multiple_of(PAGE);
        if home.is_none() && rest < end {
            home = Some(start.next_multiple_of(PAGE));
            // SAFETY: 1. and 2. by duty 1; the heap's own place comes before.
            unsafe { heap.add_region(rest, end) };
        } else {
            // SAFETY: 1. and 2. by duty 1.
            unsafe { heap.add_region(start, end) };
        }
    }
    let (start, len) = heap.pages().span();
    let total = heap.pages().total() * PAGE;
    owner.start.store(start, Ordering::Relaxed);
    // Release: pairs with the Acquire in `owner_of`; the start is there when the length is.
    owner.len.store(len, Ordering::Release);
    settle(home.expect("a core has memory for its heap"), heap);
    total
}

/// Puts the heap at `home`, in front of what it hands out, and makes it the running core's.
fn settle(home: usize, heap: CoreHeap) {
    let home = ptr::with_exposed_provenance_mut::<Local>(home);
    // SAFETY: `init` has set these pages of the core's memory aside for the heap.
    unsafe { home.write(Local(UnsafeCell::new(heap))) };
    // SAFETY: it has just been written, and nobody else knows of it.
    HEAPS.init_at(unsafe { &mut *home });
}

/// The memory map has addresses of 64 bits, as the processor does.
#[expect(clippy::cast_possible_truncation, reason = "images are for 64 bits")]
const fn address(address: u64) -> usize {
    address as usize
}

/// What the running core's memory is used for.
pub fn stats() -> Stats {
    with_heap(|heap| heap.stats())
}

/// What the memory of a core that stands still is used for, for a debugger; `None` if it has none. A core that was stopped in the middle
/// of a call may be wrong by that one.
pub fn stats_on(stopped: &StoppedCore) -> Option<Stats> {
    // SAFETY: 1. the core stands still as long as there is a `stopped`; 2. what is read are numbers.
    let local = unsafe { HEAPS.of(stopped.core()) }?;
    // SAFETY: nobody changes the heap meanwhile, and the reference ends before its core goes on.
    Some(unsafe { &*local.0.get() }.stats())
}

/// Takes back what other cores have freed of this core's memory: for an idle core, others do it when they need more.
pub fn collect() {
    with_heap(CoreHeap::collect);
}

/// Has a trace shown how many bytes the running core's heap holds, or not any more.
pub fn trace(is_wanted: bool) {
    with_heap(|heap| heap.trace(is_wanted));
}

/// Takes free memory of this core that was used before, at or behind address `from`: at least 512 KiB, at most `most` bytes; `None` if there is no
/// more. It holds whatever it held, and goes back when the buffer is dropped.
pub fn lend(from: usize, most: usize) -> Option<DmaBuf> {
    let (start, len) = with_heap(|heap| heap.lend(from, most))?;
    // SAFETY: 1. the heap has just handed the pages out, for a layout of their length; 2. the heap's memory is RAM.
    Some(unsafe { DmaBuf::from_pages(start, len) })
}

/// Calls `f` with the running core's heap.
#[inline(always)]
fn with_heap<R>(f: impl FnOnce(&mut CoreHeap) -> R) -> R {
    HEAPS.with(|local| {
        // SAFETY: the reference is the only one: the heap is this core's, interrupts run no Rust, and neither the heap nor
        // the closures of this file call anything that allocates, yields or panics between entry and exit.
        f(unsafe { &mut *local.0.get() })
    })
}

/// The core whose memory holds `address`.
fn owner_of(address: usize) -> Option<&'static Owner> {
    OWNERS.iter().find(|owner| {
        // Acquire: pairs with the Release in `init`.
        let len = owner.len.load(Ordering::Acquire);
        address.wrapping_sub(owner.start.load(Ordering::Relaxed)) < len
    })
}

/// Sends an object to the core that it belongs to.
///
/// # Safety
/// 1. The object was handed out by another core's heap for `layout`, and nobody uses it any more.
#[cold]
#[inline(never)]
unsafe fn free_remote(object: NonNull<u8>, layout: Layout) {
    let owner = owner_of(object.addr().get()).expect("memory is freed to where it came from");
    // SAFETY: 1. the owner is found by the address; the rest is duty 1.
    unsafe { owner.frees.push(object, layout) };
}

/// As a `GlobalAlloc` returns it.
#[inline(always)]
fn or_null(object: Option<NonNull<u8>>) -> *mut u8 {
    object.map_or(ptr::null_mut(), NonNull::as_ptr)
}

// SAFETY: `CoreHeap` hands out memory of the size and alignment that was asked for, to one owner at a time, and never panics
// on valid arguments. Objects keep their place when they move to another core.
unsafe impl GlobalAlloc for KernelHeap {
    // A call costs less than a copy of this at each of the many places that allocate.
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        or_null(with_heap(|heap| heap.allocate(layout)))
    }

    #[inline(never)]
    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        // SAFETY: what `alloc` returned and may be freed is not null.
        let object = unsafe { NonNull::new_unchecked(object) };
        let freed = with_heap(|heap| {
            let local = heap.pages().spans(object.addr().get());
            if local {
                // SAFETY: 1. the object came from this core's heap, by its address; 2. by the contract of `dealloc`.
                unsafe { heap.free(object, layout) };
            }
            local
        });
        if !freed {
            // SAFETY: 1. the object is not of this core, and by the contract of `dealloc` nobody uses it.
            unsafe { free_remote(object, layout) };
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, object: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: what `alloc` returned is not null.
        let start = unsafe { NonNull::new_unchecked(object) };
        let resized = with_heap(|heap| {
            let local = heap.pages().spans(start.addr().get());
            // SAFETY: 1. the object is of this core's heap, by its address; the rest by the contract of `realloc`.
            local && unsafe { heap.resize(start, layout, new_size) }
        });
        if resized {
            return object;
        }
        // SAFETY: the size is in range by the contract of `realloc`, and the alignment is that of a layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: `realloc` is not asked for a size of 0.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: both have as many bytes as the smaller, and the new object was free.
            unsafe { moved.copy_from_nonoverlapping(object, layout.size().min(new_size)) };
            // SAFETY: the object is given up by the contract of `realloc`; its contents have moved.
            unsafe { self.dealloc(object, layout) };
        }
        moved
    }
}
