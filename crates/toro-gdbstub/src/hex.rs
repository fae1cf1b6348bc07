//! Numbers and bytes as hexadecimal text.

/// The value of a digit.
pub(crate) fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The lower-case digit of `value`, of which the lowest four bits count.
pub(crate) fn letter(value: u8) -> u8 {
    b"0123456789abcdef"[usize::from(value & 15)]
}

/// A number of 1 to 16 digits.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 16 {
        return None;
    }
    text.iter()
        .try_fold(0, |value, &byte| Some(value << 4 | u64::from(digit(byte)?)))
}

/// The bytes that pairs of digits stand for, in place of `into`; `None` if they do not fit or are no digits.
pub(crate) fn bytes<'a>(text: &[u8], into: &'a mut [u8]) -> Option<&'a [u8]> {
    let (pairs, rest) = text.as_chunks::<2>();
    let into = into.get_mut(..pairs.len())?;
    for (byte, [high, low]) in into.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    rest.is_empty().then_some(into)
}

#[cfg(test)]
mod tests {
    use super::{bytes, number};

    #[test]
    fn numbers_have_one_to_sixteen_digits() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"fFfFfFfFfFfFfFfF"), Some(u64::MAX));
        assert_eq!(number(b"00000000000000001"), None);
        assert_eq!(number(b""), None);
        assert_eq!(number(b"1g"), None);
    }

    #[test]
    fn bytes_are_pairs_of_digits() {
        let mut room = [0; 3];
        assert_eq!(bytes(b"00ff1A", &mut room), Some(&[0, 255, 26][..]));
        assert_eq!(bytes(b"00f", &mut room), None);
        assert_eq!(bytes(b"00000000", &mut room), None);
        assert_eq!(bytes(b"", &mut room), Some(&[][..]));
    }
}
