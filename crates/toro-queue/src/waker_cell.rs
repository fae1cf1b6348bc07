//! [`WakerCell`]: the waker of one who waits, for anybody to wake.
//!
//! The cell belongs to whoever brings its state from `IDLE` to another one. One party registers, at one place in its code; any
//! number wake:
//!
//! ```text
//! register: IDLE -> REGISTERING, write, REGISTERING -> IDLE     the last step fails if a wake-up came: wake at once
//! wake:     IDLE -> WAKING, take, WAKING -> IDLE, wake          else leave the mark WAKING to whoever has the cell
//! ```

use core::task::Waker;

use crate::atomic::{AtomicUsize, Ordering, UnsafeCell};

const IDLE: usize = 0;
const REGISTERING: usize = 1;
const WAKING: usize = 2;

/// A place for one waker.
pub(crate) struct WakerCell {
    state: AtomicUsize,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: the waker is touched only by whoever has brought the state from `IDLE` to another, which the exchanges give to one.
unsafe impl Send for WakerCell {}
// SAFETY: as above.
unsafe impl Sync for WakerCell {}

impl WakerCell {
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicUsize::new(IDLE),
            waker: UnsafeCell::new(None),
        }
    }

    /// Makes the next [`wake`](Self::wake) wake `waker`, in place of the one before. The caller has to look once more for
    /// what it waits for.
    ///
    /// # Context
    /// One core at a time.
    pub(crate) fn register(&self, waker: &Waker) {
        // Acquire: pairs with the Release of whoever had the cell before.
        let begun =
            self.state
                .compare_exchange(IDLE, REGISTERING, Ordering::Acquire, Ordering::Relaxed);
        if begun.is_err() {
            // A wake-up is on its way, maybe for the waker before this one.
            waker.wake_by_ref();
            return;
        }
        // SAFETY: the exchange gave the cell to this call.
        self.waker.with_mut(|place| match unsafe { &mut *place } {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        });
        // AcqRel: Release publishes the waker; Acquire, if it fails, pairs with the mark of the `wake` that came in between.
        let ended =
            self.state
                .compare_exchange(REGISTERING, IDLE, Ordering::AcqRel, Ordering::Acquire);
        if ended.is_err() {
            // SAFETY: the state was never `IDLE`, so the cell is still this call's.
            let waker = self.waker.with_mut(|place| unsafe { (*place).take() });
            self.state.store(IDLE, Ordering::Release);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Wakes whoever has registered, once.
    pub(crate) fn wake(&self) {
        // AcqRel: Acquire for the waker; Release so that whoever finds the mark sees what was done before the wake-up.
        if self.state.fetch_or(WAKING, Ordering::AcqRel) != IDLE {
            return;
        }
        // SAFETY: the state was `IDLE`, so the mark gave the cell to this call.
        let waker = self.waker.with_mut(|place| unsafe { (*place).take() });
        // Release: pairs with the Acquire in `register`.
        self.state.store(IDLE, Ordering::Release);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
