//! [`Reply`]: answers, written into a slice of the caller.

use crate::number::{DIGITS_MAX, write_integer};

/// No header of a reply is longer: a sign, a number and a line end.
pub const HEADER_MAX: usize = DIGITS_MAX + 3;

/// Replies at the start of a slice. What does not fit is cut off, so the caller brings enough room.
#[derive(Debug)]
pub struct Reply<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl<'a> Reply<'a> {
    /// Begins to write at the start of `bytes`.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    /// How much was written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `+OK`, or another line that says that it went well.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        self.put(b"+");
        self.put(text.as_bytes());
        self.put(b"\r\n");
    }

    /// An error: a word in capitals and what happened, in one line.
    pub fn error(&mut self, parts: &[&str]) {
        self.put(b"-");
        for part in parts {
            self.put(part.as_bytes());
        }
        self.put(b"\r\n");
    }

    /// A number.
    pub fn integer(&mut self, value: i64) {
        self.number(b':', value);
    }

    /// Nothing: the key is not there.
    pub fn null(&mut self) {
        self.put(b"$-1\r\n");
    }

    /// A string of any bytes.
    #[inline]
    pub fn bulk(&mut self, value: &[u8]) {
        self.bulk_header(value.len());
        self.put(value);
        self.put(b"\r\n");
    }

    /// What stands in front of a string of `len` bytes that the caller writes itself, with a line end behind it.
    #[inline]
    pub fn bulk_header(&mut self, len: usize) {
        self.number(b'$', i64::try_from(len).unwrap_or(i64::MAX));
    }

    /// Begins a list of `len` replies.
    pub fn array(&mut self, len: usize) {
        self.number(b'*', i64::try_from(len).unwrap_or(i64::MAX));
    }

    #[inline]
    fn number(&mut self, kind: u8, value: i64) {
        if let (Ok(digit @ 0..10), Some(place)) = (
            u8::try_from(value),
            self.bytes.get_mut(self.len..self.len + 4),
        ) {
            // Most numbers have one digit.
            place.copy_from_slice(&[kind, b'0' + digit, b'\r', b'\n']);
            self.len += 4;
            return;
        }
        let mut room = [0; DIGITS_MAX];
        self.put(&[kind]);
        self.put(write_integer(value, &mut room));
        self.put(b"\r\n");
    }

    #[inline]
    fn put(&mut self, text: &[u8]) {
        let room = &mut self.bytes[self.len..];
        let len = text.len().min(room.len());
        room[..len].copy_from_slice(&text[..len]);
        self.len += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut Reply<'_>), expected: &str) {
        let mut room = [0; 64];
        let mut reply = Reply::new(&mut room);
        write(&mut reply);
        let len = reply.len();
        assert_eq!(core::str::from_utf8(&room[..len]), Ok(expected));
        for short in 0..len {
            let mut reply = Reply::new(&mut room[..short]);
            write(&mut reply);
            assert!(reply.len() <= short);
        }
    }

    #[test]
    fn each_kind_is_written_as_redis_does() {
        check(|reply| reply.simple("OK"), "+OK\r\n");
        check(|reply| reply.error(&["ERR ", "no"]), "-ERR no\r\n");
        check(|reply| reply.integer(-12), ":-12\r\n");
        check(|reply| reply.integer(7), ":7\r\n");
        check(|reply| reply.null(), "$-1\r\n");
        check(|reply| reply.bulk(b""), "$0\r\n\r\n");
        check(
            |reply| reply.bulk(b"twelve bytes"),
            "$12\r\ntwelve bytes\r\n",
        );
        check(|reply| reply.array(2), "*2\r\n");
    }

    #[test]
    fn the_longest_header_is_known() {
        let mut room = [0; 64];
        let mut reply = Reply::new(&mut room);
        reply.integer(i64::MIN);
        assert_eq!(reply.len(), HEADER_MAX);
    }
}
