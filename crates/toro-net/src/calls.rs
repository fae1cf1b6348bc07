//! What sockets ask of the stack. Calls never wait: they answer `Pending` and keep the waker.

use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::task::{Poll, Waker};
use core::time::Duration;

use smoltcp::socket::tcp;
use toro_stream::{AcceptError, ReadError, Shutdown, WriteError};
use toro_time::Instant;

use crate::address;
use crate::birth;
use crate::clock;
use crate::config::EPHEMERAL_PORTS;
use crate::connection::{self, Connection, End, Stage};
use crate::demux::Target;
use crate::error::{BindError, ConnectError};
use crate::packet::Tuple;
use crate::random;
use crate::slab::SlotId;
use crate::slot::Slot;
use crate::stack::Stack;
use crate::timestamps::Timestamps;

/// Names a connection of a stack.
pub type ConnectionId = SlotId;

/// Listeners.
impl Stack {
    /// Binds a listener to `address`; port 0 stands for a free one. Returns the address it got.
    ///
    /// # Errors
    /// Fails if the port is taken or the address is someone else's.
    pub fn bind(&mut self, address: SocketAddrV4) -> Result<SocketAddrV4, BindError> {
        let any = address.ip().is_unspecified();
        let known = self.own_address();
        if !any && known.is_some_and(|own| own != *address.ip()) {
            return Err(BindError::NotOurAddress);
        }
        let own = (!any).then_some(*address.ip());
        let backlog = self.config.limits.backlog;
        let (first, stacks) = self.port_share();
        let mut ports = EPHEMERAL_PORTS.skip(first.into()).step_by(stacks.into());
        let bound = match address.port() {
            0 => ports.find(|port| self.listeners.bind(own, *port, backlog)),
            port => self.listeners.bind(own, port, backlog).then_some(port),
        };
        let port = bound.ok_or(BindError::PortInUse)?;
        Ok(SocketAddrV4::new(*address.ip(), port))
    }

    /// Closes the listener of `port`. Connections that nobody has accepted are reset.
    pub fn unbind(&mut self, now: Instant, port: u16) {
        let Some(listener) = self.listeners.unbind(port) else {
            return;
        };
        for id in listener.ready {
            self.abort(now, id);
        }
    }

    /// Changes how much the listener of `port` takes: requests and connections that wait to be accepted, and connections
    /// at a time. Requests beyond are dropped, and their peers ask again.
    pub fn limit(&mut self, port: u16, backlog: Option<usize>, connections: Option<usize>) {
        let Some(listener) = self.listeners.get_mut(port) else {
            return;
        };
        if let Some(backlog) = backlog {
            listener.backlog = backlog;
        }
        if let Some(connections) = connections {
            listener.set_limit(connections);
        }
    }

    /// Whether [`accept`](Self::accept) would answer at once.
    pub fn can_accept(&mut self, port: u16) -> bool {
        let listener = self.listeners.get_mut(port);
        listener.is_none_or(|listener| !listener.ready.is_empty())
    }

    /// Takes the oldest connection of the listener of `port`, or keeps `waker` until there is one.
    ///
    /// `ticket` is the caller's place in the line; [`leave_line`](Self::leave_line) gives it up.
    pub fn accept(
        &mut self,
        port: u16,
        ticket: &mut Option<u64>,
        waker: &Waker,
    ) -> Poll<Result<ConnectionId, AcceptError>> {
        let Some(listener) = self.listeners.get_mut(port) else {
            return Poll::Ready(Err(AcceptError::Closed));
        };
        let Some(id) = listener.ready.pop_front() else {
            *ticket = Some(listener.wait(*ticket, waker));
            return Poll::Pending;
        };
        if let Some(connection) = self.connections.get_mut(id) {
            connection.stage = Stage::Open;
        }
        Poll::Ready(Ok(id))
    }

    /// Gives up a place in the line for connections of `port`.
    pub fn leave_line(&mut self, port: u16, ticket: u64) {
        if let Some(listener) = self.listeners.get_mut(port) {
            listener.leave(ticket);
        }
    }
}

/// Connections.
impl Stack {
    /// Asks `remote` for a connection; [`poll_connected`](Self::poll_connected) tells the outcome.
    ///
    /// # Errors
    /// Fails if `remote` cannot be reached from here or there is no port or memory left.
    pub fn connect(
        &mut self,
        now: Instant,
        remote: impl Into<SocketAddr>,
    ) -> Result<ConnectionId, ConnectError> {
        let (local, remote) = match remote.into() {
            SocketAddr::V4(remote) => (self.own_address(), remote),
            SocketAddr::V6(remote) => {
                let ends = self.stand_in(now, *remote.ip());
                let (local, peer) = ends.ok_or(ConnectError::Unreachable)?;
                (Some(local), SocketAddrV4::new(peer, remote.port()))
            }
        };
        let local = local.ok_or(ConnectError::Unreachable)?;
        if !address::is_unicast(*remote.ip()) || remote.port() == 0 || *remote.ip() == local {
            return Err(ConnectError::Unreachable);
        }
        let is_full = self.connections.len() >= self.config.limits.connections;
        if is_full || !self.make_room_for_rings(now) {
            return Err(ConnectError::NoResources);
        }
        let tuple = self
            .choose_port(local, remote)
            .ok_or(ConnectError::NoResources)?;
        let isn = self.secrets.initial_sequence(&tuple, now.as_nanos() / 1000);
        let lone = birth::connecting(&self.config, &tuple, isn, clock::to_smoltcp(now))
            .ok_or(ConnectError::NoResources)?;
        let mut connection = Connection::new(now, lone, tuple, isn, 0);
        connection.stage = Stage::Connecting;
        let offset = self.clock_offset(&tuple);
        connection.timestamps = Slot::new(offset.map(|offset| Timestamps::new(now, offset, 0)));
        // The SYN takes a number.
        connection.delivered = isn.wrapping_add(1);
        connection.deadline = Some(now + self.config.times.connect);
        let id = self.connections.insert(connection);
        self.account((0, 0), self.first_rings());
        self.demux.set(tuple, Target::Connection(id));
        self.send(now, id);
        self.rouse();
        Ok(id)
    }

    /// Chooses a port that makes a new tuple, by a walk from a secret place (RFC 6056, 3.3.3).
    fn choose_port(&mut self, local: Ipv4Addr, remote: SocketAddrV4) -> Option<Tuple> {
        // The stacks of several cores have every so many ports each, so that none takes the tuple of another.
        let (own, stacks) = self.port_share();
        let (first, last) = (*EPHEMERAL_PORTS.start() + own, *EPHEMERAL_PORTS.end());
        let count = u64::from((last - first) / stacks) + 1;
        let peer = u64::from(remote.ip().to_bits()) << 16 | u64::from(remote.port());
        let offset = u64::from(random::low_word(self.secrets.port.hash(1, peer)));
        for _ in 0..count {
            let step = (offset + self.ports_used) % count;
            self.ports_used += 1;
            let tuple = Tuple {
                local,
                remote: *remote.ip(),
                local_port: first + stacks * u16::try_from(step).unwrap_or(u16::MAX),
                remote_port: remote.port(),
            };
            if self.demux.find(&tuple).is_none() {
                return Some(tuple);
            }
        }
        None
    }

    /// Tells whether `id` is connected, or keeps `waker` until that is known.
    pub fn poll_connected(
        &mut self,
        id: ConnectionId,
        waker: &Waker,
    ) -> Poll<Result<(), ConnectError>> {
        let Some(connection) = self.connections.get_mut(id) else {
            return Poll::Ready(Err(ConnectError::Aborted));
        };
        let state = connection.socket().state();
        if connection::is_opening(state) {
            keep(&mut connection.writer, waker);
            return Poll::Pending;
        }
        Poll::Ready(match (state, connection.end) {
            (tcp::State::Closed, Some(End::Reset)) => Err(ConnectError::Refused),
            (tcp::State::Closed, Some(End::TimedOut)) => Err(ConnectError::TimedOut),
            (tcp::State::Closed, _) => Err(ConnectError::Aborted),
            _ => Ok(()),
        })
    }

    /// Reads into `buffer`; 0 bytes mean the end of the stream. Keeps `waker` if there is nothing yet.
    pub fn read(
        &mut self,
        id: ConnectionId,
        buffer: &mut [u8],
        waker: &Waker,
    ) -> Poll<Result<usize, ReadError>> {
        self.read_with(id, waker, |connection| {
            let read = connection.socket_mut().recv_slice(buffer)?;
            Ok((read, read, read == 0 && !buffer.is_empty()))
        })
    }

    /// Shows `look` the received bytes that lie in one piece, and takes as many as it says.
    ///
    /// An empty slice means the end of the stream.
    pub fn read_in_place(
        &mut self,
        id: ConnectionId,
        waker: &Waker,
        look: impl FnOnce(&[u8]) -> usize,
    ) -> Poll<Result<usize, ReadError>> {
        self.read_with(id, waker, |connection| {
            if !connection.socket().can_recv() && connection.socket().may_recv() {
                return Ok((0, 0, true));
            }
            connection.socket_mut().recv(|bytes| {
                let taken = look(bytes).min(bytes.len());
                (taken, (taken, taken, false))
            })
        })
    }

    /// Reads through `take`, which returns what it took, the answer, and whether to wait.
    fn read_with(
        &mut self,
        id: ConnectionId,
        waker: &Waker,
        take: impl FnOnce(&mut Connection) -> Result<(usize, usize, bool), tcp::RecvError>,
    ) -> Poll<Result<usize, ReadError>> {
        let Some(connection) = self.connections.get_mut(id) else {
            return Poll::Ready(Err(ReadError::ConnectionAborted));
        };
        if connection.read_shut {
            return Poll::Ready(Ok(0));
        }
        match take(connection) {
            Ok((_, _, true)) => {
                keep(&mut connection.reader, waker);
                Poll::Pending
            }
            Ok((taken, answer, false)) => {
                connection.consumed += taken;
                if connection.consumed >= connection.socket().recv_capacity() / 2 {
                    // The peer should hear of the larger window.
                    self.touch(id);
                    self.rouse();
                }
                Poll::Ready(Ok(answer))
            }
            Err(tcp::RecvError::Finished) => Poll::Ready(Ok(0)),
            Err(tcp::RecvError::InvalidState) => {
                if connection::is_opening(connection.socket().state()) {
                    keep(&mut connection.reader, waker);
                    return Poll::Pending;
                }
                Poll::Ready(Err(connection
                    .end
                    .map_or(ReadError::ConnectionAborted, read_error)))
            }
        }
    }

    /// Writes what fits of `bytes` and sends it at once, or keeps `waker` until something fits.
    pub fn write(
        &mut self,
        now: Instant,
        id: ConnectionId,
        bytes: &[u8],
        waker: &Waker,
    ) -> Poll<Result<usize, WriteError>> {
        let is_awake = self.wake(now, id);
        let Some(connection) = self.connections.get_mut(id) else {
            return Poll::Ready(Err(WriteError::ConnectionAborted));
        };
        if connection.finishing {
            return Poll::Ready(Err(WriteError::ShutDown));
        }
        let socket = connection.socket();
        let is_draining = connection.draining && socket.may_send() && socket.send_queue() > 0;
        if is_draining || !is_awake {
            keep(&mut connection.writer, waker);
            return Poll::Pending;
        }
        match connection.socket_mut().send_slice(bytes) {
            Ok(0) if !bytes.is_empty() => {
                keep(&mut connection.writer, waker);
                Poll::Pending
            }
            Ok(written) => {
                self.send(now, id);
                self.rouse();
                Poll::Ready(Ok(written))
            }
            Err(tcp::SendError::InvalidState) => {
                if connection::is_opening(connection.socket().state()) {
                    keep(&mut connection.writer, waker);
                    return Poll::Pending;
                }
                Poll::Ready(Err(match connection.end {
                    Some(End::Reset) => WriteError::ConnectionReset,
                    Some(End::TimedOut) => WriteError::ConnectionTimedOut,
                    Some(End::Aborted) => WriteError::ConnectionAborted,
                    None => WriteError::ShutDown,
                }))
            }
        }
    }

    /// Whether [`read`](Self::read) would answer at once.
    pub fn can_read(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(id);
        connection.is_none_or(|connection| connection.read_shut || connection.is_readable())
    }

    /// Whether [`write`](Self::write) would answer at once.
    pub fn can_write(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(id);
        connection.is_none_or(Connection::takes_bytes)
    }

    /// Tells that the peer has acknowledged everything and the end of the stream, or never will; keeps `waker` until then.
    pub fn poll_delivered(&mut self, id: ConnectionId, waker: &Waker) -> Poll<()> {
        match self.connections.get_mut(id) {
            Some(connection) if !connection.has_delivered_all() => {
                keep(&mut connection.writer, waker);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// How a connection has ended, when not by the end of both streams.
    pub fn error(&self, id: ConnectionId) -> Option<ReadError> {
        self.connections.get(id)?.end.map(read_error)
    }

    /// Shuts down one half of a connection, or both.
    pub fn shutdown(&mut self, now: Instant, id: ConnectionId, how: Shutdown) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if how != Shutdown::Write {
            connection.read_shut = true;
        }
        if how != Shutdown::Read {
            let is_awake = self.wake(now, id);
            let Some(connection) = self.connections.get_mut(id) else {
                return;
            };
            if is_awake {
                connection.finish();
            } else {
                // There is no memory for what the peer has still to say.
                connection.abort();
            }
            self.send(now, id);
            self.rouse();
        }
    }

    /// Lets go of a connection. What was written is still delivered and followed by a FIN; if something was
    /// received and never read, the peer is told by a reset that it is lost (RFC 9293, 3.6.1).
    pub fn close(&mut self, now: Instant, id: ConnectionId) {
        let crowded = self.orphans >= self.config.limits.orphans;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if crowded || connection.socket().recv_queue() > 0 {
            return self.abort(now, id);
        }
        connection.finish();
        self.orphan(now, id);
    }

    /// Lets go of a connection with a reset.
    pub fn abort(&mut self, now: Instant, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.abort();
        self.orphan(now, id);
    }

    fn orphan(&mut self, now: Instant, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if !connection.attached {
            self.remove(id);
            return;
        }
        if connection.stage == Stage::Orphan {
            return;
        }
        connection.stage = Stage::Orphan;
        connection.deadline = Some(now + self.config.times.orphan);
        (connection.reader, connection.writer) = (None, None);
        self.orphans += 1;
        self.send(now, id);
        self.rouse();
    }

    /// The address of the peer.
    pub fn peer_addr(&self, id: ConnectionId) -> Option<SocketAddr> {
        Some(self.ends(id)?.0)
    }

    fn ends(&self, id: ConnectionId) -> Option<(SocketAddr, SocketAddr)> {
        let tuple = &self.connections.get(id)?.tuple;
        let peer = SocketAddrV4::new(tuple.remote, tuple.remote_port);
        let local = SocketAddrV4::new(tuple.local, tuple.local_port);
        Some(self.meant(peer, local))
    }

    /// Our address.
    pub fn local_addr(&self, id: ConnectionId) -> Option<SocketAddr> {
        Some(self.ends(id)?.1)
    }

    /// Switches Nagle's algorithm off (`true`, as it is from the start) or on.
    pub fn set_nodelay(&mut self, id: ConnectionId, nodelay: bool) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.socket_mut().set_nagle_enabled(!nodelay);
        }
    }

    /// Whether Nagle's algorithm is off.
    pub fn nodelay(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(id);
        connection.is_none_or(|connection| !connection.socket().nagle_enabled())
    }

    /// Asks a silent peer for a sign of life after each `interval`, or never.
    pub fn set_keepalive(&mut self, id: ConnectionId, interval: Option<Duration>) {
        if let Some(connection) = self.connections.get_mut(id) {
            let interval = interval.map(clock::to_smoltcp_duration);
            connection.socket_mut().set_keep_alive(interval);
            self.touch(id);
            self.rouse();
        }
    }
}

fn read_error(end: End) -> ReadError {
    match end {
        End::Reset => ReadError::ConnectionReset,
        End::TimedOut => ReadError::ConnectionTimedOut,
        End::Aborted => ReadError::ConnectionAborted,
    }
}

/// Keeps `waker` in place of whoever waited before.
pub(crate) fn keep(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(old) if old.will_wake(waker) => {}
        _ => *slot = Some(waker.clone()),
    }
}
