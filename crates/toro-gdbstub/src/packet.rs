//! Frames: [`Receiver`] finds packets among bytes, [`Reply`] makes them.
//!
//! A packet is `$`, its text, `#` and two digits: the sum of the text's bytes. It is answered by `+`, or by `-` if the sum is wrong, until both
//! sides agree to leave that out. In binary text `}` says that 0x20 was taken from the byte behind it (GDB manual, E.1).

use core::fmt;

use crate::hex::{digit, letter};

/// The longest text of a packet in either direction, in bytes.
pub(crate) const PACKET_MAX: usize = 4096;

/// What a byte has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A packet with this text.
    Packet(&'a [u8]),
    /// A packet whose sum is wrong, or that is too long: to be asked for again.
    Damaged,
    /// The other side did not understand the last packet.
    Again,
    /// Ctrl-C.
    Interrupt,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Outside,
    Text,
    FirstDigit,
    SecondDigit(u8),
}

/// The state between bytes.
#[derive(Debug)]
pub struct Receiver {
    state: State,
    text: [u8; PACKET_MAX],
    len: usize,
    is_too_long: bool,
}

impl Receiver {
    /// Outside of any packet.
    pub const fn new() -> Self {
        Self {
            state: State::Outside,
            text: [0; PACKET_MAX],
            len: 0,
            is_too_long: false,
        }
    }

    /// Takes a byte; says what it has ended, if anything.
    pub fn feed(&mut self, byte: u8) -> Option<Event<'_>> {
        match self.state {
            State::Outside => match byte {
                b'$' => self.begin(),
                b'-' => return Some(Event::Again),
                3 => return Some(Event::Interrupt),
                _ => {}
            },
            State::Text => match byte {
                b'#' => self.state = State::FirstDigit,
                // The end of the one before was lost.
                b'$' => self.begin(),
                _ => match self.text.get_mut(self.len) {
                    Some(free) => {
                        *free = byte;
                        self.len += 1;
                    }
                    None => self.is_too_long = true,
                },
            },
            State::FirstDigit => self.state = State::SecondDigit(byte),
            State::SecondDigit(first) => {
                self.state = State::Outside;
                let text = &self.text[..self.len];
                let said = digit(first).zip(digit(byte)).map(|(a, b)| a << 4 | b);
                return Some(if said == Some(sum(text)) && !self.is_too_long {
                    Event::Packet(text)
                } else {
                    Event::Damaged
                });
            }
        }
        None
    }

    fn begin(&mut self) {
        self.state = State::Text;
        self.len = 0;
        self.is_too_long = false;
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

fn sum(text: &[u8]) -> u8 {
    text.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// The text of a packet to send. What does not fit is cut, and the packet becomes an error.
#[derive(Debug)]
pub struct Reply {
    text: [u8; PACKET_MAX],
    len: usize,
    is_cut: bool,
}

impl Reply {
    /// An empty one: what the protocol answers to what it does not know.
    pub const fn new() -> Self {
        Self {
            text: [0; PACKET_MAX],
            len: 0,
            is_cut: false,
        }
    }

    /// Makes it empty.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.is_cut = false;
    }

    /// Makes it say just `text`.
    pub(crate) fn set(&mut self, text: &str) {
        self.clear();
        self.bytes(text.as_bytes());
    }

    /// Makes the first byte another, if there is one.
    pub(crate) fn set_first(&mut self, byte: u8) {
        if let Some(first) = self.text[..self.len].first_mut() {
            *first = byte;
        }
    }

    /// How many bytes fit still.
    pub(crate) fn room(&self) -> usize {
        PACKET_MAX - self.len
    }

    /// Appends bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        match self.text.get_mut(self.len..self.len + bytes.len()) {
            Some(free) => {
                free.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.is_cut = true,
        }
    }

    /// Appends bytes as pairs of digits.
    pub(crate) fn hex(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.bytes(&[letter(byte >> 4), letter(*byte)]);
        }
    }

    /// Appends a byte of binary text.
    pub(crate) fn escaped(&mut self, byte: u8) {
        if b"#$}*".contains(&byte) {
            self.bytes(&[b'}', byte ^ 0x20]);
        } else {
            self.bytes(&[byte]);
        }
    }

    /// The text.
    pub fn text(&self) -> &[u8] {
        if self.is_cut {
            b"E07"
        } else {
            &self.text[..self.len]
        }
    }

    /// Sends it byte by byte.
    pub fn send(&self, mut byte: impl FnMut(u8)) {
        let sum = sum(self.text());
        byte(b'$');
        self.text().iter().copied().for_each(&mut byte);
        [b'#', letter(sum >> 4), letter(sum)]
            .into_iter()
            .for_each(byte);
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Write for Reply {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, PACKET_MAX, Receiver, Reply};

    /// What `bytes` end, in order, in words.
    fn check(bytes: &[u8], expected: &[&str]) {
        let mut receiver = Receiver::new();
        let mut events = Vec::new();
        for &byte in bytes {
            if let Some(event) = receiver.feed(byte) {
                events.push(match event {
                    Event::Packet(text) => String::from_utf8_lossy(text).into_owned(),
                    other => format!("{other:?}"),
                });
            }
        }
        assert_eq!(events, expected);
    }

    #[test]
    fn packets_are_found_among_other_bytes() {
        check(b"+$qC#b4+noise$?#3F", &["qC", "?"]);
        check(b"$$qC#b4", &["qC"]);
        check(b"-\x03", &["Again", "Interrupt"]);
        check(b"$#00", &[""]);
    }

    #[test]
    fn wrong_sums_and_long_packets_are_refused() {
        check(b"$qC#b5$qC#xx$qC#b4", &["Damaged", "Damaged", "qC"]);
        let mut long = vec![b'$'];
        long.resize(PACKET_MAX + 2, b'a');
        long.extend_from_slice(b"#00$?#3f");
        check(&long, &["Damaged", "?"]);
    }

    #[test]
    fn a_reply_can_be_received() {
        let mut reply = Reply::new();
        reply.bytes(b"OK");
        reply.hex(&[0xA5]);
        b"a#}".iter().for_each(|&byte| reply.escaped(byte));
        let mut sent = Vec::new();
        reply.send(|byte| sent.push(byte));
        check(&sent, &["OKa5a}\x03}]"]);
    }

    #[test]
    fn what_does_not_fit_becomes_an_error() {
        let mut reply = Reply::new();
        reply.bytes(&[b'a'; PACKET_MAX]);
        assert_eq!(reply.room(), 0);
        assert_eq!(reply.text().len(), PACKET_MAX);
        reply.hex(&[1]);
        assert_eq!(reply.text(), b"E07");
        reply.set("OK");
        assert_eq!(reply.text(), b"OK");
    }
}
