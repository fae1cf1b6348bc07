//! Integers in decimal, as they stand in lengths, values and replies.

/// The longest integer of 64 bits, with its sign.
pub const DIGITS_MAX: usize = 20;

/// Reads an integer in its one canonical form: no plus sign, no leading zero, no space.
#[must_use]
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    match digits {
        [] => return None,
        [b'0'] => return (!negative).then_some(0),
        [b'0', ..] => return None,
        _ => {}
    }
    // Counted downwards: there is one more negative number than there are positive ones.
    let value = digits.iter().try_fold(0i64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_sub(i64::from(digit))
    })?;
    if negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}

/// Writes `value` at the end of `room` and returns the part that it takes.
pub fn write_integer(value: i64, room: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut rest = value.unsigned_abs();
    let mut start = room.len();
    loop {
        start -= 1;
        room[start] = b'0' + u8::try_from(rest % 10).expect("a digit is below ten");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        start -= 1;
        room[start] = b'-';
    }
    &room[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_integers_are_read_and_written_alike() {
        for value in [0, 7, -1, 10, 1_000_000, i64::MAX, i64::MIN, i64::MIN + 1] {
            let mut room = [0; DIGITS_MAX];
            let text = write_integer(value, &mut room);
            assert_eq!(text, std::format!("{value}").as_bytes());
            assert_eq!(integer(text), Some(value));
        }
    }

    #[test]
    fn anything_else_is_no_integer() {
        for bad in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            " 1",
            "1 ",
            "1.0",
            "0x1",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
        ] {
            assert_eq!(integer(bad.as_bytes()), None, "{bad}");
        }
    }
}
