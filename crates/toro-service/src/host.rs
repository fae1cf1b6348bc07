//! [`Hosted`]: a service with its connections, and [`Host`], which hides its type from the stack.

use alloc::vec::Vec;

use crate::output::Output;
use crate::service::{Closed, Conn, Service};

/// What a service is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// More has arrived.
    Received,
    /// There is room again.
    Writable,
    /// The peer has sent all.
    Ended,
    /// The deadline has passed.
    TimedOut,
    /// The service is to end.
    Ending,
}

/// A service with what it keeps for its connections, by the index of their slots.
#[derive(Debug)]
pub struct Hosted<S: Service<A>, A> {
    service: S,
    states: Vec<Option<S::Connection>>,
}

/// [`Hosted`], whatever the service.
pub trait Host<A> {
    /// Calls the service with a new connection: `false` if it does not want the connection.
    fn connected(&mut self, slot: usize, conn: &mut Conn<A>, output: &mut Output<'_>) -> bool;

    /// Calls the service, and returns the number of bytes consumed.
    fn call(
        &mut self,
        event: Event,
        slot: usize,
        conn: &mut Conn<A>,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> usize;

    /// The connection of that slot is over.
    fn closed(&mut self, slot: usize, why: Closed);
}

impl<S: Service<A>, A> Hosted<S, A> {
    /// A service without connections.
    pub fn new(service: S) -> Self {
        Self {
            service,
            states: Vec::new(),
        }
    }
}

impl<S: Service<A>, A> Host<A> for Hosted<S, A> {
    fn connected(&mut self, slot: usize, conn: &mut Conn<A>, output: &mut Output<'_>) -> bool {
        if let Some(missing) = (slot + 1).checked_sub(self.states.len()) {
            // Peers decide how many there are.
            if self.states.try_reserve(missing).is_err() {
                return false;
            }
            self.states
                .resize_with(self.states.len() + missing, || None);
        }
        self.states[slot] = self.service.connected(conn, output);
        self.states[slot].is_some()
    }

    fn call(
        &mut self,
        event: Event,
        slot: usize,
        conn: &mut Conn<A>,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> usize {
        let Some(Some(state)) = self.states.get_mut(slot) else {
            return 0;
        };
        match event {
            Event::Received => return self.service.received(state, conn, input, output),
            Event::Writable => self.service.writable(state, conn, output),
            Event::Ended => self.service.ended(state, conn, output),
            Event::TimedOut => self.service.timed_out(state, conn, output),
            Event::Ending => self.service.ending(state, conn, output),
        }
        0
    }

    fn closed(&mut self, slot: usize, why: Closed) {
        if let Some(state) = self.states.get_mut(slot).and_then(Option::take) {
            self.service.closed(state, why);
        }
    }
}
