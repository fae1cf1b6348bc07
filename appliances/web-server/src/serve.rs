//! [`Server`]: the site as a service of the event loop.
//!
//! Requests are answered where they arrive, in the receive ring, and replies are written where they leave from. Only a
//! request too large for the ring is gathered elsewhere. What does not fit of a file waits for room and follows from
//! where the file lies, which is in memory for good: files that have to be read are the business of [`waiting`](crate::waiting).

use alloc::vec::Vec;
use core::time::Duration;

use toro::metrics::Requests;
use toro::net::{Conn, Output, Service};
use toro::time::{Instant, SystemTime};
use toro_http::{Body, Connection, Limits, MIN_OUTPUT, Status, Step, Then};

use crate::files::{Content, Files};

pub(crate) const LIMITS: Limits = Limits::DEFAULT;

/// How long a connection may be kept without a request.
const IDLE: Duration = Duration::from_secs(60);
/// How long a request may take to arrive whole.
pub(crate) const REQUEST: Duration = Duration::from_secs(20);
/// How long the client may go without reading anything of a reply.
pub(crate) const WRITE: Duration = Duration::from_secs(60);
/// How long the client may take to close after the last reply.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// The start of a request that may stay in the receive ring, which is larger on every machine.
const RING: usize = 2 * 1024;
/// No request needs more.
const INPUT_MAX: usize = LIMITS.head_bytes + LIMITS.body;

/// What `metrics=` shows of it.
pub(crate) static REQUESTS: Requests = Requests::new("http");

/// Answers requests for all connections.
#[derive(Debug)]
pub(crate) struct Server {
    http: Connection,
    files: Files,
}

/// What is kept for a connection.
#[derive(Debug)]
pub(crate) struct Visit {
    phase: Phase,
    /// The start of a large request, and what came behind it.
    gathered: Vec<u8>,
    /// When the request that has begun to arrive must be whole.
    deadline: Option<Instant>,
}

#[derive(Debug)]
enum Phase {
    Reading,
    /// The rest of a body waits for room.
    Sending {
        rest: &'static [u8],
        then: Then,
    },
    /// All is said; what still comes is dropped.
    Draining,
}

impl Server {
    /// A server of the files below `root`.
    pub(crate) fn new(root: &'static str) -> Self {
        REQUESTS.announce();
        Self {
            http: Connection::new(LIMITS),
            files: Files::new(root),
        }
    }

    /// Answers what is whole at the start of `input`, as far as there is room; returns how much that was.
    fn answer(
        &mut self,
        visit: &mut Visit,
        conn: &mut Conn,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> usize {
        let mut consumed = 0;
        let time = wall_clock();
        while consumed < input.len() && matches!(visit.phase, Phase::Reading) {
            let place = output.spare(MIN_OUTPUT);
            if place.is_empty() {
                break;
            }
            let begun = Requests::begin();
            match self
                .http
                .step(&input[consumed..], &mut self.files, time, place)
            {
                Step::Reply {
                    consumed: len,
                    head,
                    body,
                    then,
                } => {
                    output.commit(MIN_OUTPUT, head);
                    consumed += len;
                    visit.deadline = None;
                    visit.send(conn, body, then, output);
                    REQUESTS.end(begun);
                }
                Step::Read => break,
                Step::Flush => {
                    // It has as much room as any reply needs.
                    conn.close();
                    break;
                }
            }
        }
        if matches!(visit.phase, Phase::Reading) {
            visit.be_patient(conn, output.is_waiting(), consumed == input.len());
        }
        consumed
    }

    /// Answers from what was gathered.
    fn answer_gathered(&mut self, visit: &mut Visit, conn: &mut Conn, output: &mut Output<'_>) {
        let mut input = core::mem::take(&mut visit.gathered);
        let consumed = self.answer(visit, conn, &input, output);
        if consumed < input.len() {
            input.drain(..consumed);
            visit.gathered = input;
        }
    }

    /// Ends the connection with an answer that says why.
    fn refuse(
        &mut self,
        visit: &mut Visit,
        conn: &mut Conn,
        status: Status,
        output: &mut Output<'_>,
    ) {
        let place = output.spare(MIN_OUTPUT);
        let len = self.http.refuse(status, wall_clock(), place);
        output.commit(MIN_OUTPUT, len);
        visit.end(conn, Then::Drain);
    }
}

impl Service for Server {
    type Connection = Visit;

    fn connected(&mut self, conn: &mut Conn, _: &mut Output<'_>) -> Option<Visit> {
        conn.set_timeout(Some(IDLE));
        Some(Visit {
            phase: Phase::Reading,
            gathered: Vec::new(),
            deadline: None,
        })
    }

    fn received(
        &mut self,
        visit: &mut Visit,
        conn: &mut Conn,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> usize {
        if matches!(visit.phase, Phase::Draining) {
            return input.len();
        }
        if visit.gathered.is_empty() {
            let consumed = self.answer(visit, conn, input, output);
            let left = &input[consumed..];
            if left.len() <= RING || !matches!(visit.phase, Phase::Reading) || output.is_waiting() {
                return consumed;
            }
            return consumed + self.gather(visit, conn, left, output);
        }
        let taken = self.gather(visit, conn, input, output);
        if matches!(visit.phase, Phase::Reading) {
            self.answer_gathered(visit, conn, output);
        }
        taken
    }

    fn writable(&mut self, visit: &mut Visit, conn: &mut Conn, output: &mut Output<'_>) {
        visit.resume(conn, output);
        if matches!(visit.phase, Phase::Reading) && !visit.gathered.is_empty() {
            self.answer_gathered(visit, conn, output);
        }
    }

    fn timed_out(&mut self, visit: &mut Visit, conn: &mut Conn, output: &mut Output<'_>) {
        match visit.phase {
            Phase::Reading if visit.deadline.is_some() => {
                self.refuse(visit, conn, Status::RequestTimeout, output);
            }
            _ => conn.close(),
        }
    }

    fn ending(&mut self, visit: &mut Visit, conn: &mut Conn, _: &mut Output<'_>) {
        match &mut visit.phase {
            // What was promised is sent; what the client asks meanwhile is not heard.
            Phase::Sending { then, .. } => *then = Then::Drain,
            _ => visit.end(conn, Then::Drain),
        }
    }
}

impl Server {
    /// Takes input out of the ring, behind what was gathered; returns how much.
    fn gather(
        &mut self,
        visit: &mut Visit,
        conn: &mut Conn,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> usize {
        let gathered = &mut visit.gathered;
        let len = input.len().min(INPUT_MAX - gathered.len());
        if gathered.try_reserve(len).is_err() {
            self.refuse(visit, conn, Status::Unavailable, output);
            return input.len();
        }
        gathered.extend_from_slice(&input[..len]);
        len
    }
}

impl Visit {
    /// Writes a body behind its head.
    fn send(&mut self, conn: &mut Conn, body: Body<Content>, then: Then, output: &mut Output<'_>) {
        let Body::File { handle, start, end } = body else {
            return self.end(conn, then);
        };
        let Some(rest) = part(handle.bytes, start, end) else {
            self.phase = Phase::Draining;
            return conn.close();
        };
        self.phase = Phase::Sending { rest, then };
        self.resume(conn, output);
    }

    /// Goes on with the body that waits.
    fn resume(&mut self, conn: &mut Conn, output: &mut Output<'_>) {
        let Phase::Sending { rest, then } = &mut self.phase else {
            return;
        };
        *rest = &rest[output.write(rest)..];
        if rest.is_empty() {
            let then = *then;
            self.phase = Phase::Reading;
            self.end(conn, then);
        } else {
            conn.set_timeout(Some(WRITE));
        }
    }

    /// Does what comes after a reply.
    fn end(&mut self, conn: &mut Conn, then: Then) {
        match then {
            Then::Continue => {}
            Then::Close => conn.close(),
            Then::Drain => {
                self.phase = Phase::Draining;
                conn.shutdown_write();
                conn.set_timeout(Some(LINGER));
            }
        }
    }

    /// Gives the client time for what it is to do next.
    fn be_patient(&mut self, conn: &mut Conn, is_waiting: bool, is_idle: bool) {
        if is_waiting {
            conn.set_timeout(Some(WRITE));
        } else if is_idle {
            conn.set_timeout(Some(IDLE));
        } else {
            let deadline = *self.deadline.get_or_insert(conn.now() + REQUEST);
            conn.set_timeout(Some(deadline - conn.now()));
        }
    }
}

/// Seconds since 1970; `None` if the machine has no clock and counts from its boot.
pub(crate) fn wall_clock() -> Option<u64> {
    /// 2001-09-09, long before this program was written.
    const EARLIEST: u64 = 1_000_000_000;
    Some(SystemTime::now().unix_secs()).filter(|seconds| *seconds > EARLIEST)
}

fn part(bytes: &'static [u8], start: u64, end: u64) -> Option<&'static [u8]> {
    bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}
