//! The traits of `embedded-io` and `embedded-io-async`.
//!
//! The blocking ones know time-outs and streams that are not to wait; those for futures always wait.

use core::fmt;

use embedded_io::ErrorKind;

use crate::error::{ReadError, WriteError};

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

/// Implements the traits for a stream, and for a reference to one: reading and writing need no more.
///
/// The stream has `read`, `write`, `can_read`, `can_write`, `poll_read` and `poll_write`, all with `&self`. Flushing does nothing:
/// a write leaves as soon as it may.
#[macro_export]
macro_rules! implement_io {
    ($stream:ident) => {
        $crate::implement_io!($stream, $stream);
        $crate::implement_io!($stream, &$stream);
    };
    ($name:ident, $stream:ty) => {
        impl $crate::names::embedded_io::ErrorType for $stream {
            type Error = $crate::StreamError;
        }

        impl $crate::names::embedded_io::Read for $stream {
            fn read(&mut self, buffer: &mut [u8]) -> Result<usize, $crate::StreamError> {
                $name::read(self, buffer).map_err($crate::StreamError::Read)
            }
        }

        impl $crate::names::embedded_io::ReadReady for $stream {
            fn read_ready(&mut self) -> Result<bool, $crate::StreamError> {
                Ok(self.can_read())
            }
        }

        impl $crate::names::embedded_io::Write for $stream {
            fn write(&mut self, bytes: &[u8]) -> Result<usize, $crate::StreamError> {
                $name::write(self, bytes).map_err($crate::StreamError::Write)
            }

            fn flush(&mut self) -> Result<(), $crate::StreamError> {
                Ok(())
            }
        }

        impl $crate::names::embedded_io::WriteReady for $stream {
            fn write_ready(&mut self) -> Result<bool, $crate::StreamError> {
                Ok(self.can_write())
            }
        }

        impl $crate::names::embedded_io_async::Read for $stream {
            async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, $crate::StreamError> {
                let read = ::core::future::poll_fn(|cx| self.poll_read(cx, buffer));
                read.await.map_err($crate::StreamError::Read)
            }
        }

        impl $crate::names::embedded_io_async::Write for $stream {
            async fn write(&mut self, bytes: &[u8]) -> Result<usize, $crate::StreamError> {
                let written = ::core::future::poll_fn(|cx| self.poll_write(cx, bytes));
                written.await.map_err($crate::StreamError::Write)
            }

            async fn flush(&mut self) -> Result<(), $crate::StreamError> {
                Ok(())
            }
        }
    };
}
