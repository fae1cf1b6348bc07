//! Request targets: the four forms of RFC 9112, 3.2, and the way from a path on the wire to the name of a file.
//!
//! A name that comes out of [`normalise`] is absolute, has no `.`, `..` or empty segment, no control character, no
//! backslash and no slash that was written as an escape: it cannot mean anything outside the root of a file system.

use crate::charset::{self, PATH, QUERY};
use crate::{Method, Status, field};

/// The file that stands for its directory.
const INDEX: &str = "index.html";

/// The longest path that is decoded; one that needs no decoding may be as long as the target.
const DECODED_MAX: usize = 1024;

/// Where a request points, with every character checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A path that begins with a slash, still escaped, and the query behind the question mark.
    Path {
        /// The path.
        path: &'a str,
        /// The query, if there is a question mark.
        query: Option<&'a str>,
    },
    /// `*`: the server as a whole, for `OPTIONS`.
    Asterisk,
    /// `host:port`, for `CONNECT`.
    Authority,
}

/// Tells the form of a request target and checks its characters.
pub(crate) fn parse<'a>(method: Method, raw: &'a str) -> Result<Target<'a>, Status> {
    if raw.starts_with('/') && method != Method::Connect {
        return origin(raw);
    }
    match (method, raw) {
        (Method::Connect, raw) if field::is_authority(raw.as_bytes()) => Ok(Target::Authority),
        (Method::Connect, _) => Err(Status::BadRequest),
        (Method::Options, "*") => Ok(Target::Asterisk),
        _ => absolute(raw),
    }
}

/// `/path?query`
fn origin(raw: &str) -> Result<Target<'_>, Status> {
    let (path, query) = match raw.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (raw, None),
    };
    let query_is_clean = query.is_none_or(|query| charset::all_or_escaped(query.as_bytes(), QUERY));
    if query_is_clean && charset::all_or_escaped(path.as_bytes(), PATH) {
        return Ok(Target::Path { path, query });
    }
    Err(Status::BadRequest)
}

/// `http://host/path?query`, whose host a server of one site has no use for.
fn absolute(raw: &str) -> Result<Target<'_>, Status> {
    let (scheme, rest) = raw.split_once(':').ok_or(Status::BadRequest)?;
    let rest = rest.strip_prefix("//").ok_or(Status::BadRequest)?;
    let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(Status::BadRequest)?;
    // RFC 9110, 4.2.1: a URI with an empty host is invalid.
    let has_host = !authority.is_empty() && !authority.starts_with(':');
    if !known || !has_host || !field::is_authority(authority.as_bytes()) {
        return Err(Status::BadRequest);
    }
    match path.strip_prefix('?') {
        Some(_) => match origin(path)? {
            Target::Path { query, .. } => Ok(Target::Path { path: "/", query }),
            other => Ok(other),
        },
        None if path.is_empty() => Ok(Target::Path {
            path: "/",
            query: None,
        }),
        None => origin(path),
    }
}

/// Room for a path that has to be rewritten; most need none, so it is not filled before it is used.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Option<[u8; DECODED_MAX]>);

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    /// The normalised path of a file; for a path with a slash at its end, that of the index page in there.
    pub(crate) text: &'a str,
    /// Whether the path ended with a slash.
    pub(crate) is_index: bool,
}

/// Decodes and normalises a path that [`parse`] has checked.
pub(crate) fn normalise<'a>(path: &'a str, scratch: &'a mut Scratch) -> Result<Name<'a>, Status> {
    if path == "/" {
        return Ok(Name {
            text: "/index.html",
            is_index: true,
        });
    }
    if is_normal(path.as_bytes()) {
        return Ok(Name {
            text: path,
            is_index: false,
        });
    }
    rewrite(path, scratch.0.insert([0; DECODED_MAX]))
}

/// Whether a path names a file as it stands: no escapes, no empty segment, none that begins with a dot.
fn is_normal(path: &[u8]) -> bool {
    let mut after_slash = false;
    for byte in path {
        match byte {
            b'%' => return false,
            b'/' | b'.' if after_slash => return false,
            _ => after_slash = *byte == b'/',
        }
    }
    !after_slash
}

fn rewrite<'a>(path: &str, room: &'a mut [u8]) -> Result<Name<'a>, Status> {
    let mut len = 0;
    let mut is_index = false;
    for segment in path.as_bytes().split(|byte| *byte == b'/') {
        let start = push(room, len, b'/')?;
        let end = decode(segment, room, start)?;
        match &room[start..end] {
            b".." => return Err(Status::BadRequest),
            b"" | b"." => is_index = true,
            _ => {
                is_index = false;
                len = end;
            }
        }
    }
    if is_index {
        len = push(room, len, b'/')?;
        len = INDEX
            .bytes()
            .try_fold(len, |at, byte| push(room, at, byte))?;
    }
    let text = core::str::from_utf8(&room[..len]).map_err(|_| Status::BadRequest)?;
    Ok(Name { text, is_index })
}

/// Decodes a segment to `room[at..]` and returns its end.
fn decode(segment: &[u8], room: &mut [u8], mut at: usize) -> Result<usize, Status> {
    let mut rest = segment;
    while let [byte, tail @ ..] = rest {
        let (byte, tail) = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => (hex(*high) << 4 | hex(*low), tail),
            (byte, tail) => (*byte, tail),
        };
        if byte.is_ascii_control() || matches!(byte, b'/' | b'\\') {
            return Err(Status::BadRequest);
        }
        at = push(room, at, byte)?;
        rest = tail;
    }
    Ok(at)
}

fn push(room: &mut [u8], at: usize, byte: u8) -> Result<usize, Status> {
    *room.get_mut(at).ok_or(Status::UriTooLong)? = byte;
    Ok(at + 1)
}

/// The value of a hex digit; that it is one was checked with the target.
const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a' - 10) & 15,
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::*;

    /// What a target of a `GET` names, `Err` for a status.
    fn file(raw: &str) -> Result<String, Status> {
        match parse(Method::Get, raw)? {
            Target::Path { path, .. } => {
                normalise(path, &mut Scratch::default()).map(|name| name.text.into())
            }
            other => panic!("{other:?}"),
        }
    }

    fn check(raw: &str, expected: &str) {
        assert_eq!(file(raw).as_deref(), Ok(expected), "{raw}");
    }

    #[test]
    fn a_path_becomes_the_name_of_a_file() {
        check("/", "/index.html");
        check("/a.html", "/a.html");
        check("/a/", "/a/index.html");
        check("/a/b", "/a/b");
        check("/a.b/c..d/e.", "/a.b/c..d/e.");
        check("/%61%2Ehtml", "/a.html");
        check("/a%20b", "/a b");
        check("/%C3%A9", "/\u{e9}");
        check("/.well-known/x", "/.well-known/x");
        check("/...", "/...");
        check("/a%3Fb%23c", "/a?b#c");
    }

    #[test]
    fn dots_and_empty_segments_are_taken_out() {
        check("//", "/index.html");
        check("//a", "/a");
        check("/a//b", "/a/b");
        check("/./a", "/a");
        check("/a/.", "/a/index.html");
        check("/a/./b/", "/a/b/index.html");
        check("/%2e/a", "/a");
    }

    #[test]
    fn the_query_is_cut_off() {
        check("/a?b=c", "/a");
        check("/?", "/index.html");
        check("/a?x=../..&y=%00&z=[1]|{2}", "/a");
    }

    #[test]
    fn nothing_leads_out_of_the_root() {
        for bad in [
            "/..",
            "/../a",
            "/a/..",
            "/a/../b",
            "/a/../../b",
            "/%2e%2e/a",
            "/.%2E/a",
            "/%2e./a",
            "/a%2f..%2fb",
            "/a%2Fb",
            "/%2f",
            "/a%5cb",
            "/..%5c",
            "/a\\b",
            "/%00",
            "/a%00.html",
            "/a%0d%0ab",
            "/%7f",
            "/%c0%ae%c0%ae/",
            "/%c0%af",
            "/%ff",
            "/%e2%82",
            "/%",
            "/%2",
            "/%zz",
            "/%u002e",
            "/a b",
            "/a\"b",
            "/<a>",
            "/a#b",
            "/\u{e9}",
            "/a?b#c",
            "/a?b c",
            "/a?%zz",
            "/a|b",
        ] {
            assert_eq!(file(bad), Err(Status::BadRequest), "{bad}");
        }
    }

    #[test]
    fn an_absolute_target_is_its_path() {
        check("http://host/a?b", "/a");
        check("HTTP://host:80/a", "/a");
        check("https://[::1]/", "/index.html");
        check("http://host", "/index.html");
        check("http://host?b/c", "/index.html");
        for bad in [
            "http:///a",
            "http://:80/a",
            "ftp://host/a",
            "host/a",
            "://host/",
            "http:/a",
            "*",
            "a",
            "",
            "http://u@host/",
            "http://ho st/",
            "http://host/../a",
            "http://host/a#b",
            "http://host?#",
        ] {
            assert_eq!(file(bad), Err(Status::BadRequest), "{bad}");
        }
    }

    #[test]
    fn the_other_forms_belong_to_one_method_each() {
        assert_eq!(parse(Method::Options, "*"), Ok(Target::Asterisk));
        assert_eq!(parse(Method::Connect, "host:80"), Ok(Target::Authority));
        assert_eq!(
            parse(Method::Connect, "http://host/"),
            Err(Status::BadRequest)
        );
        assert_eq!(parse(Method::Get, "host:80"), Err(Status::BadRequest));
    }

    #[test]
    fn a_path_longer_than_the_room_is_too_long_only_if_it_needs_the_room() {
        let long = std::format!("/{}", "a".repeat(2000));
        check(&long, &long);
        assert_eq!(file(&std::format!("{long}/")), Err(Status::UriTooLong));
        assert_eq!(
            file(&std::format!("{}%20", "/aaaaaaa".repeat(200))),
            Err(Status::UriTooLong)
        );
    }
}
