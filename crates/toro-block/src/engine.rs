//! [`Engine`]: the requests of one disk, and who waits for them. Takes the time as an argument and blocks nobody.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::task::{Poll, Waker};
use core::time::Duration;

use toro_dev::Tally;
use toro_dev::block::{
    BlockDevice, BlockError, BlockInfo, Completion, Op, Refused, Request, Token,
};
use toro_mem::DmaBuf;
use toro_time::Instant;

/// A request that takes longer has failed. Disks of hosts stall for seconds when their host is busy.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Names a request until its outcome is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(usize);

/// How a request ended: its buffer, if it has one that the device no longer uses, and whether it was carried out.
pub type Outcome = (Option<DmaBuf>, Result<(), BlockError>);

/// What the requests of a disk have come to, by their kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Reads.
    pub read: Tally,
    /// Writes.
    pub write: Tally,
    /// Flushes.
    pub flush: Tally,
    /// Discards, and zeroes without bytes.
    pub other: Tally,
}

/// What is counted of a request.
#[derive(Clone, Copy, Debug)]
enum Work {
    Read(usize),
    Write(usize),
    Flush,
    Other,
}

impl Work {
    fn of(op: &Op) -> Self {
        match op {
            Op::Read(buf) => Self::Read(buf.len()),
            Op::Write(buf) => Self::Write(buf.len()),
            Op::Flush => Self::Flush,
            Op::Discard { .. } | Op::WriteZeroes { .. } => Self::Other,
        }
    }
}

impl Stats {
    fn add(&mut self, work: Work, is_done: bool, took: Duration) {
        let (tally, bytes) = match work {
            Work::Read(len) => (&mut self.read, len),
            Work::Write(len) => (&mut self.write, len),
            Work::Flush => (&mut self.flush, 0),
            Work::Other => (&mut self.other, 0),
        };
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        tally.add(is_done.then_some(bytes as u64), nanos);
    }
}

#[derive(Debug)]
enum State {
    /// Nobody has this ticket.
    Free,
    InFlight {
        token: Token,
        begun: Instant,
        work: Work,
    },
    Done(Outcome),
}

#[derive(Debug)]
struct Entry {
    state: State,
    /// Whoever waits for the outcome.
    waker: Option<Waker>,
}

/// The requests of one disk.
pub(crate) struct Engine {
    device: Box<dyn BlockDevice>,
    entries: Vec<Entry>,
    /// Tickets that nobody has.
    free: Vec<usize>,
    /// The ticket of each token in flight; `None` if nobody wants to know any more.
    tickets: Vec<Option<Ticket>>,
    /// How many requests are with the device and somebody wants to know.
    in_flight: usize,
    /// No request is overdue before this moment.
    next_check: Instant,
    /// Who waits for room.
    queue: Vec<Waker>,
    /// Requests were accepted that the device has not been told of.
    is_unkicked: bool,
    stats: Stats,
}

impl Engine {
    /// Nothing in flight on `device`.
    pub(crate) fn new(device: Box<dyn BlockDevice>) -> Self {
        Self {
            device,
            entries: Vec::new(),
            free: Vec::new(),
            tickets: Vec::new(),
            in_flight: 0,
            next_check: Instant::ZERO,
            queue: Vec::new(),
            is_unkicked: false,
            stats: Stats::default(),
        }
    }

    /// What the disk is.
    pub(crate) fn info(&self) -> BlockInfo {
        self.device.info()
    }

    /// What has come of requests so far, without those that nobody waited for.
    pub(crate) fn stats(&self) -> Stats {
        self.stats
    }

    /// Accepts a request. It moves at the next [`turn`](Self::turn).
    ///
    /// # Errors
    /// Hands the request back if there is no room for it or it makes no sense.
    pub(crate) fn submit(&mut self, request: Request, now: Instant) -> Result<Ticket, Refused> {
        let work = Work::of(&request.op);
        let token = self.device.submit(request)?;
        if self.in_flight == 0 {
            self.next_check = now + TIMEOUT;
        }
        self.in_flight += 1;
        self.is_unkicked = true;
        let ticket = self.take_ticket(State::InFlight {
            token,
            begun: now,
            work,
        });
        let index = usize::from(token.0);
        if self.tickets.len() <= index {
            self.tickets.resize(index + 1, None);
        }
        self.tickets[index] = Some(ticket);
        Ok(ticket)
    }

    /// Whether a turn is due: something was accepted that the device does not know.
    pub(crate) fn is_unkicked(&self) -> bool {
        self.is_unkicked
    }

    /// Takes the outcome of a request, or has `waker` woken when there is one. An outcome is taken once.
    pub(crate) fn poll(&mut self, ticket: Ticket, waker: &Waker) -> Poll<Outcome> {
        let entry = &mut self.entries[ticket.0];
        if let State::Done(_) = entry.state {
            let State::Done(outcome) = core::mem::replace(&mut entry.state, State::Free) else {
                unreachable!("it was looked at just before")
            };
            entry.waker = None;
            self.free.push(ticket.0);
            return Poll::Ready(outcome);
        }
        match &mut entry.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Poll::Pending
    }

    /// Gives a ticket back whose outcome nobody wants. The device goes on; its buffer is freed when it is done.
    pub(crate) fn forget(&mut self, ticket: Ticket) {
        let entry = &mut self.entries[ticket.0];
        entry.waker = None;
        if let State::InFlight { token, .. } = entry.state {
            self.tickets[usize::from(token.0)] = None;
            self.in_flight -= 1;
        }
        entry.state = State::Free;
        self.free.push(ticket.0);
    }

    /// Has `waker` woken when there may be room for another request.
    pub(crate) fn await_room(&mut self, waker: &Waker) {
        if !self.queue.iter().any(|known| known.will_wake(waker)) {
            self.queue.push(waker.clone());
        }
    }

    /// Takes a turn: tells the device of new requests, takes those that are done, gives up those that are overdue, and asks for `waker`
    /// to be woken when there is more. Returns `false` if there is more already.
    ///
    /// Whoever is to be woken is put into `woken`: wake them once the engine is no longer borrowed.
    pub(crate) fn turn(&mut self, now: Instant, waker: &Waker, woken: &mut Vec<Waker>) -> bool {
        if core::mem::take(&mut self.is_unkicked) {
            self.device.kick();
        }
        let mut has_room = false;
        while let Some(completion) = self.device.complete() {
            has_room = true;
            self.finish(completion, now, woken);
        }
        if has_room {
            woken.append(&mut self.queue);
        }
        self.expire(now, woken);
        self.device.arm(waker)
    }

    /// When the next turn is due though nothing happens.
    pub(crate) fn next_check(&self) -> Option<Instant> {
        (self.in_flight > 0).then_some(self.next_check)
    }

    fn finish(&mut self, completion: Completion, now: Instant, woken: &mut Vec<Waker>) {
        let index = usize::from(completion.token.0);
        if let Some(ticket) = self.tickets.get_mut(index).and_then(Option::take) {
            self.end(ticket, (completion.buf, completion.result), now, woken);
        }
    }

    /// Gives up what is overdue. Its buffer stays with the device.
    fn expire(&mut self, now: Instant, woken: &mut Vec<Waker>) {
        if self.in_flight == 0 || now < self.next_check {
            return;
        }
        self.next_check = now + TIMEOUT;
        for index in 0..self.entries.len() {
            let State::InFlight { token, begun, .. } = self.entries[index].state else {
                continue;
            };
            let deadline = begun + TIMEOUT;
            if deadline <= now {
                log::error!("blk: a request was not answered within {TIMEOUT:?}");
                self.tickets[usize::from(token.0)] = None;
                let outcome = (None, Err(BlockError::TimedOut));
                self.end(Ticket(index), outcome, now, woken);
            } else {
                self.next_check = self.next_check.min(deadline);
            }
        }
    }

    fn end(&mut self, ticket: Ticket, outcome: Outcome, now: Instant, woken: &mut Vec<Waker>) {
        let entry = &mut self.entries[ticket.0];
        if let State::InFlight { begun, work, .. } = entry.state {
            let took = now.duration_since(begun);
            self.stats.add(work, outcome.1.is_ok(), took);
        }
        entry.state = State::Done(outcome);
        woken.extend(entry.waker.take());
        self.in_flight -= 1;
    }

    fn take_ticket(&mut self, state: State) -> Ticket {
        let entry = Entry { state, waker: None };
        let Some(index) = self.free.pop() else {
            self.entries.push(entry);
            return Ticket(self.entries.len() - 1);
        };
        self.entries[index] = entry;
        Ticket(index)
    }
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Engine({} in flight)", self.in_flight)
    }
}
