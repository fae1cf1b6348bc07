//! Who of the [services](toro_service) is called, when, and with what.
//!
//! A connection of a service stands in the queue of those that something happened to, at most once ([`Stack::notice`]).
//! [`Stack::serve`] takes them from there after each batch of packets. Input is shown where it lies, and output is written where it is
//! sent from.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use toro_dev::socket::VsockAddr;
use toro_queue::slab::SlotId;
pub(crate) use toro_service::host::Event;
use toro_service::host::{Host, Hosted};
use toro_service::{Closed, Conn, Leave, Output, Service, Written};
use toro_stream::Shutdown;
use toro_time::Instant;

use crate::connection::{Connection, End, Stage};
use crate::error::BindError;
use crate::stack::Stack;

/// What the stack knows of a connection that belongs to a service.
#[derive(Debug)]
pub(crate) struct Served {
    service: usize,
    /// It stands in the queue.
    is_queued: bool,
    /// Received bytes that were shown and not consumed.
    seen: usize,
    /// The room that the service waits for; 0 if it does not.
    wanted: usize,
    /// The end of the peer's stream was told.
    has_ended: bool,
    pub(crate) deadline: Option<Instant>,
}

/// A service of any kind.
type Hosting = dyn Host<VsockAddr>;

/// The services of a stack.
#[derive(Default)]
pub(crate) struct Services {
    /// Each with the port it is bound to; an empty place was withdrawn.
    hosts: Vec<Option<(u32, Box<Hosting>)>>,
    noticed: VecDeque<SlotId>,
}

impl Services {
    pub(crate) fn has_work(&self) -> bool {
        !self.noticed.is_empty()
    }
}

/// What there is for the service of a connection.
fn next_event(connection: &Connection) -> Option<Event> {
    let served = connection.served.as_ref()?;
    if served.wanted > 0 && connection.may_write() {
        return (connection.output.room() >= served.wanted).then_some(Event::Writable);
    }
    if connection.input.len() > served.seen {
        return Some(Event::Received);
    }
    (!served.has_ended && connection.has_peer_ended()).then_some(Event::Ended)
}

impl Stack {
    /// Binds `port` for `service`, as [`bind`](Self::bind) does. Returns the port it got.
    ///
    /// # Errors
    /// Fails if the port is taken.
    pub fn register<S: Service<VsockAddr>>(
        &mut self,
        port: u32,
        service: S,
    ) -> Result<u32, BindError> {
        let port = self.bind(port)?;
        let entry: Option<(u32, Box<Hosting>)> = Some((port, Box::new(Hosted::new(service))));
        let hosts = &mut self.services.hosts;
        match hosts.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = entry,
            None => hosts.push(entry),
        }
        Ok(port)
    }

    /// Ends the service of `port`: its connections are reset, and it is dropped.
    pub fn withdraw(&mut self, now: Instant, port: u32) {
        let is_it = |host: &Option<(u32, _)>| host.as_ref().is_some_and(|(own, _)| *own == port);
        let Some(service) = self.services.hosts.iter().position(is_it) else {
            return;
        };
        self.unbind(port);
        for id in self.connections.ids() {
            let served = self.connections.get(id).and_then(|c| c.served.as_deref());
            if served.is_some_and(|served| served.service == service) {
                self.part(now, id, Closed::Aborted);
            }
        }
        self.services.hosts[service] = None;
    }

    /// Calls the services for all that has happened since the last time.
    pub fn serve(&mut self, now: Instant) {
        for service in 0..self.services.hosts.len() {
            self.take_in(now, service);
        }
        // Not those that come meanwhile: the peers have their turn first.
        for _ in 0..self.services.noticed.len() {
            if let Some(id) = self.services.noticed.pop_front() {
                self.attend(now, id);
            }
        }
    }

    /// Puts connection `id` in the queue, if a service has it and there is something for it.
    pub(crate) fn notice(&mut self, id: SlotId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let has_news = connection.end.is_some() || next_event(connection).is_some();
        if let Some(served) = &mut connection.served
            && has_news
            && !served.is_queued
        {
            served.is_queued = true;
            self.services.noticed.push_back(id);
        }
    }

    /// Takes the connections in that wait to be accepted by `service`.
    fn take_in(&mut self, now: Instant, service: usize) {
        let Some((port, _)) = self.services.hosts[service] else {
            return;
        };
        while let Some(listener) = self.listeners.get_mut(&port)
            && let Some(id) = listener.ready.pop_front()
        {
            let Some(connection) = self.connections.get_mut(id) else {
                continue;
            };
            connection.stage = Stage::Open;
            connection.served = Some(Box::new(Served {
                service,
                is_queued: false,
                seen: 0,
                wanted: 0,
                has_ended: false,
                deadline: None,
            }));
            if self.call(now, id, None) {
                self.attend(now, id);
            }
        }
    }

    /// Calls the service of connection `id` for `event`, and then for all else.
    pub(crate) fn call_and_attend(&mut self, now: Instant, id: SlotId, event: Event) {
        if self.call(now, id, Some(event)) {
            self.attend(now, id);
        }
    }

    /// Calls the service of connection `id` until there is nothing left to say.
    fn attend(&mut self, now: Instant, id: SlotId) {
        loop {
            let Some(connection) = self.connections.get_mut(id) else {
                return;
            };
            let event = next_event(connection);
            let capacity = connection.input.capacity();
            let Some(served) = &mut connection.served else {
                return;
            };
            served.is_queued = false;
            let is_stuck = served.wanted == 0 && served.seen == capacity;
            let why = match (connection.end, event) {
                (Some(End::Reset), _) => Closed::Reset,
                (Some(End::TimedOut), _) => Closed::TimedOut,
                (Some(End::Aborted), _) => Closed::Aborted,
                (_, Some(event)) => match self.call(now, id, Some(event)) {
                    true => continue,
                    false => return,
                },
                (Some(End::Finished), None) => Closed::Finished,
                (None, None) if is_stuck => Closed::Overrun,
                (None, None) => return self.arm(id),
            };
            return self.part(now, id, why);
        }
    }

    /// Calls the service of connection `id`: `None` says that it is new. Returns whether it has stayed.
    fn call(&mut self, now: Instant, id: SlotId, event: Option<Event>) -> bool {
        let Some(connection) = self.connections.get_mut(id) else {
            return false;
        };
        let local = VsockAddr {
            cid: self.device.cid(),
            port: connection.key.port,
        };
        let (peer, may_write) = (connection.key.peer, connection.may_write());
        let Some(served) = &connection.served else {
            return false;
        };
        let Some(Some((_, host))) = self.services.hosts.get_mut(served.service) else {
            return false;
        };
        let mut conn = Conn::new(local, peer, now, served.deadline);
        let input = match event {
            Some(Event::Received) => connection.input.bytes(),
            _ => &[],
        };
        let room = match may_write {
            true => connection.output.spare().unwrap_or_default(),
            false => &mut [],
        };
        let free = room.len();
        // All of the room lies in one piece, so nothing ever crosses its end.
        let mut output = Output::new(room, &mut [], free);
        let consumed = match event {
            Some(event) => host.call(event, id.index(), &mut conn, input, &mut output),
            None => {
                if !host.connected(id.index(), &mut conn, &mut output) {
                    conn.abort();
                }
                0
            }
        };
        let (consumed, written) = (consumed.min(input.len()), output.written());
        connection.output.commit(written.direct);
        self.follow_call(id, event, consumed, &conn, written)
    }

    /// Does what a call has asked for. Returns whether the service has stayed.
    fn follow_call(
        &mut self,
        id: SlotId,
        event: Option<Event>,
        consumed: usize,
        conn: &Conn<VsockAddr>,
        written: Written,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(id) else {
            return false;
        };
        let (queued, capacity) = (connection.input.len(), connection.output.capacity());
        let Some(served) = &mut connection.served else {
            return false;
        };
        served.wanted = match (written.wanted, event) {
            // Who waits for room is told of other things meanwhile, and waits on.
            (0, Some(Event::Ended | Event::TimedOut | Event::Ending)) => served.wanted,
            (0, _) => 0,
            (wanted, _) => wanted.clamp(capacity / 2, capacity),
        };
        served.seen = match event {
            Some(Event::Received) => queued - consumed,
            // What waited for room is shown again.
            Some(Event::Writable) if served.wanted == 0 => 0,
            _ => served.seen,
        };
        served.has_ended |= event == Some(Event::Ended);
        served.deadline = conn.deadline();
        connection.take(consumed);
        self.touch(id);
        self.confirm_end(id);
        match conn.leave() {
            Leave::Stay => return true,
            Leave::Shutdown => {
                self.shutdown(id, Shutdown::Write);
                return true;
            }
            Leave::Close => self.part(conn.now(), id, Closed::Finished),
            Leave::Abort => self.part(conn.now(), id, Closed::Aborted),
        }
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
        if let Some(Some((_, host))) = self.services.hosts.get_mut(served.service) {
            host.closed(id.index(), why);
        }
        match why {
            Closed::Finished => self.close(now, id),
            _ => self.abort(id),
        }
    }
}
