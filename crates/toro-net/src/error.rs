//! One small error per socket operation.

use core::fmt;

/// Why a port could not be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindError {
    /// Another listener has the port, or every ephemeral port is taken.
    PortInUse,
    /// The address is not one of this machine.
    NotOurAddress,
    /// This core has no network.
    NoStack,
}

/// Why no connection could be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptError {
    /// The listener is closed.
    Closed,
    /// Nobody waits to be accepted, and the listener is not to wait.
    WouldBlock,
    /// This core has no network.
    NoStack,
}

/// Why a connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The peer answered with a reset.
    Refused,
    /// The peer did not answer.
    TimedOut,
    /// There is no address or no route yet, or nobody can have that address.
    Unreachable,
    /// Every port or slot is taken, or memory is short.
    NoResources,
    /// The connection was given up on this side.
    Aborted,
    /// This core has no network.
    NoStack,
}

/// Why nothing could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The peer reset the connection.
    ConnectionReset,
    /// The peer went silent.
    ConnectionTimedOut,
    /// The connection was given up on this side.
    ConnectionAborted,
    /// The read timeout has passed.
    TimedOut,
    /// Nothing has arrived, and the stream is not to wait.
    WouldBlock,
    /// This core has no network.
    NoStack,
}

/// Why nothing could be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The peer reset the connection.
    ConnectionReset,
    /// The peer went silent.
    ConnectionTimedOut,
    /// The connection was given up on this side.
    ConnectionAborted,
    /// This side has shut down writing.
    ShutDown,
    /// The write timeout has passed.
    TimedOut,
    /// There is no room, and the stream is not to wait.
    WouldBlock,
    /// This core has no network.
    NoStack,
}

/// Why a datagram could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// There is no address or no route yet, or nobody can have that address.
    Unreachable,
    /// It is longer than a packet of the card.
    TooLong,
    /// The socket is connected to nobody.
    NotConnected,
    /// The peer has said that it has no such port; told once.
    Refused,
    /// This core has no network.
    NoStack,
}

/// Why no datagram could be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveError {
    /// The read timeout has passed.
    TimedOut,
    /// Nothing has arrived, and the socket is not to wait.
    WouldBlock,
    /// The peer has said that it has no such port; told once.
    Refused,
    /// This core has no network.
    NoStack,
}

/// Why a machine has given no sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingError {
    /// There is no address or no route yet, or nobody can have that address.
    Unreachable,
    /// No answer came in time.
    TimedOut,
    /// Too many machines are asked already.
    TooMany,
    /// This core has no network.
    NoStack,
}

/// Implements `Display` and `Error` with one line per variant.
macro_rules! describe {
    ($error:ident { $($variant:ident => $text:literal,)+ }) => {
        impl fmt::Display for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)+ })
            }
        }
        impl core::error::Error for $error {}
    };
}

describe!(BindError {
    PortInUse => "the port is in use",
    NotOurAddress => "not an address of this machine",
    NoStack => "this core has no network",
});
describe!(AcceptError {
    Closed => "the listener is closed",
    WouldBlock => "nobody to accept yet",
    NoStack => "this core has no network",
});
describe!(ConnectError {
    Refused => "connection refused",
    TimedOut => "the peer does not answer",
    Unreachable => "no route to the peer",
    NoResources => "no port, slot or memory for another connection",
    Aborted => "connection aborted",
    NoStack => "this core has no network",
});
describe!(ReadError {
    ConnectionReset => "connection reset by peer",
    ConnectionTimedOut => "the peer has gone silent",
    ConnectionAborted => "connection aborted",
    TimedOut => "timed out",
    WouldBlock => "nothing to read yet",
    NoStack => "this core has no network",
});
describe!(WriteError {
    ConnectionReset => "connection reset by peer",
    ConnectionTimedOut => "the peer has gone silent",
    ConnectionAborted => "connection aborted",
    ShutDown => "the connection is shut down for writing",
    TimedOut => "timed out",
    WouldBlock => "no room to write yet",
    NoStack => "this core has no network",
});
describe!(SendError {
    Unreachable => "no route to the peer",
    TooLong => "the datagram is longer than a packet",
    NotConnected => "the socket is connected to nobody",
    Refused => "the peer has no such port",
    NoStack => "this core has no network",
});
describe!(ReceiveError {
    TimedOut => "timed out",
    WouldBlock => "no datagram yet",
    Refused => "the peer has no such port",
    NoStack => "this core has no network",
});
describe!(PingError {
    Unreachable => "no route to the machine",
    TimedOut => "the machine does not answer",
    TooMany => "too many machines are asked already",
    NoStack => "this core has no network",
});
