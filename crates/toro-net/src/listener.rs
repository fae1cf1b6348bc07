//! [`Listeners`]: bound ports, the connections that wait to be accepted, and who waits for them.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::task::Waker;

use crate::slab::SlotId;

/// One bound port.
pub(crate) struct Listener {
    port: u16,
    /// The address it is bound to; `None` for each of ours.
    address: Option<Ipv4Addr>,
    /// Most that may be [`ready`](Self::ready).
    pub(crate) backlog: usize,
    /// Most connections that may exist at a time.
    limit: Option<Limit>,
    /// Established and not yet accepted, oldest first.
    pub(crate) ready: VecDeque<SlotId>,
    acceptors: VecDeque<(u64, Waker)>,
    next_acceptor: u64,
}

/// A number of connections, each of which holds a share until it is over.
struct Limit {
    most: usize,
    share: Rc<()>,
}

impl Listener {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address it is bound to; `None` for each of ours.
    pub(crate) fn address(&self) -> Option<Ipv4Addr> {
        self.address
    }

    /// Whether another connection may wait to be accepted.
    pub(crate) fn has_room(&self) -> bool {
        let is_below = |limit: &Limit| Rc::strong_count(&limit.share) <= limit.most;
        self.ready.len() < self.backlog && self.limit.as_ref().is_none_or(is_below)
    }

    /// Lets at most `most` connections exist at a time, of those made from now on.
    pub(crate) fn set_limit(&mut self, most: usize) {
        let share = Rc::new(());
        self.limit = Some(Limit { most, share });
    }

    /// What a new connection holds as long as it exists.
    pub(crate) fn share(&self) -> Option<Rc<()>> {
        self.limit.as_ref().map(|limit| Rc::clone(&limit.share))
    }

    /// Adds an established connection and wakes one acceptor.
    pub(crate) fn push(&mut self, connection: SlotId) {
        self.ready.push_back(connection);
        self.wake_one();
    }

    /// Wakes the acceptor that has waited longest.
    pub(crate) fn wake_one(&mut self) {
        if let Some((_, waker)) = self.acceptors.pop_front() {
            waker.wake();
        }
    }

    /// Registers `waker`; `ticket` is what an earlier call gave out, so that one acceptor stands in line once.
    pub(crate) fn wait(&mut self, ticket: Option<u64>, waker: &Waker) -> u64 {
        if let Some(ticket) = ticket
            && let Some(entry) = self.acceptors.iter_mut().find(|entry| entry.0 == ticket)
        {
            entry.1.clone_from(waker);
            return ticket;
        }
        self.next_acceptor += 1;
        self.acceptors
            .push_back((self.next_acceptor, waker.clone()));
        self.next_acceptor
    }

    /// Takes an acceptor out of the line. One that was woken in vain hands its wake-up on.
    pub(crate) fn leave(&mut self, ticket: u64) {
        let before = self.acceptors.len();
        self.acceptors.retain(|entry| entry.0 != ticket);
        if before == self.acceptors.len() && !self.ready.is_empty() {
            self.wake_one();
        }
    }
}

/// The bound ports of a stack, sorted.
pub(crate) struct Listeners(Vec<Listener>);

impl Listeners {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Binds `port`; `false` if it is taken.
    pub(crate) fn bind(&mut self, address: Option<Ipv4Addr>, port: u16, backlog: usize) -> bool {
        let Err(at) = self.position(port) else {
            return false;
        };
        let listener = Listener {
            port,
            address,
            backlog,
            limit: None,
            ready: VecDeque::new(),
            acceptors: VecDeque::new(),
            next_acceptor: 0,
        };
        self.0.insert(at, listener);
        true
    }

    /// Frees `port`; who waited in it is told.
    pub(crate) fn unbind(&mut self, port: u16) -> Option<Listener> {
        let at = self.position(port).ok()?;
        let mut listener = self.0.remove(at);
        while !listener.acceptors.is_empty() {
            listener.wake_one();
        }
        Some(listener)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Listener> {
        self.0.iter()
    }

    pub(crate) fn get_mut(&mut self, port: u16) -> Option<&mut Listener> {
        let at = self.position(port).ok()?;
        Some(&mut self.0[at])
    }

    /// The listener that a request to `address` and `port` is for.
    pub(crate) fn matching(&mut self, address: Ipv4Addr, port: u16) -> Option<&mut Listener> {
        self.get_mut(port)
            .filter(|listener| listener.address.is_none_or(|own| own == address))
    }

    fn position(&self, port: u16) -> Result<usize, usize> {
        self.0.binary_search_by_key(&port, |listener| listener.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_bound_once() {
        let mut listeners = Listeners::new();
        assert!(listeners.bind(None, 80, 1));
        assert!(!listeners.bind(None, 80, 1));
        assert!(listeners.bind(None, 22, 1));
        assert!(listeners.unbind(80).is_some());
        assert!(listeners.bind(None, 80, 1));
    }

    #[test]
    fn a_limit_counts_what_exists() {
        let mut listeners = Listeners::new();
        listeners.bind(None, 80, 8);
        let listener = listeners.get_mut(80).expect("it is bound");
        assert!(listener.share().is_none());
        listener.set_limit(2);
        let first = listener.share();
        assert!(listener.has_room());
        let second = listener.share();
        assert!(!listener.has_room());
        drop(first);
        assert!(listener.has_room());
        drop(second);
    }

    #[test]
    fn a_listener_bound_to_an_address_takes_no_other() {
        let (one, two) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let mut listeners = Listeners::new();
        listeners.bind(Some(one), 80, 1);
        assert!(listeners.matching(one, 80).is_some());
        assert!(listeners.matching(two, 80).is_none());
    }
}
