//! [`PerCore`]: a static with one value for each core, reached through the GS base.

use alloc::boxed::Box;
use core::fmt;
use core::hint;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use toro_arch::core_local::{self, MAX_CORES};

/// One `T` for each core; each core sees only its own, and no lock is needed.
///
/// `T` needs neither `Sync` nor `Send`: a core is to it what a thread is to a `thread_local!`. Threads of one core do
/// share it, and change places only where they yield, so a `RefCell` borrow must not be held across a park.
pub struct PerCore<T: 'static> {
    slots: [AtomicPtr<T>; MAX_CORES],
}

// SAFETY: a slot is written by `init` and read by `with`, both on the core whose slot it is; a `T` is never reached from
// another core, but by a debugger that has stopped its own (`of`). Interrupt stubs run no Rust, so there is no other context on a core than its threads, one at a time.
unsafe impl<T> Sync for PerCore<T> {}

impl<T> PerCore<T> {
    /// A value for no core yet.
    pub const fn new() -> Self {
        Self {
            slots: [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CORES],
        }
    }

    /// Sets the running core's value, for good.
    ///
    /// # Panics
    /// Panics if the core has one already.
    pub fn init(&self, value: T) {
        self.init_at(Box::leak(Box::new(value)));
    }

    /// Sets the running core's value to one that lies in memory already: for what comes before the heap.
    ///
    /// # Panics
    /// Panics if the core has one already.
    pub fn init_at(&self, value: &'static mut T) {
        let slot = &self.slots[core_local::id()];
        assert!(
            slot.load(Ordering::Relaxed).is_null(),
            "a core's value is set once"
        );
        slot.store(value, Ordering::Relaxed);
    }

    /// Whether the running core has its value.
    pub fn is_init(&self) -> bool {
        !self.slots[core_local::id()]
            .load(Ordering::Relaxed)
            .is_null()
    }

    /// Calls `f` with the running core's value.
    ///
    /// # Panics
    /// Panics if the core has none.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        match self.get() {
            Some(value) => f(value),
            None => missing(),
        }
    }

    /// Calls `f` with the running core's value, if there is one.
    #[inline]
    pub fn try_with<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        self.get().map(f)
    }

    /// The value of `core`, if it has one: for a debugger.
    ///
    /// # Safety
    /// 1. `core` is stopped or the running one, and stays so as long as the reference is used.
    /// 2. It may have been stopped in the middle of a change: what is read must bear that, and nothing is written.
    pub unsafe fn of(&self, core: usize) -> Option<&T> {
        let slot = self.slots.get(core)?.load(Ordering::Relaxed);
        // SAFETY: as in `get`; no other core uses the value meanwhile (duties 1 and 2).
        unsafe { slot.as_ref() }
    }

    /// Not public: a reference that leaves `with` could be sent to another core if `T` is `Sync`, and kept.
    #[inline]
    fn get(&self) -> Option<&T> {
        let id = core_local::id();
        // SAFETY: `core_local::init` makes no core of a higher number.
        unsafe { hint::assert_unchecked(id < MAX_CORES) };
        // Relaxed: the same core wrote it.
        let slot = self.slots[id].load(Ordering::Relaxed);
        // SAFETY: the slot is null or points to a value that `init_at` was given for ever and that is never moved.
        unsafe { slot.as_ref() }
    }
}

#[cold]
fn missing() -> ! {
    panic!("this core has no such value yet")
}

impl<T> Default for PerCore<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for PerCore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PerCore")
    }
}
