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
    NoStack => "this core has no network",
});
describe!(WriteError {
    ConnectionReset => "connection reset by peer",
    ConnectionTimedOut => "the peer has gone silent",
    ConnectionAborted => "connection aborted",
    ShutDown => "the connection is shut down for writing",
    TimedOut => "timed out",
    NoStack => "this core has no network",
});
