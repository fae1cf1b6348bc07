//! [`Datagrams`]: UDP and pings, the part of a stack that comes with their first socket.
//!
//! A datagram in: its port is looked up, and it waits in the socket's queue, which holds so many bytes and no more. A
//! datagram out: its headers are written here and it leaves by [`route`](crate::route).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::any::Any;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::task::Waker;

use toro_time::Instant;

use crate::address;
use crate::checksum;
use crate::config::EPHEMERAL_PORTS;
use crate::error::{BindError, SendError};
use crate::extension::{Dropped, Extension};
use crate::headers::{self, Ends};
use crate::names::Names;
use crate::packet::{self, ETHERNET_LEN, ETHERTYPE_IPV4, IPV4_LEN, PROTOCOL_ICMP, PROTOCOL_UDP};
use crate::pings::Pings;
use crate::route::{self, Route};
use crate::slab::{Slab, SlotId};
use crate::stack::Stack;
use crate::stats::DropReason;

/// Bytes of a UDP header.
const UDP_LEN: usize = 8;
/// What a waiting datagram counts besides its bytes.
const OVERHEAD: usize = 64;
/// ICMP: the destination is unreachable, for it has no such port.
const UNREACHABLE: u8 = 3;
const PORT_UNREACHABLE: u8 = 3;

/// A datagram that has come.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) bytes: Box<[u8]>,
}

/// A bound socket.
pub(crate) struct Port {
    pub(crate) number: u16,
    /// The address it is bound to; unspecified for each of ours.
    pub(crate) address: IpAddr,
    /// Whose datagrams it takes, if only one's.
    pub(crate) peer: Option<SocketAddr>,
    queue: VecDeque<Datagram>,
    /// Bytes in the queue, with what they count besides.
    held: usize,
    /// How many of these there may be.
    pub(crate) room: usize,
    /// The peer has no such port.
    pub(crate) refused: bool,
    /// Datagrams that found no room.
    pub(crate) lost: u64,
    pub(crate) reader: Option<Waker>,
}

/// The way to peers of IPv6.
pub(crate) trait Outlet {
    /// Sends `payload`, in which the checksum over it and the pseudo-header belongs to `checksum`.
    ///
    /// # Errors
    /// Fails if it cannot leave.
    fn send(
        &self,
        now: Instant,
        target: Ipv6Addr,
        protocol: u8,
        payload: &[u8],
        checksum: usize,
    ) -> Result<(), SendError>;

    /// Name servers that are known there.
    fn servers(&self) -> Vec<Ipv6Addr>;
}

/// The sockets of a stack that are not TCP's.
pub(crate) struct Datagrams {
    ports: Slab<Port>,
    by_number: BTreeMap<u16, SlotId>,
    pub(crate) pings: Pings,
    pub(crate) names: Names,
    route: Route,
    /// The way to peers of IPv6, if there is one.
    pub(crate) outlet: Option<Rc<dyn Outlet>>,
    /// Numbers drawn from the secret generator.
    drawn: u64,
}

impl Port {
    /// A receive would not wait.
    pub(crate) fn can_receive(&self) -> bool {
        self.refused || !self.queue.is_empty()
    }
}

impl Datagrams {
    pub(crate) fn new() -> Self {
        Self {
            ports: Slab::new(),
            by_number: BTreeMap::new(),
            pings: Pings::new(),
            names: Names::new(),
            route: Route::new(),
            outlet: None,
            drawn: 0,
        }
    }

    /// A number that nobody can foresee.
    pub(crate) fn draw(&mut self, stack: &Stack) -> u64 {
        self.drawn += 1;
        stack.secrets.port.hash(2, self.drawn)
    }

    /// Binds a socket that holds datagrams of `room` bytes; port 0 stands for a random one (RFC 6056, 3.3.1).
    pub(crate) fn bind(
        &mut self,
        stack: &Stack,
        address: SocketAddr,
        room: usize,
    ) -> Result<SlotId, BindError> {
        let own = stack.own_address().map(IpAddr::V4);
        if !address.ip().is_unspecified() && own.is_some_and(|own| own != address.ip()) {
            return Err(BindError::NotOurAddress);
        }
        let number = match address.port() {
            0 => self.free_port(stack).ok_or(BindError::PortInUse)?,
            number if self.by_number.contains_key(&number) => return Err(BindError::PortInUse),
            number => number,
        };
        let id = self.ports.insert(Port {
            number,
            address: address.ip(),
            peer: None,
            queue: VecDeque::new(),
            held: 0,
            room,
            refused: false,
            lost: 0,
            reader: None,
        });
        self.by_number.insert(number, id);
        Ok(id)
    }

    fn free_port(&mut self, stack: &Stack) -> Option<u16> {
        let (first, last) = (*EPHEMERAL_PORTS.start(), *EPHEMERAL_PORTS.end());
        let count = u64::from(last - first) + 1;
        let start = self.draw(stack) % count;
        (0..count)
            .filter_map(|step| u16::try_from((start + step) % count).ok())
            .map(|step| first + step)
            .find(|port| !self.by_number.contains_key(port))
    }

    pub(crate) fn close(&mut self, id: SlotId) {
        if let Some(port) = self.ports.remove(id) {
            self.by_number.remove(&port.number);
        }
    }

    pub(crate) fn port(&mut self, id: SlotId) -> Option<&mut Port> {
        self.ports.get_mut(id)
    }

    /// Sends `payload` from `port` to `to`. What leaves is not heard of again.
    pub(crate) fn send(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        port: u16,
        to: SocketAddr,
        payload: &[u8],
    ) -> Result<(), SendError> {
        let mut datagram = vec![0; UDP_LEN + payload.len()];
        let len = u16::try_from(datagram.len()).map_err(|_| SendError::TooLong)?;
        datagram[..2].copy_from_slice(&port.to_be_bytes());
        datagram[2..4].copy_from_slice(&to.port().to_be_bytes());
        datagram[4..6].copy_from_slice(&len.to_be_bytes());
        datagram[UDP_LEN..].copy_from_slice(payload);
        if to.port() == 0 {
            return Err(SendError::Unreachable);
        }
        let checksum = Some(UDP_LEN - 2);
        self.send_packet(stack, now, to.ip(), PROTOCOL_UDP, datagram, checksum)
    }

    /// Sends `payload` to `target`. `checksum` is where the sum over it and the pseudo-header belongs, if it has one.
    pub(crate) fn send_packet(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        target: IpAddr,
        protocol: u8,
        mut payload: Vec<u8>,
        checksum: Option<usize>,
    ) -> Result<(), SendError> {
        let target = match target {
            IpAddr::V4(target) => target,
            IpAddr::V6(target) => {
                let outlet = self.outlet.as_ref().ok_or(SendError::Unreachable)?;
                outlet.send(now, target, protocol, &payload, checksum.unwrap_or(2))?;
                stack.rouse();
                return Ok(());
            }
        };
        let addresses = stack.local.addresses.as_ref();
        let addresses = addresses.ok_or(SendError::Unreachable)?;
        let source = addresses.ip;
        if !address::is_unicast(target) || target == source || target.is_loopback() {
            return Err(SendError::Unreachable);
        }
        if IPV4_LEN + payload.len() > stack.wire.info().mtu {
            return Err(SendError::TooLong);
        }
        let hop = route::next_hop(addresses, target).ok_or(SendError::Unreachable)?;
        if let Some(at) = checksum {
            let start = checksum::pseudo_header(source, target, protocol, payload.len());
            let sum = !checksum::fold(checksum::sum(start, &payload));
            // Zero would say that there is none (RFC 768).
            let sum = if sum == 0 { 0xffff } else { sum };
            payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        let frame = ipv4_frame(source, target, protocol, &payload);
        self.route.send(stack, now, hop, frame);
        stack.rouse();
        Ok(())
    }

    /// Takes the oldest datagram of a socket.
    pub(crate) fn receive(&mut self, id: SlotId) -> Option<Datagram> {
        let port = self.ports.get_mut(id)?;
        let datagram = port.queue.pop_front()?;
        port.held -= datagram.bytes.len() + OVERHEAD;
        Some(datagram)
    }

    pub(crate) fn take_datagram(
        &mut self,
        source: IpAddr,
        target: IpAddr,
        datagram: &[u8],
    ) -> Result<(), DropReason> {
        let from = SocketAddr::new(source, packet::be16(datagram, 0));
        let id = self.by_number.get(&packet::be16(datagram, 2));
        let port = id.and_then(|id| self.ports.get_mut(*id));
        let port = port.ok_or(DropReason::NoSocket)?;
        let is_wanted = (port.address.is_unspecified() || port.address == target)
            && port.peer.is_none_or(|peer| peer == from);
        if !is_wanted || from.port() == 0 {
            return Err(DropReason::NoSocket);
        }
        let bytes = &datagram[UDP_LEN..];
        if port.held + bytes.len() + OVERHEAD > port.room {
            port.lost += 1;
            return Err(DropReason::QueueFull);
        }
        port.held += bytes.len() + OVERHEAD;
        let bytes = bytes.into();
        port.queue.push_back(Datagram { from, bytes });
        wake(&mut port.reader);
        Ok(())
    }

    fn take_icmp(&mut self, now: Instant, source: Ipv4Addr, icmp: &[u8]) -> Result<(), DropReason> {
        if icmp.len() < 8 {
            return Err(DropReason::Truncated);
        }
        if !checksum::adds_up(0, icmp) {
            return Err(DropReason::BadChecksum);
        }
        match (icmp[0], icmp[1]) {
            (0, 0) => self.pings.answered(now, source.into(), &icmp[4..]),
            (UNREACHABLE, PORT_UNREACHABLE) => self.refuse(&icmp[8..]),
            _ => Err(DropReason::NoSocket),
        }
    }

    /// Tells a connected socket that its peer has no such port; `sent` is the datagram of ours that said so.
    fn refuse(&mut self, sent: &[u8]) -> Result<(), DropReason> {
        let header_len = usize::from(sent.first().ok_or(DropReason::Truncated)? & 0x0f) * 4;
        let ports = sent
            .get(header_len..header_len + 4)
            .filter(|_| header_len >= IPV4_LEN);
        let ports = ports.ok_or(DropReason::Truncated)?;
        let peer = SocketAddr::new(packet::address(sent, 16).into(), packet::be16(ports, 2));
        let id = self.by_number.get(&packet::be16(ports, 0));
        let port = id.and_then(|id| self.ports.get_mut(*id));
        let port = port.filter(|port| sent[9] == PROTOCOL_UDP && port.peer == Some(peer));
        let port = port.ok_or(DropReason::NoSocket)?;
        port.refused = true;
        wake(&mut port.reader);
        Ok(())
    }
}

impl Extension for Datagrams {
    fn take(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        frame: Dropped<'_>,
    ) -> Result<(), DropReason> {
        let is_ipv4 = packet::be16(frame.bytes.get(12..14).unwrap_or(&[0, 0]), 0) == ETHERTYPE_IPV4;
        let is_group = frame.bytes.first().is_some_and(|byte| byte & 1 != 0);
        if frame.reason != DropReason::NoSocket || !is_ipv4 || is_group {
            return Err(frame.reason);
        }
        // `classify` has checked the IP header, and nothing behind it.
        let ip = &frame.bytes[ETHERNET_LEN..];
        let (header_len, total_len) = (
            usize::from(ip[0] & 0x0f) * 4,
            usize::from(packet::be16(ip, 2)),
        );
        let (source, target) = (packet::address(ip, 12), packet::address(ip, 16));
        if Some(target) != stack.own_address() {
            return Err(DropReason::NotOurAddress);
        }
        let payload = &ip[header_len..total_len];
        match ip[9] {
            PROTOCOL_UDP => {
                let datagram = checked_datagram(source, target, payload, frame.trusted)?;
                self.take_datagram(source.into(), target.into(), datagram)
            }
            PROTOCOL_ICMP => self.take_icmp(now, source, payload),
            _ => Err(frame.reason),
        }
    }

    fn advance(&mut self, stack: &mut Stack, now: Instant) {
        self.route.advance(stack, now);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.route.next_deadline()
    }

    fn sockets(&mut self) -> &mut dyn Any {
        self
    }
}

/// The datagram that `payload` begins with, if it is whole.
fn checked_datagram(
    source: Ipv4Addr,
    target: Ipv4Addr,
    payload: &[u8],
    trusted: bool,
) -> Result<&[u8], DropReason> {
    if payload.len() < UDP_LEN {
        return Err(DropReason::Truncated);
    }
    let len = usize::from(packet::be16(payload, 4));
    let datagram = payload.get(..len).filter(|_| len >= UDP_LEN);
    let datagram = datagram.ok_or(DropReason::Truncated)?;
    // A checksum of zero means that the sender left it out (RFC 768).
    let is_unchecked = trusted || packet::be16(datagram, 6) == 0;
    let start = checksum::pseudo_header(source, target, PROTOCOL_UDP, len);
    if !is_unchecked && !checksum::adds_up(start, datagram) {
        return Err(DropReason::BadChecksum);
    }
    Ok(datagram)
}

/// A packet behind an Ethernet header without stations.
fn ipv4_frame(source: Ipv4Addr, target: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET_LEN + IPV4_LEN + payload.len()];
    let nowhere = [0; 6];
    let ends = Ends {
        from: nowhere,
        to: nowhere,
        source,
        target,
    };
    headers::write(&mut frame, &ends, protocol);
    frame[ETHERNET_LEN + IPV4_LEN..].copy_from_slice(payload);
    frame
}

pub(crate) fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
