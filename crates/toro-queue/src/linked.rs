//! What can be in a mailbox: a node with a [`Link`] inside, behind a pointer that owns it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::ptr::{self, NonNull};

use crate::atomic::{AtomicPtr, Ordering};

/// The place in a node that holds it in a list. A node is in one list at a time at most.
///
/// Null: in no list. `end`: the last of its list. Else: the next node.
pub struct Link<N>(AtomicPtr<N>);

impl<N> Link<N> {
    /// A link of a node that is in no list.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// A link of a node that is in no list.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Whether the node is in a list. Another core may change that at any time.
    pub fn is_linked(&self) -> bool {
        !self.0.load(Ordering::Relaxed).is_null()
    }

    /// What the last node of a list points to.
    pub(crate) const fn end() -> *mut N {
        ptr::without_provenance_mut(1)
    }

    /// Takes the node for a list. `false` if it is in one.
    pub(crate) fn claim(&self) -> bool {
        // Acquire: pairs with the Release in `release`; whoever had the node in a list before is done with the link.
        // Release is not needed: nobody reads the link before the node is published by the head of its list.
        self.0
            .compare_exchange(
                ptr::null_mut(),
                Self::end(),
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Lets the node go from its list.
    pub(crate) fn release(&self) {
        // Release: pairs with the Acquire in `claim`.
        self.0.store(ptr::null_mut(), Ordering::Release);
    }

    /// Relaxed: the head of the list publishes the links below it.
    pub(crate) fn set(&self, next: *mut N) {
        self.0.store(next, Ordering::Relaxed);
    }

    /// Relaxed: taking the head of the list has acquired the links below it.
    pub(crate) fn get(&self) -> *mut N {
        self.0.load(Ordering::Relaxed)
    }
}

impl<N> Default for Link<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N> fmt::Debug for Link<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.is_linked()).finish()
    }
}

/// A node: something that can be in a list.
///
/// # Safety
/// 1. `link` returns the same link each time, and it is a part of `self`: no other node returns it.
pub unsafe trait Linked: Sized {
    /// The node's link.
    fn link(&self) -> &Link<Self>;
}

/// A pointer that owns a node, or a count of it, and can be kept as a raw pointer.
///
/// # Safety
/// 1. The pointer from `into_raw` is aligned, above address 1, and stays good for shared access until `from_raw`.
/// 2. `from_raw` gives back what `into_raw` took.
pub unsafe trait Handle: Sized {
    /// What it points to.
    type Node: Linked;

    /// Turns the handle into a raw pointer, which keeps what the handle owned.
    fn into_raw(self) -> NonNull<Self::Node>;

    /// Turns it back.
    ///
    /// # Safety
    /// 1. `raw` came from `into_raw`, and is turned back once.
    unsafe fn from_raw(raw: NonNull<Self::Node>) -> Self;
}

// SAFETY: 1. an `Arc` is never null, its node is aligned and behind the counts, and lives as long as the count that
// `into_raw` keeps; 2. by `Arc::from_raw`.
unsafe impl<N: Linked> Handle for Arc<N> {
    type Node = N;

    fn into_raw(self) -> NonNull<N> {
        let raw = Arc::into_raw(self).cast_mut();
        // SAFETY: an `Arc` points to its node and is never null.
        unsafe { NonNull::new_unchecked(raw) }
    }

    unsafe fn from_raw(raw: NonNull<N>) -> Self {
        // SAFETY: 1. of the caller.
        unsafe { Arc::from_raw(raw.as_ptr()) }
    }
}

// SAFETY: 1. the node has a link, so it has a size and is truly allocated: aligned to the link and above address 1;
// it lives until the box is made again; 2. by `Box::from_raw`.
unsafe impl<N: Linked> Handle for Box<N> {
    type Node = N;

    fn into_raw(self) -> NonNull<N> {
        let raw = Box::into_raw(self);
        // SAFETY: a `Box` is never null.
        unsafe { NonNull::new_unchecked(raw) }
    }

    unsafe fn from_raw(raw: NonNull<N>) -> Self {
        // SAFETY: 1. of the caller.
        unsafe { Box::from_raw(raw.as_ptr()) }
    }
}
