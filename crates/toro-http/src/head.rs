//! The syntax of a request head (RFC 9112, 2 to 5), split in one walk from left to right.
//!
//! Strict where programs differ: every line ends in CRLF, one space stands between the words of the request line, a
//! name touches its colon, and no line is continued on the next.

use crate::charset::{self, PATH, TOKEN, VALUE};
use crate::request::Version;

/// A request line whose words are well formed, and where the header fields begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestLine<'b> {
    pub(crate) method: &'b [u8],
    pub(crate) target: &'b [u8],
    /// The target is a path without escapes or a query.
    pub(crate) is_plain_path: bool,
    pub(crate) version: Version,
    pub(crate) end: usize,
}

/// Why a walk ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// More input is needed.
    Partial,
    /// It is no request.
    Bad,
    /// The third word is not a version that is spoken here.
    Version,
}

/// Reads the first line that is not empty.
pub(crate) fn request_line(head: &[u8]) -> Result<RequestLine<'_>, Stop> {
    let mut start = 0;
    while matches!(head.get(start), Some(b'\r' | b'\n')) {
        start = line_end(head, start)?;
    }
    let method = run(head, start, TOKEN);
    space(head, method, method > start)?;
    let target = method + 1;
    let plain = run(head, target, PATH);
    let end = rest_of_target(head, plain);
    space(head, end, end > target)?;
    let last = end + 1;
    let version = match head.get(last..last + 8) {
        Some(b"HTTP/1.1") => Version::Http11,
        Some(b"HTTP/1.0") => Version::Http10,
        _ => return Err(Stop::Version),
    };
    Ok(RequestLine {
        method: &head[start..method],
        target: &head[target..end],
        is_plain_path: head[target] == b'/' && plain == end,
        version,
        end: line_end(head, last + 8)?,
    })
}

/// A header field, and where the next line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'b> {
    pub(crate) name: &'b [u8],
    pub(crate) value: &'b [u8],
    pub(crate) end: usize,
}

/// What a line behind the request line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'b> {
    Field(Field<'b>),
    /// The empty line that ends the head; the body begins there.
    End(usize),
}

/// Reads the line that begins at `start`.
#[inline]
pub(crate) fn line(head: &[u8], start: usize) -> Result<Line<'_>, Stop> {
    let colon = run(head, start, TOKEN);
    match head.get(colon) {
        Some(b':') if colon > start => {}
        Some(b'\r') if colon == start => return line_end(head, start).map(Line::End),
        None => return Err(Stop::Partial),
        Some(_) => return Err(Stop::Bad),
    }
    let mut from = colon + 1;
    while matches!(head.get(from), Some(b' ' | b'\t')) {
        from += 1;
    }
    let mut to = run(head, skip_text(head, from), VALUE);
    let end = line_end(head, to)?;
    while to > from && matches!(head[to - 1], b' ' | b'\t') {
        to -= 1;
    }
    Ok(Line::Field(Field {
        name: &head[start..colon],
        value: &head[from..to],
        end,
    }))
}

/// Where the run of bytes in `set` ends that begins at `at`.
#[inline]
fn run(head: &[u8], at: usize, set: u8) -> usize {
    let rest = head.get(at..).unwrap_or(&[]);
    let len = rest.iter().position(|byte| !charset::is(*byte, set));
    at + len.unwrap_or(rest.len())
}

/// Passes over text eight bytes at a time, up to the eight that hold a control character.
#[inline]
fn skip_text(head: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    while let Some(eight) = head.get(at..at + 8).and_then(|bytes| bytes.first_chunk()) {
        let word = u64::from_le_bytes(*eight);
        let delete = word ^ (0x7f * ONES);
        let below_space = word.wrapping_sub(0x20 * ONES) & !word;
        let is_delete = delete.wrapping_sub(ONES) & !delete;
        if (below_space | is_delete) & (0x80 * ONES) != 0 {
            break;
        }
        at += 8;
    }
    at
}

/// The end of a target that has gone on to `at`: whatever can be seen; what it means is looked at later.
fn rest_of_target(head: &[u8], at: usize) -> usize {
    let rest = head.get(at..).unwrap_or(&[]);
    let len = rest.iter().position(|byte| *byte <= b' ' || *byte == 0x7f);
    at + len.unwrap_or(rest.len())
}

/// One space at `at`, behind a word that is there.
fn space(head: &[u8], at: usize, has_word: bool) -> Result<(), Stop> {
    match head.get(at) {
        Some(b' ') if has_word => Ok(()),
        None => Err(Stop::Partial),
        Some(_) => Err(Stop::Bad),
    }
}

/// A bare LF ends a line for some programs and not for others (RFC 9112, 2.2), and so does a bare CR.
#[inline]
fn line_end(head: &[u8], at: usize) -> Result<usize, Stop> {
    match (head.get(at), head.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(at + 2),
        (None, _) | (Some(b'\r'), None) => Err(Stop::Partial),
        _ => Err(Stop::Bad),
    }
}
