//! [`Service`]: a program that is called when something happens to its connections.
//!
//! No thread and no stack per connection, and no switch per request: the thread that has received a segment calls the
//! service, and what it answers leaves at the end of the same turn. [`dispatch`](crate::dispatch) decides who is
//! called when; this file is the vocabulary.
//!
//! ```text
//!           ┌──────────────── received ◄─ more input, or room ─┐
//! connected ┤        writable ◄─ room in the send ring ────────┤  closed, once, last
//!           └─ ended ◄─ the peer's FIN   timed_out ◄─ deadline ┘
//! ```

use core::net::SocketAddrV4;
use core::time::Duration;

use toro_time::Instant;

use crate::packet::Tuple;

/// A service on the event loop of a core: it runs on the core that owns the connection, and to completion.
///
/// A call must not wait and must not use a socket: the stack of the core is lent out meanwhile. While a connection waits
/// for room in its send ring it is shown no input, so a peer that does not read stops being heard.
pub trait Service: 'static {
    /// What the service keeps for a connection.
    type Connection: 'static;

    /// Takes a new connection in; `None` resets it.
    fn connected(&mut self, conn: &mut Conn, output: &mut Output<'_>) -> Option<Self::Connection>;

    /// Looks at all that has arrived and was not consumed, and returns how many bytes of it are done with.
    ///
    /// What is left is shown again together with what arrives behind it, or once there is room for output that was
    /// waited for. A service that consumes nothing of a full receive ring loses the connection.
    fn received(
        &mut self,
        state: &mut Self::Connection,
        conn: &mut Conn,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> usize;

    /// Goes on writing: the room that was [waited for](Output::wait) is there.
    fn writable(&mut self, state: &mut Self::Connection, conn: &mut Conn, output: &mut Output<'_>) {
        let _ = (state, conn, output);
    }

    /// The peer has sent all it had to send, and all of it was shown. Closes, unless the service knows better.
    fn ended(&mut self, state: &mut Self::Connection, conn: &mut Conn, output: &mut Output<'_>) {
        let _ = (state, output);
        conn.close();
    }

    /// The [deadline](Conn::set_timeout) has passed; there is none until another is set. Closes, unless the service
    /// knows better.
    fn timed_out(
        &mut self,
        state: &mut Self::Connection,
        conn: &mut Conn,
        output: &mut Output<'_>,
    ) {
        let _ = (state, output);
        conn.close();
    }

    /// Takes back what it kept for a connection that is over.
    fn closed(&mut self, state: Self::Connection, why: Closed) {
        let _ = (state, why);
    }
}

/// Why a connection of a service is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Both sides have said all, or the service has closed it.
    Finished,
    /// The peer reset it.
    Reset,
    /// The peer went silent.
    TimedOut,
    /// The service, or the stack, gave it up.
    Aborted,
    /// The service made nothing of a full receive ring.
    Overrun,
}

/// A connection, as a service sees it during a call. What it asks for happens when the call returns.
#[derive(Debug)]
pub struct Conn {
    pub(crate) tuple: Tuple,
    pub(crate) now: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) leave: Leave,
}

/// How a service leaves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leave {
    Stay,
    /// Nothing more is written.
    Shutdown,
    Close,
    Abort,
}

impl Conn {
    /// The address of the peer.
    pub fn peer_addr(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.tuple.remote, self.tuple.remote_port)
    }

    /// Our address.
    pub fn local_addr(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.tuple.local, self.tuple.local_port)
    }

    /// The moment of the call.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Calls [`timed_out`](Service::timed_out) after `timeout`, in place of an earlier deadline; `None` for never.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.deadline = timeout.map(|timeout| self.now + timeout);
    }

    /// When [`timed_out`](Service::timed_out) will be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Ends our half of the stream behind what was written.
    pub fn shutdown_write(&mut self) {
        self.leave = self.leave.max(Leave::Shutdown);
    }

    /// Lets go of the connection; what was written is delivered, followed by a FIN. What was shown counts as read;
    /// if more arrives, the peer is told by a reset that it is lost.
    pub fn close(&mut self) {
        self.leave = self.leave.max(Leave::Close);
    }

    /// Ends the connection with a reset.
    pub fn abort(&mut self) {
        self.leave = Leave::Abort;
    }
}

/// The free part of the send ring.
///
/// Bytes are written where they are sent from. Only what crosses the end of the ring is put together elsewhere and
/// copied once more, so that the service can always write in one piece.
#[derive(Debug)]
pub struct Output<'a> {
    /// The free part up to the end of the ring, and how much of it was written.
    room: &'a mut [u8],
    direct: usize,
    /// What follows behind it, from the start of the ring on.
    spill: &'a mut [u8],
    spilled: usize,
    /// Free bytes of the ring, at the start of the call.
    free: usize,
    wanted: usize,
}

/// What a call has left in an [`Output`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// Bytes in the ring already.
    pub(crate) direct: usize,
    /// Bytes that wait behind them.
    pub(crate) spilled: usize,
    /// How much room the service waits for; 0 if it does not.
    pub(crate) wanted: usize,
}

impl<'a> Output<'a> {
    /// Output of at most `free` bytes, first into `room`, then into `spill`, which has that many.
    pub(crate) fn new(room: &'a mut [u8], spill: &'a mut [u8], free: usize) -> Self {
        Self {
            room,
            direct: 0,
            spill,
            spilled: 0,
            free,
            wanted: 0,
        }
    }

    pub(crate) fn written(&self) -> Written {
        Written {
            direct: self.direct,
            spilled: self.spilled,
            wanted: self.wanted,
        }
    }

    /// How many bytes can be written now.
    #[inline]
    pub fn room(&self) -> usize {
        self.free - self.direct - self.spilled
    }

    /// Writes what fits of `bytes` and returns how much that was. If not all fits, waits for room.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.room());
        if len < bytes.len() {
            self.wanted = self.wanted.max(1);
        }
        self.put(&bytes[..len]);
        len
    }

    /// Writes all of `bytes`, or nothing and waits for as much room.
    #[inline]
    pub fn write_all(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.room() {
            self.wait(bytes.len());
            return false;
        }
        self.put(bytes);
        true
    }

    /// A place for at least `len` bytes in one piece, to be filled from its start and [committed](Self::commit); if there
    /// is no room for as many, an empty one, and waits for that.
    #[inline]
    pub fn spare(&mut self, len: usize) -> &mut [u8] {
        let room = self.room();
        if room < len {
            self.wait(len);
            return &mut [];
        }
        if self.spilled == 0 && self.room.len() - self.direct >= len {
            &mut self.room[self.direct..]
        } else {
            &mut self.spill[self.spilled..][..room]
        }
    }

    /// Sends the first `filled` bytes of the place that [`spare`](Self::spare) gave out for the same `len`.
    ///
    /// # Panics
    /// Panics if there is no room for as many.
    #[inline]
    pub fn commit(&mut self, len: usize, filled: usize) {
        assert!(
            filled <= self.room(),
            "more was filled than spare() gave out"
        );
        if self.spilled == 0 && self.room.len() - self.direct >= len.max(filled) {
            self.direct += filled;
        } else {
            self.spilled += filled;
        }
    }

    /// Waits for room for `len` bytes, or for half of the send ring if that is more; input is not shown until then.
    #[inline]
    pub fn wait(&mut self, len: usize) {
        self.wanted = self.wanted.max(len).max(1);
    }

    /// Whether the service has said that it waits, or was told so.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.wanted > 0
    }

    /// Puts `bytes`, for which there is room, behind what was written.
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if self.spilled == 0 {
            let len = rest.len().min(self.room.len() - self.direct);
            let (head, tail) = rest.split_at(len);
            self.room[self.direct..][..len].copy_from_slice(head);
            self.direct += len;
            rest = tail;
        }
        if !rest.is_empty() {
            self.spill[self.spilled..][..rest.len()].copy_from_slice(rest);
            self.spilled += rest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// What `write` puts into a ring with `direct` bytes up to its end and `free` in all.
    fn check(direct: usize, free: usize, write: impl Fn(&mut Output<'_>), expected: &[u8]) {
        let (mut room, mut spill) = ([0; 16], [0; 16]);
        let mut output = Output::new(&mut room[..direct], &mut spill, free);
        write(&mut output);
        let written = output.written();
        let mut bytes = Vec::from(&room[..written.direct]);
        bytes.extend(&spill[..written.spilled]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn writes_cross_the_end_of_the_ring() {
        for direct in 0..=8 {
            check(
                direct,
                8,
                |out| assert!(out.write_all(b"abcdefgh")),
                b"abcdefgh",
            );
            check(
                direct,
                8,
                |out| assert_eq!((out.write(b"abc"), out.write(b"defghi")), (3, 5)),
                b"abcdefgh",
            );
        }
    }

    #[test]
    fn a_piece_is_never_cut_by_the_end_of_the_ring() {
        for direct in 0..=8 {
            let write = |out: &mut Output<'_>| {
                out.write(b"a");
                let place = out.spare(5);
                assert!(place.len() >= 5);
                place[..5].copy_from_slice(b"bcdef");
                out.commit(5, 5);
                out.write(b"g");
                assert_eq!(out.room(), 1);
            };
            check(direct, 8, write, b"abcdefg");
        }
    }

    #[test]
    fn what_does_not_fit_is_waited_for() {
        let write = |out: &mut Output<'_>| {
            assert!(!out.is_waiting());
            assert!(!out.write_all(b"12345"));
            assert!(out.spare(7).is_empty());
            assert_eq!(out.written().wanted, 7);
            assert_eq!(out.write(b"12345"), 4);
        };
        check(4, 4, write, b"1234");
    }
}
