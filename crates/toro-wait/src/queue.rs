//! [`Queue`]: who waits, in the order of arrival.
//!
//! To be served is to be taken out of the queue: a waiter that does not find its ticket any more has been.

use alloc::collections::VecDeque;
use core::task::Waker;

/// The place of a waiter: a number that no other waiter of the queue has or had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// One who waits.
pub(crate) struct Waiter {
    ticket: Ticket,
    /// How much it waits for.
    pub(crate) wanted: usize,
    pub(crate) waker: Waker,
}

/// Those who wait, first come first. Their tickets ascend.
pub(crate) struct Queue {
    waiters: VecDeque<Waiter>,
    next: u64,
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self {
            waiters: VecDeque::new(),
            next: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Puts a waiter for `wanted` at the end.
    pub(crate) fn join(&mut self, wanted: usize, waker: &Waker) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiters.push_back(Waiter {
            ticket,
            wanted,
            waker: waker.clone(),
        });
        ticket
    }

    /// Whether the waiter still waits; if so, it will be woken by `waker`.
    pub(crate) fn still_waits(&mut self, ticket: Ticket, waker: &Waker) -> bool {
        match self.find(ticket) {
            Some(at) => {
                self.waiters[at].waker.clone_from(waker);
                true
            }
            None => false,
        }
    }

    /// Takes a waiter out that waits no more; `false` if it had been served already.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> bool {
        match self.find(ticket) {
            Some(at) => self.waiters.remove(at).is_some(),
            None => false,
        }
    }

    /// How much the first waits for.
    pub(crate) fn first_wants(&self) -> Option<usize> {
        self.waiters.front().map(|waiter| waiter.wanted)
    }

    /// Serves the first. Wake it when the lock around the queue is dropped.
    pub(crate) fn serve(&mut self) -> Option<Waker> {
        self.waiters.pop_front().map(|waiter| waiter.waker)
    }

    /// Serves all who have a ticket from before `end`.
    pub(crate) fn serve_before(&mut self, end: Ticket) -> Option<Waker> {
        let first = self.waiters.front()?;
        if first.ticket < end {
            self.serve()
        } else {
            None
        }
    }

    /// The ticket that the next to come will have.
    pub(crate) fn end(&self) -> Ticket {
        Ticket(self.next)
    }

    fn find(&self, ticket: Ticket) -> Option<usize> {
        self.waiters
            .binary_search_by_key(&ticket, |waiter| waiter.ticket)
            .ok()
    }
}
