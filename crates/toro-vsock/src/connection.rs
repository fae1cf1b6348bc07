//! [`Connection`]: one stream, its two buffers, and what it still has to say.

use alloc::boxed::Box;
use core::task::Waker;

use toro_dev::socket::{Header, Op, STREAM, VsockAddr, shut};
use toro_time::{Instant, TimerKey};

use crate::buffer::Buffer;
use crate::config::{Buffers, Times};
use crate::credit::Credit;
use crate::dispatch::Served;

/// Names a connection on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) port: u32,
    pub(crate) peer: VsockAddr,
}

/// Whose a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A socket's that waits for the peer's answer.
    Connecting,
    /// A listener's.
    Waiting,
    /// A socket's or a service's.
    Open,
    /// Nobody's: it delivers what was written, and says good-bye.
    Orphan,
}

/// Why nothing of a connection is on the wire any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides have said all.
    Finished,
    /// The peer has reset or refused it, or has broken a rule.
    Reset,
    /// The peer does not answer.
    TimedOut,
    /// We have given it up.
    Aborted,
}

/// What is to be said once there is a packet for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Due {
    /// The request for a connection, or the answer to one.
    pub(crate) hello: Option<Op>,
    /// How much room we have.
    pub(crate) update: bool,
    /// The peer has asked for that, so it must be said by itself: peers may wait for exactly this.
    pub(crate) is_owed: bool,
    /// A question for the peer's room.
    pub(crate) request: bool,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) key: Key,
    pub(crate) stage: Stage,
    pub(crate) end: Option<End>,
    pub(crate) credit: Credit,
    pub(crate) input: Buffer,
    pub(crate) output: Buffer,
    /// Halves that we want to shut down, those that the peer knows of, and those that it has.
    pub(crate) wants_shut: u32,
    pub(crate) said_shut: u32,
    pub(crate) peer_shut: u32,
    pub(crate) due: Due,
    /// The peer was asked for its room, because there is none or because not all has left it.
    pub(crate) has_asked: bool,
    /// It has a place in the queue of those that have something to say.
    pub(crate) is_queued: bool,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    pub(crate) served: Option<Box<Served>>,
    /// When the peer was last heard, and was asked for a sign of life since.
    pub(crate) heard: Instant,
    pub(crate) probed: Option<Instant>,
    /// When it is given up, for connections that begin or end.
    pub(crate) deadline: Option<Instant>,
    /// Never later than anything that is to happen.
    pub(crate) timer: Option<(Instant, TimerKey)>,
}

impl Connection {
    pub(crate) fn new(key: Key, stage: Stage, hello: Op, buffers: &Buffers, now: Instant) -> Self {
        Self {
            key,
            stage,
            end: None,
            credit: Credit::new(buffers.receive),
            input: Buffer::new(buffers.receive),
            output: Buffer::new(buffers.send),
            wants_shut: 0,
            said_shut: 0,
            peer_shut: 0,
            due: Due {
                hello: Some(hello),
                ..Due::default()
            },
            has_asked: false,
            is_queued: false,
            reader: None,
            writer: None,
            served: None,
            heard: now,
            probed: None,
            deadline: None,
            timer: None,
        }
    }

    /// The peer sends no more.
    pub(crate) fn has_peer_ended(&self) -> bool {
        self.peer_shut & shut::SEND != 0 || self.end == Some(End::Finished)
    }

    /// The peer takes what is sent.
    pub(crate) fn is_heard(&self) -> bool {
        self.end.is_none() && self.peer_shut & shut::RECEIVE == 0
    }

    /// We want to write more.
    pub(crate) fn may_write(&self) -> bool {
        self.is_heard() && self.wants_shut & shut::SEND == 0
    }

    /// How many bytes of the output may leave now.
    pub(crate) fn sendable(&self) -> usize {
        match self.due.hello.is_none() && self.is_heard() && self.stage != Stage::Connecting {
            true => self.credit.may_send(),
            false => 0,
        }
    }

    /// What has to be said next.
    pub(crate) fn next_op(&self) -> Option<Op> {
        if self.end.is_some() {
            return None;
        }
        if self.due.hello.is_some() || self.stage == Stage::Connecting {
            return self.due.hello;
        }
        if self.due.update && self.due.is_owed {
            return Some(Op::CreditUpdate);
        }
        if !self.output.is_empty() && self.sendable() > 0 {
            return Some(Op::Data);
        }
        if self.due.update {
            return Some(Op::CreditUpdate);
        }
        if self.shut_now() != 0 {
            return Some(Op::Shutdown);
        }
        self.due.request.then_some(Op::CreditRequest)
    }

    /// The halves to shut down now, with those that are already; 0 if there is nothing new.
    ///
    /// vhost-device-vsock forgets a shutdown of both that comes while it still holds data for its client; so that one waits until all has
    /// left the peer's room.
    pub(crate) fn shut_now(&self) -> u32 {
        let mut flags = self.wants_shut;
        if !self.output.is_empty() && self.is_heard() {
            flags &= !shut::SEND;
        }
        flags |= self.said_shut;
        if flags == shut::BOTH && !self.is_delivered() {
            flags = self.said_shut;
        }
        if flags == self.said_shut { 0 } else { flags }
    }

    /// All that was sent has left the peer's room, or never will.
    pub(crate) fn is_delivered(&self) -> bool {
        !self.is_heard() || (self.output.is_empty() && self.credit.in_flight() == 0)
    }

    /// Whether nothing goes on before the peer has told of its room again.
    pub(crate) fn is_stuck(&self) -> bool {
        let has_no_room = !self.output.is_empty() && self.sendable() == 0;
        let is_ending = self.wants_shut == shut::BOTH && self.output.is_empty();
        self.is_heard() && (has_no_room || (is_ending && !self.is_delivered()))
    }

    /// The header of the next packet, and all that is said with it.
    pub(crate) fn header(&mut self, cid: u32, op: Op) -> Header {
        let (buf_alloc, fwd_cnt) = self.credit.tell();
        if !self.due.is_owed || op == Op::CreditUpdate {
            self.due.update = false;
            self.due.is_owed = false;
        }
        Header {
            src: VsockAddr {
                cid,
                port: self.key.port,
            },
            dst: self.key.peer,
            len: 0,
            kind: STREAM,
            op,
            flags: 0,
            buf_alloc,
            fwd_cnt,
        }
    }

    /// Takes so many bytes out of the input, and sees whether the peer should know.
    pub(crate) fn take(&mut self, len: usize) {
        self.input.consume(len);
        self.credit.take(len);
        self.tell_if_due();
    }

    /// Has the peer told of our room, if it should know.
    pub(crate) fn tell_if_due(&mut self) {
        let is_owed = self.due.is_owed && self.credit.untold() > 0;
        self.due.update |= self.end.is_none() && (self.credit.is_due() || is_owed);
    }

    /// When something is to happen without a packet.
    pub(crate) fn next_deadline(&self, times: &Times) -> Option<Instant> {
        let served = self.served.as_ref().and_then(|served| served.deadline);
        if self.end.is_some() {
            return served;
        }
        let silence = match self.stage {
            Stage::Connecting => None,
            _ => Some(self.silence(times)),
        };
        [self.deadline, silence, served].into_iter().flatten().min()
    }

    /// When the peer has been silent for too long: to be asked, or to be given up.
    pub(crate) fn silence(&self, times: &Times) -> Instant {
        match self.probed {
            Some(probed) => probed + times.answer,
            None => self.heard + times.probe,
        }
    }

    pub(crate) fn wake(&mut self) {
        let wakers = [self.reader.take(), self.writer.take()];
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}
