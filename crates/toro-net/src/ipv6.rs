//! IPv6: [`Ipv6`], a part of a stack that an image has only if it starts it.
//!
//! The stack behind it knows IPv4 alone. A connection over IPv6 is one of IPv4 to it, between addresses that nobody can have
//! and that stand for the true ones (`peers`), as in the translation of RFC 7915. Packets come in here, as frames that TCP
//! over IPv4 does not want, and what the stack sends to a stand-in becomes a packet of IPv6 at the `edge` before the card:
//!
//! ```text
//!            card ─► Stack::take_frame ─► Ipv6::take ─► as IPv4 ─► Stack::take_segment ─► connection
//!   card ◄─ Edge ◄───────────────────────────────────── as IPv4 ◄──────────────────────────── │
//! ```
//!
//! So TCP over IPv4 does not pass by here, and an image without IPv6 has none of it. What belongs to IPv6 itself is beside it:
//! `autoconf` has our addresses (RFC 4862), `neighbours` those of others (RFC 4861), `messages` their bytes, and `state` what
//! the ways in and out share. See decision 23.

mod autoconf;
mod chain;
mod edge;
mod header;
mod messages;
mod neighbours;
mod parse;
mod peers;
mod state;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::RefCell;
use core::future;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::task::{Poll, Waker};
use core::time::Duration;

use toro_dev::net::NetDevice;
use toro_time::Instant;

pub use self::parse::{Address6, parse_ip6};
pub(crate) use self::peers::is_stand_in;

use self::edge::{Edge, LONGER, limit_segments};
use self::header::{ALL_NODES, ETHERTYPE_IPV6, Header, PAYLOAD};
use self::messages::Quote;
use self::peers::{HOP, LOCAL};
use self::state::{Lent, State};
use crate::datagrams::Datagrams;
use crate::extension::{Dropped, Extension};
use crate::headers::{self, Ends};
use crate::neighbours::{ARP_FRAME_LEN, Station, write_reply};
use crate::packet::{
    self, ETHERNET_LEN, IPV4_LEN, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, Tuple,
};
use crate::path::TooLong;
use crate::poll::with_stack;
use crate::stack::Stack;
use crate::stats::DropReason;

/// The station of the hop to all stand-ins. It never leaves the machine.
const EDGE: [u8; 6] = [2, 0, 0, 0, 0, 6];
/// How often smoltcp is told where that is: it forgets it after a minute.
const REMIND: Duration = Duration::from_secs(30);

/// IPv6 on a card.
pub struct Ipv6 {
    state: Lent,
    datagrams: Datagrams,
    /// When smoltcp was last told where the hop is.
    told: Option<Instant>,
}

impl Ipv6 {
    /// Puts an edge before `card`, for the stack, and makes what belongs to it: [`Stack::start_ipv6`] wants it.
    pub fn before(card: Box<dyn NetDevice>) -> (Box<dyn NetDevice>, Self) {
        let info = card.info();
        let state = Rc::new(RefCell::new(State::new(info.mac, info.mtu)));
        let mut datagrams = Datagrams::new();
        datagrams.outlet = Some(state.clone());
        let ipv6 = Self {
            state: state.clone(),
            datagrams,
            told: None,
        };
        (Box::new(Edge::new(card, state)), ipv6)
    }

    fn take_packet(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        frame: Dropped<'_>,
    ) -> Result<(), DropReason> {
        let bytes = frame.bytes;
        let header = header::parse(bytes)?;
        self.state.borrow_mut().now = now;
        let trusted = frame.trusted && header.protocol != PROTOCOL_ICMPV6;
        match header.protocol {
            PROTOCOL_TCP | PROTOCOL_UDP | PROTOCOL_ICMPV6 => {}
            _ => return Err(DropReason::NoSocket),
        }
        if !trusted && !header::adds_up(bytes, &header) {
            return Err(DropReason::BadChecksum);
        }
        if header.protocol == PROTOCOL_ICMPV6 {
            return self.take_icmp(stack, now, bytes, &header);
        }
        if header.source.is_unspecified() {
            return Err(DropReason::BadSource);
        }
        if !self.has(header.target) {
            return Err(DropReason::NotOurAddress);
        }
        match header.protocol {
            PROTOCOL_TCP => self.take_segment(stack, now, bytes, &header),
            _ => {
                let datagram = &bytes[header.start..header.end];
                let len = datagram
                    .get(4..6)
                    .map(|len| usize::from(packet::be16(len, 0)));
                let datagram = datagram.get(..len.ok_or(DropReason::Truncated)?);
                let whole = datagram.filter(|datagram| datagram.len() >= 8);
                let (source, target) = (header.source.into(), header.target.into());
                let whole = whole.ok_or(DropReason::Truncated)?;
                self.datagrams.take_datagram(source, target, whole)
            }
        }
    }

    fn has(&self, address: Ipv6Addr) -> bool {
        let state = self.state.borrow();
        state.autoconf.as_ref().is_some_and(|it| it.has(address))
    }

    /// Hands a segment to the stack as one of IPv4.
    fn take_segment(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        frame: &[u8],
        header: &Header,
    ) -> Result<(), DropReason> {
        let tcp = &frame[header.start..header.end];
        let len = ETHERNET_LEN + IPV4_LEN + tcp.len();
        if len > usize::from(u16::MAX) {
            return Err(DropReason::Truncated);
        }
        self.tell_hop(stack, now);
        let source = self.stand_in_for(stack, header.source, header.target);
        let most = self.state.borrow().most_payload();
        let mut segment = vec![0; len];
        let ends = Ends {
            from: EDGE,
            to: stack.wire.info().mac,
            source,
            target: LOCAL,
        };
        headers::write(&mut segment, &ends, PROTOCOL_TCP);
        let start = ETHERNET_LEN + IPV4_LEN;
        segment[start..].copy_from_slice(tcp);
        limit_segments(&mut segment[start..], most);
        let parsed = packet::parse_segment(&segment, source, LOCAL, start, len)?;
        if parsed.flags.opens()
            && let Some(peer) = self.state.borrow_mut().peers.get_mut(source)
        {
            let mut station = [0; 6];
            station.copy_from_slice(&frame[6..12]);
            peer.station = Some(station);
        }
        stack.take_segment(now, &mut segment, &parsed)
    }

    /// The address that stands for `remote`, where we are `local`.
    fn stand_in_for(&self, stack: &Stack, remote: Ipv6Addr, local: Ipv6Addr) -> Ipv4Addr {
        let mut state = self.state.borrow_mut();
        if state.peers.is_crowded() {
            let remotes = stack.demux.remotes().map(Ipv4Addr::to_bits);
            let in_use: BTreeSet<u32> = remotes.collect();
            state.peers.keep(&in_use);
        }
        state.peers.stand_in(remote, local)
    }

    /// Has smoltcp know our end of connections, and where the hop to all others is.
    fn tell_hop(&mut self, stack: &mut Stack, now: Instant) {
        let is_new = stack.interfaces.lend(LOCAL, HOP);
        let is_fresh = self.told.is_some_and(|told| now < told + REMIND);
        if is_fresh && !is_new && !self.state.borrow().is_hop_asked {
            return;
        }
        self.told = Some(now);
        let (from, to) = (
            Station {
                mac: EDGE,
                address: HOP,
            },
            Station {
                mac: stack.wire.info().mac,
                address: LOCAL,
            },
        );
        let mut frame = [0; ARP_FRAME_LEN];
        write_reply(&mut frame, from, to);
        stack.hand_to_local(now, &frame);
        self.state.borrow_mut().is_hop_asked = false;
        stack.retry_unresolved();
    }

    fn take_icmp(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        frame: &[u8],
        header: &Header,
    ) -> Result<(), DropReason> {
        let icmp = &frame[header.start..header.end];
        if icmp.len() < 8 {
            return Err(DropReason::Truncated);
        }
        let kind = icmp[0];
        if (messages::ROUTER_SOLICITATION..=messages::NEIGHBOUR_ADVERTISEMENT).contains(&kind) {
            // RFC 4861, 6.1 and 7.1: no router has passed it on. With other headers before it, it is to slip by a guard (RFC 7113).
            let is_plain = header.start == PAYLOAD && icmp[1] == 0;
            if header.hop_limit != messages::NEIGHBOURS_ONLY || !is_plain {
                return Err(DropReason::BadIpHeader);
            }
            self.take_discovery(now, header, icmp)?;
            // Each core behind the card has to know.
            return match stack.hops {
                0 => Ok(()),
                _ => Err(DropReason::NoSocket),
            };
        }
        if !self.has(header.target) || header.source.is_unspecified() {
            return Err(DropReason::NotOurAddress);
        }
        match kind {
            messages::TOO_BIG => {
                let quote = messages::read_too_big(icmp)?;
                self.take_too_big(stack, &quote)
            }
            messages::ECHO_REQUEST => {
                let mut station = [0; 6];
                station.copy_from_slice(&frame[6..12]);
                let answer = messages::echo(header.target, header.source, icmp);
                self.state.borrow_mut().send_to(station, answer);
                Ok(())
            }
            messages::ECHO_REPLY => {
                let pings = &mut self.datagrams.pings;
                pings.answered(now, header.source.into(), &icmp[4..])
            }
            _ => Err(DropReason::NoSocket),
        }
    }

    /// Tells the stack how long its packets may be, whose headers are shorter.
    fn take_too_big(&self, stack: &mut Stack, quote: &Quote) -> Result<(), DropReason> {
        let remote = self.state.borrow().peers.find(quote.remote, quote.local);
        let said = TooLong {
            tuple: Tuple {
                local: LOCAL,
                remote: remote.ok_or(DropReason::NoSocket)?,
                local_port: quote.local_port,
                remote_port: quote.remote_port,
            },
            seq: quote.seq,
            len: quote.len - LONGER,
            longest: quote.longest - LONGER,
        };
        stack.shorten(&said)
    }

    fn take_discovery(
        &mut self,
        now: Instant,
        header: &Header,
        icmp: &[u8],
    ) -> Result<(), DropReason> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let autoconf = state.autoconf.as_mut().ok_or(DropReason::NotOurAddress)?;
        if !autoconf.is_member(header.target) && !autoconf.has(header.target) {
            return Err(DropReason::NotOurAddress);
        }
        let mut out = Vec::new();
        match icmp[0] {
            messages::ROUTER_ADVERTISEMENT => {
                if !header.source.is_unicast_link_local() {
                    return Err(DropReason::BadSource);
                }
                let said = messages::read_advertisement(icmp)?;
                autoconf.advertised(now, header.source, &said, &mut out);
                if let Some(station) = said.station {
                    out.extend(state.neighbours.taught(now, header.source, station));
                }
            }
            messages::NEIGHBOUR_SOLICITATION => {
                let said = messages::read_neighbour(icmp)?;
                let is_probe = header.source.is_unspecified();
                if is_probe && autoconf.is_tentative(said.target) {
                    // Somebody else would like to have it too.
                    autoconf.give_up(said.target);
                    return Ok(());
                }
                if !autoconf.has(said.target) {
                    return Err(DropReason::NotOurAddress);
                }
                let to = match is_probe {
                    true => ALL_NODES,
                    false => header.source,
                };
                if let Some(station) = said.station.filter(|_| !is_probe) {
                    out.extend(state.neighbours.taught(now, header.source, station));
                    let answer = messages::advertise(said.target, to, state.mac);
                    state.send_to(station, answer);
                } else {
                    out.push(messages::advertise(said.target, to, state.mac));
                }
            }
            messages::NEIGHBOUR_ADVERTISEMENT => {
                let said = messages::read_neighbour(icmp)?;
                if autoconf.is_tentative(said.target) {
                    autoconf.give_up(said.target);
                    return Ok(());
                }
                let answered = match said.is_solicited {
                    true => state.neighbours.answered(now, said.target, said.station),
                    false => None,
                };
                out.extend(answered.ok_or(DropReason::UnsolicitedArp)?);
            }
            _ => return Err(DropReason::NoSocket),
        }
        state.send_all(out);
        Ok(())
    }
}

impl Extension for Ipv6 {
    fn take(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        frame: Dropped<'_>,
    ) -> Result<(), DropReason> {
        let kind = frame.bytes.get(12..14).map(|kind| packet::be16(kind, 0));
        match kind {
            Some(ETHERTYPE_IPV6) if frame.reason == DropReason::EtherType => {
                self.take_packet(stack, now, frame)
            }
            _ => self.datagrams.take(stack, now, frame),
        }
    }

    fn advance(&mut self, stack: &mut Stack, now: Instant) {
        self.state.borrow_mut().advance(now);
        let is_hop_asked = self.state.borrow().is_hop_asked;
        // Another address from a DHCP server has made smoltcp forget our end, and then it would end all connections.
        let is_lost = self.told.is_some() && stack.interfaces.lend(LOCAL, HOP);
        if is_hop_asked || is_lost {
            self.told = None;
            self.tell_hop(stack, now);
        }
        self.datagrams.advance(stack, now);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let own = self.state.borrow().next_deadline();
        own.into_iter().chain(self.datagrams.next_deadline()).min()
    }

    fn sockets(&mut self) -> &mut dyn Any {
        &mut self.datagrams
    }

    fn stand_in(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        remote: Ipv6Addr,
    ) -> Option<(Ipv4Addr, Ipv4Addr)> {
        self.state.borrow_mut().now = now;
        let local = self.state.borrow().source_for(remote)?;
        if !self.state.borrow().can_reach(remote) {
            return None;
        }
        self.tell_hop(stack, now);
        Some((LOCAL, self.stand_in_for(stack, remote, local)))
    }

    fn meant(&self, stand_in: Ipv4Addr) -> Option<(Ipv6Addr, Ipv6Addr)> {
        // A debugger may ask in the middle of a change.
        let state = self.state.try_borrow().ok()?;
        let peer = state.peers.get(stand_in)?;
        Some((peer.remote, peer.local))
    }
}

impl core::fmt::Debug for Ipv6 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Ipv6").finish_non_exhaustive()
    }
}

/// The addresses of IPv6 that a machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses6 {
    /// Those that can be used, that of the link first.
    pub own: Vec<Ipv6Addr>,
    /// Routers, the one that is used first.
    pub routers: Vec<Ipv6Addr>,
    /// Name servers, from routers.
    pub dns: Vec<Ipv6Addr>,
    /// Addresses that were not taken, since somebody else has them.
    pub conflicts: u64,
}

/// What an [`Ipv6`] lets others see of itself.
#[derive(Clone)]
pub struct View(Lent);

impl View {
    /// The addresses now.
    pub fn addresses(&self) -> Addresses6 {
        let state = self.0.borrow();
        let Some(autoconf) = &state.autoconf else {
            return Addresses6::default();
        };
        Addresses6 {
            own: autoconf.addresses().collect(),
            routers: autoconf.routers().collect(),
            dns: autoconf.servers().collect(),
            conflicts: autoconf.conflicts,
        }
    }
}

impl core::fmt::Debug for View {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("View").field(&self.addresses()).finish()
    }
}

impl Ipv6 {
    /// Shows its addresses, to whoever keeps this.
    pub fn view(&self) -> View {
        View(self.state.clone())
    }
}

impl Stack {
    /// Begins with IPv6, before the first turn and the first socket of this stack, whose card is [behind](Ipv6::before) the edge.
    pub fn start_ipv6(&mut self, now: Instant, ipv6: Ipv6, addresses: Address6) {
        ipv6.state.borrow_mut().begin(now, addresses);
        self.extension = Some(Box::new(ipv6));
    }

    fn with_ipv6<R>(&self, f: impl FnOnce(&Ipv6) -> R) -> Option<R> {
        let extension: &dyn Any = self.extension.as_deref()?;
        extension.downcast_ref().map(f)
    }
}

/// Begins with IPv6 on this core, whose card is [behind](Ipv6::before) the edge.
pub fn start_ipv6(ipv6: Ipv6, addresses: Address6) {
    with_stack(|stack| stack.start_ipv6(Instant::now(), ipv6, addresses));
}

/// The addresses of IPv6 that this core has now; none without the unit.
pub fn addresses6() -> Addresses6 {
    let view = with_stack(|stack| stack.with_ipv6(Ipv6::view)).flatten();
    view.map(|view| view.addresses()).unwrap_or_default()
}

/// Waits until this core has an address of IPv6 from a router or the command line, at most until `deadline`; with `false` for
/// `is_global` that of the link will do.
///
/// Returns `None` if there was none in time.
pub fn wait_for_address6(is_global: bool, deadline: Instant) -> Option<Addresses6> {
    let wait = |waker: &Waker| {
        let Some(view) = with_stack(|stack| stack.with_ipv6(Ipv6::view)).flatten() else {
            return Poll::Ready(None);
        };
        let found = view.addresses();
        let mut own = found.own.iter();
        if own.any(|own| !is_global || !own.is_unicast_link_local()) {
            return Poll::Ready(Some(found));
        }
        let waiters = &mut view.0.borrow_mut().waiters;
        if !waiters.iter().any(|waiter| waiter.will_wake(waker)) {
            waiters.push(waker.clone());
        }
        Poll::Pending
    };
    toro_sched::block_on_until(deadline, future::poll_fn(|cx| wait(cx.waker()))).flatten()
}
