//! [`PortSession`]: a test image asks the host to use a console port.

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
}
