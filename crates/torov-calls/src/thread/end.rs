//! How a thread ends: who waits for it is told, and who waits for its locks.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use torov_abi::Errno;
use torov_abi::word::low;
use torov_host as host;
use torov_memory::Access;

use super::Thread;
use crate::ending::Ending;

/// How many locks of a list are looked at, as in Linux: the list may be a ring.
const MOST_LOCKS: u32 = 2048;

/// The bits of a lock's word: somebody waits, its owner has died, and who holds it.
const WAITERS: u32 = 1 << 31;
const OWNER_DIED: u32 = 1 << 30;
const OWNER: u32 = OWNER_DIED - 1;

impl Thread<'_> {
    /// Where the list of locks begins that the thread holds (get_robust_list(2)).
    pub(super) fn set_robust_list(&mut self, [head, len, ..]: [u64; 6]) -> Result<u64, Errno> {
        if len != 24 {
            return Err(Errno::EINVAL);
        }
        self.robust_list = head;
        Ok(0)
    }

    /// Tells those that wait for the thread's end, and leaves the processor for another.
    pub(super) fn leave(self) {
        // AcqRel: the last thread sees what all others have done.
        let before = self.process.threads.fetch_sub(1, Ordering::AcqRel);
        if before == 1 {
            self.process.end(&Ending::Exit(0));
        }
        self.process.signals.leave(self.tid);
        self.process.has_left();
        if let Some(debug) = &self.process.debug {
            debug.leave(self.tid);
        }
        if let (Some(ring), Some(seat)) = (&self.process.ring, self.seat) {
            ring.leave(seat);
        }
        self.let_go_of_locks();
        if self.clear_tid != 0 && self.process.memory.write(self.clear_tid, &[0; 4]).is_ok() {
            self.wake(self.clear_tid);
        }
        let process = self.process;
        let spares = &process.spares;
        spares
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(self.vcpu);
        process.standstill.leave();
    }

    /// Marks the locks that the thread still holds, so that the next owner knows, and wakes one that waits for each.
    fn let_go_of_locks(&self) {
        let memory = &self.process.memory;
        let head = self.robust_list;
        let word = |at: u64| memory.read_u64(at).ok();
        let (Some(offset), Some(pending)) =
            (word(head.wrapping_add(8)), word(head.wrapping_add(16)))
        else {
            return;
        };
        if head == 0 {
            return;
        }
        let mut entry = word(head);
        for _ in 0..MOST_LOCKS {
            // The lowest bit says which kind of lock it is.
            let Some(at) = entry.map(|entry| entry & !1).filter(|at| *at != head) else {
                break;
            };
            entry = word(at);
            if at != pending & !1 {
                self.let_go(at.wrapping_add(offset));
            }
        }
        if pending & !1 != 0 {
            self.let_go((pending & !1).wrapping_add(offset));
        }
    }

    fn let_go(&self, at: u64) {
        let memory = &self.process.memory;
        let Ok(word) = memory.atomic_word(at) else {
            return;
        };
        let mut value = word.load(Ordering::Relaxed);
        while value & OWNER == low(super::wide_tid(self.tid)) {
            let new = value & WAITERS | OWNER_DIED;
            // AcqRel: who takes the lock sees what its owner had done.
            match word.compare_exchange(value, new, Ordering::AcqRel, Ordering::Relaxed) {
                Err(now) => value = now,
                Ok(_) => {
                    if value & WAITERS != 0 {
                        self.wake(at);
                    }
                    return;
                }
            }
        }
    }

    /// Wakes one that waits for the word at `at`.
    fn wake(&self, at: u64) {
        let word = self.process.memory.spans(at, 4, Access::Read);
        if let Ok([word, ..]) = word.as_deref() {
            // Nobody may be waiting.
            let _ = host::futex_wake(word, 1, u32::MAX);
        }
    }
}
