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
//! ring as well. It ends at 64 KiB, the largest window without a scale, but in images with [large windows](crate::scale).
//!
//! If the device can cut, the new socket is told that the peer takes segments of nearly 64 KiB, and the device is told the
//! truth. From the first sign of a loss on the connection goes through the [narrow](crate::interfaces) interface, whose
//! segments fit the wire: what is sent again should not be 64 KiB.
//!
//! With no rings at all a connection is [asleep](crate::slumber).

use alloc::vec::Vec;

use smoltcp::socket::tcp;
use toro_time::Instant;

use crate::birth::{self, Agreement};
use crate::clock;
use crate::config::{Buffers, Growth};
use crate::connection::{Connection, Stage};
use crate::packet::{IPV4_LEN, TCP_LEN};
use crate::random::low_word;
use crate::slab::SlotId;
use crate::stack::Stack;

/// How much larger the next ring is.
const STEP: usize = 4;

impl Connection {
    /// It may send long packets.
    #[inline]
    pub(crate) fn is_wide(&self) -> bool {
        self.segment > 0 && !self.lossy
    }

    /// Bytes in the send ring that were never sent.
    #[inline]
    pub(crate) fn unsent(&self) -> usize {
        self.unsent_of(self.socket().send_queue())
    }

    /// The same where the send ring holds `queued` bytes.
    #[inline]
    pub(crate) fn unsent_of(&self, queued: usize) -> usize {
        let in_flight = self.sent.wrapping_sub(self.delivered) as usize;
        queued.saturating_sub(in_flight)
    }

    /// Takes note of `len` bytes that the peer has acknowledged, which has led to `state`.
    #[inline]
    pub(crate) fn note_delivered(&mut self, now: Instant, len: usize, state: tcp::State) {
        let delivered = low_word(len as u64);
        self.delivered = self.delivered.wrapping_add(delivered);
        if self.delivered.wrapping_sub(self.sent).cast_signed() > 0 {
            // A byte for a closed window, which did not count as sent.
            self.sent = self.delivered;
        }
        self.proven = self.proven.saturating_add(delivered);
        if matches!(state, tcp::State::FinWait2 | tcp::State::TimeWait) {
            self.delivered = self.sent;
        }
        if len > 0 && (self.lossy || self.recovery.lacks_sample()) {
            let told = self.echoed(now);
            self.recovery.note_progress(now, self.delivered, told);
        }
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
        ring < self.largest_input(growth)
            && received >= 2 * ring
            && !self.lossy
            && self.stage == Stage::Open
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
        if let Some(connection) = self.connections.get_mut(id) {
            connection.draining = false;
            // Begin anew: if it cannot grow now, it may after another ring.
            connection.proven = 0;
        }
        self.enlarge(now, id, false);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.wake_ready();
        }
    }

    /// Gives connection `id` a larger receive ring. The peer hears of it with the next acknowledgement.
    #[cold]
    pub(crate) fn grow_input(&mut self, now: Instant, id: SlotId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.received_from = connection.acknowledged;
        }
        self.enlarge(now, id, true);
        self.touch(id);
    }

    /// Gives connection `id` a larger ring of one kind, if it is at rest and there is memory.
    #[inline(never)]
    fn enlarge(&mut self, now: Instant, id: SlotId, is_input: bool) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        let (mut receive, mut send) = connection.rings();
        let growth = &self.config.growth;
        let (ring, most) = match is_input {
            true => (&mut receive, connection.largest_input(growth)),
            false => (&mut send, growth.ring),
        };
        let old = *ring;
        *ring = old.saturating_mul(STEP).min(most);
        let extra = ring.saturating_sub(old);
        if extra > 0 && self.grown + extra <= growth.total {
            self.renew(now, id, &Buffers { receive, send });
        }
    }

    /// Gives connection `id` rings of these sizes, as of `now`; none put it to sleep. Returns `false` if it is not at rest then, or
    /// memory is short.
    #[inline(never)]
    #[cold]
    pub(crate) fn renew(&mut self, now: Instant, id: SlotId, wanted: &Buffers) -> bool {
        let at = clock::to_smoltcp(now);
        let Some(connection) = self.connections.get_mut(id) else {
            return false;
        };
        let socket = connection.socket();
        let at_rest = socket.state() == tcp::State::Established
            && socket.send_queue() == 0
            && connection.sent == connection.delivered;
        let (nagle, keep_alive) = (socket.nagle_enabled(), socket.keep_alive());
        let old = connection.rings();
        let (wide, path) = (connection.is_wide(), connection.path);
        let interface = self.interfaces.choose(&mut self.wire, now, wide, path);
        let due = interface.poll_at(at, &connection.sockets);
        let Some(agreed) = connection
            .agreed
            .filter(|_| at_rest && due.is_none_or(|due| due > at))
        else {
            return false;
        };
        let usual = self.wire.info().mtu - IPV4_LEN - TCP_LEN;
        // Each of the pieces has the options too, which smoltcp takes off what it was told.
        let options = connection.options_len();
        let payload = usual - options;
        let long = self
            .wire
            .longest_packet()
            .map_or(0, |len| len - IPV4_LEN - TCP_LEN - options);
        let takes_usual = agreed.mss.is_some_and(|mss| usize::from(mss) >= usual);
        let has_grown = wanted.send > self.config.buffers.send;
        let is_wide = takes_usual && has_grown && long >= 2 * usual;
        let mss = if is_wide {
            u16::try_from(long / payload * payload + options).ok()
        } else {
            agreed.mss
        };
        let Some(unread) = connection.unread() else {
            return false;
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
            return false;
        };
        connection.replace(lone);
        let socket = connection.socket_mut();
        socket.set_nagle_enabled(nagle);
        if socket.keep_alive() != keep_alive {
            socket.set_keep_alive(keep_alive);
        }
        connection.segment = match is_wide {
            true => u16::try_from(payload).unwrap_or(0),
            false => 0,
        };
        let is_asleep = wanted.receive == 0;
        connection.promised = if is_asleep { old.0 } else { 0 };
        self.account(old, (wanted.receive, wanted.send));
        true
    }

    /// Removes connection `id` with its rings.
    pub(crate) fn remove(&mut self, id: SlotId) {
        if let Some(connection) = self.connections.remove(id) {
            self.account(connection.rings(), (0, 0));
        }
    }

    /// The sizes of the rings that a connection begins with.
    pub(crate) fn first_rings(&self) -> (usize, usize) {
        let Buffers { receive, send } = self.config.buffers;
        (receive, send)
    }

    /// Takes note that a connection has rings of other sizes; none are as large as nothing.
    #[inline(never)]
    pub(crate) fn account(&mut self, old: (usize, usize), new: (usize, usize)) {
        let (receive, send) = self.first_rings();
        let first = receive + send;
        let grown = |(receive, send)| usize::saturating_sub(receive + send, first);
        let has = |rings| usize::from(rings != (0, 0));
        self.grown = self.grown + grown(new) - grown(old);
        self.awake = self.awake + has(new) - has(old);
    }
}
