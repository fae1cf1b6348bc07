//! [`PortSession`] and [`SocketSession`]: a test image asks the host to use a console port, or its sockets.

use core::fmt;

/// What every line starts with.
const START: &str = "toro-port: ";

/// The host is to open a port, send so many bytes, expect them back, and close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSession<'a> {
    /// The name of the port.
    pub name: &'a str,
    /// How many bytes.
    pub len: usize,
}

impl<'a> PortSession<'a> {
    /// Reads a line; `None` if it is another one.
    pub fn parse(line: &'a str) -> Option<Self> {
        let (name, len) = line.strip_prefix(START)?.split_once(' ')?;
        let len = len.parse().ok()?;
        Some(Self { name, len })
    }
}

impl fmt::Display for PortSession<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{START}{} {}", self.name, self.len)
    }
}

/// What every line about sockets starts with.
const SOCKET_START: &str = "toro-vsock: ";

/// What the host is to do with the sockets of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketSession {
    /// Connect to a port, send so many bytes, expect each back, and read to the end.
    Echo {
        /// The port.
        port: u32,
        /// How many bytes.
        len: usize,
    },
    /// Connect to a port, send so many bytes, and read to the end.
    Send {
        /// The port.
        port: u32,
        /// How many bytes.
        len: usize,
    },
    /// Connect to a port, wait a while, expect so many bytes, and read to the end.
    Receive {
        /// The port.
        port: u32,
        /// How many bytes.
        len: usize,
    },
    /// End the program that the sockets lead to, without a word.
    Kill,
}

impl SocketSession {
    /// The port of the host that serves the machine: it reads what is to be done, a letter and a 64-bit number (little endian) of bytes, and
    /// does it. `e` sends them back as they come, `r` reads them after a while, and then sends one byte, `s` sends them.
    pub const HOST_PORT: u32 = 1000;

    /// Reads a line; `None` if it is another one.
    pub fn parse(line: &str) -> Option<Self> {
        let rest = line.strip_prefix(SOCKET_START)?;
        if rest == "kill" {
            return Some(Self::Kill);
        }
        let (what, rest) = rest.split_once(' ')?;
        let (port, len) = rest.split_once(' ')?;
        let (port, len) = (port.parse().ok()?, len.parse().ok()?);
        match what {
            "echo" => Some(Self::Echo { port, len }),
            "send" => Some(Self::Send { port, len }),
            "receive" => Some(Self::Receive { port, len }),
            _ => None,
        }
    }

    /// The byte number `index` of whatever is sent.
    pub fn byte(index: usize) -> u8 {
        (index.wrapping_mul(0x9e37_79b1) >> 13).to_le_bytes()[0]
    }
}

impl fmt::Display for SocketSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echo { port, len } => write!(f, "{SOCKET_START}echo {port} {len}"),
            Self::Send { port, len } => write!(f, "{SOCKET_START}send {port} {len}"),
            Self::Receive { port, len } => write!(f, "{SOCKET_START}receive {port} {len}"),
            Self::Kill => write!(f, "{SOCKET_START}kill"),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString as _;

    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written() {
        let line = PortSession {
            name: "echo",
            len: 7,
        };
        assert_eq!(line.to_string(), "toro-port: echo 7");
        assert_eq!(PortSession::parse(&line.to_string()), Some(line));
        for other in ["", "toro-port: ", "toro-port: echo x", "echo 7"] {
            assert_eq!(PortSession::parse(other), None);
        }
    }

    #[test]
    fn lines_about_sockets_are_read_as_they_are_written() {
        let (port, len) = (7, 9);
        for session in [
            SocketSession::Echo { port, len },
            SocketSession::Send { port, len },
            SocketSession::Receive { port, len },
            SocketSession::Kill,
        ] {
            assert_eq!(SocketSession::parse(&session.to_string()), Some(session));
        }
        for other in [
            "",
            "toro-vsock: ",
            "toro-vsock: echo 7",
            "toro-vsock: fly 7 9",
        ] {
            assert_eq!(SocketSession::parse(other), None);
        }
    }
}
