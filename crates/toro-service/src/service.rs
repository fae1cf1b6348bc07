//! [`Service`]: a program that is called when something happens to its connections.
//!
//! No thread and no stack per connection, and no switch per request: the thread that has received a segment calls the
//! service, and what it answers leaves at the end of the same turn. The stack decides who is called when; this file is
//! the vocabulary.
//!
//! ```text
//!           ┌──────────────── received ◄─ more input, or room ─┐
//! connected ┤        writable ◄─ room in the send ring ────────┤  closed, once, last
//!           └─ ended ◄─ the peer's FIN   timed_out ◄─ deadline ┘
//! ```

use core::net::SocketAddrV4;
use core::time::Duration;

use toro_time::Instant;

use crate::output::Output;

/// A service on the event loop of a core: it runs on the core that owns the connection, and to completion.
///
/// A call must not wait and must not use a socket: the stack of the core is lent out meanwhile. While a connection waits
/// for room in its send ring it is shown no input, so a peer that does not read stops being heard.
///
/// `A` is what its connections have as addresses: a service that is written for any can be served over each stack.
pub trait Service<A = SocketAddrV4>: 'static {
    /// What the service keeps for a connection.
    type Connection: 'static;

    /// Takes a new connection in; `None` resets it.
    fn connected(
        &mut self,
        conn: &mut Conn<A>,
        output: &mut Output<'_>,
    ) -> Option<Self::Connection>;

    /// Looks at all that has arrived and was not consumed, and returns how many bytes of it are done with.
    ///
    /// What is left is shown again together with what arrives behind it, or once there is room for output that was
    /// waited for. A service that consumes nothing of a full receive ring loses the connection.
    fn received(
        &mut self,
        state: &mut Self::Connection,
        conn: &mut Conn<A>,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> usize;

    /// Goes on writing: the room that was [waited for](Output::wait) is there.
    fn writable(
        &mut self,
        state: &mut Self::Connection,
        conn: &mut Conn<A>,
        output: &mut Output<'_>,
    ) {
        let _ = (state, conn, output);
    }

    /// The peer has sent all it had to send, and all of it was shown. Closes, unless the service knows better.
    fn ended(&mut self, state: &mut Self::Connection, conn: &mut Conn<A>, output: &mut Output<'_>) {
        let _ = (state, output);
        conn.close();
    }

    /// The [deadline](Conn::set_timeout) has passed; there is none until another is set. Closes, unless the service
    /// knows better.
    fn timed_out(
        &mut self,
        state: &mut Self::Connection,
        conn: &mut Conn<A>,
        output: &mut Output<'_>,
    ) {
        let _ = (state, output);
        conn.close();
    }

    /// The service is to end: says what is still to be said and closes. Closes at once, unless the service knows better.
    ///
    /// Told once, and never for connections that come later: there are none.
    fn ending(
        &mut self,
        state: &mut Self::Connection,
        conn: &mut Conn<A>,
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
pub struct Conn<A = SocketAddrV4> {
    local: A,
    peer: A,
    now: Instant,
    deadline: Option<Instant>,
    leave: Leave,
}

/// How a service leaves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leave {
    /// It does not.
    Stay,
    /// Nothing more is written.
    Shutdown,
    /// What was written is delivered first.
    Close,
    /// With a reset.
    Abort,
}

impl<A: Copy> Conn<A> {
    /// For the stack: a connection between these addresses, at the moment of a call.
    #[inline]
    pub fn new(local: A, peer: A, now: Instant, deadline: Option<Instant>) -> Self {
        Self {
            local,
            peer,
            now,
            deadline,
            leave: Leave::Stay,
        }
    }

    /// The address of the peer.
    pub fn peer_addr(&self) -> A {
        self.peer
    }

    /// Our address.
    pub fn local_addr(&self) -> A {
        self.local
    }
}

impl<A> Conn<A> {
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

    /// Lets go of the connection; what was written is delivered, followed by the end of the stream. What was shown counts
    /// as read; if more arrives, it is lost, and the peer is told so where the protocol can.
    pub fn close(&mut self) {
        self.leave = self.leave.max(Leave::Close);
    }

    /// Ends the connection with a reset.
    pub fn abort(&mut self) {
        self.leave = Leave::Abort;
    }

    /// For the stack: how the service leaves.
    #[inline]
    pub fn leave(&self) -> Leave {
        self.leave
    }
}
