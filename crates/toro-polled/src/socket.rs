//! [`PolledSocket`]: one connection to the host over a socket device, which is listened for or made.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::{fmt, iter};

use toro_dev::socket::{Header, Op, STREAM, VsockAddr, shut};
use toro_virtio::{Transport, device};

use crate::packets::{PAYLOAD, Packets};
use crate::{Line, OpenError, Sink, Wait};

/// Bytes that may come in before they are read.
const ROOM: u32 = 16 << 10;
/// What is sent at once if nobody asks before.
const KEPT: usize = PAYLOAD;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is none.
    Closed,
    /// The host was asked for one.
    Asked,
    /// It is there.
    Open,
}

/// A connection that is looked at.
pub struct PolledSocket {
    transport: Box<dyn Transport>,
    packets: Packets,
    wait: Wait,
    /// The port that is listened at, or that of the host that a file goes to.
    port: u32,
    state: State,
    own: VsockAddr,
    peer: VsockAddr,
    /// What has come in and was not read. It never grows.
    inbox: VecDeque<u8>,
    /// What was not sent.
    outbox: VecDeque<u8>,
    /// Bytes read ever, and as the peer was told last; all counters wrap.
    forwarded: u32,
    told: u32,
    /// Bytes sent ever, the peer's room, and how many bytes have left that.
    sent: u32,
    peer_room: u32,
    peer_forwarded: u32,
}

impl PolledSocket {
    /// Opens the device behind `transport`, for connections with `port`: ours to those that come, the host's to those that are made.
    ///
    /// # Errors
    /// Fails if it is something else, does not follow version 1, or memory runs short. The device is then marked as failed.
    pub fn open(
        mut transport: Box<dyn Transport>,
        port: u32,
        wait: Wait,
    ) -> Result<Self, OpenError> {
        let packets = Packets::start(&mut *transport, wait).inspect_err(|_| {
            device::fail(&mut *transport);
        })?;
        let own = VsockAddr {
            cid: packets.cid,
            port,
        };
        Ok(Self {
            transport,
            packets,
            wait,
            port,
            state: State::Closed,
            own,
            peer: own,
            inbox: VecDeque::with_capacity(ROOM as usize),
            outbox: VecDeque::with_capacity(KEPT),
            forwarded: 0,
            told: 0,
            sent: 0,
            peer_room: 0,
            peer_forwarded: 0,
        })
    }

    /// Begins a connection between `own` and `peer`.
    fn begin(&mut self, own: VsockAddr, peer: VsockAddr, state: State) {
        (self.own, self.peer, self.state) = (own, peer, state);
        (self.forwarded, self.told, self.sent) = (0, 0, 0);
        (self.peer_room, self.peer_forwarded) = (0, 0);
        self.inbox.clear();
        self.outbox.clear();
    }

    /// Follows the packets that have come in.
    fn look(&mut self) {
        // Not more than fit into the queue, so that a peer that sends without end is not listened to for ever.
        for _ in 0..64 {
            let mut header = None;
            let inbox = &mut self.inbox;
            let (own, peer, is_open) = (self.own, self.peer, self.state == State::Open);
            let any = self.packets.receive(|found, payload| {
                let is_ours = is_open && found.dst == own && found.src == peer;
                // Who sends more than there is room for loses it.
                if is_ours && found.op == Op::Data && inbox.len() + payload.len() <= ROOM as usize {
                    inbox.extend(payload);
                }
                header = Some(found);
            });
            if !any {
                return;
            }
            if let Some(header) = header {
                self.follow(&header);
            }
        }
    }

    fn follow(&mut self, header: &Header) {
        let is_peer = header.src == self.peer && header.dst == self.own;
        if self.state == State::Closed || !is_peer {
            return self.meet(header);
        }
        (self.peer_room, self.peer_forwarded) = (header.buf_alloc, header.fwd_cnt);
        match header.op {
            Op::Response if self.state == State::Asked => self.state = State::Open,
            Op::CreditRequest => drop(self.say(Op::CreditUpdate, 0)),
            Op::Shutdown => {
                self.say(Op::Reset, 0);
                self.state = State::Closed;
            }
            Op::Reset => self.state = State::Closed,
            _ => {}
        }
    }

    /// Answers a stranger: the first that asks at our port is connected, all others are refused.
    fn meet(&mut self, header: &Header) {
        let at = VsockAddr {
            cid: self.packets.cid,
            port: self.port,
        };
        let is_wanted = header.op == Op::Request && header.dst == at && header.kind == STREAM;
        if is_wanted && self.state == State::Closed {
            self.begin(at, header.src, State::Open);
            (self.peer_room, self.peer_forwarded) = (header.buf_alloc, header.fwd_cnt);
            self.say(Op::Response, 0);
        } else if header.op != Op::Reset {
            let answer = Header {
                src: header.dst,
                dst: header.src,
                ..self.header(Op::Reset)
            };
            self.packets.send(&answer, iter::empty());
        }
    }

    fn header(&self, op: Op) -> Header {
        Header {
            src: self.own,
            dst: self.peer,
            len: 0,
            kind: STREAM,
            op,
            flags: 0,
            buf_alloc: ROOM,
            fwd_cnt: self.forwarded,
        }
    }

    fn say(&mut self, op: Op, flags: u32) -> bool {
        self.told = self.forwarded;
        let header = Header {
            flags,
            ..self.header(op)
        };
        self.packets.send(&header, iter::empty())
    }

    /// How many bytes the peer has room for.
    fn credit(&self) -> usize {
        let under_way = self.sent.wrapping_sub(self.peer_forwarded);
        self.peer_room.saturating_sub(under_way) as usize
    }

    /// Waits for something to happen; `false` if it does not, or the connection ends before.
    fn until(&mut self, mut happens: impl FnMut(&mut Self) -> bool) -> bool {
        let wait = self.wait;
        let mut has_happened = false;
        wait(&mut || {
            self.look();
            has_happened = happens(self);
            has_happened || self.state == State::Closed
        });
        has_happened
    }

    fn put(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(KEPT - self.outbox.len()));
            self.outbox.extend(now);
            bytes = later;
            if self.outbox.len() == KEPT && !self.send() {
                return false;
            }
        }
        true
    }

    /// Sends what was kept, as the peer has room for it. What cannot be sent is lost.
    fn send(&mut self) -> bool {
        while !self.outbox.is_empty() {
            if self.state != State::Open
                || (self.credit() == 0 && !self.until(|socket| socket.credit() > 0))
            {
                self.outbox.clear();
                return false;
            }
            let len = self.outbox.len().min(self.credit());
            self.sent = self.sent.wrapping_add(count(len));
            self.told = self.forwarded;
            let header = Header {
                len: count(len),
                ..self.header(Op::Data)
            };
            if !self.packets.send(&header, self.outbox.drain(..len)) {
                return false;
            }
        }
        true
    }
}

/// Bytes as the counters of a connection have them: a packet holds far less than wraps.
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl Line for PolledSocket {
    fn read(&mut self) -> Option<u8> {
        if self.inbox.is_empty() {
            self.look();
        }
        let byte = self.inbox.pop_front()?;
        self.forwarded = self.forwarded.wrapping_add(1);
        if self.forwarded.wrapping_sub(self.told) >= ROOM / 2 {
            self.say(Op::CreditUpdate, 0);
        }
        Some(byte)
    }

    fn has_input(&mut self) -> bool {
        if self.inbox.is_empty() {
            self.look();
        }
        !self.inbox.is_empty()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.put(bytes);
    }

    fn flush(&mut self) {
        self.send();
    }

    fn set_interrupts(&mut self, wanted: bool) -> bool {
        // A line that is up gives no further edge.
        self.transport.acknowledge();
        // A packet that was there before brings perhaps no bytes, and no interrupt: once it is taken the next one has to be asked for anew.
        // A queue that has failed always has news.
        let mut turns = 0..64;
        while turns.next().is_some() && self.packets.set_interrupts(wanted) && !self.has_input() {}
        self.has_input()
    }
}

impl Sink for PolledSocket {
    fn begin(&mut self) -> Option<u64> {
        let own = VsockAddr {
            cid: self.packets.cid,
            // Nobody else in this machine has ports at this device.
            port: self.port | 1 << 31,
        };
        self.begin(own, VsockAddr::host(self.port), State::Asked);
        self.say(Op::Request, 0);
        let is_open = self.until(|socket| socket.state == State::Open);
        is_open.then_some(u64::MAX)
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        self.put(bytes)
    }

    fn finish(&mut self) -> bool {
        if !self.send() {
            return false;
        }
        // A back end that is told that both sides are done forgets what it has not handed on: first all has to have left its room.
        let mut asked_at = None;
        let is_taken = self.until(|socket| {
            let is_taken = socket.peer_forwarded == socket.sent;
            if !is_taken && asked_at != Some(socket.peer_forwarded) {
                asked_at = Some(socket.peer_forwarded);
                socket.say(Op::CreditRequest, 0);
            }
            is_taken
        });
        is_taken && self.say(Op::Shutdown, shut::BOTH) && {
            self.until(|_| false);
            true
        }
    }
}

impl fmt::Debug for PolledSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolledSocket({:?})", self.state)
    }
}
