//! One connection: a request at a time from its input, a reply at a time to its output.

use crate::body::{self, Measured};
use crate::date::Clock;
use crate::output::Output;
use crate::request::{self, Parsed};
use crate::response::{Extra, Persistence, Reply};
use crate::site;
use crate::{Body, Limits, Method, Request, Site, Status, Version};

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<H> {
    /// Send what is in the output, then read more behind the input that is there.
    ///
    /// The input never has to grow past `head_bytes + body` of the [`Limits`]: what would need more is refused.
    Read,
    /// The reply does not fit: send what is in the output and come again with all of it.
    Flush,
    /// A request was answered.
    Reply {
        /// Bytes of the input that are done with.
        consumed: usize,
        /// Bytes at the start of the output that are to be sent.
        head: usize,
        /// What is to be sent behind them.
        body: Body<H>,
        /// What comes when all that is sent.
        then: Then,
    },
}

/// How a connection goes on after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// With the next request.
    Continue,
    /// It is closed: the client has asked for that and sends no more.
    Close,
    /// It is shut down for writing and, for a moment, what still comes is dropped. The client may be sending, and a
    /// connection that is closed over unread input is reset, which can take the reply with it (RFC 9112, 9.6).
    Drain,
}

/// The server's side of one connection, apart from its bytes.
#[derive(Clone, Debug)]
pub struct Connection {
    limits: Limits,
    clock: Clock,
}

impl Connection {
    /// Begins a connection.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            clock: Clock::new(),
        }
    }

    /// Answers the request at the start of `input`, if it is whole, into `out`.
    ///
    /// `now` is in seconds since 1970, `None` without a wall clock. An `out` of [`MIN_OUTPUT`](crate::MIN_OUTPUT)
    /// bytes holds every reply, so `Flush` cannot come twice in a row. Never blocks and never allocates.
    pub fn step<S: Site>(
        &mut self,
        input: &[u8],
        site: &mut S,
        now: Option<u64>,
        out: &mut [u8],
    ) -> Step<S::Handle> {
        let (request, head) = match request::parse(input, &self.limits) {
            Parsed::Complete { request, consumed } => (request, consumed),
            Parsed::Partial => return Step::Read,
            Parsed::Invalid(status) => return self.end(input, status, now, out),
        };
        match body::measure(request.framing, &input[head..], self.limits.body) {
            Measured::Complete(body) => {
                let consumed = head + body;
                let then = after(&request, consumed == input.len());
                self.answer(&request, consumed, then, site, now, out)
            }
            // The client is told at once instead of being asked for a body that nobody wants. It may have begun to
            // send it or may never send it, so the connection cannot go on (RFC 9110, 10.1.1).
            Measured::Partial if request.expects_continue => {
                self.answer(&request, input.len(), Then::Drain, site, now, out)
            }
            Measured::Partial => Step::Read,
            // What is refused anyway is refused for the better reason.
            Measured::Invalid(Status::ContentTooLarge) if !is_read_only(request.method) => {
                self.answer(&request, input.len(), Then::Drain, site, now, out)
            }
            Measured::Invalid(status) => self.end(input, status, now, out),
        }
    }

    /// Writes the reply with which a connection ends for a reason of its own, such as
    /// [`RequestTimeout`](Status::RequestTimeout); returns its length, 0 if `out` is too small.
    pub fn refuse(&mut self, status: Status, now: Option<u64>, out: &mut [u8]) -> usize {
        self.clock.set(now);
        let mut reply = Reply {
            out: Output::new(out),
            clock: &self.clock,
            persistence: Persistence::Close,
            is_head: false,
        };
        reply.page(status, Extra::None);
        reply.out.finish().unwrap_or(0)
    }

    /// Ends the connection over a request that is not understood.
    fn end<H>(
        &mut self,
        input: &[u8],
        status: Status,
        now: Option<u64>,
        out: &mut [u8],
    ) -> Step<H> {
        match self.refuse(status, now, out) {
            0 => Step::Flush,
            head => Step::Reply {
                consumed: input.len(),
                head,
                body: Body::None,
                then: Then::Drain,
            },
        }
    }

    fn answer<S: Site>(
        &mut self,
        request: &Request<'_>,
        consumed: usize,
        then: Then,
        site: &mut S,
        now: Option<u64>,
        out: &mut [u8],
    ) -> Step<S::Handle> {
        self.clock.set(now);
        let mut reply = Reply {
            out: Output::new(out),
            clock: &self.clock,
            persistence: persistence(request.version, then),
            is_head: request.method == Method::Head,
        };
        let body = site::respond(request, site, &mut reply);
        match reply.out.finish() {
            Some(head) => Step::Reply {
                consumed,
                head,
                body,
                then,
            },
            None => Step::Flush,
        }
    }
}

/// Whether the method is one that files answer.
const fn is_read_only(method: Method) -> bool {
    matches!(method, Method::Get | Method::Head | Method::Options)
}

/// What comes after a message that was whole. The tunnel that a `CONNECT` asked for may be followed by anything.
fn after(request: &Request<'_>, is_all: bool) -> Then {
    match request.method {
        Method::Connect => Then::Drain,
        _ if request.keep_alive => Then::Continue,
        _ if is_all => Then::Close,
        _ => Then::Drain,
    }
}

fn persistence(version: Version, then: Then) -> Persistence {
    match version {
        _ if then != Then::Continue => Persistence::Close,
        Version::Http10 => Persistence::KeepAlive,
        Version::Http11 => Persistence::Implied,
    }
}
