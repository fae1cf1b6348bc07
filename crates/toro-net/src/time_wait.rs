//! Closed connections that are remembered for a while, so that a late FIN is acknowledged and late segments of the
//! old stream are not taken for the new one's.
//!
//! smoltcp would keep the whole socket; an entry here is 40 bytes, and there is a cap.

use core::time::Duration;

use toro_time::Instant;

use crate::aging::{Aging, AgingId};
use crate::packet::Tuple;
use crate::slot::Slot;

/// A closed connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remembered {
    pub(crate) tuple: Tuple,
    /// The sequence number after our FIN.
    pub(crate) next: u32,
    /// The sequence number after the peer's FIN.
    pub(crate) expected: u32,
    /// The peer's clock, if segments had timestamps.
    pub(crate) recent: Slot<u32>,
}

/// The closed connections of a stack.
pub(crate) struct TimeWait {
    entries: Aging<Remembered>,
    cap: usize,
    lifetime: Duration,
}

impl TimeWait {
    pub(crate) const fn new(cap: usize, lifetime: Duration) -> Self {
        Self {
            entries: Aging::new(),
            cap,
            lifetime,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Remembers a connection. Call [`make_room`](Self::make_room) first.
    pub(crate) fn insert(&mut self, now: Instant, closed: Remembered) -> AgingId {
        self.entries.push(now + self.lifetime, closed)
    }

    /// Gives out the oldest entry if there is no room for another one.
    pub(crate) fn make_room(&mut self) -> Option<(AgingId, Remembered)> {
        if self.entries.footprint() < self.cap {
            return None;
        }
        let id = self.entries.first_id();
        self.entries.pop_oldest().map(|closed| (id, closed))
    }

    pub(crate) fn get(&mut self, id: AgingId) -> Option<&Remembered> {
        self.entries.get_mut(id).map(|closed| &*closed)
    }

    pub(crate) fn remove(&mut self, id: AgingId) -> Option<Remembered> {
        self.entries.remove(id)
    }

    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<(AgingId, Remembered)> {
        let id = self.entries.first_id();
        self.entries.pop_expired(now).map(|closed| (id, closed))
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.entries.next_deadline()
    }
}
