//! Rings that grow, and connections that send long packets.
//!
//! A connection begins with a small ring ([`Buffers`]), which also bounds its first flight. When somebody waits for room
//! in it and a whole ring has been acknowledged, the writer is held until the rest is, and the connection gets a ring four
//! times as large, up to [`Growth::ring`] and while all of them take no more than [`Growth::total`].
//!
//! smoltcp cannot change the ring of a socket. But with nothing of ours on its way a connection is no more than two sequence
//! numbers, what was agreed in the handshake and what waits to be read, so a new socket is [made](crate::birth) with these.
//!
//! The receive ring grows in the same way, once the peer has sent two of them: what it has on its way meanwhile fits the new
//! ring as well. It ends at 64 KiB, the largest window without a scale, as the scale was agreed on with the first ring.
//!
//! If the device can cut, the new socket is told that the peer takes segments of nearly 64 KiB, and the device is told the
//! truth. From the first sign of a loss on the connection goes through the [narrow](crate::interfaces) interface, whose
//! segments fit the wire: what is sent again should not be 64 KiB.

use alloc::vec::Vec;

use smoltcp::socket::tcp;
use toro_time::Instant;

use crate::birth::{self, Agreement};
use crate::clock;
use crate::config::{Buffers, Growth};
use crate::connection::{Connection, Stage};
use crate::packet::{IPV4_LEN, Segment, TCP_LEN};
use crate::random::low_word;
use crate::slab::SlotId;
use crate::stack::Stack;

/// How much larger the next ring is.
const STEP: usize = 4;
/// Duplicate acknowledgements that mean a loss, as in smoltcp.
const LOSS: u8 = 3;

impl Connection {
    /// It may send long packets.
    #[inline]
    pub(crate) fn is_wide(&self) -> bool {
        self.segment > 0 && !self.lossy
    }

    /// Bytes in the send ring that were never sent.
    #[inline]
    pub(crate) fn unsent(&self) -> usize {
        let in_flight = self.sent.wrapping_sub(self.delivered) as usize;
        self.socket().send_queue().saturating_sub(in_flight)
    }

    /// Looks for the third duplicate acknowledgement before smoltcp does, and notes what the peer says of its window.
    pub(crate) fn watch(&mut self, segment: &Segment) {
        let repeats = segment.is_bare_ack()
            && segment.ack == self.delivered
            && segment.window == self.window
            && self.sent != self.delivered;
        self.window = segment.window;
        self.repeats = if repeats {
            self.repeats.saturating_add(1)
        } else {
            0
        };
        self.lossy |= self.repeats >= LOSS;
    }

    /// Takes note of `len` bytes that the peer has acknowledged.
    #[inline]
    pub(crate) fn note_delivered(&mut self, len: usize) {
        let delivered = low_word(len as u64);
        self.delivered = self.delivered.wrapping_add(delivered);
        if self.delivered.wrapping_sub(self.sent).cast_signed() > 0 {
            // A byte for a closed window, which did not count as sent.
            self.sent = self.delivered;
        }
        self.proven = self.proven.saturating_add(delivered);
    }

    /// Holds the writer until the send ring is empty, if a larger one is in order then.
    #[inline]
    pub(crate) fn consider_growth(&mut self, growth: &Growth) {
        if self.waits_for_room() && !self.draining && self.wants_growth(growth) {
            self.drain();
        }
    }

    /// Whether the peer has sent so much that a larger receive ring is in order.
    #[inline]
    pub(crate) fn wants_input(&self, growth: &Growth) -> bool {
        let ring = self.socket().recv_capacity();
        let received = self.acknowledged.wrapping_sub(self.received_from) as usize;
        ring < growth.receive && received >= 2 * ring && !self.lossy && self.stage == Stage::Open
    }

    /// A copy of what waits to be read; `None` if memory is short.
    fn unread(&mut self) -> Option<Vec<u8>> {
        let len = self.socket().recv_queue();
        let mut bytes = birth::ring(len)?;
        let read = self.socket_mut().peek_slice(&mut bytes);
        read.is_ok_and(|read| read == len).then_some(bytes)
    }

    /// The sizes of its receive and its send ring.
    pub(crate) fn rings(&self) -> (usize, usize) {
        let socket = self.socket();
        (socket.recv_capacity(), socket.send_capacity())
    }

    fn wants_growth(&self, growth: &Growth) -> bool {
        let ring = self.socket().send_capacity();
        let is_small = ring < growth.ring && self.proven as usize >= ring;
        is_small && !self.lossy && self.stage == Stage::Open
    }
}

impl Stack {
    /// Ends the draining of connection `id`, whose send ring is empty: with a larger one, if that can be.
    #[cold]
    pub(crate) fn grow(&mut self, now: Instant, id: SlotId) {
        self.enlarge(now, id);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.wake_ready();
        }
    }

    /// Gives connection `id` a larger send ring.
    fn enlarge(&mut self, now: Instant, id: SlotId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.draining = false;
        // Begin anew: if it cannot grow now, it may after another ring.
        connection.proven = 0;
        let (receive, send) = connection.rings();
        let send = send.saturating_mul(STEP).min(self.config.growth.ring);
        self.renew(now, id, &Buffers { receive, send });
    }

    /// Gives connection `id` a larger receive ring. The peer hears of it with the next acknowledgement.
    #[cold]
    pub(crate) fn grow_input(&mut self, now: Instant, id: SlotId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.received_from = connection.acknowledged;
        let (receive, send) = connection.rings();
        let receive = receive.saturating_mul(STEP).min(self.config.growth.receive);
        self.renew(now, id, &Buffers { receive, send });
        self.touch(id);
    }

    /// Gives connection `id` rings of these sizes, if they are larger, it is at rest, and there is memory.
    #[inline(never)]
    fn renew(&mut self, now: Instant, id: SlotId, wanted: &Buffers) {
        let at = clock::to_smoltcp(now);
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let (socket, growth) = (connection.socket(), self.config.growth);
        let at_rest = socket.state() == tcp::State::Established
            && socket.send_queue() == 0
            && connection.sent == connection.delivered;
        let (old_receive, old_send) = connection.rings();
        let extra = (wanted.receive + wanted.send).saturating_sub(old_receive + old_send);
        let is_spare = extra > 0 && self.grown + extra <= growth.total;
        let nagle = socket.nagle_enabled();
        let interface = self.interfaces.choose(connection.is_wide());
        let due = interface.poll_at(at, &connection.sockets);
        let Some(agreed) = connection
            .agreed
            .filter(|_| at_rest && is_spare && due.is_none_or(|due| due > at))
        else {
            return;
        };
        let usual = self.wire.info().mtu - IPV4_LEN - TCP_LEN;
        let long = self
            .wire
            .longest_packet()
            .map_or(0, |len| len - IPV4_LEN - TCP_LEN);
        let takes_usual = agreed.mss.is_some_and(|mss| usize::from(mss) >= usual);
        let has_grown = wanted.send > self.config.buffers.send;
        let is_wide = takes_usual && has_grown && long >= 2 * usual;
        let mss = if is_wide {
            u16::try_from(long / usual * usual).ok()
        } else {
            agreed.mss
        };
        let Some(unread) = connection.unread() else {
            return;
        };
        // A ring is shorter than 4 GiB, here and below.
        let before = connection
            .acknowledged
            .wrapping_sub(low_word(unread.len() as u64));
        let told = Agreement {
            isn: connection.sent.wrapping_sub(1),
            peer_isn: before.wrapping_sub(1),
            mss,
            ..agreed
        };
        let (tuple, window) = (&connection.tuple, connection.window);
        let made = birth::made(
            &self.config.times,
            wanted,
            tuple,
            &told,
            (window, &unread),
            at,
        );
        let Some(lone) = made else {
            return;
        };
        connection.replace(lone);
        connection.socket_mut().set_nagle_enabled(nagle);
        connection.segment = match is_wide {
            true => u16::try_from(usual).unwrap_or(0),
            false => 0,
        };
        self.grown += extra;
    }

    /// Removes connection `id` with what it has grown by.
    pub(crate) fn remove(&mut self, id: SlotId) {
        if let Some(connection) = self.connections.remove(id) {
            let (receive, send) = connection.rings();
            let first = self.config.buffers.receive + self.config.buffers.send;
            self.grown -= (receive + send).saturating_sub(first).min(self.grown);
        }
    }
}
