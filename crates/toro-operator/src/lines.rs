//! [`Lines`]: a stream of bytes as lines.

/// The longest line that is looked at, in bytes.
const LONGEST: usize = 200;

/// Gathers bytes until a line is whole. What is longer than any command is dropped whole.
#[derive(Debug)]
pub struct Lines {
    line: [u8; LONGEST],
    len: usize,
    is_too_long: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            line: [0; LONGEST],
            len: 0,
            is_too_long: false,
        }
    }
}

impl Lines {
    /// Takes `bytes` and calls `take` with each line that they complete: `None` for one that is too long or no text.
    pub fn push(&mut self, bytes: &[u8], mut take: impl FnMut(Option<&str>)) {
        for &byte in bytes {
            match byte {
                b'\n' => {
                    let line = core::str::from_utf8(&self.line[..self.len]);
                    take(line.ok().filter(|_| !self.is_too_long));
                    (self.len, self.is_too_long) = (0, false);
                }
                // A terminal's keys: backspace, and the line so far.
                0x08 | 0x7F => self.len = self.len.saturating_sub(1),
                0x15 => self.len = 0,
                _ if self.len == LONGEST => self.is_too_long = true,
                _ => {
                    self.line[self.len] = byte;
                    self.len += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::{String, ToString as _};
    use std::vec::Vec;

    use super::*;

    fn check(pieces: &[&[u8]], expected: &[Option<&str>]) {
        let mut lines = Lines::default();
        let mut seen: Vec<Option<String>> = Vec::new();
        for piece in pieces {
            lines.push(piece, |line| seen.push(line.map(str::to_string)));
        }
        let seen: Vec<Option<&str>> = seen.iter().map(Option::as_deref).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn lines_come_in_pieces_and_together() {
        check(
            &[b"p", b"s\nm", b"em\n\nlo"],
            &[Some("ps"), Some("mem"), Some("")],
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped_whole() {
        let long = [b'x'; 1000];
        check(&[&long, &long, b"\nps\n"], &[None, Some("ps")]);
    }

    #[test]
    fn bytes_that_are_no_text_are_no_line() {
        check(&[b"\xFF\nps\n"], &[None, Some("ps")]);
    }

    #[test]
    fn a_terminal_can_take_back() {
        check(
            &[b"px\x7Fs\n", b"shutdown\x15ps\n", b"\x08\x08ps\n"],
            &[Some("ps"); 3],
        );
    }
}
