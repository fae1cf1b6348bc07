//! The traits of `embedded-io` and `embedded-io-async` for [`VsockStream`].
//!
//! The blocking ones know time-outs and streams that are not to wait; those for futures always wait.

use core::fmt;
use core::future::poll_fn;

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};

use crate::error::{ReadError, WriteError};
use crate::stream::VsockStream;

/// What went wrong with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// A read failed.
    Read(ReadError),
    /// A write failed.
    Write(WriteError),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Write(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for StreamError {}

impl embedded_io::Error for StreamError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Read(error) => match error {
                ReadError::ConnectionReset => ErrorKind::ConnectionReset,
                ReadError::ConnectionAborted => ErrorKind::ConnectionAborted,
                ReadError::ConnectionTimedOut | ReadError::TimedOut => ErrorKind::TimedOut,
                ReadError::NoStack => ErrorKind::NotConnected,
                // The traits have no word for it.
                ReadError::WouldBlock => ErrorKind::Other,
            },
            Self::Write(error) => match error {
                WriteError::ConnectionReset => ErrorKind::ConnectionReset,
                WriteError::ConnectionAborted => ErrorKind::ConnectionAborted,
                WriteError::ConnectionTimedOut | WriteError::TimedOut => ErrorKind::TimedOut,
                WriteError::PeerShutDown | WriteError::ShutDown => ErrorKind::BrokenPipe,
                WriteError::OutOfMemory => ErrorKind::OutOfMemory,
                WriteError::NoStack => ErrorKind::NotConnected,
                WriteError::WouldBlock => ErrorKind::Other,
            },
        }
    }
}

/// Implements the traits for a stream and for a reference to one: reading and writing need no more.
macro_rules! implement {
    ($($stream:ty),+) => {$(
        impl ErrorType for $stream {
            type Error = StreamError;
        }

        impl Read for $stream {
            fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamError> {
                VsockStream::read(self, buffer).map_err(StreamError::Read)
            }
        }

        impl ReadReady for $stream {
            fn read_ready(&mut self) -> Result<bool, StreamError> {
                Ok(self.can_read())
            }
        }

        impl Write for $stream {
            fn write(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
                VsockStream::write(self, bytes).map_err(StreamError::Write)
            }

            /// Does nothing: a write leaves as soon as it may.
            fn flush(&mut self) -> Result<(), StreamError> {
                Ok(())
            }
        }

        impl WriteReady for $stream {
            fn write_ready(&mut self) -> Result<bool, StreamError> {
                Ok(self.can_write())
            }
        }

        impl embedded_io_async::Read for $stream {
            async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamError> {
                poll_fn(|cx| self.poll_read(cx, buffer)).await.map_err(StreamError::Read)
            }
        }

        impl embedded_io_async::Write for $stream {
            async fn write(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
                poll_fn(|cx| self.poll_write(cx, bytes)).await.map_err(StreamError::Write)
            }

            /// Does nothing: a write leaves as soon as it may.
            async fn flush(&mut self) -> Result<(), StreamError> {
                Ok(())
            }
        }
    )+};
}

implement!(VsockStream, &VsockStream);
