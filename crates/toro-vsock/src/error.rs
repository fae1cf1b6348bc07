//! One small error per socket operation.

use core::fmt;

/// Why a port could not be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindError {
    /// Another listener has the port.
    PortInUse,
    /// This core has no socket device.
    NoStack,
}

/// Why no connection could be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptError {
    /// The listener is closed.
    Closed,
    /// Nobody waits to be accepted, and the listener is not to wait.
    WouldBlock,
    /// This core has no socket device.
    NoStack,
}

/// Why a connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The peer answered with a reset, or the connection to it was lost.
    Refused,
    /// The peer did not answer.
    TimedOut,
    /// There are too many connections.
    NoResources,
    /// The connection was given up on this side.
    Aborted,
    /// This core has no socket device.
    NoStack,
}

/// Why nothing could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The peer has reset the connection, or is gone.
    ConnectionReset,
    /// The peer does not answer any more.
    ConnectionTimedOut,
    /// The connection was given up on this side.
    ConnectionAborted,
    /// The read time-out has passed.
    TimedOut,
    /// Nothing has arrived, and the stream is not to wait.
    WouldBlock,
    /// This core has no socket device.
    NoStack,
}

/// Why nothing could be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The peer has reset the connection, or is gone.
    ConnectionReset,
    /// The peer does not answer any more.
    ConnectionTimedOut,
    /// The connection was given up on this side.
    ConnectionAborted,
    /// The peer takes no more.
    PeerShutDown,
    /// This side has shut down writing.
    ShutDown,
    /// The write time-out has passed.
    TimedOut,
    /// There is no room, and the stream is not to wait.
    WouldBlock,
    /// There is no memory for what waits to be sent.
    OutOfMemory,
    /// This core has no socket device.
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
    NoStack => "this core has no socket device",
});
describe!(AcceptError {
    Closed => "the listener is closed",
    WouldBlock => "nobody to accept yet",
    NoStack => "this core has no socket device",
});
describe!(ConnectError {
    Refused => "connection refused",
    TimedOut => "the peer does not answer",
    NoResources => "too many connections",
    Aborted => "connection aborted",
    NoStack => "this core has no socket device",
});
describe!(ReadError {
    ConnectionReset => "connection reset by peer",
    ConnectionTimedOut => "the peer does not answer any more",
    ConnectionAborted => "connection aborted",
    TimedOut => "timed out",
    WouldBlock => "nothing to read yet",
    NoStack => "this core has no socket device",
});
describe!(WriteError {
    ConnectionReset => "connection reset by peer",
    ConnectionTimedOut => "the peer does not answer any more",
    ConnectionAborted => "connection aborted",
    PeerShutDown => "the peer takes no more",
    ShutDown => "the connection is shut down for writing",
    TimedOut => "timed out",
    WouldBlock => "no room to write yet",
    OutOfMemory => "out of memory",
    NoStack => "this core has no socket device",
});
