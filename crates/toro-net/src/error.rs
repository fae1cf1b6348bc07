//! One small error per socket operation.

use toro_stream::describe;

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

describe!(BindError {
    PortInUse => "the port is in use",
    NotOurAddress => "not an address of this machine",
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
