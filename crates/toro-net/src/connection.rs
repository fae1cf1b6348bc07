//! [`Connection`]: one TCP connection, a smoltcp socket in a set of its own and what the stack knows besides.

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::task::Waker;
use core::time::Duration;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use toro_time::{Instant, TimerKey};

use crate::birth::{Agreement, Lone};
use crate::config::Times;
use crate::device::SendLog;
use crate::dispatch::Served;
use crate::packet::{Segment, Tuple};
use crate::recovery::Recovery;
use crate::slot::Slot;
use crate::stats::Stats;
use crate::timestamps::Timestamps;

/// The shortest time after which smoltcp sends something again.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// Whose the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// `connect` waits for the peer's answer.
    Connecting,
    /// Established, and nobody has accepted it yet.
    Ready,
    /// A service holds it.
    Open,
    /// The service has let go; the last bytes are on their way.
    Orphan,
}

/// Why a connection is over, when it did not end with a FIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The peer reset it.
    Reset,
    /// The peer went silent.
    TimedOut,
    /// This side gave it up, or lost its address.
    Aborted,
}

/// One TCP connection.
pub(crate) struct Connection {
    pub(crate) tuple: Tuple,
    pub(crate) stage: Stage,
    pub(crate) sockets: SocketSet<'static>,
    handle: SocketHandle,
    /// The demultiplexer sends it segments. Once detached, only what was received can still be read.
    pub(crate) attached: bool,
    /// It stands in the queue of connections that may have something to send.
    pub(crate) queued: bool,
    /// It stands in one of the queues that wait for the device or for an address.
    pub(crate) held: bool,
    /// Something happened since it last had the chance to send.
    pub(crate) touched: bool,
    /// The earliest moment at which it is looked at anyway.
    pub(crate) timer: Option<(Instant, TimerKey)>,
    /// When it is given up, as an orphan.
    pub(crate) deadline: Option<Instant>,
    pub(crate) end: Option<End>,
    /// `shutdown(Read)`: reads end, whatever arrives.
    pub(crate) read_shut: bool,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    /// It belongs to a service of the event loop, which is called where a thread would be woken.
    pub(crate) served: Option<Box<Served>>,
    /// The sequence number after the last one sent.
    pub(crate) sent: u32,
    /// The last acknowledgement sent: what the peer is to send next.
    pub(crate) acknowledged: u32,
    /// By how much our windows are scaled.
    pub(crate) shift: u8,
    /// The right edge of the window that went with the last acknowledgement.
    pub(crate) edge: u32,
    /// What that was when the receive ring was made.
    pub(crate) received_from: u32,
    /// Bytes read since the window was last looked at.
    pub(crate) consumed: usize,
    /// What was agreed in the handshake; `None` before its end.
    pub(crate) agreed: Option<Agreement>,
    /// The times that its segments tell; `None` if they tell none.
    pub(crate) timestamps: Slot<Timestamps>,
    /// The sequence number after the last byte that the peer has acknowledged, or after our FIN.
    pub(crate) delivered: u32,
    /// Bytes acknowledged since the send ring was made.
    pub(crate) proven: u32,
    /// The peer's window, as it stands in the newest of its segments.
    pub(crate) window: u16,
    /// What smoltcp has seen in its place.
    pub(crate) shown: u16,
    /// The sequence number of that segment: SND.WL1 of RFC 9293.
    pub(crate) told_at: u32,
    /// Duplicate acknowledgements in a row.
    pub(crate) repeats: u8,
    /// Something was lost on its way to the peer.
    pub(crate) lossy: bool,
    /// What is done about that.
    pub(crate) recovery: Recovery,
    /// The longest packet that its way takes; 0 if that is what the wire takes.
    pub(crate) path: u16,
    /// What long packets are cut into; 0 if there are none.
    pub(crate) segment: u16,
    /// The FIN waits until the peer has everything else.
    pub(crate) finishing: bool,
    /// Nothing is written until the send ring is empty and can be changed.
    pub(crate) draining: bool,
    /// Its timer has fired since it last had the chance to send.
    pub(crate) expired: bool,
    /// When the peer was last heard.
    pub(crate) heard: Instant,
    /// While it is [asleep](crate::slumber), the receive ring that the window stands for which the peer was offered.
    pub(crate) promised: usize,
    /// Counts for the listener that has made it, if that has a limit.
    pub(crate) share: Option<Rc<()>>,
}

impl Connection {
    pub(crate) fn new(
        now: Instant,
        (sockets, handle): Lone,
        tuple: Tuple,
        sent: u32,
        acknowledged: u32,
    ) -> Self {
        Self {
            tuple,
            stage: Stage::Ready,
            sockets,
            handle,
            attached: true,
            queued: false,
            held: false,
            touched: false,
            timer: None,
            deadline: None,
            end: None,
            read_shut: false,
            reader: None,
            writer: None,
            served: None,
            sent,
            acknowledged,
            shift: 0,
            edge: acknowledged,
            received_from: acknowledged,
            consumed: 0,
            agreed: None,
            timestamps: Slot::EMPTY,
            delivered: sent,
            proven: 0,
            window: 0,
            shown: 0,
            told_at: acknowledged.wrapping_sub(1),
            repeats: 0,
            lossy: false,
            recovery: Recovery::new(sent),
            path: 0,
            segment: 0,
            finishing: false,
            draining: false,
            expired: false,
            heard: now,
            promised: 0,
            share: None,
        }
    }

    pub(crate) fn socket(&self) -> &tcp::Socket<'static> {
        self.sockets.get(self.handle)
    }

    pub(crate) fn socket_mut(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// The bytes in the send ring, and the state: to ask for the socket takes time.
    #[inline]
    pub(crate) fn progress(&self) -> (usize, tcp::State) {
        let socket = self.socket();
        (socket.send_queue(), socket.state())
    }

    /// The socket of a connection that belongs to a service, and what is known of that.
    #[inline]
    pub(crate) fn served_parts(&mut self) -> Option<(&mut tcp::Socket<'static>, &mut Served)> {
        let served = self.served.as_deref_mut()?;
        Some((self.sockets.get_mut(self.handle), served))
    }

    /// Goes on with another socket for the same numbers.
    pub(crate) fn replace(&mut self, (sockets, handle): Lone) {
        (self.sockets, self.handle) = (sockets, handle);
    }

    /// Takes note of what was agreed in the handshake, in which this side has said the window scale `shift`.
    pub(crate) fn agree(&mut self, agreed: Agreement, shift: u8) {
        self.shift = agreed.scale.map_or(0, |_| shift);
        self.agreed = Some(agreed);
    }

    /// Somebody waits for room in the send ring.
    #[inline]
    pub(crate) fn waits_for_room(&self) -> bool {
        self.writer.is_some()
            || self
                .served
                .as_ref()
                .is_some_and(|served| served.waits_for_room())
    }

    /// Lets whoever waits for room wait until the send ring is empty.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        let ring = self.socket().send_capacity();
        if let Some(served) = &mut self.served {
            served.wait_for(ring);
        }
    }

    /// Wakes who can go on now.
    pub(crate) fn wake_ready(&mut self) {
        if let Some((socket, served)) = self.served_parts() {
            return served.notice(socket);
        }
        if self.reader.is_some() && self.is_readable() {
            wake(&mut self.reader);
        }
        if self.writer.is_some() && self.is_writable() {
            wake(&mut self.writer);
        }
    }

    /// Wakes everyone, because nothing more will happen.
    pub(crate) fn wake_all(&mut self) {
        if let Some(served) = &mut self.served {
            served.notice_anyway();
        }
        wake(&mut self.reader);
        wake(&mut self.writer);
    }

    /// A read would not wait.
    pub(crate) fn is_readable(&self) -> bool {
        let socket = self.socket();
        socket.can_recv() || (!socket.may_recv() && !is_opening(socket.state()))
    }

    /// A write would not wait. Half a ring at a time, so that a writer does not wake for every acknowledgement.
    fn is_writable(&self) -> bool {
        let socket = self.socket();
        if is_opening(socket.state()) {
            return false;
        }
        let enough = if self.draining {
            0
        } else {
            socket.send_capacity() / 2
        };
        !self.may_write() || socket.send_queue() <= enough
    }

    /// A write would not wait, be it for a single byte.
    pub(crate) fn takes_bytes(&self) -> bool {
        let socket = self.socket();
        match self.may_write() {
            true if self.draining => socket.send_queue() == 0,
            true => socket.can_send() || self.is_asleep(),
            false => !is_opening(socket.state()),
        }
    }

    /// Whether the peer has everything, the end of the stream included, or nothing more can reach it.
    pub(crate) fn has_delivered_all(&self) -> bool {
        matches!(
            self.socket().state(),
            tcp::State::FinWait2 | tcp::State::TimeWait | tcp::State::Closed
        )
    }

    /// Notes what went out, and brings Reno in at the first retransmission (see [`tune`](crate::config::tune)).
    pub(crate) fn note_sent(&mut self, now: Instant, log: &SendLog, stats: &mut Stats) {
        let Some(segment) = log.segment else { return };
        self.acknowledged = segment.ack;
        let window = u32::from(segment.window) << self.shift;
        self.edge = segment.ack.wrapping_add(window);
        if !segment.occupies {
            return;
        }
        let ahead = segment.end.wrapping_sub(self.sent).cast_signed();
        if ahead == 1 && self.window == 0 && segment.asks_for_window() {
            // The peer takes no byte. If this one counted as sent, our acknowledgements would lie outside its window of
            // nothing, and two ends with closed windows would never hear each other again (RFC 9293, 3.10.7.4).
            return;
        }
        if ahead > 0 {
            if self.lossy || self.recovery.lacks_sample() {
                let is_first = self.sent == self.delivered;
                self.recovery.note_new(now, segment.end, is_first);
            }
            self.sent = segment.end;
        } else if !segment.is_probe(self.sent) {
            stats.retransmits += 1;
            self.recovery.note_again(now, self.delivered);
            self.lossy = true;
            let socket = self.socket_mut();
            if socket.congestion_control() == tcp::CongestionControl::None {
                socket.set_congestion_control(tcp::CongestionControl::Reno);
            }
        }
    }

    /// Whether an established connection has just said all it has to say for now, and is looked at in time for the rest:
    /// the timer was never later than what was due, and smoltcp repeats nothing earlier than after a second.
    #[inline]
    pub(crate) fn has_said_all(&self, now: Instant, log: &SendLog) -> bool {
        let (queued, state) = self.progress();
        let is_watched = self.timer.is_some_and(|(at, _)| at <= now + LEAST_INTERVAL);
        let has_sent = log.segment.is_some_and(|segment| segment.occupies);
        is_watched
            && has_sent
            && !self.lossy
            && self.unsent_of(queued) == 0
            && self.stage != Stage::Connecting
            && self.deadline.is_none()
            && state == tcp::State::Established
    }

    /// Whether `segment` says nothing but that our FIN, the last thing we have to say, is still missing.
    ///
    /// smoltcp takes the third of these for a loss of data, finds none to send, and has stopped its timer by then: the
    /// FIN would never go out again.
    pub(crate) fn only_lacks_fin(&self, segment: &Segment) -> bool {
        if !segment.is_bare_ack() {
            return false;
        }
        let is_all = self.socket().send_queue() == 0;
        self.has_sent_fin() && is_all && segment.ack.wrapping_add(1) == self.sent
    }

    /// Whether our FIN is on its way, or wants to be.
    pub(crate) fn has_sent_fin(&self) -> bool {
        matches!(
            self.socket().state(),
            tcp::State::FinWait1 | tcp::State::Closing | tcp::State::LastAck
        )
    }

    /// Follows up on a segment for a connection that the service has let go, of which `queued` bytes were
    /// undelivered before.
    pub(crate) fn follow_orphan(
        &mut self,
        now: Instant,
        queued: usize,
        segment: &Segment,
        times: &Times,
    ) {
        let is_new = segment.payload_len() > 0 && segment.seq == self.acknowledged;
        let socket = self.socket_mut();
        // Who was asleep when it was closed has no ring for what is new.
        if socket.recv_queue() > 0 || (is_new && socket.recv_capacity() == 0) {
            // Nobody will read this (RFC 9293, 3.6.1).
            self.abort();
        } else if socket.state() == tcp::State::FinWait2 {
            if self
                .deadline
                .is_none_or(|deadline| deadline > now + times.fin_wait)
            {
                self.deadline = Some(now + times.fin_wait);
            }
        } else if socket.send_queue() < queued {
            self.deadline = Some(now + times.orphan);
        }
    }

    /// Says the end of our stream, after what is queued.
    pub(crate) fn finish(&mut self) {
        self.promised = 0;
        let socket = self.socket_mut();
        // The byte of a keep-alive lies where the FIN is; a peer that lacks the FIN would take it for data.
        socket.set_keep_alive(None);
        // In LAST-ACK smoltcp is deaf to windows and to duplicate acknowledgements.
        let must_wait = socket.state() == tcp::State::CloseWait && socket.send_queue() > 0;
        if !must_wait {
            socket.close();
        }
        self.finishing = must_wait;
    }

    /// The service may still write.
    #[inline]
    pub(crate) fn may_write(&self) -> bool {
        self.socket().may_send() && !self.finishing
    }

    /// Ends the connection with a reset.
    pub(crate) fn abort(&mut self) {
        self.promised = 0;
        self.end = Some(End::Aborted);
        self.socket_mut().abort();
    }

    /// Brings the deadline forward to `deadline`.
    pub(crate) fn hurry(&mut self, deadline: Instant) {
        self.deadline = Some(self.deadline.map_or(deadline, |old| old.min(deadline)));
    }

    /// Ends the connection because its deadline has passed.
    pub(crate) fn give_up(&mut self) {
        let silent = self.stage == Stage::Connecting;
        self.end = Some(if silent { End::TimedOut } else { End::Aborted });
        self.deadline = None;
        self.socket_mut().abort();
    }

    /// Whether a reset may be believed: RFC 5961, 3.2 wants the exact number.
    pub(crate) fn believes_reset(&self, reset: &Segment) -> bool {
        is_opening(self.socket().state()) || reset.seq == self.acknowledged
    }

    /// Whether `segment` begins within what the peer may send.
    pub(crate) fn is_in_window(&self, segment: &Segment) -> bool {
        let offset = segment.seq.wrapping_sub(self.acknowledged);
        (offset as usize) < self.socket().recv_capacity().max(self.promised)
    }
}

/// The handshake is not over.
pub(crate) fn is_opening(state: tcp::State) -> bool {
    matches!(state, tcp::State::SynSent | tcp::State::SynReceived)
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
