//! Requests: from bytes to a [`Request`] that has been checked against RFC 9112.
//!
//! [`head`](crate::head) splits the head into its parts; this file adds what a server must refuse and what it must know
//! to find the next request: the `Host`, the framing of the body, and whether the connection goes on.

use crate::head::{self, Line, Stop};
use crate::{Framing, Status, Target, field, target};

/// No method that anybody uses is longer.
const METHOD_MAX: usize = 32;

/// How much a client may send before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request line and its header fields.
    pub head_bytes: usize,
    /// Header fields.
    pub headers: usize,
    /// Bytes of a request target.
    pub target: usize,
    /// Bytes of a request body with its chunk lines; it is read only to be dropped.
    pub body: usize,
}

impl Limits {
    /// 8 KiB of head, 64 fields, 4 KiB of target, 8 KiB of body.
    pub const DEFAULT: Self = Self {
        head_bytes: 8192,
        headers: 64,
        target: 4096,
        body: 8192,
    };
}

/// The methods that the server knows; only the first three are allowed on files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The file.
    Get,
    /// The head of what `GET` would answer.
    Head,
    /// What may be asked.
    Options,
    /// A tunnel, never given.
    Connect,
    /// `POST`, `PUT`, `DELETE`, `PATCH` or `TRACE`: known, never allowed.
    Refused,
    /// Anything else.
    Unknown,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Closes the connection unless told otherwise.
    Http10,
    /// Keeps the connection unless told otherwise.
    Http11,
}

/// A request head in which everything has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'b> {
    /// The method.
    pub method: Method,
    /// Where it points.
    pub target: Target<'b>,
    /// The version of the client.
    pub version: Version,
    /// Where the body ends that follows the head.
    pub framing: Framing,
    /// Whether the client wants the connection to go on.
    pub keep_alive: bool,
    /// Whether the client waits for a word before it sends the body.
    pub expects_continue: bool,
    pub(crate) fields: Fields<'b>,
    /// The lines of the header fields.
    lines: &'b [u8],
}

/// The fields that decide how a file is sent. One that came twice is kept as empty, which no rule accepts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fields<'b> {
    pub(crate) range: Option<&'b [u8]>,
    pub(crate) if_range: Option<&'b [u8]>,
    pub(crate) if_modified_since: Option<&'b [u8]>,
    pub(crate) if_unmodified_since: Option<&'b [u8]>,
    /// These two are lists and may come in several lines: see [`Request::values`].
    pub(crate) has_if_match: bool,
    /// One of these fields was there.
    pub(crate) any: bool,
    pub(crate) has_if_none_match: bool,
}

impl Fields<'_> {
    /// Notes a field.
    fn choose(&mut self, note: impl FnOnce(&mut Self)) {
        self.any = true;
        note(self);
    }
}

impl<'b> Request<'b> {
    /// The values of all fields with that name, in any case.
    pub fn values(&self, name: &'static str) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        let (lines, mut at) = (self.lines, 0);
        let fields = core::iter::from_fn(move || match head::line(lines, at) {
            Ok(Line::Field(field)) => {
                at = field.end;
                Some(field)
            }
            _ => None,
        });
        fields
            .filter(move |field| field.name.eq_ignore_ascii_case(name.as_bytes()))
            .map(|field| field.value)
    }
}

/// The outcome of [`parse`].
#[derive(Clone, Copy, Debug)]
pub enum Parsed<'b> {
    /// A whole head.
    Complete {
        /// The request.
        request: Request<'b>,
        /// Bytes of input that the head takes; the body begins there.
        consumed: usize,
    },
    /// More input is needed.
    Partial,
    /// The connection ends with this answer.
    Invalid(Status),
}

/// Reads one request head from the start of `input`.
///
/// Input that is `Partial` is read again from its start when more has come, so the caller keeps it. The outcome does
/// not depend on how the bytes were cut into packets.
pub fn parse<'b>(input: &'b [u8], limits: &Limits) -> Parsed<'b> {
    let head = &input[..input.len().min(limits.head_bytes)];
    match read(head, limits) {
        Ok((request, consumed)) => Parsed::Complete { request, consumed },
        Err(Refusal::Syntax(Stop::Partial)) => check_partial(head, limits),
        Err(Refusal::Syntax(Stop::Version)) => match check_version(head) {
            Parsed::Partial => check_partial(head, limits),
            refused => refused,
        },
        Err(Refusal::Syntax(Stop::Bad)) => Parsed::Invalid(Status::BadRequest),
        Err(Refusal::Status(status)) => Parsed::Invalid(status),
    }
}

/// Why a head is not taken as it is.
enum Refusal {
    Syntax(Stop),
    Status(Status),
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        Self::Syntax(stop)
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// Reads a whole head; returns its length too.
fn read<'b>(head: &'b [u8], limits: &Limits) -> Result<(Request<'b>, usize), Refusal> {
    let line = head::request_line(head)?;
    let mut seen = Seen::default();
    let (mut at, mut count) = (line.end, 0);
    let consumed = loop {
        match head::line(head, at)? {
            Line::End(end) => break end,
            Line::Field(_) if count == limits.headers => {
                return Err(Status::HeadersTooLarge.into());
            }
            Line::Field(field) => {
                seen.note(field.name, field.value)?;
                (at, count) = (field.end, count + 1);
            }
        }
    };
    check_lengths(line.method, line.target, limits)?;
    let method = method(line.method);
    let version = line.version;
    let path = core::str::from_utf8(line.target).map_err(|_| Status::BadRequest)?;
    let target = if line.is_plain_path && method != Method::Connect {
        Target::Path { path, query: None }
    } else {
        target::parse(method, path)?
    };
    let request = Request {
        method,
        target,
        version,
        framing: seen.framing(version)?,
        keep_alive: seen.keeps_alive(version)?,
        expects_continue: seen.expects_continue(version)?,
        fields: seen.fields,
        lines: &head[line.end..consumed],
    };
    Ok((request, consumed))
}

/// Refuses an unfinished head as soon as it can only become too long.
fn check_partial<'b>(head: &[u8], limits: &Limits) -> Parsed<'b> {
    let mut words = first_line(head).bytes.split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or(&[]), words.next().unwrap_or(&[]));
    match check_lengths(method, target, limits) {
        Err(status) => Parsed::Invalid(status),
        Ok(()) if head.len() >= limits.head_bytes => Parsed::Invalid(Status::HeadersTooLarge),
        Ok(()) => Parsed::Partial,
    }
}

fn check_lengths(method: &[u8], target: &[u8], limits: &Limits) -> Result<(), Status> {
    if method.len() > METHOD_MAX {
        return Err(Status::NotImplemented);
    }
    if target.len() > limits.target {
        return Err(Status::UriTooLong);
    }
    Ok(())
}

/// Tells a version that is not spoken here from a line that is no request line.
fn check_version<'b>(head: &[u8]) -> Parsed<'b> {
    let line = first_line(head);
    let mut words = line.bytes.split(|byte| *byte == b' ').skip(2);
    let (Some(version), None) = (words.next(), words.next()) else {
        return Parsed::Invalid(Status::BadRequest);
    };
    let fits = version
        .iter()
        .zip(b"HTTP/0.0")
        .all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            _ => byte == shape,
        });
    match version.len() {
        8 if fits && line.is_whole => Parsed::Invalid(Status::VersionNotSupported),
        0..=8 if fits && !line.is_whole => Parsed::Partial,
        _ => Parsed::Invalid(Status::BadRequest),
    }
}

/// The first line that is not empty.
struct FirstLine<'b> {
    bytes: &'b [u8],
    is_whole: bool,
}

fn first_line(head: &[u8]) -> FirstLine<'_> {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = head
        .iter()
        .position(|byte| !is_end(byte))
        .unwrap_or(head.len());
    let rest = &head[start..];
    match rest.iter().position(is_end) {
        Some(end) => FirstLine {
            bytes: &rest[..end],
            is_whole: true,
        },
        None => FirstLine {
            bytes: rest,
            is_whole: false,
        },
    }
}

/// Methods are told by their exact case (RFC 9110, 9.1).
fn method(name: &[u8]) -> Method {
    match name {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"OPTIONS" => Method::Options,
        b"CONNECT" => Method::Connect,
        b"POST" | b"PUT" | b"DELETE" | b"PATCH" | b"TRACE" => Method::Refused,
        _ => Method::Unknown,
    }
}

/// What the header fields have said so far.
#[derive(Default)]
struct Seen<'b> {
    fields: Fields<'b>,
    has_host: bool,
    content_length: Option<u64>,
    transfer_encoding: Option<&'b [u8]>,
    expect: Option<&'b [u8]>,
    closes: bool,
    keeps: bool,
}

impl<'b> Seen<'b> {
    #[inline]
    fn note(&mut self, name: &[u8], value: &'b [u8]) -> Result<(), Status> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // Every request has it.
        if let Ok(name) = name.try_into()
            && is_host(name)
        {
            return self.note_host(value);
        }
        // By length first: most fields of a browser are none of these.
        match name.len() {
            5 if is("range") => self.fields.choose(|fields| once(&mut fields.range, value)),
            6 if is("expect") => self.expect = Some(value),
            8 if is("if-match") => self.fields.choose(|fields| fields.has_if_match = true),
            8 if is("if-range") => self
                .fields
                .choose(|fields| once(&mut fields.if_range, value)),
            10 if is("connection") => {
                self.closes |= field::has_token(value, b"close");
                self.keeps |= field::has_token(value, b"keep-alive");
            }
            13 if is("if-none-match") => {
                self.fields.choose(|fields| fields.has_if_none_match = true);
            }
            14 if is("content-length") => return self.note_content_length(value),
            17 if is("if-modified-since") => {
                self.fields
                    .choose(|fields| once(&mut fields.if_modified_since, value));
            }
            17 if is("transfer-encoding") => return self.note_transfer_encoding(value),
            19 if is("if-unmodified-since") => {
                self.fields
                    .choose(|fields| once(&mut fields.if_unmodified_since, value));
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112, 3.2: a `Host` that is repeated or malformed is refused in every version.
    fn note_host(&mut self, value: &[u8]) -> Result<(), Status> {
        if self.has_host || !field::is_authority(value) {
            return Err(Status::BadRequest);
        }
        self.has_host = true;
        Ok(())
    }

    /// Even the same length twice is refused: RFC 9112, 6.3 leaves the choice, and this one hides nothing.
    fn note_content_length(&mut self, value: &[u8]) -> Result<(), Status> {
        let length = field::decimal(value).ok_or(Status::BadRequest)?;
        match self.content_length.replace(length) {
            Some(_) => Err(Status::BadRequest),
            None => Ok(()),
        }
    }

    /// Two lines are one list, and no list of two is spoken here.
    fn note_transfer_encoding(&mut self, value: &'b [u8]) -> Result<(), Status> {
        match self.transfer_encoding.replace(value) {
            Some(_) => Err(Status::BadRequest),
            None => Ok(()),
        }
    }

    fn framing(&self, version: Version) -> Result<Framing, Status> {
        match (self.transfer_encoding, self.content_length) {
            (None, None) => Ok(Framing::None),
            (None, Some(length)) => Ok(Framing::Length(length)),
            // RFC 9112, 6.1: with both, or from a client that cannot know it, the framing is in doubt.
            (Some(_), Some(_)) => Err(Status::BadRequest),
            (Some(_), None) if version == Version::Http10 => Err(Status::BadRequest),
            (Some(codings), None) => check_codings(codings),
        }
    }

    fn keeps_alive(&self, version: Version) -> Result<bool, Status> {
        match version {
            Version::Http11 if !self.has_host => Err(Status::BadRequest),
            Version::Http11 => Ok(!self.closes),
            Version::Http10 => Ok(self.keeps && !self.closes),
        }
    }

    /// RFC 9110, 10.1.1: a client of 1.0 cannot expect anything.
    fn expects_continue(&self, version: Version) -> Result<bool, Status> {
        match self.expect {
            Some(value) if version == Version::Http11 => {
                let known = value.eq_ignore_ascii_case(b"100-continue");
                if known {
                    Ok(true)
                } else {
                    Err(Status::ExpectationFailed)
                }
            }
            _ => Ok(false),
        }
    }
}

/// Whether `name` is `Host` in any case.
///
/// A letter differs from its capital in one bit, and no other `tchar` becomes a letter with that bit set.
fn is_host(name: [u8; 4]) -> bool {
    u32::from_ne_bytes(name) | 0x2020_2020 == u32::from_ne_bytes(*b"host")
}

/// Keeps the first value, or an empty one in place of two.
fn once<'b>(slot: &mut Option<&'b [u8]>, value: &'b [u8]) {
    *slot = Some(if slot.is_some() { b"" } else { value });
}

/// Only `chunked` alone is spoken. A body that does not end in it has no end (RFC 9112, 6.3).
fn check_codings(codings: &[u8]) -> Result<Framing, Status> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let chunked = field::elements(codings)
        .filter(|coding| is_chunked(coding))
        .count();
    let ends_chunked = field::elements(codings).last().is_some_and(is_chunked);
    match (chunked, field::elements(codings).count()) {
        (1, 1) => Ok(Framing::Chunked),
        (1, _) if ends_chunked => Err(Status::NotImplemented),
        _ => Err(Status::BadRequest),
    }
}
