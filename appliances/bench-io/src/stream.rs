//! [`Stream`]: a connection over TCP or vsock, and what is done with its bytes.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use toro::net::TcpStream;
use toro::vsock::VsockStream;

/// Bytes that are read at a time.
const READ: usize = 64 << 10;

/// What both kinds of connections can do.
pub(crate) trait Stream {
    /// Reads what there is, at least a byte; 0 at the end.
    fn read(&self, bytes: &mut [u8]) -> Result<usize, String>;

    /// Writes all of `bytes`.
    fn write_all(&self, bytes: &[u8]) -> Result<(), String>;
}

impl Stream for TcpStream {
    fn read(&self, bytes: &mut [u8]) -> Result<usize, String> {
        Self::read(self, bytes).map_err(|error| format!("read: {error}"))
    }

    fn write_all(&self, bytes: &[u8]) -> Result<(), String> {
        Self::write_all(self, bytes).map_err(|error| format!("write: {error}"))
    }
}

impl Stream for VsockStream {
    fn read(&self, bytes: &mut [u8]) -> Result<usize, String> {
        Self::read(self, bytes).map_err(|error| format!("read: {error}"))
    }

    fn write_all(&self, bytes: &[u8]) -> Result<(), String> {
        Self::write_all(self, bytes).map_err(|error| format!("write: {error}"))
    }
}

/// The line that a client sends, without its end; `None` if there is none.
pub(crate) fn read_line<'a>(stream: &impl Stream, line: &'a mut [u8]) -> Option<&'a str> {
    let mut len = 0;
    while stream.read(line.get_mut(len..=len)?) == Ok(1) {
        if line[len] == b'\n' {
            return core::str::from_utf8(&line[..len]).ok();
        }
        len += 1;
    }
    None
}

/// Writes `count` pieces of `len` bytes.
pub(crate) fn send(stream: &impl Stream, len: usize, count: u64) -> Result<(), String> {
    let bytes = vec![b'x'; len];
    (0..count).try_for_each(|_| stream.write_all(&bytes))
}

/// Reads `count` pieces of `len` bytes, however they come.
pub(crate) fn receive(stream: &impl Stream, len: usize, count: u64) -> Result<(), String> {
    let mut bytes = vec![0; READ];
    let mut left = len as u64 * count;
    while left > 0 {
        match stream.read(&mut bytes)? {
            0 => return Err(format!("the stream ended {left} bytes early")),
            read => left = left.saturating_sub(read as u64),
        }
    }
    Ok(())
}

/// Sends back `count` pieces of `len` bytes, each when it is whole.
pub(crate) fn echo(stream: &impl Stream, len: usize, count: u64) -> Result<(), String> {
    let mut bytes = vec![0; len];
    for _ in 0..count {
        let mut filled = 0;
        while filled < len {
            match stream.read(&mut bytes[filled..])? {
                0 => return Err(String::from("the stream ended early")),
                read => filled += read,
            }
        }
        stream.write_all(&bytes)?;
    }
    Ok(())
}
