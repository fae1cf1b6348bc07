//! [`State`]: what the two sides of IPv6 share, the [edge](super::edge) on the way out and the [extension](super::Ipv6) on the way in.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::Ipv6Addr;
use core::task::Waker;

use toro_time::Instant;

use super::autoconf::Autoconf;
use super::header::{self, Header, IPV6_LEN, PAYLOAD, solicited_node, station_of_group};
use super::messages;
use super::neighbours::Cache;
use super::parse::Address6;
use super::peers::{Peer, Peers};
use crate::datagrams::Outlet;
use crate::error::SendError;
use crate::packet::TCP_LEN;

/// Frames that wait for the next flush; the oldest are lost first.
const OUTBOX: usize = 64;

/// The state, which each side borrows for the length of a call.
pub(super) type Lent = Rc<RefCell<State>>;

/// What is known of IPv6.
#[derive(Debug)]
pub(super) struct State {
    /// When the stack last had a turn.
    pub(super) now: Instant,
    pub(super) mac: [u8; 6],
    mtu: usize,
    /// `None` before it has begun.
    pub(super) autoconf: Option<Autoconf>,
    pub(super) neighbours: Cache,
    pub(super) peers: Peers,
    /// Whole frames.
    pub(super) outbox: VecDeque<Vec<u8>>,
    /// smoltcp wants to know where the [hop](super::peers::HOP) is.
    pub(super) is_hop_asked: bool,
    /// Who waits for an address.
    pub(super) waiters: Vec<Waker>,
}

impl State {
    pub(super) fn new(mac: [u8; 6], mtu: usize) -> Self {
        Self {
            now: Instant::ZERO,
            mac,
            mtu,
            autoconf: None,
            neighbours: Cache::default(),
            peers: Peers::new(),
            outbox: VecDeque::new(),
            is_hop_asked: false,
            waiters: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, now: Instant, mode: Address6) {
        let mut out = Vec::new();
        self.now = now;
        self.autoconf = Some(Autoconf::new(now, self.mac, self.mtu, mode, &mut out));
        self.send_all(out);
    }

    /// The most bytes of a TCP segment that fit a packet.
    pub(super) fn most_payload(&self) -> u16 {
        let mtu = self
            .autoconf
            .as_ref()
            .map_or(self.mtu, |autoconf| autoconf.mtu);
        u16::try_from(mtu - IPV6_LEN - TCP_LEN).unwrap_or(u16::MAX)
    }

    /// Writes the stations into a frame.
    pub(super) fn address(frame: &mut [u8], to: [u8; 6], from: [u8; 6]) {
        frame[..6].copy_from_slice(&to);
        frame[6..12].copy_from_slice(&from);
    }

    /// Sends a frame to the station `to` with the next flush.
    pub(super) fn send_to(&mut self, to: [u8; 6], mut frame: Vec<u8>) {
        Self::address(&mut frame, to, self.mac);
        if self.outbox.len() == OUTBOX {
            self.outbox.pop_front();
        }
        self.outbox.push_back(frame);
    }

    /// Sends frames to where their headers say, the stations of groups and of neighbours that are known or can be asked for.
    pub(super) fn send_all(&mut self, frames: Vec<Vec<u8>>) {
        for frame in frames {
            let target = header::address(&frame, PAYLOAD - 16);
            if target.is_multicast() {
                self.send_to(station_of_group(target), frame);
            } else if let Some(hop) = self.next_hop(target) {
                self.send_over(hop, frame);
            }
        }
    }

    fn send_over(&mut self, hop: Ipv6Addr, frame: Vec<u8>) {
        match self.neighbours.find(self.now, hop) {
            Some(station) => self.send_to(station, frame),
            None => {
                self.neighbours.wait(self.now, hop, frame);
                self.ask();
            }
        }
    }

    fn next_hop(&self, target: Ipv6Addr) -> Option<Ipv6Addr> {
        self.autoconf.as_ref()?.next_hop(target)
    }

    /// The station that `frame` for `peer` is to go to now; `None` if it is not known: then a copy waits.
    pub(super) fn station_for(&mut self, peer: &Peer, frame: &[u8]) -> Option<[u8; 6]> {
        let hop = self.next_hop(peer.remote);
        let known = hop.and_then(|hop| self.neighbours.find(self.now, hop));
        if let Some(station) = known.or(peer.station) {
            return Some(station);
        }
        self.neighbours.wait(self.now, hop?, frame.to_vec());
        self.ask();
        None
    }

    /// Asks for the neighbours whose stations are wanted now.
    pub(super) fn ask(&mut self) {
        for (address, station) in self.neighbours.ask(self.now) {
            let source = self.source_for(address);
            let Some(source) = source else { continue };
            let group = solicited_node(address);
            let to = station.map_or(group, |_| address);
            let question = messages::solicit(source, to, address, self.mac);
            let station = station.unwrap_or_else(|| station_of_group(group));
            self.send_to(station, question);
        }
    }

    /// Whether `target` is another machine, and something leads there.
    pub(super) fn can_reach(&self, target: Ipv6Addr) -> bool {
        let is_special = target.is_multicast() || target.is_unspecified() || target.is_loopback();
        let is_own = self.autoconf.as_ref().is_some_and(|it| it.has(target));
        let is_mapped = target.to_ipv4_mapped().is_some();
        !is_special && !is_own && !is_mapped && self.next_hop(target).is_some()
    }

    pub(super) fn source_for(&self, target: Ipv6Addr) -> Option<Ipv6Addr> {
        self.autoconf.as_ref()?.source_for(self.now, target)
    }

    /// Does what is due.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = now;
        let Some(autoconf) = &mut self.autoconf else {
            return;
        };
        if autoconf.next_deadline().is_some_and(|due| due <= now) {
            let mut out = Vec::new();
            if autoconf.advance(now, &mut out) {
                self.waiters.drain(..).for_each(Waker::wake);
            }
            self.send_all(out);
        }
        self.ask();
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.is_hop_asked || !self.outbox.is_empty() {
            return Some(Instant::ZERO);
        }
        let autoconf = self.autoconf.as_ref()?.next_deadline();
        autoconf
            .into_iter()
            .chain(self.neighbours.next_deadline())
            .min()
    }
}

impl Outlet for RefCell<State> {
    fn send(
        &self,
        now: Instant,
        target: Ipv6Addr,
        protocol: u8,
        payload: &[u8],
        checksum: usize,
    ) -> Result<(), SendError> {
        let mut state = self.borrow_mut();
        state.now = now;
        let source = state.source_for(target).ok_or(SendError::Unreachable)?;
        if !state.can_reach(target) {
            return Err(SendError::Unreachable);
        }
        if IPV6_LEN + payload.len() > state.mtu {
            return Err(SendError::TooLong);
        }
        let mut frame = vec![0; PAYLOAD];
        frame.extend_from_slice(payload);
        let header = Header {
            source,
            target,
            protocol,
            hop_limit: 64,
            start: PAYLOAD,
            end: frame.len(),
        };
        header::write(&mut frame, &header);
        header::put_checksum(&mut frame, &header, checksum);
        state.send_all(vec![frame]);
        Ok(())
    }

    fn servers(&self) -> Vec<Ipv6Addr> {
        let state = self.borrow();
        let autoconf = state.autoconf.as_ref();
        autoconf.map_or_else(Vec::new, |autoconf| autoconf.servers().collect())
    }
}
