//! [`sockets`]: what this core listens at and is connected to, for people.

use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::poll::with_stack;
use crate::stack::Stack;

/// A listener or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// Peers can connect to it.
    Listener {
        /// Its address, unspecified for each of ours.
        local: SocketAddrV4,
        /// Connections that wait to be accepted.
        ready: usize,
    },
    /// A connection, open or closing.
    Connection {
        /// Our address.
        local: SocketAddr,
        /// The peer's.
        peer: SocketAddr,
        /// Bytes that have arrived and were not read.
        received: usize,
        /// Bytes that were written and not acknowledged.
        unsent: usize,
        /// Whether both sides may still write.
        is_open: bool,
    },
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Listener { local, ready } => write!(f, "listens     {local}, {ready} ready"),
            Self::Connection {
                local,
                peer,
                received,
                unsent,
                is_open,
            } => {
                let state = if is_open { "open" } else { "closing" };
                write!(
                    f,
                    "{state:11} {local} {peer}, {received} bytes to read, {unsent} to send"
                )
            }
        }
    }
}

/// The sockets of this core, at most `most` of them; none without a network.
pub fn sockets(most: usize) -> Vec<Socket> {
    with_stack(|stack| stack.sockets().take(most).collect()).unwrap_or_default()
}

impl Stack {
    /// The listeners and connections; takes no memory.
    pub fn sockets(&self) -> impl Iterator<Item = Socket> {
        let listeners = self.listeners.iter().map(|listener| {
            let address = listener.address().unwrap_or(Ipv4Addr::UNSPECIFIED);
            Socket::Listener {
                local: SocketAddrV4::new(address, listener.port()),
                ready: listener.ready.len(),
            }
        });
        let places = 0..self.connections.places();
        let connections = places.filter_map(|place| {
            let (_, connection) = self.connections.at(place)?;
            let (tuple, socket) = (connection.tuple, connection.socket());
            let peer = SocketAddrV4::new(tuple.remote, tuple.remote_port);
            let local = SocketAddrV4::new(tuple.local, tuple.local_port);
            let (peer, local) = self.meant(peer, local);
            Some(Socket::Connection {
                local,
                peer,
                received: socket.recv_queue(),
                unsent: socket.send_queue(),
                is_open: socket.may_send() && socket.may_recv(),
            })
        });
        listeners.chain(connections)
    }
}
