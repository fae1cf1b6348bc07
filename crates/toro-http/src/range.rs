//! Byte ranges (RFC 9110, 14).
//!
//! One range is served as 206. Several are answered with the whole file: a server may ignore `Range`, and
//! `multipart/byteranges` is a known way to make a server send far more than it was asked for (RFC 9110, 17.15).

use crate::field;

/// What a `Range` field asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The whole file: no range, several, another unit, or not to be understood.
    Whole,
    /// The bytes from `start` up to, not including, `end`.
    Part {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
    /// A range without a byte of the file in it.
    Unsatisfiable,
}

/// Reads the value of `Range` for a file of `len` bytes.
pub(crate) fn select(value: &[u8], len: u64) -> Selection {
    specification(value)
        .and_then(|spec| select_one(spec, len))
        .unwrap_or(Selection::Whole)
}

/// The one range of the set, if it is one and counted in bytes.
fn specification(value: &[u8]) -> Option<&[u8]> {
    let (unit, set) = value.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut specs = field::elements(set);
    let first = specs.next()?;
    specs.next().is_none().then_some(first)
}

fn select_one(spec: &[u8], len: u64) -> Option<Selection> {
    let dash = spec.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    if first.is_empty() {
        return Some(suffix(position(last)?, len));
    }
    let start = position(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        position(last)?
    };
    if last < start {
        return None;
    }
    if start >= len {
        return Some(Selection::Unsatisfiable);
    }
    Some(Selection::Part {
        start,
        end: last.saturating_add(1).min(len),
    })
}

/// The last `count` bytes.
fn suffix(count: u64, len: u64) -> Selection {
    if count == 0 || len == 0 {
        return Selection::Unsatisfiable;
    }
    Selection::Part {
        start: len.saturating_sub(count),
        end: len,
    }
}

/// A number of any size: one past 64 bits is past the end of every file.
fn position(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| field::decimal(digits).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: Selection) {
        assert_eq!(select(value.as_bytes(), 100), expected, "{value:?}");
    }

    fn part(start: u64, end: u64) -> Selection {
        Selection::Part { start, end }
    }

    #[test]
    fn one_range_selects_a_part() {
        check("bytes=0-0", part(0, 1));
        check("bytes=0-", part(0, 100));
        check("bytes=10-19", part(10, 20));
        check("bytes=99-99", part(99, 100));
        check("bytes=90-1000", part(90, 100));
        check("bytes=-1", part(99, 100));
        check("bytes=-1000", part(0, 100));
        check("BYTES=1-2", part(1, 3));
        check("bytes=1-2,", part(1, 3));
        check("bytes=1-99999999999999999999999", part(1, 100));
        check("bytes=0-18446744073709551615", part(0, 100));
    }

    #[test]
    fn a_range_past_the_end_cannot_be_satisfied() {
        check("bytes=100-", Selection::Unsatisfiable);
        check("bytes=100-200", Selection::Unsatisfiable);
        check("bytes=-0", Selection::Unsatisfiable);
        check("bytes=99999999999999999999999-", Selection::Unsatisfiable);
        assert_eq!(select(b"bytes=0-", 0), Selection::Unsatisfiable);
        assert_eq!(select(b"bytes=-1", 0), Selection::Unsatisfiable);
    }

    #[test]
    fn what_is_not_one_range_of_bytes_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=2-1",
            "bytes=1",
            "bytes=1-2-3",
            "bytes=0-0,5-6",
            "lines=1-2",
            "bytes 1-2",
            "bytes=+1-2",
            "bytes=1 -2",
            "bytes=0x1-2",
            "bytes=1-2;3-4",
            "bytes==1-2",
        ] {
            check(value, Selection::Whole);
        }
    }
}
