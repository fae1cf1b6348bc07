//! A site: names and the files behind them, and the answer to each request for one.

use crate::conditional::{self, ETag, Verdict};
use crate::prepared::Prepared;
use crate::range::{self, Selection};
use crate::response::{Extra, Head, Reply};
use crate::target::{self, Scratch};
use crate::{Method, Request, Status, Target, mime};

/// The page that a site may bring for what it does not have.
const NOT_FOUND_PAGE: &str = "/404.html";

/// The files that a server serves.
pub trait Site {
    /// A file that was found; the caller of [`Connection::step`](crate::Connection::step) reads its bytes.
    type Handle;

    /// Looks up a path, which is absolute and normalised: no `.`, `..`, empty segment or control character.
    fn find(&mut self, path: &str) -> Found<Self::Handle>;

    /// The fields of the file that `find` has just found, if they were kept.
    fn prepared(&self, handle: &Self::Handle) -> Option<&Prepared> {
        let _ = handle;
        None
    }
}

/// What is behind a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<H> {
    /// A file.
    File(Entry<H>),
    /// A directory: the client is sent to the same path with a slash.
    Directory,
    /// Nothing.
    NotFound,
    /// Something that could not be read.
    Failed,
}

/// A file and what the protocol says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<H> {
    /// How the caller gets at the bytes.
    pub handle: H,
    /// Bytes in the file.
    pub len: u64,
    /// Seconds since 1970 at the last change, if known.
    pub modified: Option<u64>,
    /// The tag of this content.
    pub etag: Option<ETag>,
}

/// The bytes that follow a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<H> {
    /// None, or they were written behind the head.
    None,
    /// The bytes of a file from `start` up to, not including, `end`.
    File {
        /// The file.
        handle: H,
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
}

/// Answers a request whose message has arrived whole.
pub(crate) fn respond<S: Site>(
    request: &Request<'_>,
    site: &mut S,
    reply: &mut Reply<'_>,
) -> Body<S::Handle> {
    match (request.method, request.target) {
        (Method::Get | Method::Head, Target::Path { path, query }) => {
            return respond_with_file(request, path, query, site, reply);
        }
        (Method::Options, _) => {
            reply.head(&Head {
                extra: Extra::Allow,
                ..Head::new(Status::NoContent)
            });
        }
        (Method::Unknown, _) => reply.page(Status::NotImplemented, Extra::None),
        _ => reply.page(Status::MethodNotAllowed, Extra::Allow),
    }
    Body::None
}

fn respond_with_file<S: Site>(
    request: &Request<'_>,
    path: &str,
    query: Option<&str>,
    site: &mut S,
    reply: &mut Reply<'_>,
) -> Body<S::Handle> {
    let mut scratch = Scratch::default();
    let name = match target::normalise(path, &mut scratch) {
        Ok(name) => name,
        Err(status) => return page(reply, status, Extra::None),
    };
    match site.find(name.text) {
        Found::File(entry) => send_file(request, name.text, entry, site, reply),
        Found::Directory if !name.is_index => page(
            reply,
            Status::MovedPermanently,
            Extra::Location {
                path: name.text,
                query,
            },
        ),
        Found::Failed => page(reply, Status::InternalError, Extra::None),
        Found::Directory | Found::NotFound => send_not_found(site, reply),
    }
}

fn page<H>(reply: &mut Reply<'_>, status: Status, extra: Extra<'_>) -> Body<H> {
    reply.page(status, extra);
    Body::None
}

fn send_file<S: Site>(
    request: &Request<'_>,
    path: &str,
    entry: Entry<S::Handle>,
    site: &mut S,
    reply: &mut Reply<'_>,
) -> Body<S::Handle> {
    let now = reply.clock.now();
    if !request.fields.any {
        let prepared = site.prepared(&entry.handle);
        if let Some(text) = prepared.and_then(|fields| fields.text(now)) {
            reply.file(text);
            return body(reply, entry.handle, 0, entry.len);
        }
    }
    match conditional::judge(request, &entry, now) {
        Verdict::Send => {}
        Verdict::Failed => return page(reply, Status::PreconditionFailed, Extra::None),
        Verdict::NotModified => {
            let Entry { modified, etag, .. } = entry;
            reply.head(&Head {
                modified,
                etag,
                ..Head::new(Status::NotModified)
            });
            return Body::None;
        }
    }
    match selection(request, &entry, now) {
        Selection::Whole => {
            let end = entry.len;
            send_part(reply, Status::Ok, path, entry, 0..end)
        }
        Selection::Part { start, end } => {
            send_part(reply, Status::PartialContent, path, entry, start..end)
        }
        Selection::Unsatisfiable => {
            let extra = Extra::Unsatisfied { len: entry.len };
            page(reply, Status::RangeNotSatisfiable, extra)
        }
    }
}

/// RFC 9110, 14.2: a range is a matter of `GET` only, and looked at after all conditions.
fn selection<H>(request: &Request<'_>, entry: &Entry<H>, now: Option<u64>) -> Selection {
    match request.fields.range {
        Some(value)
            if request.method == Method::Get && conditional::range_stands(request, entry, now) =>
        {
            range::select(value, entry.len)
        }
        _ => Selection::Whole,
    }
}

fn send_part<H>(
    reply: &mut Reply<'_>,
    status: Status,
    path: &str,
    entry: Entry<H>,
    part: core::ops::Range<u64>,
) -> Body<H> {
    let (start, end) = (part.start, part.end);
    let extra = match status {
        Status::PartialContent => Extra::ContentRange {
            start,
            end,
            len: entry.len,
        },
        _ => Extra::None,
    };
    reply.head(&Head {
        status,
        content_type: Some(mime::of_path(path)),
        length: Some(end - start),
        modified: entry.modified,
        etag: entry.etag,
        accepts_ranges: true,
        extra,
    });
    body(reply, entry.handle, start, end)
}

/// The site's own page if it has one. Conditions and ranges are about the file that is not there.
fn send_not_found<S: Site>(site: &mut S, reply: &mut Reply<'_>) -> Body<S::Handle> {
    let Found::File(entry) = site.find(NOT_FOUND_PAGE) else {
        return page(reply, Status::NotFound, Extra::None);
    };
    reply.head(&Head {
        content_type: Some(mime::of_path(NOT_FOUND_PAGE)),
        length: Some(entry.len),
        ..Head::new(Status::NotFound)
    });
    body(reply, entry.handle, 0, entry.len)
}

fn body<H>(reply: &Reply<'_>, handle: H, start: u64, end: u64) -> Body<H> {
    if reply.is_head || start == end {
        Body::None
    } else {
        Body::File { handle, start, end }
    }
}
