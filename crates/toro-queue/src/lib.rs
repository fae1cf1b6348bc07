//! Queues without locks: the mailbox that other cores post to, and channels between them.
//!
//! A core owns its run queue, its heap and its devices alone. What other cores want of it they post to its [`Mailbox`]:
//! a thread to run, memory to free, a message. Posting never allocates, never waits for the owner, and tells the poster
//! whether the owner sleeps and has to be rung.
//!
//! What a core has to tell others without waiting for them it writes into an [`EventRing`].
//!
//! [`slab`] holds what is named by handles that may outlive it, within a core.
//!
//! The memory orders are checked by loom, which runs every interleaving of small models:
//! `RUSTFLAGS="--cfg loom" cargo test -p toro-queue --release --test loom`.

#![no_std]

extern crate alloc;

pub mod channel;
mod event_ring;
mod linked;
mod mailbox;
mod ring;
pub mod slab;
mod wake_word;
mod waker_cell;

pub use event_ring::{EventRing, Words};
pub use linked::{Handle, Link, Linked};
pub use mailbox::{Mailbox, Posted, Taken};
pub use wake_word::WakeWord;

/// The atomics and cells, or the models of them that loom can reorder and watch.
mod atomic {
    #[cfg(not(loom))]
    pub(crate) use core::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence,
    };

    #[cfg(loom)]
    pub(crate) use loom::cell::UnsafeCell;
    #[cfg(loom)]
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence,
    };

    /// A cell with the face of loom's.
    #[cfg(not(loom))]
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    #[cfg(not(loom))]
    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}
