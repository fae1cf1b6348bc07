//! [`Peers`]: the addresses of IPv4 that stand for the two ends of connections over IPv6.
//!
//! The addresses come from 240.0.0.0/4, which no packet may come from or go to (RFC 1112, 4), so that nobody on the wire can
//! mean one. They are given out one after the other. Who is not in use any more is forgotten when there are many: see
//! [`Peers::keep`].

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::{Ipv4Addr, Ipv6Addr};

/// Our own end, of all connections over IPv6.
pub(super) const LOCAL: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 1);
/// The router that smoltcp takes to lead to all peers: the edge.
pub(super) const HOP: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 2);
const FIRST: u32 = Ipv4Addr::new(240, 0, 1, 0).to_bits();
const LAST: u32 = Ipv4Addr::new(254, 255, 255, 255).to_bits();
/// So many may be remembered in any case.
const FEW: usize = 256;

/// Whether `address` stands for one of IPv6.
pub(crate) fn is_stand_in(address: Ipv4Addr) -> bool {
    (240..=254).contains(&address.octets()[0])
}

/// The two ends that an address stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) remote: Ipv6Addr,
    pub(super) local: Ipv6Addr,
    /// Where its last request for a connection came from: answers need no question for its station.
    pub(super) station: Option<[u8; 6]>,
}

/// The addresses that were given out.
#[derive(Debug)]
pub(super) struct Peers {
    by_address: BTreeMap<u32, Peer>,
    by_ends: BTreeMap<(Ipv6Addr, Ipv6Addr), u32>,
    next: u32,
    most: usize,
}

impl Peers {
    pub(super) const fn new() -> Self {
        Self {
            by_address: BTreeMap::new(),
            by_ends: BTreeMap::new(),
            next: FIRST,
            most: FEW,
        }
    }

    pub(super) fn get(&self, address: Ipv4Addr) -> Option<&Peer> {
        self.by_address.get(&address.to_bits())
    }

    pub(super) fn get_mut(&mut self, address: Ipv4Addr) -> Option<&mut Peer> {
        self.by_address.get_mut(&address.to_bits())
    }

    /// The address that stands for `remote` where we are `local`, if one does.
    pub(super) fn find(&self, remote: Ipv6Addr, local: Ipv6Addr) -> Option<Ipv4Addr> {
        let address = self.by_ends.get(&(remote, local));
        address.copied().map(Ipv4Addr::from_bits)
    }

    /// The address that stands for `remote` where we are `local`. Call [`keep`](Self::keep) first if it [is time](Self::is_crowded).
    pub(super) fn stand_in(&mut self, remote: Ipv6Addr, local: Ipv6Addr) -> Ipv4Addr {
        if let Some(address) = self.by_ends.get(&(remote, local)) {
            return Ipv4Addr::from_bits(*address);
        }
        while self.by_address.contains_key(&self.next) {
            self.step();
        }
        let address = self.next;
        self.step();
        let peer = Peer {
            remote,
            local,
            station: None,
        };
        self.by_address.insert(address, peer);
        self.by_ends.insert((remote, local), address);
        Ipv4Addr::from_bits(address)
    }

    fn step(&mut self) {
        self.next = if self.next == LAST {
            FIRST
        } else {
            self.next + 1
        };
    }

    /// There are so many that some should be forgotten.
    pub(super) fn is_crowded(&self) -> bool {
        self.by_address.len() >= self.most
    }

    /// Forgets all but those `in_use`, and is content until there are twice as many: each costs the same in the end, and there
    /// are never many more than twice the connections, requests and closed connections that a stack holds.
    pub(super) fn keep(&mut self, in_use: &BTreeSet<u32>) {
        self.by_address
            .retain(|address, _| in_use.contains(address));
        self.by_ends.retain(|_, address| in_use.contains(address));
        self.most = FEW.max(2 * self.by_address.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(number: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number)
    }

    #[test]
    fn the_same_ends_have_the_same_address() {
        let mut peers = Peers::new();
        let first = peers.stand_in(remote(1), remote(9));
        assert_eq!(first, peers.stand_in(remote(1), remote(9)));
        assert_ne!(first, peers.stand_in(remote(1), remote(8)));
        assert!(is_stand_in(first));
        assert_eq!(peers.get(first).unwrap().remote, remote(1));
    }

    #[test]
    fn only_those_in_use_stay_when_there_are_many() {
        let mut peers = Peers::new();
        let kept = peers.stand_in(remote(7), remote(9));
        for number in 0..60_000 {
            if peers.is_crowded() {
                peers.keep(&BTreeSet::from([kept.to_bits()]));
            }
            peers.stand_in(remote(number), remote(9));
            assert!(peers.by_address.len() <= FEW);
            assert_eq!(peers.by_address.len(), peers.by_ends.len());
        }
        assert_eq!(peers.stand_in(remote(7), remote(9)), kept);
    }

    #[test]
    fn the_last_address_is_followed_by_the_first_that_is_free() {
        let mut peers = Peers::new();
        let first = peers.stand_in(remote(1), remote(9));
        peers.next = LAST;
        assert_eq!(peers.stand_in(remote(2), remote(9)).to_bits(), LAST);
        let next = peers.stand_in(remote(3), remote(9));
        assert_eq!(next.to_bits(), first.to_bits() + 1);
    }
}
