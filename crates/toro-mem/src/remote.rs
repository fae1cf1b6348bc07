//! [`RemoteFrees`]: objects on their way back to the core that they belong to.
//!
//! A core frees only what is its own. An object of another core is pushed onto a stack of that core, linked through its own
//! bytes, and the owner takes the whole stack when it next needs more than its free lists. Nothing is ever popped singly, so
//! the stack has no ABA problem, and pushing retries only when another core pushed in between.
//!
//! ```text
//! pusher                          owner
//! write the node, next = head     head.swap(null)  Acquire
//! head.cas(next, node)  Release   read the nodes
//! ```

use core::alloc::Layout;
use core::fmt;
use core::ptr::{self, NonNull};

#[cfg(not(loom))]
use core::sync::atomic::{AtomicPtr, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicPtr, Ordering};

/// What an object holds on its way: 16 bytes, as many as the smallest object has.
struct Node {
    next: *mut Node,
    /// The size, shifted by [`ALIGN_BITS`], and the logarithm of the alignment.
    layout: usize,
}

/// Bits for the logarithm of an alignment.
const ALIGN_BITS: u32 = 6;

/// Where other cores put the objects of one core when they free them.
pub struct RemoteFrees {
    head: AtomicPtr<Node>,
}

impl RemoteFrees {
    /// Nothing on its way.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Nothing on its way.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Sends `object` to its owner, from any core.
    ///
    /// # Safety
    /// 1. The object is one of the owner's heap for `layout`, and nobody uses it any more.
    pub unsafe fn push(&self, object: NonNull<u8>, layout: Layout) {
        let node = object.cast::<Node>();
        let mut next = self.head.load(Ordering::Relaxed);
        loop {
            let content = Node {
                next,
                layout: pack(layout),
            };
            // SAFETY: by duty 1 the object is nobody's, and each object has at least 16 bytes, aligned to 16.
            unsafe { node.write(content) };
            // Release: pairs with the Acquire in `take_all`; publishes the node, and ends the last uses of the object.
            match self.head.compare_exchange_weak(
                next,
                node.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(head) => next = head,
            }
        }
    }

    /// Takes all objects that have arrived, with their layouts; the caller has to free them.
    pub fn take_all(&self) -> Taken {
        // A look first: the swap would take the line from the other cores even when there is nothing.
        if self.head.load(Ordering::Relaxed).is_null() {
            return Taken(ptr::null_mut());
        }
        // Acquire: pairs with the Release in `push`. The pushes below the head are part of its release sequence.
        Taken(self.head.swap(ptr::null_mut(), Ordering::Acquire))
    }
}

impl Default for RemoteFrees {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RemoteFrees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteFrees")
    }
}

/// The objects that [`RemoteFrees::take_all`] took. What is left when it is dropped is lost, as with `mem::forget`.
pub struct Taken(*mut Node);

impl Iterator for Taken {
    type Item = (NonNull<u8>, Layout);

    fn next(&mut self) -> Option<Self::Item> {
        let node = NonNull::new(self.0)?;
        // SAFETY: `push` wrote the node, and since it left the stack it is nobody's but the iterator's.
        let Node { next, layout } = unsafe { node.read() };
        self.0 = next;
        Some((node.cast(), unpack(layout)))
    }
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Taken")
    }
}

fn pack(layout: Layout) -> usize {
    layout.size() << ALIGN_BITS | layout.align().trailing_zeros() as usize
}

fn unpack(packed: usize) -> Layout {
    let align = 1 << (packed & ((1 << ALIGN_BITS) - 1));
    // SAFETY: `pack` made the number from a layout. Its size lost no bits: addresses have 48, so no object is larger.
    unsafe { Layout::from_size_align_unchecked(packed >> ALIGN_BITS, align) }
}

#[cfg(test)]
mod tests;
