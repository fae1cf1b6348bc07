//! The head of a response, and the small pages that are all of a response.

use crate::conditional::ETag;
use crate::date::Clock;
use crate::output::Output;
use crate::{Status, charset, prepared};

/// An output slice of that many bytes has room for any reply head and error page under the default limits.
///
/// The longest is a redirect, which repeats the target.
pub const MIN_OUTPUT: usize = 5 * 1024;

const HTML: &str = "text/html; charset=utf-8";

/// The fields of a response head; what is `None` is not sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) status: Status,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) length: Option<u64>,
    pub(crate) modified: Option<u64>,
    pub(crate) etag: Option<ETag>,
    pub(crate) accepts_ranges: bool,
    pub(crate) extra: Extra<'a>,
}

/// The field that belongs to one status.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extra<'a> {
    None,
    /// 405 and `OPTIONS`: what is allowed.
    Allow,
    /// 206: the part, and the length of the whole.
    ContentRange {
        start: u64,
        end: u64,
        len: u64,
    },
    /// 416: the length of the whole.
    Unsatisfied {
        len: u64,
    },
    /// 301: the path to go to, not escaped, without its slash at the end, and the query.
    Location {
        path: &'a str,
        query: Option<&'a str>,
    },
}

/// What the head says of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// It goes on, as the version has it.
    Implied,
    /// It goes on, although the client speaks 1.0.
    KeepAlive,
    /// It ends with this response.
    Close,
}

/// Where a response goes and what all responses of a request share.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) out: Output<'a>,
    pub(crate) clock: &'a Clock,
    pub(crate) persistence: Persistence,
    /// The request was `HEAD`: the response ends with its head.
    pub(crate) is_head: bool,
}

impl Head<'_> {
    pub(crate) const fn new(status: Status) -> Self {
        Self {
            status,
            content_type: None,
            length: None,
            modified: None,
            etag: None,
            accepts_ranges: false,
            extra: Extra::None,
        }
    }
}

impl Reply<'_> {
    /// Writes a head.
    pub(crate) fn head(&mut self, head: &Head<'_>) {
        let out = &mut self.out;
        out.push(b"HTTP/1.1 ");
        out.push_str(head.status.text());
        out.push(self.clock.text());
        if let Some(kind) = head.content_type {
            out.push(b"\r\nContent-Type: ");
            out.push_str(kind);
        }
        if let Some(length) = head.length {
            out.push(b"\r\nContent-Length: ");
            out.push_decimal(length);
        }
        // RFC 9110, 8.8.2.1: never later than the date of the message.
        let latest = self.clock.now().unwrap_or(u64::MAX);
        let modified = head.modified.map(|modified| modified.min(latest));
        prepared::validators(out, modified, head.etag);
        if head.accepts_ranges {
            out.push(prepared::ACCEPTS_RANGES);
        }
        self.extra(head.extra);
        self.end_head();
    }

    /// Writes the head of a whole file, of which `fields` says all.
    pub(crate) fn file(&mut self, fields: &[u8]) {
        self.out.push(b"HTTP/1.1 200 OK");
        self.out.push(self.clock.text());
        self.out.push(fields);
        self.end_head();
    }

    fn end_head(&mut self) {
        self.out.push(match self.persistence {
            Persistence::Implied => b"\r\n\r\n",
            Persistence::KeepAlive => b"\r\nConnection: keep-alive\r\n\r\n",
            Persistence::Close => b"\r\nConnection: close\r\n\r\n",
        });
    }

    fn extra(&mut self, extra: Extra<'_>) {
        let out = &mut self.out;
        match extra {
            Extra::None => {}
            Extra::Allow => out.push(b"\r\nAllow: GET, HEAD, OPTIONS"),
            Extra::ContentRange { start, end, len } => {
                out.push(b"\r\nContent-Range: bytes ");
                out.push_decimal(start);
                out.push(b"-");
                out.push_decimal(end - 1);
                out.push(b"/");
                out.push_decimal(len);
            }
            Extra::Unsatisfied { len } => {
                out.push(b"\r\nContent-Range: bytes */");
                out.push_decimal(len);
            }
            Extra::Location { path, query } => self.location(path, query),
        }
    }

    /// The path begins with one slash and a name, so that no browser takes it for another host.
    fn location(&mut self, path: &str, query: Option<&str>) {
        self.out.push(b"\r\nLocation: ");
        for byte in path.bytes() {
            if charset::is(byte, charset::PATH) {
                self.out.push(&[byte]);
            } else {
                self.out.push_escape(byte);
            }
        }
        self.out.push(b"/");
        if let Some(query) = query {
            self.out.push(b"?");
            self.out.push_str(query);
        }
    }

    /// Writes a whole response: a head and a page that says what the status says.
    pub(crate) fn page(&mut self, status: Status, extra: Extra<'_>) {
        let text = status.text();
        let page = [
            "<!doctype html><title>",
            text,
            "</title><h1>",
            text,
            "</h1>\n",
        ];
        let length: usize = page.iter().map(|part| part.len()).sum();
        self.head(&Head {
            content_type: Some(HTML),
            length: u64::try_from(length).ok(),
            extra,
            ..Head::new(status)
        });
        if !self.is_head {
            for part in page {
                self.out.push_str(part);
            }
        }
    }
}
