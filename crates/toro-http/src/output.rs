//! The caller's slice as a place to write text, without `core::fmt`.

/// Text at the start of a slice. Once something did not fit, the text is spoilt and stays so.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    bytes: &'a mut [u8],
    len: usize,
    is_full: bool,
}

impl<'a> Output<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self {
            bytes,
            len: 0,
            is_full: false,
        }
    }

    /// The length of the text; `None` if it did not fit.
    pub(crate) fn finish(&self) -> Option<usize> {
        (!self.is_full).then_some(self.len)
    }

    /// The text, as far as it fitted.
    pub(crate) fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(crate) fn push(&mut self, text: &[u8]) {
        let room = self
            .bytes
            .get_mut(self.len..)
            .and_then(|rest| rest.get_mut(..text.len()));
        match room {
            Some(room) => {
                room.copy_from_slice(text);
                self.len += text.len();
            }
            None => self.is_full = true,
        }
    }

    pub(crate) fn push_str(&mut self, text: &str) {
        self.push(text.as_bytes());
    }

    /// Writes `number` in decimal.
    pub(crate) fn push_decimal(&mut self, number: u64) {
        self.push_digits(number, 10);
    }

    /// Writes `number` in hexadecimal.
    pub(crate) fn push_hex(&mut self, number: u64) {
        self.push_digits(number, 16);
    }

    fn push_digits(&mut self, mut number: u64, base: u64) {
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = digit(number % base);
            number /= base;
            if number == 0 {
                break;
            }
        }
        self.push(&digits[start..]);
    }

    /// Writes `byte` as a percent escape.
    pub(crate) fn push_escape(&mut self, byte: u8) {
        self.push(&[b'%', upper(byte >> 4), upper(byte & 15)]);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a digit is below its base")]
const fn digit(value: u64) -> u8 {
    let value = value as u8;
    if value < 10 {
        b'0' + value
    } else {
        b'a' + value - 10
    }
}

/// RFC 3986, 2.1 wants escapes in upper case.
const fn upper(value: u8) -> u8 {
    if value < 10 {
        b'0' + value
    } else {
        b'A' + value - 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_without_leading_zeros() {
        let mut room = [0; 64];
        let mut out = Output::new(&mut room);
        out.push_decimal(0);
        out.push(b" ");
        out.push_decimal(u64::MAX);
        out.push(b" ");
        out.push_hex(0xdead_beef);
        out.push(b" ");
        out.push_escape(0xe9);
        assert_eq!(out.text(), b"0 18446744073709551615 deadbeef %E9");
        assert_eq!(out.finish(), Some(35));
    }

    #[test]
    fn text_that_did_not_fit_is_no_text() {
        let mut room = [0; 4];
        let mut out = Output::new(&mut room);
        out.push(b"abcd");
        assert_eq!(out.finish(), Some(4));
        out.push(b"e");
        out.push(b"");
        assert_eq!(out.finish(), None);
    }
}
