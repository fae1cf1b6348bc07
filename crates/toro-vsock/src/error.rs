//! Why a port is not bound, and why there is no connection; what goes wrong with a stream is in `toro-stream`.

use toro_stream::describe;

/// Why a port could not be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindError {
    /// Another listener has the port.
    PortInUse,
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

describe!(BindError {
    PortInUse => "the port is in use",
    NoStack => "this core has no socket device",
});
describe!(ConnectError {
    Refused => "connection refused",
    TimedOut => "the peer does not answer",
    NoResources => "too many connections",
    Aborted => "connection aborted",
    NoStack => "this core has no socket device",
});
