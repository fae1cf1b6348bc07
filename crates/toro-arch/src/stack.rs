//! [`Stack`]: memory that frames grow down into, above a guard page.
//!
//! Whoever grows out of the stack touches the guard and faults. Compilers touch a stack at least once a page on the way
//! down, so no frame leaps over the guard.

use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;

use crate::paging;

const PAGE: usize = 4096;

/// An owned stack. It is made and dropped on one core.
#[derive(Debug)]
pub struct Stack {
    /// The guard page, and above it what can be used.
    bottom: NonNull<u8>,
    layout: Layout,
    /// Whether the lowest page is withheld: there was memory for the page tables.
    is_guarded: bool,
}

impl Stack {
    /// Allocates a stack of at least `bytes`; `None` if there is no memory for it.
    pub fn try_new(bytes: usize) -> Option<Self> {
        let size = bytes.max(PAGE).checked_next_multiple_of(PAGE)?;
        let layout = Layout::from_size_align(size.checked_add(PAGE)?, PAGE).ok()?;
        // SAFETY: the layout's size is at least two pages.
        let bottom = NonNull::new(unsafe { alloc(layout) })?;
        // SAFETY: 1. the page was just allocated on this core, and is restored before it is freed, on this core as well.
        let is_guarded = unsafe { paging::withhold(bottom.as_ptr() as u64) }.is_ok();
        Some(Self {
            bottom,
            layout,
            is_guarded,
        })
    }

    /// The upper end, where the first frame goes.
    pub fn top(&self) -> *mut u8 {
        // SAFETY: the end of the allocation.
        unsafe { self.bottom.as_ptr().add(self.layout.size()) }
    }

    /// How many bytes can be used.
    pub fn size(&self) -> usize {
        self.layout.size() - PAGE
    }

    /// Where the guard page starts.
    pub fn guard(&self) -> u64 {
        self.bottom.as_ptr() as u64
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.is_guarded {
            // SAFETY: 1. `try_new` withheld it on this core.
            unsafe { paging::restore(self.guard()) };
        }
        // SAFETY: allocated with this layout in `try_new`; whoever ran on it must not any more, by the duty of `Context::new`.
        unsafe { dealloc(self.bottom.as_ptr(), self.layout) }
    }
}
