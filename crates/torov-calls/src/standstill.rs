//! [`Standstill`]: all threads of a program stop, so that it can be written down.
//!
//! One thread is where the program is to be kept; it [asks](Standstill::ask) the others to stand still. They do so where they look
//! for whatever is wanted of them, at the top of their loops: a call that blocked was ended by then and will be made again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::frozen::Still;

/// How long all threads are waited for: what none of them can be interrupted in, such as a disk, is quicker.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the threads of a program stand still.
#[derive(Debug, Default)]
pub(crate) struct Standstill {
    is_asked: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many threads there are: those that begin and those that end count as well.
    members: usize,
    still: Vec<Still>,
}

impl Standstill {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There will be another thread.
    pub(crate) fn join(&self) {
        self.lock().members += 1;
    }

    /// A thread has gone, and all that it does about its end is done.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.members = state.members.saturating_sub(1);
        self.changed.notify_all();
    }

    /// Whether threads are to stand still.
    pub(crate) fn is_asked(&self) -> bool {
        // Acquire: pairs with the Release in `ask`.
        self.is_asked.load(Ordering::Acquire)
    }

    /// Asks all threads to stand still. One thread asks, and once.
    pub(crate) fn ask(&self) {
        self.is_asked.store(true, Ordering::Release);
    }

    /// The calling thread stands still, with that in its registers, until `is_over` says that it is all over. Blocks.
    pub(crate) fn stand(&self, still: Still, is_over: impl Fn() -> bool) {
        const LOOK: Duration = Duration::from_millis(50);
        let mut state = self.lock();
        state.still.push(still);
        self.changed.notify_all();
        while !is_over() {
            let waited = self.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until all threads but the calling one stand still, and returns what they have. `None` if one does not.
    pub(crate) fn wait(&self) -> Option<Vec<Still>> {
        let moves = |state: &mut State| state.still.len() + 1 < state.members;
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), PATIENCE, moves);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        let mut still = std::mem::take(&mut state.still);
        still.sort_by_key(|still| still.tid);
        (!waited.timed_out()).then_some(still)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::Standstill;
    use crate::frozen::Still;

    #[test]
    fn all_threads_are_waited_for_and_those_that_end() {
        let (standstill, over) = (
            Arc::new(Standstill::default()),
            Arc::new(AtomicBool::new(false)),
        );
        for _ in 0..4 {
            standstill.join();
        }
        standstill.ask();
        assert!(standstill.is_asked());
        let stand = |tid| {
            let (standstill, over) = (Arc::clone(&standstill), Arc::clone(&over));
            let still = Still {
                tid,
                ..Still::default()
            };
            thread::spawn(move || standstill.stand(still, || over.load(Ordering::SeqCst)))
        };
        let threads = [stand(7), stand(3)];
        let leaver = {
            let standstill = Arc::clone(&standstill);
            thread::spawn(move || standstill.leave())
        };
        let tids = standstill
            .wait()
            .map(|all| all.iter().map(|still| still.tid).collect::<Vec<_>>());
        assert_eq!(tids, Some(vec![3, 7]));
        over.store(true, Ordering::SeqCst);
        for thread in threads.into_iter().chain([leaver]) {
            thread.join().unwrap();
        }
    }
}
