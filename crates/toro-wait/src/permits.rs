//! [`Permits`]: a number, and who waits for some of it.
//!
//! What is given back goes to the first in the queue, in one step: nobody overtakes, and a waiter for many is not starved by
//! waiters for few.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use toro_sync::SpinLock;

use crate::queue::{Queue, Ticket};

/// A number that can be taken from and given back to.
///
/// The lock guards the number and the queue, for a few instructions; nobody is woken and nothing yields with it held.
pub(crate) struct Permits(SpinLock<State>);

struct State {
    free: usize,
    queue: Queue,
}

impl State {
    /// Serves the first if there is enough for it.
    fn serve(&mut self) -> Option<Waker> {
        let wanted = self.queue.first_wants()?;
        self.free = self.free.checked_sub(wanted)?;
        self.queue.serve()
    }

    fn try_take(&mut self, wanted: usize) -> bool {
        let enough = self.queue.is_empty() && self.free >= wanted;
        if enough {
            self.free -= wanted;
        }
        enough
    }
}

impl Permits {
    pub(crate) const fn new(free: usize) -> Self {
        let queue = Queue::new();
        Self(SpinLock::new(State { free, queue }))
    }

    /// How many are free.
    pub(crate) fn free(&self) -> usize {
        self.0.lock().free
    }

    /// Takes `wanted` if they are free and nobody waits.
    pub(crate) fn try_take(&self, wanted: usize) -> bool {
        self.0.lock().try_take(wanted)
    }

    /// Takes `wanted` when those who came before have been served.
    pub(crate) fn take(&self, wanted: usize) -> Take<'_> {
        Take {
            permits: self,
            wanted,
            ticket: None,
        }
    }

    /// Gives `count` back, to whoever is first.
    pub(crate) fn give(&self, count: usize) {
        let mut served = {
            let mut state = self.0.lock();
            state.free = state.free.saturating_add(count);
            state.serve()
        };
        while let Some(waker) = served {
            waker.wake();
            served = self.0.lock().serve();
        }
    }
}

/// The wait for permits. Dropped before its end it leaves the queue, or gives back what it was given.
pub(crate) struct Take<'a> {
    permits: &'a Permits,
    wanted: usize,
    /// `None` before the first poll, and after the last.
    ticket: Option<Ticket>,
}

impl Future for Take<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let permits = self.permits;
        let mut state = permits.0.lock();
        if let Some(ticket) = self.ticket {
            if state.queue.still_waits(ticket, context.waker()) {
                return Poll::Pending;
            }
        } else if !state.try_take(self.wanted) {
            self.ticket = Some(state.queue.join(self.wanted, context.waker()));
            return Poll::Pending;
        }
        self.ticket = None;
        Poll::Ready(())
    }
}

impl Drop for Take<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else {
            return;
        };
        let waited = self.permits.0.lock().queue.leave(ticket);
        // One who waited may have been in the way of smaller ones; one who was served has permits to give back.
        self.permits.give(if waited { 0 } else { self.wanted });
    }
}
