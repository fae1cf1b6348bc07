//! What sockets of UDP and pings ask of the stack. Calls never wait: they answer `Pending` and keep the waker.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::task::{Poll, Waker};
use core::time::Duration;

use toro_time::Instant;

use crate::calls::keep;
use crate::checksum;
use crate::datagrams::{Datagrams, Port};
use crate::dns::{Kind, Name};
use crate::error::{BindError, PingError, ReceiveError, SendError};
use crate::packet::{PROTOCOL_ICMP, PROTOCOL_ICMPV6};
use crate::pings::SECRET_LEN;
use crate::slab::SlotId;
use crate::stack::Stack;

/// Names a bound UDP socket of a stack.
pub type UdpId = SlotId;

/// Names an open ping: what its answer must repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingId([u8; 4 + SECRET_LEN]);

/// Bytes that may wait in a socket's queue, with 64 for each datagram besides.
const ROOM: usize = 64 << 10;
/// ICMP: asks for an answer.
const ECHO_REQUEST: u8 = 8;
/// ICMPv6: the same.
const ECHO_REQUEST_V6: u8 = 128;
/// Where the checksum lies in both.
const CHECKSUM: usize = 2;

impl Stack {
    fn with_datagrams<R>(&mut self, f: impl FnOnce(&mut Datagrams, &mut Self) -> R) -> R {
        self.with_extension(|_| Datagrams::new(), f)
    }

    fn with_port<R>(&mut self, id: UdpId, f: impl FnOnce(&mut Port) -> R) -> Option<R> {
        self.with_datagrams(|datagrams, _| datagrams.port(id).map(f))
    }

    /// Binds a UDP socket to `address`; port 0 stands for a random one. Its queue holds 64 KiB.
    ///
    /// # Errors
    /// Fails if the port is taken or the address is someone else's.
    pub fn udp_bind(&mut self, address: SocketAddr) -> Result<UdpId, BindError> {
        self.with_datagrams(|datagrams, stack| datagrams.bind(stack, address, ROOM))
    }

    /// Closes a UDP socket; what waits in its queue is lost.
    pub fn udp_close(&mut self, id: UdpId) {
        self.with_datagrams(|datagrams, _| datagrams.close(id));
    }

    /// Takes datagrams from `peer` alone from now on, and sends there; `None` for from everyone.
    pub fn udp_connect(&mut self, id: UdpId, peer: Option<SocketAddr>) {
        self.with_port(id, |port| (port.peer, port.refused) = (peer, false));
    }

    /// The address that a socket is bound to, its peer if it has one, and how many datagrams found no room.
    pub fn udp_state(&mut self, id: UdpId) -> Option<(SocketAddr, Option<SocketAddr>, u64)> {
        self.with_port(id, |port| {
            (
                SocketAddr::new(port.address, port.number),
                port.peer,
                port.lost,
            )
        })
    }

    /// Lets so many bytes wait in a socket's queue, with 64 for each datagram besides.
    pub fn udp_set_room(&mut self, id: UdpId, room: usize) {
        self.with_port(id, |port| port.room = room);
    }

    /// Sends a datagram to `to`, or to the peer that the socket is connected to.
    ///
    /// # Errors
    /// Fails if it cannot leave; whether it arrives is not known.
    pub fn udp_send(
        &mut self,
        now: Instant,
        id: UdpId,
        to: Option<SocketAddr>,
        bytes: &[u8],
    ) -> Result<(), SendError> {
        self.with_datagrams(|datagrams, stack| {
            let port = datagrams.port(id).ok_or(SendError::NotConnected)?;
            if core::mem::take(&mut port.refused) {
                return Err(SendError::Refused);
            }
            let to = to.or(port.peer).ok_or(SendError::NotConnected)?;
            let number = port.number;
            datagrams.send(stack, now, number, to, bytes)
        })
    }

    /// Takes the oldest datagram into `buffer`, or keeps `waker` until there is one. What does not fit is lost.
    pub fn udp_receive(
        &mut self,
        id: UdpId,
        buffer: &mut [u8],
        waker: &Waker,
    ) -> Poll<Result<(usize, SocketAddr), ReceiveError>> {
        self.with_datagrams(|datagrams, _| {
            if let Some(datagram) = datagrams.receive(id) {
                let len = datagram.bytes.len().min(buffer.len());
                buffer[..len].copy_from_slice(&datagram.bytes[..len]);
                return Poll::Ready(Ok((len, datagram.from)));
            }
            let Some(port) = datagrams.port(id) else {
                return Poll::Ready(Err(ReceiveError::NoStack));
            };
            if core::mem::take(&mut port.refused) {
                return Poll::Ready(Err(ReceiveError::Refused));
            }
            keep(&mut port.reader, waker);
            Poll::Pending
        })
    }

    /// Whether [`udp_receive`](Self::udp_receive) would answer at once.
    pub fn udp_can_receive(&mut self, id: UdpId) -> bool {
        self.with_port(id, |port| port.can_receive())
            .unwrap_or(true)
    }

    /// Asks `target` for a sign of life; [`poll_ping`](Self::poll_ping) tells of it, and
    /// [`end_ping`](Self::end_ping) must follow.
    ///
    /// # Errors
    /// Fails if `target` cannot be reached or too much is asked already.
    pub fn ping(&mut self, now: Instant, target: IpAddr) -> Result<PingId, PingError> {
        self.with_datagrams(|datagrams, stack| {
            let mut words = [0; 4 + SECRET_LEN];
            for chunk in words.chunks_mut(8) {
                let drawn = datagrams.draw(stack).to_le_bytes();
                chunk.copy_from_slice(&drawn[..chunk.len()]);
            }
            // With IPv6 the checksum covers the pseudo-header too (RFC 4443, 2.3).
            let (kind, protocol, checksum) = match target {
                IpAddr::V4(_) => (ECHO_REQUEST, PROTOCOL_ICMP, None),
                IpAddr::V6(_) => (ECHO_REQUEST_V6, PROTOCOL_ICMPV6, Some(CHECKSUM)),
            };
            let mut packet = vec![kind, 0, 0, 0];
            packet.extend_from_slice(&words);
            if checksum.is_none() {
                let sum = checksum::of(&packet);
                packet[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
            }
            if !datagrams.pings.add(now, target, words) {
                return Err(PingError::TooMany);
            }
            let sent = datagrams.send_packet(stack, now, target, protocol, packet, checksum);
            sent.map(|()| PingId(words)).map_err(|_| {
                datagrams.pings.remove(&words);
                PingError::Unreachable
            })
        })
    }

    /// How long the answer took, or keeps `waker` until it comes.
    pub fn poll_ping(&mut self, id: &PingId, waker: &Waker) -> Poll<Duration> {
        self.with_datagrams(|datagrams, _| datagrams.pings.poll(&id.0, waker))
    }

    /// Forgets a ping.
    pub fn end_ping(&mut self, id: &PingId) {
        self.with_datagrams(|datagrams, _| datagrams.pings.remove(&id.0));
    }

    /// Name servers that routers of IPv6 have named.
    pub(crate) fn servers_v6(&mut self) -> Vec<Ipv6Addr> {
        self.with_datagrams(|datagrams, _| {
            let outlet = datagrams.outlet.as_ref();
            outlet.map_or_else(Vec::new, |outlet| outlet.servers())
        })
    }

    /// A number that nobody can foresee, for a question to a name server.
    pub(crate) fn draw_number(&mut self) -> u16 {
        self.with_datagrams(|datagrams, stack| {
            let [low, high, ..] = datagrams.draw(stack).to_le_bytes();
            u16::from_le_bytes([low, high])
        })
    }

    /// What is remembered of a name, see [`Names::find`](crate::names::Names::find).
    pub(crate) fn find_name(
        &mut self,
        now: Instant,
        name: &Name,
        kind: Kind,
    ) -> Option<Vec<IpAddr>> {
        self.with_datagrams(|datagrams, _| datagrams.names.find(now, name, kind))
    }

    /// Remembers the addresses of a name for `lifetime` seconds.
    pub(crate) fn remember_name(
        &mut self,
        now: Instant,
        name: Name,
        kind: Kind,
        addresses: Vec<IpAddr>,
        lifetime: Option<u32>,
    ) {
        self.with_datagrams(|datagrams, _| {
            let names = &mut datagrams.names;
            names.remember(now, name, kind, addresses, lifetime);
        });
    }
}
