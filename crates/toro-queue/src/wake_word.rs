//! [`WakeWord`]: whether a thread waits, and whether a wake-up came that it has not seen.
//!
//! The exchange from `WAITING` to `ACTIVE` has one winner, and the winner makes the thread run:
//!
//! ```text
//! park                                   wake
//! 1. exchange ACTIVE -> WAITING          1. waiting? exchange WAITING -> ACTIVE, and make it run
//!    failed: take the token, return      2. else leave the token, even if it lies there already
//! 2. switch away
//! ```
//!
//! Both sides exchange the word whatever they find. A waker that only looked, and went away because a token lay there, could
//! do so before its own earlier writes were visible; the thread would take the token, miss those writes, and wait for ever.

use core::fmt;

use crate::atomic::{AtomicU8, Ordering};

/// Runs, or is in the run queue.
const ACTIVE: u8 = 0;
/// Runs or is ready, and its next wait returns at once.
const TOKEN: u8 = 1;
/// Is in no queue until somebody wakes it.
const WAITING: u8 = 2;
/// Has ended.
const ENDED: u8 = 3;

/// The word between a thread and whoever wakes it.
pub struct WakeWord(AtomicU8);

impl WakeWord {
    /// The word of a thread that runs, or will.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(AtomicU8::new(ACTIVE))
    }

    /// The word of a thread that runs, or will.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AtomicU8::new(ACTIVE))
    }

    /// Prepares to wait: `true` if the thread must switch away, `false` if a wake-up was waiting, which this takes.
    #[inline]
    pub fn begin_wait(&self) -> bool {
        // Release: pairs with `wake`, which may put the thread into a queue. Acquire, on either path: what the waker wrote before it
        // woke is visible when the wait returns.
        if self
            .0
            .compare_exchange(ACTIVE, WAITING, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
        {
            return true;
        }
        // Acquire: a swap reads the last wake-up, not only the first that left the token.
        self.0.swap(ACTIVE, Ordering::Acquire);
        false
    }

    /// Wakes: `true` if the caller won the thread and must make it run.
    #[inline]
    pub fn wake(&self) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let next = match seen {
                WAITING => ACTIVE,
                ENDED => return false,
                _ => TOKEN,
            };
            // AcqRel: pairs with `begin_wait`.
            match self
                .0
                .compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return seen == WAITING,
                Err(now) => seen = now,
            }
        }
    }

    /// Marks the end of the thread: nobody wins it any more.
    pub fn end(&self) {
        self.0.store(ENDED, Ordering::Release);
    }

    /// Whether the thread waits to be woken.
    pub fn is_waiting(&self) -> bool {
        self.0.load(Ordering::Relaxed) == WAITING
    }

    /// Whether the thread runs or is ready, and has not ended.
    pub fn is_active(&self) -> bool {
        matches!(self.0.load(Ordering::Relaxed), ACTIVE | TOKEN)
    }
}

impl Default for WakeWord {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WakeWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakeWord")
            .field("is_active", &self.is_active())
            .finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_wake_before_the_wait_is_kept() {
        let word = WakeWord::new();
        assert!(!word.wake());
        assert!(!word.wake(), "a second wake adds nothing");
        assert!(!word.begin_wait(), "the token makes the wait return");
        assert!(word.begin_wait(), "and is used up");
    }

    #[test]
    fn one_waker_wins_a_waiting_thread() {
        let word = WakeWord::new();
        assert!(word.begin_wait());
        assert!(!word.is_active());
        assert!(word.wake());
        assert!(word.is_active());
        assert!(!word.wake());
    }

    #[test]
    fn an_ended_thread_is_left_alone() {
        let word = WakeWord::new();
        word.end();
        assert!(!word.wake());
        assert!(!word.is_active());
    }
}
