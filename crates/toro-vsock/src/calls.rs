//! What sockets ask of the stack. Calls never wait: they answer `Pending` and keep the waker.

use core::task::{Poll, Waker};

use toro_dev::socket::{Op, VsockAddr, shut};
use toro_queue::slab::SlotId;
use toro_stream::{AcceptError, ReadError, Shutdown, WriteError};
use toro_time::Instant;

use crate::config::EPHEMERAL_PORTS;
use crate::connection::{Connection, End, Key, Stage};
use crate::error::{BindError, ConnectError};
use crate::stack::{Listener, Stack};

/// Names a connection of a stack.
pub type ConnectionId = SlotId;

/// Listeners.
impl Stack {
    /// Binds a listener to `port`; 0 stands for a free one. Returns the port it got.
    ///
    /// # Errors
    /// Fails if the port is taken.
    pub fn bind(&mut self, port: u32) -> Result<u32, BindError> {
        let port = match port {
            0 => self.choose_port(|stack, port| stack.listeners.contains_key(&port)),
            port => port,
        };
        if self.listeners.contains_key(&port) {
            return Err(BindError::PortInUse);
        }
        self.listeners.insert(port, Listener::default());
        Ok(port)
    }

    /// Closes the listener of `port`. Connections that nobody has accepted are reset.
    pub fn unbind(&mut self, port: u32) {
        let Some(mut listener) = self.listeners.remove(&port) else {
            return;
        };
        listener.wake();
        for id in listener.ready {
            self.abort(id);
        }
    }

    /// Takes the oldest connection of the listener of `port`, or keeps `waker` until there is one.
    pub fn accept(&mut self, port: u32, waker: &Waker) -> Poll<Result<ConnectionId, AcceptError>> {
        let Some(listener) = self.listeners.get_mut(&port) else {
            return Poll::Ready(Err(AcceptError::Closed));
        };
        let Some(id) = listener.ready.pop_front() else {
            if !listener
                .acceptors
                .iter()
                .any(|known| known.will_wake(waker))
            {
                listener.acceptors.push(waker.clone());
            }
            return Poll::Pending;
        };
        if let Some(connection) = self.connections.get_mut(id) {
            connection.stage = Stage::Open;
        }
        Poll::Ready(Ok(id))
    }

    /// The next port for which `is_taken` is false: there are more ports than connections and listeners.
    fn choose_port(&mut self, is_taken: impl Fn(&Self, u32) -> bool) -> u32 {
        loop {
            let port = self.next_port;
            self.next_port = port.wrapping_add(1);
            if !EPHEMERAL_PORTS.contains(&port) {
                self.next_port = *EPHEMERAL_PORTS.start();
            } else if !is_taken(self, port) {
                return port;
            }
        }
    }
}

/// Connections.
impl Stack {
    /// Asks `peer` for a connection; [`poll_connected`](Self::poll_connected) tells the outcome.
    ///
    /// # Errors
    /// Fails if there are too many.
    pub fn connect(&mut self, now: Instant, peer: VsockAddr) -> Result<ConnectionId, ConnectError> {
        if self.connections.len() >= self.config.limits.connections {
            return Err(ConnectError::NoResources);
        }
        let port = self.choose_port(|stack, port| stack.keys.contains_key(&Key { port, peer }));
        let key = Key { port, peer };
        let buffers = &self.config.buffers;
        let mut connection = Connection::new(key, Stage::Connecting, Op::Request, buffers, now);
        connection.deadline = Some(now + self.config.times.connect);
        let id = self.insert(connection);
        self.rouse();
        Ok(id)
    }

    /// Whether the peer has answered; keeps `waker` if not.
    pub fn poll_connected(
        &mut self,
        id: ConnectionId,
        waker: &Waker,
    ) -> Poll<Result<(), ConnectError>> {
        let Some(connection) = self.connections.get_mut(id) else {
            return Poll::Ready(Err(ConnectError::Aborted));
        };
        if connection.stage != Stage::Connecting {
            return Poll::Ready(Ok(()));
        }
        match connection.end {
            None => {
                keep(&mut connection.writer, waker);
                Poll::Pending
            }
            Some(End::TimedOut) => Poll::Ready(Err(ConnectError::TimedOut)),
            Some(End::Aborted) => Poll::Ready(Err(ConnectError::Aborted)),
            Some(End::Reset | End::Finished) => Poll::Ready(Err(ConnectError::Refused)),
        }
    }

    /// Reads into `buffer`; 0 bytes mean the end of the stream. Keeps `waker` if there is nothing yet.
    pub fn read(
        &mut self,
        id: ConnectionId,
        buffer: &mut [u8],
        waker: &Waker,
    ) -> Poll<Result<usize, ReadError>> {
        self.read_in_place(id, waker, |bytes| {
            let len = bytes.len().min(buffer.len());
            buffer[..len].copy_from_slice(&bytes[..len]);
            len
        })
    }

    /// Shows `look` all that has arrived, and takes as many bytes as it says. An empty slice means the end of the stream.
    pub fn read_in_place(
        &mut self,
        id: ConnectionId,
        waker: &Waker,
        look: impl FnOnce(&[u8]) -> usize,
    ) -> Poll<Result<usize, ReadError>> {
        let Some(connection) = self.connections.get_mut(id) else {
            return Poll::Ready(Err(ReadError::ConnectionAborted));
        };
        if connection.wants_shut & shut::RECEIVE != 0 {
            look(&[]);
            return Poll::Ready(Ok(0));
        }
        if connection.input.is_empty() {
            if connection.has_peer_ended() {
                look(&[]);
                return Poll::Ready(Ok(0));
            }
            return match connection.end {
                None | Some(End::Finished) => {
                    keep(&mut connection.reader, waker);
                    Poll::Pending
                }
                Some(End::Reset) => Poll::Ready(Err(ReadError::ConnectionReset)),
                Some(End::TimedOut) => Poll::Ready(Err(ReadError::ConnectionTimedOut)),
                Some(End::Aborted) => Poll::Ready(Err(ReadError::ConnectionAborted)),
            };
        }
        let input = connection.input.bytes();
        let len = look(input).min(input.len());
        connection.take(len);
        if connection.due.update {
            self.touch(id);
            self.rouse();
        }
        self.confirm_end(id);
        Poll::Ready(Ok(len))
    }

    /// Whether a read would not wait.
    pub fn can_read(&self, id: ConnectionId) -> bool {
        self.connections.get(id).is_none_or(|connection| {
            let has_ended = connection.has_peer_ended() || connection.end.is_some();
            let is_shut = connection.wants_shut & shut::RECEIVE != 0;
            !connection.input.is_empty() || has_ended || is_shut
        })
    }

    /// Sends what the peer has room for, keeps what fits, and says how much that is; or keeps `waker` until something does.
    pub fn write(
        &mut self,
        id: ConnectionId,
        bytes: &[u8],
        waker: &Waker,
    ) -> Poll<Result<usize, WriteError>> {
        let Some(connection) = self.connections.get(id) else {
            return Poll::Ready(Err(WriteError::ConnectionAborted));
        };
        if let Some(error) = write_error(connection) {
            return Poll::Ready(Err(error));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut done = self.send_at_once(id, bytes);
        let Some(connection) = self.connections.get_mut(id) else {
            return Poll::Ready(Err(WriteError::ConnectionAborted));
        };
        let rest = &bytes[done..];
        let kept = &rest[..rest.len().min(connection.output.room())];
        match connection.output.push(kept) {
            Ok(()) => done += kept.len(),
            Err(_) if done == 0 => return Poll::Ready(Err(WriteError::OutOfMemory)),
            Err(_) => {}
        }
        if done == 0 {
            keep(&mut connection.writer, waker);
            return Poll::Pending;
        }
        self.touch(id);
        self.rouse();
        Poll::Ready(Ok(done))
    }

    /// Whether a write would not wait.
    pub fn can_write(&self, id: ConnectionId) -> bool {
        self.connections.get(id).is_none_or(|connection| {
            connection.output.room() > 0 || write_error(connection).is_some()
        })
    }

    /// Shuts down one half of a connection, or both.
    pub fn shutdown(&mut self, id: ConnectionId, how: Shutdown) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.wants_shut |= match how {
            Shutdown::Read => shut::RECEIVE,
            Shutdown::Write => shut::SEND,
            Shutdown::Both => shut::BOTH,
        };
        if connection.wants_shut & shut::RECEIVE != 0 {
            let len = connection.input.len();
            connection.take(len);
        }
        connection.wake();
        self.touch(id);
        self.confirm_end(id);
        self.rouse();
    }

    /// Lets go of a connection. What was written is still delivered, and then the peer is told that it was all.
    pub fn close(&mut self, now: Instant, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.end.is_some() {
            return self.forget(id);
        }
        if connection.stage == Stage::Connecting {
            return self.abort(id);
        }
        connection.stage = Stage::Orphan;
        connection.deadline = Some(now + self.config.times.linger);
        self.shutdown(id, Shutdown::Both);
        self.arm(id);
    }

    /// Lets go of a connection with a reset.
    pub fn abort(&mut self, id: ConnectionId) {
        self.reset(id, End::Aborted);
        self.forget(id);
        self.rouse();
    }

    /// The address of the peer.
    pub fn peer_addr(&self, id: ConnectionId) -> Option<VsockAddr> {
        Some(self.connections.get(id)?.key.peer)
    }

    /// Our address.
    pub fn local_addr(&self, id: ConnectionId) -> Option<VsockAddr> {
        let port = self.connections.get(id)?.key.port;
        Some(VsockAddr {
            cid: self.cid(),
            port,
        })
    }
}

/// Why nothing can be written, if that is so.
fn write_error(connection: &Connection) -> Option<WriteError> {
    match connection.end {
        Some(End::Reset) => Some(WriteError::ConnectionReset),
        Some(End::TimedOut) => Some(WriteError::ConnectionTimedOut),
        Some(End::Aborted) => Some(WriteError::ConnectionAborted),
        _ if connection.wants_shut & shut::SEND != 0 => Some(WriteError::ShutDown),
        _ => (!connection.is_heard()).then_some(WriteError::PeerShutDown),
    }
}

/// Keeps `waker` in place of whoever waited before.
fn keep(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(old) if old.will_wake(waker) => {}
        _ => *slot = Some(waker.clone()),
    }
}
