//! Who of the [services](toro_service) is called, when, and with what.
//!
//! A connection of a service stands in the queue of those that something happened to, at most once
//! ([`Served::notice`], from wherever a blocking reader would be woken). [`Stack::serve`] takes them from there
//! after each batch of received frames. What a service writes leaves in [`Stack::advance`], in one go for all.
//!
//! smoltcp lends one ring of a socket at a time, so the shorter one is copied: the input, to a buffer that all connections
//! share. The output is written in place.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::SocketAddrV4;

use smoltcp::socket::tcp;
use toro_service::host::{Event, Host, Hosted};
use toro_service::{Closed, Conn, Leave, Output, Service};
use toro_time::{Instant, TimerKey, TimerQueue};

use crate::config::Buffers;
use crate::connection::{End, Stage};
use crate::error::BindError;
use crate::slab::SlotId;
use crate::slumber;
use crate::stack::Stack;

/// Connections of services that something happened to.
type Noticed = Rc<RefCell<VecDeque<SlotId>>>;

/// What the stack knows of a connection that belongs to a service.
pub(crate) struct Served {
    id: SlotId,
    service: usize,
    noticed: Noticed,
    /// It stands in that queue.
    queued: bool,
    /// Received bytes that were shown and not consumed.
    seen: usize,
    /// The room that the service waits for; 0 if it does not.
    wanted: usize,
    /// The end of the peer's stream was told.
    ended: bool,
    deadline: Option<Instant>,
    /// Never later than the deadline: it is cheaper to look in vain than to move a timer for each request.
    timer: Option<(Instant, TimerKey)>,
}

impl Served {
    /// Puts the connection in the queue, if there is something in it for the service.
    #[inline]
    pub(crate) fn notice(&mut self, socket: &tcp::Socket<'_>) {
        if !self.queued && self.next_event(socket).is_some() {
            self.notice_anyway();
        }
    }

    /// The service waits for room to write.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.wanted > 0
    }

    /// Lets the service wait for this much room.
    pub(crate) fn wait_for(&mut self, room: usize) {
        self.wanted = room;
    }

    pub(crate) fn notice_anyway(&mut self) {
        if !self.queued {
            self.queued = true;
            self.noticed.borrow_mut().push_back(self.id);
        }
    }

    /// Takes note of what a call has asked for, which was shown input of which `queued` bytes are in the ring, and wants so much
    /// `room` of a send ring of that size. Returns how many bytes of input are done with.
    #[inline]
    fn follow_call(
        &mut self,
        event: Option<Event>,
        consumed: usize,
        queued: usize,
        conn: &Conn,
        room: (usize, usize),
    ) -> usize {
        let wanted = match (room, event) {
            // Who waits for room is told of other things meanwhile, and waits on.
            ((0, _), Some(Event::Ended | Event::TimedOut | Event::Ending)) => self.wanted,
            ((0, _), _) => 0,
            ((wanted, capacity), _) => wanted.clamp(capacity / 2, capacity),
        };
        // Who has said the end waits for no room.
        let stays = conn.leave() == Leave::Stay;
        self.wanted = if stays { wanted } else { 0 };
        match event {
            Some(Event::Received) => self.seen = queued - consumed,
            // What waited for room is shown again.
            Some(Event::Writable) if wanted == 0 => self.seen = 0,
            Some(Event::Ended) => self.ended = true,
            _ => {}
        }
        self.deadline = conn.deadline();
        match conn.leave() {
            Leave::Close => self.seen + consumed,
            _ => consumed,
        }
    }

    /// Makes sure that the deadline is noticed.
    #[inline]
    fn arm(&mut self, timers: &mut TimerQueue<SlotId>) {
        let Some(deadline) = self.deadline else {
            return;
        };
        match self.timer {
            Some((at, _)) if at <= deadline => return,
            Some((_, key)) => {
                timers.cancel(key);
            }
            None => {}
        }
        self.timer = Some((deadline, timers.insert(deadline, self.id)));
    }

    #[inline]
    fn next_event(&self, socket: &tcp::Socket<'_>) -> Option<Event> {
        if self.wanted > 0 && socket.may_send() {
            let free = socket.send_capacity() - socket.send_queue();
            return (free >= self.wanted).then_some(Event::Writable);
        }
        if socket.recv_queue() > self.seen {
            return Some(Event::Received);
        }
        (!self.ended && has_peer_ended(socket.state())).then_some(Event::Ended)
    }
}

/// The peer's FIN is in.
fn has_peer_ended(state: tcp::State) -> bool {
    matches!(
        state,
        tcp::State::CloseWait
            | tcp::State::LastAck
            | tcp::State::Closing
            | tcp::State::TimeWait
            | tcp::State::Closed
    )
}

/// A service of any kind.
type Hosting = dyn Host<SocketAddrV4>;

/// The services of a stack.
pub(crate) struct Services {
    /// Each with the port it is bound to; an empty place was withdrawn.
    hosts: Vec<Option<(u16, Box<Hosting>)>>,
    noticed: Noticed,
    timers: TimerQueue<SlotId>,
    /// Where the input of a call lies, and the output that crosses the end of the ring.
    input: Vec<u8>,
    spill: Vec<u8>,
}

impl Services {
    pub(crate) fn new() -> Self {
        Self {
            hosts: Vec::new(),
            noticed: Noticed::default(),
            timers: TimerQueue::new(),
            input: Vec::new(),
            spill: Vec::new(),
        }
    }

    /// When [`Stack::serve`] has something to do, if nothing is received before.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.noticed.borrow().is_empty() {
            self.timers.next_deadline()
        } else {
            Some(Instant::ZERO)
        }
    }

    /// The place of the service of `port`.
    fn at(&self, port: u16) -> Option<usize> {
        let is_it = |host: &Option<(u16, _)>| host.as_ref().is_some_and(|(own, _)| *own == port);
        self.hosts.iter().position(is_it)
    }

    fn host(&mut self, service: usize) -> Option<&mut Box<Hosting>> {
        self.hosts.get_mut(service)?.as_mut().map(|(_, host)| host)
    }

    fn add(&mut self, port: u16, host: Box<Hosting>, buffers: &Buffers) {
        self.input.resize(buffers.receive, 0);
        self.spill.resize(buffers.send, 0);
        let entry = Some((port, host));
        match self.hosts.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = entry,
            None => self.hosts.push(entry),
        }
    }
}

impl Stack {
    /// Binds `address` for `service`, as [`bind`](Self::bind) does. Returns the address it got.
    ///
    /// # Errors
    /// Fails if the port is taken or the address is someone else's.
    pub fn register<S: Service>(
        &mut self,
        address: SocketAddrV4,
        service: S,
    ) -> Result<SocketAddrV4, BindError> {
        let bound = self.bind(address)?;
        let hosted = Hosted::new(service);
        let mut buffers = self.config.buffers;
        buffers.send = buffers.send.max(self.config.growth.ring);
        buffers.receive = buffers.receive.max(self.config.growth.receive);
        self.services.add(bound.port(), Box::new(hosted), &buffers);
        Ok(bound)
    }

    /// Ends the service of `port`: its connections are reset, and it is dropped.
    pub fn withdraw(&mut self, now: Instant, port: u16) {
        let Some(service) = self.services.at(port) else {
            return;
        };
        self.unbind(now, port);
        for id in self.served_by(service) {
            self.part(now, id, Closed::Aborted);
        }
        self.services.hosts[service] = None;
    }

    /// Lets no more connections to the service of `port`, and has it end those that there are.
    pub fn retire(&mut self, now: Instant, port: u16) {
        let Some(service) = self.services.at(port) else {
            return;
        };
        // Whoever was told that it is connected is served.
        self.welcome(now, service);
        self.unbind(now, port);
        for id in self.served_by(service) {
            if self.call(now, id, Some(Event::Ending)) {
                self.attend(now, id);
            }
        }
    }

    /// Whether a peer may still wait for something from our `port`: a connection is there that both sides have not ended.
    pub fn is_in_use(&self, port: u16) -> bool {
        self.connections.ids().into_iter().any(|id| {
            let connection = self.connections.get(id);
            connection.is_some_and(|connection| connection.tuple.local_port == port)
        })
    }

    fn served_by(&self, service: usize) -> Vec<SlotId> {
        let is_its = |id: &SlotId| {
            let served = self.connections.get(*id).and_then(|c| c.served.as_deref());
            served.is_some_and(|served| served.service == service)
        };
        self.connections.ids().into_iter().filter(is_its).collect()
    }

    /// Calls the services for all that has happened since the last time.
    ///
    /// A turn is [`receive`](Self::receive), this, and [`advance`](Self::advance).
    pub fn serve(&mut self, now: Instant) {
        for service in 0..self.services.hosts.len() {
            self.welcome(now, service);
        }
        while let Some(id) = self.services.timers.pop_expired(now) {
            self.expire_served(now, id);
        }
        // Not those that come meanwhile: the peers have their turn first.
        let count = self.services.noticed.borrow().len();
        for _ in 0..count {
            let next = self.services.noticed.borrow_mut().pop_front();
            if let Some(id) = next {
                self.attend(now, id);
            }
        }
    }

    /// Takes the connections in that wait to be accepted by `service`.
    fn welcome(&mut self, now: Instant, service: usize) {
        let Some((port, _)) = self.services.hosts[service] else {
            return;
        };
        while let Some(listener) = self.listeners.get_mut(port)
            && let Some(id) = listener.ready.pop_front()
        {
            let Some(connection) = self.connections.get_mut(id) else {
                continue;
            };
            connection.stage = Stage::Open;
            connection.served = Some(Box::new(Served {
                id,
                service,
                noticed: Rc::clone(&self.services.noticed),
                queued: false,
                seen: 0,
                wanted: 0,
                ended: false,
                deadline: None,
                timer: None,
            }));
            if self.call(now, id, None) {
                self.attend(now, id);
            }
        }
    }

    fn expire_served(&mut self, now: Instant, id: SlotId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Some(served) = &mut connection.served else {
            return;
        };
        served.timer = None;
        if served.deadline.is_none_or(|deadline| deadline > now) {
            return served.arm(&mut self.services.timers);
        }
        // It may have something to say.
        let is_awake = self.wake(now, id);
        let connection = self.connections.get_mut(id);
        if let Some(served) = connection.and_then(|it| it.served.as_mut()) {
            served.deadline = (!is_awake).then_some(now + slumber::AGAIN);
            served.arm(&mut self.services.timers);
        }
        if is_awake && self.call(now, id, Some(Event::TimedOut)) {
            self.attend(now, id);
        }
    }

    /// Calls the service of connection `id` until there is nothing left to say.
    fn attend(&mut self, now: Instant, id: SlotId) {
        loop {
            let Some(connection) = self.connections.get_mut(id) else {
                return;
            };
            let (end, is_attached) = (connection.end, connection.attached);
            let Some((socket, served)) = connection.served_parts() else {
                return;
            };
            served.queued = false;
            let event = served.next_event(socket);
            let is_stuck = event.is_none()
                && served.wanted == 0
                && served.seen > 0
                && served.seen == socket.recv_capacity();
            let why = match (end, event) {
                (Some(End::Reset), _) => Closed::Reset,
                (Some(End::TimedOut), _) => Closed::TimedOut,
                (Some(End::Aborted), _) => Closed::Aborted,
                (None, Some(event)) => {
                    if self.call(now, id, Some(event)) {
                        continue;
                    }
                    return;
                }
                (None, None) if is_stuck => Closed::Overrun,
                (None, None) if !is_attached => Closed::Finished,
                (None, None) => return served.arm(&mut self.services.timers),
            };
            return self.part(now, id, why);
        }
    }

    /// Calls the service of connection `id`: `None` says that it is new. Returns whether it has stayed.
    fn call(&mut self, now: Instant, id: SlotId, event: Option<Event>) -> bool {
        let Some(connection) = self.connections.get_mut(id) else {
            return false;
        };
        let (tuple, may_write) = (connection.tuple, connection.may_write());
        let Some((socket, served)) = connection.served_parts() else {
            return false;
        };
        let Services {
            hosts,
            input,
            spill,
            ..
        } = &mut self.services;
        let Some(Some((_, host))) = hosts.get_mut(served.service) else {
            return false;
        };
        let local = SocketAddrV4::new(tuple.local, tuple.local_port);
        let peer = SocketAddrV4::new(tuple.remote, tuple.remote_port);
        let mut conn = Conn::new(local, peer, now, served.deadline);
        let shown = match event {
            Some(Event::Received) => show(socket, input),
            _ => 0,
        };
        let mut run = |room: &mut [u8], free: usize| {
            let mut output = Output::new(room, spill, free);
            let slot = id.index();
            let consumed = match event {
                Some(event) => host.call(event, slot, &mut conn, &input[..shown], &mut output),
                None => {
                    if !host.connected(slot, &mut conn, &mut output) {
                        conn.abort();
                    }
                    0
                }
            };
            (consumed.min(shown), output.written())
        };
        let capacity = socket.send_capacity();
        let free = capacity - socket.send_queue();
        let (consumed, written) = if may_write {
            let sent = socket.send(|room| {
                let (consumed, written) = run(room, free);
                (written.direct, (consumed, written))
            });
            sent.expect("the socket may send")
        } else {
            run(&mut [], 0)
        };
        if written.spilled > 0 {
            let spilled = socket.send_slice(&spill[..written.spilled]);
            debug_assert_eq!(
                spilled,
                Ok(written.spilled),
                "it fits behind the direct bytes"
            );
        }
        let queued = socket.recv_queue();
        let done = served.follow_call(event, consumed, queued, &conn, (written.wanted, capacity));
        discard(socket, done);
        connection.consumed += done;
        let why = match conn.leave() {
            Leave::Close => Closed::Finished,
            Leave::Abort => Closed::Aborted,
            stays => {
                if stays == Leave::Shutdown {
                    connection.finish();
                }
                connection.line_up(id, &mut self.dirty);
                return true;
            }
        };
        self.part(now, id, why);
        false
    }

    /// Ends what is between connection `id` and its service, and the connection as `why` asks for.
    fn part(&mut self, now: Instant, id: SlotId, why: Closed) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Some(served) = connection.served.take() else {
            return;
        };
        if let Some((_, key)) = served.timer {
            self.services.timers.cancel(key);
        }
        if let Some(host) = self.services.host(served.service) {
            host.closed(id.index(), why);
        }
        match why {
            Closed::Finished => self.close(now, id),
            _ => self.abort(now, id),
        }
    }
}

/// Copies what was received to `input`, which has room for the whole ring; returns how much that was.
#[inline]
fn show(socket: &mut tcp::Socket<'_>, input: &mut [u8]) -> usize {
    let len = socket.recv_queue();
    // Mostly in one piece.
    if let Ok(whole) = socket.peek(len)
        && whole.len() == len
        && let Some(place) = input.get_mut(..len)
    {
        place.copy_from_slice(whole);
        return len;
    }
    socket.peek_slice(input).unwrap_or(0)
}

/// Takes `len` bytes out of the receive ring, whose end may lie between them.
fn discard(socket: &mut tcp::Socket<'_>, len: usize) {
    let mut left = len;
    while left > 0 {
        let taken = socket.recv(|bytes| {
            let len = left.min(bytes.len());
            (len, len)
        });
        match taken {
            Ok(len @ 1..) => left -= len,
            _ => return,
        }
    }
}
