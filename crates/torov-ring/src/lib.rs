//! How a system call changes hands without leaving the virtual machine, exactly once.
//!
//! Each thread of the guest has a [slot](layout) in memory that it shares with the monitor: one cache line with a state,
//! the number of the call and its arguments. The thread posts a call and waits; the monitor's poller takes it, answers
//! and says so. A thread that has waited for about as long as an exit takes makes the call the slow way: it leaves the
//! virtual machine, and the monitor's thread for it either takes the call back, or waits for the poller's answer.
//!
//! ```text
//!             thread                poller                      thread, outside
//!   FREE  --> POSTED  --(claim)-->  TAKEN --> DONE    --> FREE
//!                |                        `-> REFUSED --> (outside)
//!                `---------------------------------(reclaim)--> FREE, answered outside
//! ```
//!
//! The guest can write what it likes into its slot. So whose turn it is stands in the [`Ticket`], which only the monitor
//! sees: poller and outside never answer at once, and none of them waits for a word of the guest.

#![forbid(unsafe_code)]

pub mod layout;

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use self::layout::{DONE, FREE, POSTED, REFUSED, TAKEN};

/// Nobody works on the slot.
const IDLE: u32 = 0;
/// The poller or the thread outside does.
const BUSY: u32 = 1;

/// The monitor's side of a slot.
#[derive(Debug)]
pub struct Ticket {
    turn: AtomicU32,
    /// 1 if the poller has answered a call whose thread has not been told outside; `result` holds the answer.
    answered: AtomicU32,
    result: AtomicU64,
}

impl Default for Ticket {
    fn default() -> Self {
        Self::new()
    }
}

/// What a thread that came outside finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaimed {
    /// The call is its own again: it must be answered outside.
    Mine,
    /// The poller has answered it with this.
    Answered(u64),
}

impl Ticket {
    /// The ticket of a slot that is free.
    #[must_use]
    pub fn new() -> Self {
        Self {
            turn: AtomicU32::new(IDLE),
            answered: AtomicU32::new(0),
            result: AtomicU64::new(0),
        }
    }

    /// Takes the call in the slot whose state word is `state`, if one is posted. The poller's side.
    ///
    /// Whoever got `true` reads the slot once and then calls [`answer`](Self::answer) or [`refuse`](Self::refuse).
    pub fn claim(&self, state: &AtomicU32) -> bool {
        if state.load(Ordering::Relaxed) != POSTED || !self.begin() {
            return false;
        }
        // Acquire: pairs with the guest's store of POSTED; its arguments are in the slot.
        let taken = state.compare_exchange(POSTED, TAKEN, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_err() {
            self.end();
        } else {
            self.answered.store(0, Ordering::Relaxed);
        }
        taken.is_ok()
    }

    /// Answers the call that was claimed. The result must be in the slot already.
    pub fn answer(&self, state: &AtomicU32, result: u64) {
        self.result.store(result, Ordering::Relaxed);
        self.answered.store(1, Ordering::Relaxed);
        // Release: who sees DONE sees the result.
        state.store(DONE, Ordering::Release);
        self.end();
    }

    /// Hands the call that was claimed back, undone: it could block.
    pub fn refuse(&self, state: &AtomicU32) {
        state.store(REFUSED, Ordering::Release);
        self.end();
    }

    /// A thread has come outside with a call that it may have posted: finds out who answers it. Waits while the poller
    /// is at it, which never blocks; `pause` is called meanwhile.
    pub fn reclaim(&self, state: &AtomicU32, mut pause: impl FnMut()) -> Reclaimed {
        while !self.begin() {
            pause();
        }
        let answered = self.answered.swap(0, Ordering::Relaxed) == 1;
        // The thread waits outside: nobody posts now but a guest that scribbles, and FREE is right for that too.
        let state = state.swap(FREE, Ordering::AcqRel);
        // A guest that has seen DONE takes the result itself and does not come outside with it; an old answer means
        // nothing unless the slot still says so.
        let result = self.result.load(Ordering::Relaxed);
        self.end();
        if answered && state == DONE {
            Reclaimed::Answered(result)
        } else {
            Reclaimed::Mine
        }
    }

    fn begin(&self) -> bool {
        // Acquire: pairs with the Release in `end`; sees what the other side has done.
        self.turn
            .compare_exchange(IDLE, BUSY, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    fn end(&self) {
        self.turn.store(IDLE, Ordering::Release);
    }
}
