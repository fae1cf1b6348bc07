//! The traits of `embedded-io` for [`TcpStream`].

use core::fmt;

use embedded_io::{ErrorKind, ErrorType, Read, Write};

use crate::error::{ReadError, WriteError};
use crate::tcp::TcpStream;

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
            Self::Read(ReadError::ConnectionReset) | Self::Write(WriteError::ConnectionReset) => {
                ErrorKind::ConnectionReset
            }
            Self::Read(ReadError::ConnectionAborted)
            | Self::Write(WriteError::ConnectionAborted) => ErrorKind::ConnectionAborted,
            Self::Read(ReadError::ConnectionTimedOut | ReadError::TimedOut)
            | Self::Write(WriteError::ConnectionTimedOut | WriteError::TimedOut) => {
                ErrorKind::TimedOut
            }
            Self::Write(WriteError::ShutDown) => ErrorKind::BrokenPipe,
            Self::Read(ReadError::NoStack) | Self::Write(WriteError::NoStack) => {
                ErrorKind::NotConnected
            }
        }
    }
}

impl ErrorType for TcpStream {
    type Error = StreamError;
}

impl Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamError> {
        TcpStream::read(self, buffer).map_err(StreamError::Read)
    }
}

impl Write for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        TcpStream::write(self, bytes).map_err(StreamError::Write)
    }

    /// Does nothing: a write sends at once.
    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

impl ErrorType for &TcpStream {
    type Error = StreamError;
}

impl Read for &TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamError> {
        TcpStream::read(self, buffer).map_err(StreamError::Read)
    }
}

impl Write for &TcpStream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        TcpStream::write(self, bytes).map_err(StreamError::Write)
    }

    /// Does nothing: a write sends at once.
    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}
