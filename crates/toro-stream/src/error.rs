//! One small error per operation of a stream.

/// Why no connection could be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptError {
    /// The listener is closed.
    Closed,
    /// Nobody waits to be accepted, and the listener is not to wait.
    WouldBlock,
    /// This core has no device for it.
    NoStack,
}

/// Why nothing could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The peer has reset the connection, or is gone.
    ConnectionReset,
    /// The peer went silent.
    ConnectionTimedOut,
    /// The connection was given up on this side.
    ConnectionAborted,
    /// The read time-out has passed.
    TimedOut,
    /// Nothing has arrived, and the stream is not to wait.
    WouldBlock,
    /// This core has no device for it.
    NoStack,
}

/// Why nothing could be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The peer has reset the connection, or is gone.
    ConnectionReset,
    /// The peer went silent.
    ConnectionTimedOut,
    /// The connection was given up on this side.
    ConnectionAborted,
    /// The peer has said that it takes no more; TCP cannot say that.
    PeerShutDown,
    /// This side has shut down writing.
    ShutDown,
    /// The write time-out has passed.
    TimedOut,
    /// There is no room, and the stream is not to wait.
    WouldBlock,
    /// There is no memory for what waits to be sent.
    OutOfMemory,
    /// This core has no device for it.
    NoStack,
}

/// Implements `Display` and `Error` with one line per variant.
#[macro_export]
macro_rules! describe {
    ($error:ident { $($variant:ident => $text:literal,)+ }) => {
        impl ::core::fmt::Display for $error {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)+ })
            }
        }
        impl ::core::error::Error for $error {}
    };
}

describe!(AcceptError {
    Closed => "the listener is closed",
    WouldBlock => "nobody to accept yet",
    NoStack => "this core has no such device",
});
describe!(ReadError {
    ConnectionReset => "connection reset by peer",
    ConnectionTimedOut => "the peer has gone silent",
    ConnectionAborted => "connection aborted",
    TimedOut => "timed out",
    WouldBlock => "nothing to read yet",
    NoStack => "this core has no such device",
});
describe!(WriteError {
    ConnectionReset => "connection reset by peer",
    ConnectionTimedOut => "the peer has gone silent",
    ConnectionAborted => "connection aborted",
    PeerShutDown => "the peer takes no more",
    ShutDown => "the connection is shut down for writing",
    TimedOut => "timed out",
    WouldBlock => "no room to write yet",
    OutOfMemory => "out of memory",
    NoStack => "this core has no such device",
});
