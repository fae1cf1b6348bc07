//! [`PerCore`]: a static with one value for each core, reached through the GS base.

use alloc::boxed::Box;
use core::cell::RefCell;
use core::fmt;
use core::hint;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering, compiler_fence};

use toro_arch::core_local::{self, MAX_CORES};

use crate::stopped::{LookError, StoppedCore};

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

impl<T> PerCore<RefCell<T>> {
    /// Calls `f` with the running core's value, to change it.
    ///
    /// A debugger that stops the core anywhere in between is not shown the value.
    ///
    /// # Panics
    /// Panics if the core has none, or somebody borrows it.
    #[inline]
    pub fn change<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|value| change(value, f))
    }

    /// As [`change`](Self::change); `None` if the core has no value.
    ///
    /// # Panics
    /// Panics if somebody borrows the value.
    #[inline]
    pub fn try_change<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.try_with(|value| change(value, f))
    }

    /// Calls `f` with the value of a core that stands still. `f` leaves it as it is.
    ///
    /// # Errors
    /// Fails if the core has none, or was stopped in the middle of [`change`](Self::change).
    pub fn look<R>(&self, stopped: &StoppedCore, f: impl FnOnce(&T) -> R) -> Result<R, LookError> {
        // SAFETY: 1. and 2. by the duties of `StoppedCore::new`; what is changed just now is told by the cell.
        let value = unsafe { self.of(stopped.core()) }.ok_or(LookError::Missing)?;
        // The count of borrows is as before when this ends, so a core that was stopped between reading and writing it goes on well.
        let value = value.try_borrow().map_err(|_| LookError::Changing)?;
        Ok(f(&value))
    }
}

/// Has `f` change the value of a cell. It is changed while the cell says so, for whoever stops this core there too: the compiler moves no
/// access across, and a processor's own interrupt sees its accesses in order.
#[inline]
fn change<T, R>(value: &RefCell<T>, f: impl FnOnce(&mut T) -> R) -> R {
    let mut value = value.borrow_mut();
    compiler_fence(Ordering::SeqCst);
    let outcome = f(&mut value);
    compiler_fence(Ordering::SeqCst);
    outcome
}

/// Ends the image, or the thread: somebody wants what the running core does not have yet.
///
/// # Panics
/// Always.
#[cold]
#[inline(never)]
pub fn missing() -> ! {
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
