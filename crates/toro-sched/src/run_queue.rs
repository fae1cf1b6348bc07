//! [`RunQueue`]: the threads, or the tasks, of a core that are ready, first come first served.
//!
//! The links lie in the nodes, so nothing is allocated to wake one.

use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// What can be in a run queue.
pub(crate) trait Queued: Sized {
    /// The way to the next in the queue: the same place each time, and no other node's.
    fn next(&self) -> &AtomicPtr<Self>;
}

/// A queue of nodes, linked through their `next` fields.
pub(crate) struct RunQueue<N> {
    head: Cell<*const N>,
    tail: Cell<*const N>,
}

impl<N: Queued> RunQueue<N> {
    pub(crate) const fn new() -> Self {
        Self {
            head: Cell::new(ptr::null()),
            tail: Cell::new(ptr::null()),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// Appends `node`.
    ///
    /// # Safety
    /// 1. `node` must be in no queue.
    /// 2. It must stay alive until it is popped.
    #[inline]
    pub(crate) unsafe fn push(&self, node: *const N) {
        // SAFETY: duty 2.
        unsafe { &*node }
            .next()
            .store(ptr::null_mut(), Ordering::Relaxed);
        let tail = self.tail.replace(node);
        if tail.is_null() {
            self.head.set(node);
        } else {
            // SAFETY: the tail is in the queue, hence alive by duty 2 of the call that pushed it.
            unsafe { &*tail }
                .next()
                .store(node.cast_mut(), Ordering::Relaxed);
        }
    }

    /// Takes the first and appends `node`; `None`, and nothing appended, if there is no first.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    #[inline]
    pub(crate) unsafe fn exchange(&self, node: *const N) -> Option<*const N> {
        let head = self.head.get();
        if head.is_null() {
            return None;
        }
        // SAFETY: duty 2.
        unsafe { &*node }
            .next()
            .store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: the tail is in the queue, hence alive by duty 2 of the call that pushed it.
        unsafe { &*self.tail.replace(node) }
            .next()
            .store(node.cast_mut(), Ordering::Relaxed);
        // If the head was the tail too, its successor is `node` by now.
        // SAFETY: the head was in the queue until now.
        let next = unsafe { &*head }.next().load(Ordering::Relaxed);
        self.head.set(next);
        Some(head)
    }

    /// Takes the first.
    #[inline]
    pub(crate) fn pop(&self) -> Option<*const N> {
        let head = self.head.get();
        if head.is_null() {
            return None;
        }
        // SAFETY: the head is in the queue, hence alive by duty 2 of the call that pushed it.
        let next = unsafe { &*head }.next().load(Ordering::Relaxed);
        self.head.set(next);
        if next.is_null() {
            self.tail.set(ptr::null());
        }
        Some(head)
    }
}

#[cfg(test)]
#[expect(
    clippy::undocumented_unsafe_blocks,
    reason = "the nodes outlive the queue, and each is pushed once before it is popped"
)]
mod tests {
    use super::*;

    struct Node(AtomicPtr<Node>);

    impl Queued for Node {
        fn next(&self) -> &AtomicPtr<Self> {
            &self.0
        }
    }

    fn nodes() -> [Node; 3] {
        [const { Node(AtomicPtr::new(ptr::null_mut())) }; 3]
    }

    #[test]
    fn the_first_pushed_is_the_first_popped() {
        let (nodes, queue) = (nodes(), RunQueue::new());
        nodes.iter().for_each(|node| unsafe { queue.push(node) });
        for node in &nodes {
            assert_eq!(queue.pop(), Some(&raw const *node));
        }
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn an_exchange_takes_the_first_and_appends() {
        let ([a, b, c], queue) = (&nodes(), RunQueue::new());
        assert_eq!(unsafe { queue.exchange(a) }, None);
        assert!(queue.is_empty(), "nothing was appended");
        unsafe { queue.push(a) };
        assert_eq!(unsafe { queue.exchange(b) }, Some(&raw const *a));
        unsafe { queue.push(c) };
        assert_eq!(unsafe { queue.exchange(a) }, Some(&raw const *b));
        assert_eq!(queue.pop(), Some(&raw const *c));
        assert_eq!(queue.pop(), Some(&raw const *a));
        assert_eq!(queue.pop(), None);
        unsafe { queue.push(b) };
        assert_eq!(queue.pop(), Some(&raw const *b));
    }
}
