//! [`Roster`]: all threads of a core, for people who want to know what each of them does; see `inspect.rs`.
//!
//! The links lie in the blocks. A thread joins when it begins and leaves when it is buried; switches do not touch it. Links
//! forward are changed last when a thread joins and first when it leaves, so that a report may walk the list from an
//! interrupt in the middle of either.

use core::cell::Cell;
use core::ptr;

use crate::thread::Block;

/// A block's place on the roster.
pub(crate) struct Place {
    next: Cell<*const Block>,
    previous: Cell<*const Block>,
}

impl Place {
    pub(crate) const fn new() -> Self {
        Self {
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
        }
    }
}

/// The threads of a core, the youngest first.
pub(crate) struct Roster(Cell<*const Block>);

impl Roster {
    pub(crate) const fn new() -> Self {
        Self(Cell::new(ptr::null()))
    }

    /// Adds `block`.
    ///
    /// # Safety
    /// 1. It is on no roster.
    /// 2. It stays alive until it is [removed](Self::remove).
    pub(crate) unsafe fn insert(&self, block: *const Block) {
        let first = self.0.get();
        // SAFETY: alive by duty 2.
        unsafe { &*block }.roster.next.set(first);
        if !first.is_null() {
            // SAFETY: on the roster, so alive by duty 2 of its own call.
            unsafe { &*first }.roster.previous.set(block);
        }
        self.0.set(block);
    }

    /// Takes `block` off.
    ///
    /// # Safety
    /// 1. It is on this roster.
    pub(crate) unsafe fn remove(&self, block: &Block) {
        let (next, previous) = (block.roster.next.get(), block.roster.previous.get());
        if previous.is_null() {
            self.0.set(next);
        } else {
            // SAFETY: its neighbour is on the roster by duty 1, so alive.
            unsafe { &*previous }.roster.next.set(next);
        }
        if !next.is_null() {
            // SAFETY: as for the other neighbour.
            unsafe { &*next }.roster.previous.set(previous);
        }
    }

    /// Calls `visit` with each block.
    ///
    /// # Safety
    /// 1. No block leaves the roster during the call.
    pub(crate) unsafe fn for_each(&self, mut visit: impl FnMut(&Block)) {
        let mut block = self.0.get();
        while !block.is_null() {
            // SAFETY: on the roster by duty 1, so alive.
            let this = unsafe { &*block };
            visit(this);
            block = this.roster.next.get();
        }
    }
}
