//! The numbers of archive headers: octal, hexadecimal, decimal and base 256.

/// A number field of ustar: octal digits between blanks, or GNU's base 256. `None` if it is neither, or negative.
pub(crate) fn ustar(field: &[u8]) -> Option<u64> {
    match field.first()? {
        0x80 => base_256(&field[1..]),
        byte if byte & 0x80 != 0 => None,
        _ => {
            let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
            let start = field
                .iter()
                .position(|byte| !is_blank(byte))
                .unwrap_or(field.len());
            let digits = field[start..].split(is_blank).next().unwrap_or(&[]);
            digits_of(digits, 8)
        }
    }
}

/// A field of hexadecimal digits, as newc has them.
pub(crate) fn hexadecimal(field: &[u8]) -> Option<u32> {
    if field.is_empty() {
        return None;
    }
    u32::try_from(digits_of(field, 16)?).ok()
}

/// A decimal number, as pax has them.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        None
    } else {
        digits_of(text, 10)
    }
}

/// No digits are zero: ustar leaves fields empty that do not matter.
// A dozen callers: inlined it would weigh more than the rest of the file.
#[inline(never)]
fn digits_of(digits: &[u8], radix: u32) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, &digit| {
        let digit = char::from(digit).to_digit(radix)?;
        value
            .checked_mul(u64::from(radix))?
            .checked_add(u64::from(digit))
    })
}

fn base_256(bytes: &[u8]) -> Option<u64> {
    bytes.iter().try_fold(0u64, |value, &byte| {
        Some(value.checked_mul(256)? | u64::from(byte))
    })
}

#[cfg(test)]
mod tests {
    use super::{decimal, hexadecimal, ustar};

    #[test]
    fn numbers_are_read_or_refused() {
        assert_eq!(ustar(b"00000000017\0"), Some(0o17));
        assert_eq!(ustar(b"    17 \0"), Some(0o17));
        assert_eq!(ustar(b"\0\0\0\0"), Some(0));
        assert_eq!(ustar(b"777777777777"), Some(0o777_777_777_777));
        assert_eq!(ustar(b"00000000018\0"), None);
        assert_eq!(ustar(b"-1\0"), None);
        assert_eq!(ustar(b"\x80\0\0\0\0\0\0\x02\0\0\0\0"), Some(0x2_0000_0000));
        assert_eq!(ustar(b"\x80\0\0\x01\0\0\0\0\0\0\0\0"), None);
        assert_eq!(ustar(b"\xFF\xFF\xFF\xFF"), None);
        assert_eq!(ustar(b""), None);
        assert_eq!(hexadecimal(b"000081Ff"), Some(0x81FF));
        assert_eq!(hexadecimal(b"+00081FF"), None);
        assert_eq!(hexadecimal(b""), None);
        assert_eq!(decimal(b"42"), Some(42));
        assert_eq!(decimal(b"18446744073709551616"), None);
        assert_eq!(decimal(b"4 2"), None);
        assert_eq!(decimal(b""), None);
    }
}
