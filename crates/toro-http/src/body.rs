//! Where the body of a request ends (RFC 9112, 6 and 7).
//!
//! A server of files has no use for a body, but the next request of the connection begins behind it, so its end must
//! be found exactly. Strict on purpose: a chunk line that two programs could read in two ways is an error.

use crate::Status;

/// A chunk line, with its extensions, may not be longer.
const CHUNK_LINE_MAX: usize = 256;
/// Trailer fields may not be longer in all.
const TRAILERS_MAX: usize = 2048;

/// How the length of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// `Content-Length` said how many bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// What [`measure`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measured {
    /// The body is here and takes that many bytes of the input.
    Complete(usize),
    /// More input is needed.
    Partial,
    /// The request ends here with this status.
    Invalid(Status),
}

/// Finds the end of the body at the start of `input`; `limit` bounds its encoded size.
pub(crate) fn measure(framing: Framing, input: &[u8], limit: usize) -> Measured {
    match framing {
        Framing::None => Measured::Complete(0),
        Framing::Length(length) => match usize::try_from(length) {
            Ok(length) if length <= limit && length <= input.len() => Measured::Complete(length),
            Ok(length) if length <= limit => Measured::Partial,
            _ => Measured::Invalid(Status::ContentTooLarge),
        },
        Framing::Chunked => match measure_chunks(input) {
            Measured::Partial if input.len() >= limit => Measured::Invalid(Status::ContentTooLarge),
            Measured::Complete(length) if length > limit => {
                Measured::Invalid(Status::ContentTooLarge)
            }
            measured => measured,
        },
    }
}

fn measure_chunks(input: &[u8]) -> Measured {
    let mut at = 0;
    loop {
        let line = match line(&input[at..], CHUNK_LINE_MAX) {
            Line::Whole(line) => line,
            Line::Partial => return Measured::Partial,
            Line::Invalid => return Measured::Invalid(Status::BadRequest),
        };
        let Some(size) = chunk_size(line) else {
            return Measured::Invalid(Status::BadRequest);
        };
        at += line.len() + 2;
        if size == 0 {
            return measure_trailers(input, at);
        }
        match chunk_end(input, at, size) {
            Ok(end) => at = end,
            Err(measured) => return measured,
        }
    }
}

/// Steps over the data of a chunk and the CRLF behind it.
fn chunk_end(input: &[u8], at: usize, size: u64) -> Result<usize, Measured> {
    let too_large = Measured::Invalid(Status::ContentTooLarge);
    let size = usize::try_from(size).map_err(|_| too_large)?;
    let end = at.checked_add(size).ok_or(too_large)?;
    match input.get(end..) {
        Some([b'\r', b'\n', ..]) => Ok(end + 2),
        None | Some([] | [b'\r']) => Err(Measured::Partial),
        Some(_) => Err(Measured::Invalid(Status::BadRequest)),
    }
}

/// Trailer fields are dropped, as RFC 9110, 6.5.1 allows.
fn measure_trailers(input: &[u8], start: usize) -> Measured {
    let mut at = start;
    loop {
        match line(&input[at..], TRAILERS_MAX) {
            Line::Whole([]) => return Measured::Complete(at + 2),
            Line::Whole(line) if is_field_line(line) => at += line.len() + 2,
            Line::Partial if at - start <= TRAILERS_MAX => return Measured::Partial,
            _ => return Measured::Invalid(Status::BadRequest),
        }
        if at - start > TRAILERS_MAX {
            return Measured::Invalid(Status::HeadersTooLarge);
        }
    }
}

/// Whether a trailer line is a token, a colon and a value.
fn is_field_line(line: &[u8]) -> bool {
    let name = line.iter().take_while(|byte| is_token(**byte)).count();
    name > 0 && line.get(name) == Some(&b':')
}

const fn is_token(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    ) || byte.is_ascii_alphanumeric()
}

/// A line of chunked coding.
enum Line<'a> {
    /// The line without its CRLF.
    Whole(&'a [u8]),
    /// Its end is not here yet.
    Partial,
    /// A control character, a bare LF or CR, or too long.
    Invalid,
}

fn line(input: &[u8], limit: usize) -> Line<'_> {
    let end = input
        .iter()
        .take(limit)
        .position(|byte| *byte < b' ' && *byte != b'\t');
    match end {
        Some(end) => match &input[end..] {
            [b'\r', b'\n', ..] => Line::Whole(&input[..end]),
            [b'\r'] => Line::Partial,
            _ => Line::Invalid,
        },
        None if input.len() < limit => Line::Partial,
        None => Line::Invalid,
    }
}

/// `1*HEXDIG` and then nothing or an extension behind a semicolon.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    if digits == 0 || digits > 16 {
        return None;
    }
    let extension = line[digits..].trim_ascii_start();
    if !(line.len() == digits || extension.starts_with(b";")) {
        return None;
    }
    line[..digits].iter().try_fold(0u64, |size, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        Some(size << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Measured = Measured::Invalid(Status::BadRequest);
    const LARGE: Measured = Measured::Invalid(Status::ContentTooLarge);

    fn check(input: &str, expected: Measured) {
        assert_eq!(
            measure(Framing::Chunked, input.as_bytes(), 64),
            expected,
            "{input:?}"
        );
    }

    #[test]
    fn a_chunked_body_ends_after_its_last_chunk_and_trailers() {
        check("0\r\n\r\n", Measured::Complete(5));
        check("5\r\nhello\r\n0\r\n\r\nGET /", Measured::Complete(15));
        check("A\r\n0123456789\r\n00\r\n\r\n", Measured::Complete(21));
        check("a\r\n0123456789\r\n0\r\n\r\n", Measured::Complete(20));
        check("1;x=y\r\nz\r\n0;q=\"a b\"\r\n\r\n", Measured::Complete(23));
        check("1 ;x\r\nz\r\n0\r\n\r\n", Measured::Complete(14));
        check("0\r\nA: b\r\n\r\n", Measured::Complete(11));
    }

    #[test]
    fn an_unfinished_chunked_body_asks_for_more() {
        let whole = "5;a\r\nhello\r\n0\r\nA: b\r\n\r\n";
        for end in 0..whole.len() {
            check(&whole[..end], Measured::Partial);
        }
        check(whole, Measured::Complete(whole.len()));
    }

    #[test]
    fn a_chunk_line_that_could_be_read_in_two_ways_is_refused() {
        for bad in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1\n",
            "1\rz",
            "1 \r\nz\r\n",
            "1 1\r\n",
            "1\0\r\n",
            "11111111111111111\r\n",
            "1\r\nzz\r\n",
            "1\r\nz\n",
            "0\r\nA b\r\n",
            "0\r\n: b\r\n",
            "0\r\n A: b\r\n",
            "0\r\nA: b\n",
            "1;\n\r\n",
        ] {
            check(bad, BAD);
        }
    }

    #[test]
    fn a_body_past_the_limit_is_refused_before_it_arrives() {
        assert_eq!(measure(Framing::Length(65), b"", 64), LARGE);
        assert_eq!(measure(Framing::Length(u64::MAX), b"", 64), LARGE);
        assert_eq!(measure(Framing::Length(64), b"", 64), Measured::Partial);
        assert_eq!(
            measure(Framing::Length(3), b"abcd", 64),
            Measured::Complete(3)
        );
        check("ffffffffffffffff\r\n", LARGE);
        check(&std::format!("40\r\n{}", "x".repeat(64)), LARGE);
    }
}
