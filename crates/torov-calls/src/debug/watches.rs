//! Watchpoints, without the processor's: where it has none for a program at level 3, every thread makes single steps, and
//! behind each what is watched is compared. Slow, but no change is missed, whoever makes it. One thread at a time makes its
//! step, so that the one that is told of is the one that has written; a change by a call is told of by who looks next.

use std::sync::PoisonError;

use torov_abi::word::size;
use torov_abi::{Errno, Signal};

use super::{Debug, Event};
use crate::process::Process;

/// How many bytes one of them has at most, and how many there are: all are read behind each step.
const MOST_BYTES: u64 = 1024;
const MOST: usize = 16;

/// A piece of memory that is watched, and what was there when it was last looked at: nothing, if it could not be read.
#[derive(Debug)]
pub(super) struct Watch {
    at: u64,
    len: u64,
    seen: Option<Vec<u8>>,
}

impl Watch {
    fn look(&self, process: &Process) -> Option<Vec<u8>> {
        let mut bytes = vec![0; size(self.len)];
        let read = process.memory.read(self.at, &mut bytes);
        read.is_ok().then_some(bytes)
    }
}

/// Who makes a step: threads in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Turns {
    came: u64,
    over: u64,
}

/// The turn of a thread, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Debug);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().turns.over += 1;
        self.0.turned.notify_all();
    }
}

impl Debug {
    /// Waits until it is the calling thread's turn to make a step. Blocks, for as long as the steps of others take.
    pub(crate) fn turn(&self) -> Turn<'_> {
        let mut state = self.lock();
        let number = state.turns.came;
        state.turns.came += 1;
        let turn = self
            .turned
            .wait_while(state, |state| state.turns.over != number);
        drop(turn.unwrap_or_else(PoisonError::into_inner));
        Turn(self)
    }

    /// Watches `len` bytes; all threads have stopped.
    ///
    /// # Errors
    /// `EINVAL` if those are too many or none, `ENOSPC` if too much is watched.
    pub fn add_watchpoint(&self, process: &Process, at: u64, len: u64) -> Result<(), Errno> {
        if !(1..=MOST_BYTES).contains(&len) {
            return Err(Errno::EINVAL);
        }
        let mut state = self.lock();
        if state.watches.iter().any(|w| (w.at, w.len) == (at, len)) {
            return Ok(());
        }
        if state.watches.len() == MOST {
            return Err(Errno::ENOSPC);
        }
        let seen = None;
        let mut watch = Watch { at, len, seen };
        watch.seen = watch.look(process);
        state.watches.push(watch);
        Ok(())
    }

    /// No longer watches them.
    pub fn remove_watchpoint(&self, at: u64, len: u64) {
        let mut state = self.lock();
        state.watches.retain(|w| (w.at, w.len) != (at, len));
    }

    /// Whether something is watched: threads make single steps then.
    pub(crate) fn watches(&self) -> bool {
        !self.lock().watches.is_empty()
    }

    /// Stops all threads if something that is watched has changed, which `tid` has made or noticed; whether it has.
    pub(crate) fn compare(&self, process: &Process, tid: i32) -> bool {
        let mut state = self.lock();
        let mut changed = None;
        for watch in &mut state.watches {
            let now = watch.look(process);
            if now != watch.seen {
                watch.seen = now;
                changed = Some(watch.at);
            }
        }
        drop(state);
        if let Some(at) = changed {
            self.tell(process, Event::Watchpoint(tid, at));
        }
        changed.is_some()
    }

    /// Which signals the debugger does not want to hear of before a handler gets them, a bit for each.
    pub fn pass_over(&self, signals: u64) {
        self.lock().passed_over = signals;
    }

    /// Stops all threads because of a fault of `tid` for which there is a handler, unless nobody wants to hear of it.
    pub(crate) fn tell_of_fault(&self, process: &Process, tid: i32, signal: Signal) -> bool {
        let state = self.lock();
        let is_wanted = !state.is_off && state.passed_over & crate::signals::bit(signal) == 0;
        drop(state);
        if is_wanted {
            self.tell(process, Event::Signal(tid, signal));
        }
        is_wanted
    }

    /// Whether the debugger let `tid` go on with the signal that it had stopped for, or has gone meanwhile.
    pub(crate) fn was_passed(&self, tid: i32) -> bool {
        let state = self.lock();
        let member = state.threads.get(&tid);
        state.is_off || member.is_none_or(|member| member.gets_signal)
    }
}
