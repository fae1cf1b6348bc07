//! What goes out, and when: dirty connections in turn, timers, and the ends of connections.

use alloc::collections::VecDeque;
use core::time::Duration;

use smoltcp::socket::tcp;
use toro_time::Instant;

use crate::clock;
use crate::config::{EGRESS_BURST, LONG_PACKET};
use crate::connection::{self, Connection, End, Stage};
use crate::demux::Target;
use crate::device::{Phy, SendLog};
use crate::half_open::Visit;
use crate::slab::SlotId;
use crate::slot::Slot;
use crate::stack::Stack;
use crate::time_wait::Remembered;

/// How long a reset may wait for the address of its next hop.
const LAST_WORD: Duration = Duration::from_secs(5);

/// When another core is told the addresses again, whose mail had no room.
const ADDRESSES_AGAIN: Duration = Duration::from_millis(100);

impl Connection {
    /// Puts the connection, which has this `id`, in `line` to send.
    #[inline]
    pub(crate) fn line_up(&mut self, id: SlotId, line: &mut VecDeque<SlotId>) {
        if !self.attached {
            return;
        }
        self.touched = true;
        if !self.queued {
            self.queued = true;
            line.push_back(id);
        }
    }
}

impl Stack {
    /// Puts a connection in line to send.
    #[inline(never)]
    pub(crate) fn touch(&mut self, id: SlotId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.line_up(id, &mut self.dirty);
        }
    }

    /// Lets every connection in line send once; who has more stands in line again.
    pub(crate) fn send_dirty(&mut self, now: Instant) {
        if !self.blocked.is_empty() && self.wire.reserve() {
            while let Some(id) = self.blocked.pop_front() {
                self.release(id);
            }
        }
        for _ in 0..self.dirty.len() {
            let Some(id) = self.dirty.pop_front() else {
                return;
            };
            let Some(connection) = self.connections.get_mut(id) else {
                continue;
            };
            connection.queued = false;
            // A write since then has sent everything already.
            if connection.touched {
                self.send(now, id);
            }
        }
    }

    /// Sends what connection `id` has to send, a burst at most, and settles what follows from its state.
    pub(crate) fn send(&mut self, now: Instant, id: SlotId) {
        let Some(mut connection) = self.connections.get_mut(id).filter(|c| c.attached) else {
            return;
        };
        if connection.is_asleep() {
            if self.sleeps_on(now, id) {
                return;
            }
            let Some(woken) = self.connections.get_mut(id) else {
                return;
            };
            connection = woken;
        }
        let at = clock::to_smoltcp(now);
        connection.touched = false;
        connection.consumed = 0;
        if connection.deadline.is_some_and(|deadline| deadline <= now) {
            if connection.socket().state() == tcp::State::Closed {
                return self.detach(id, None);
            }
            connection.give_up();
        }
        let (queued, before) = connection.progress();
        connection.recover_in_time(now);
        // What a timer has to say may be said again.
        let again =
            core::mem::take(&mut connection.expired) && connection.sent != connection.delivered;
        let wide = connection.is_wide() && !again && self.wire.longest_packet().is_some();
        let interface = self
            .interfaces
            .choose(&mut self.wire, now, wide, connection.path);
        self.wire.segment_size = connection.segment;
        // With bytes to send there is no need to ask whether something is due.
        let mut unsent = connection.unsent_of(queued);
        let mut due = match unsent {
            0 => interface.poll_at(at, &connection.sockets),
            _ => Some(at),
        };
        let mut left = EGRESS_BURST;
        let mut stuck = None;
        while left > 0 && stuck.is_none() && due.is_some_and(|due| due <= at) {
            self.wire.start_log(Some(connection.sent));
            self.wire.log.stamp = Slot::new(connection.stamp(now));
            self.wire.log.scale = Slot::new(connection.scale(self.config.window_shift()));
            let long = wide && unsent > usize::from(connection.segment);
            if long && !self.wire.reserve_long() {
                stuck = Some(self.wire.log);
                break;
            }
            let mut phy = Phy {
                wire: Some(&mut self.wire),
                frame: None,
            };
            interface.poll_egress(at, &mut phy, &mut connection.sockets);
            self.stats.visits += 1;
            connection.note_sent(now, &self.wire.log, &mut self.stats);
            stuck = (self.wire.log.sent == 0).then_some(self.wire.log);
            left = left.saturating_sub(if long { LONG_PACKET } else { 1 });
            if before == tcp::State::Established && connection.has_said_all(now, &self.wire.log) {
                return;
            }
            due = interface.poll_at(at, &connection.sockets);
            unsent = connection.unsent();
        }
        let state = connection.socket().state();
        if before != tcp::State::Closed && state == tcp::State::Closed {
            connection.end.get_or_insert(End::TimedOut);
            self.stats.timed_out += 1;
        }
        if let Some(log) = stuck {
            if state == tcp::State::Closed {
                // Only a reset is left to say, maybe to somebody who cannot be found.
                connection.hurry(now + LAST_WORD);
            }
            self.hold(id, &log);
        }
        if state == tcp::State::Established
            && self
                .connections
                .get(id)
                .is_some_and(|c| c.wants_input(&self.config.growth))
        {
            self.grow_input(now, id);
        }
        let is_held = stuck.is_some_and(|log| log.full || log.misses_neighbour());
        if !is_held && due.is_none_or(|due| due > at) {
            self.say_again(now, id);
        }
        match due {
            Some(due) if due <= at => self.send_later(id),
            _ if self.settle(now, id, state, due.is_none()) => {}
            _ => self.arm(id, due.map(clock::from_smoltcp)),
        }
    }

    /// Puts a connection that could not send in the queue for what it lacks.
    #[cold]
    #[inline(never)]
    fn hold(&mut self, id: SlotId, log: &SendLog) {
        self.note_question(log);
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.recovery.note_held();
        if connection.held {
            return;
        }
        if log.full {
            connection.held = true;
            self.blocked.push_back(id);
        } else if log.misses_neighbour() {
            connection.held = true;
            self.unresolved.push_back(id);
            self.forget_gone();
        }
    }

    /// Lets the answer in, if smoltcp has just asked for the address of a neighbour.
    pub(crate) fn note_question(&mut self, log: &SendLog) {
        if let Some(address) = log.arp_target {
            self.local.neighbours.asked_for(address);
        }
    }

    /// Keeps the queue for neighbours that never answer from growing with connections that have come and gone.
    fn forget_gone(&mut self) {
        if self.unresolved.len() > 2 * self.connections.len() + 16 {
            for _ in 0..self.unresolved.len() {
                let oldest = self.unresolved.pop_front();
                if let Some(id) = oldest.filter(|id| self.connections.get(*id).is_some()) {
                    self.unresolved.push_back(id);
                }
            }
        }
    }

    /// Lets a connection that was held try again.
    pub(crate) fn release(&mut self, id: SlotId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.held = false;
        }
        self.touch(id);
    }

    /// Puts a connection with more to send at the end of the line, unless it is held.
    fn send_later(&mut self, id: SlotId) {
        if self
            .connections
            .get(id)
            .is_some_and(|connection| !connection.held)
        {
            self.touch(id);
        }
    }

    /// Follows up on the state of connection `id`, which has nothing to send now. Returns whether it is over.
    fn settle(&mut self, now: Instant, id: SlotId, state: tcp::State, idle: bool) -> bool {
        let Some(connection) = self.connections.get_mut(id) else {
            return true;
        };
        match state {
            tcp::State::Closed if idle => {
                self.detach(id, None);
                true
            }
            tcp::State::TimeWait => {
                let closed = Remembered {
                    tuple: connection.tuple,
                    next: connection.sent,
                    expected: connection.acknowledged,
                    recent: connection.last_heard(),
                };
                self.remember(now, id, closed);
                true
            }
            _ => {
                if connection.stage == Stage::Connecting && !connection::is_opening(state) {
                    connection.stage = Stage::Open;
                    // It was for the handshake.
                    connection.deadline = None;
                    self.stats.connected += 1;
                }
                connection.wake_ready();
                false
            }
        }
    }

    /// Moves a closed connection to TIME-WAIT.
    fn remember(&mut self, now: Instant, id: SlotId, closed: Remembered) {
        if let Some((oldest, entry)) = self.time_wait.make_room() {
            self.demux.remove(&entry.tuple, Target::TimeWait(oldest));
        }
        let entry = self.time_wait.insert(now, closed);
        self.detach(id, Some(Target::TimeWait(entry)));
    }

    /// Takes connection `id` off the wire; `heir` gets its tuple. What it has received can still be read.
    fn detach(&mut self, id: SlotId, heir: Option<Target>) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.attached = false;
        match heir {
            Some(heir) => self.demux.set(connection.tuple, heir),
            None => self.demux.remove(&connection.tuple, Target::Connection(id)),
        }
        if let Some((_, key)) = connection.timer.take() {
            self.timers.cancel(key);
        }
        connection.wake_all();
        if connection.stage == Stage::Orphan {
            self.orphans -= 1;
            self.remove(id);
        }
    }

    /// Makes sure that connection `id` is looked at by `due`. An earlier timer stays: it is cheaper to look once too
    /// often than to move a timer for each packet.
    pub(crate) fn arm(&mut self, id: SlotId, due: Option<Instant>) {
        let Some(connection) = self.connections.get_mut(id).filter(|c| c.attached) else {
            return;
        };
        let due = due.unwrap_or(Instant::FAR_FUTURE);
        let deadline = connection.deadline.unwrap_or(Instant::FAR_FUTURE);
        let due = due.min(deadline).min(connection.retry_at());
        if due == Instant::FAR_FUTURE {
            return;
        }
        match connection.timer {
            Some((at, _)) if at <= due => return,
            Some((_, key)) => {
                self.timers.cancel(key);
            }
            None => {}
        }
        connection.timer = Some((due, self.timers.insert(due, id)));
    }

    /// Does what is due by the clock.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop_expired(now) {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.timer = None;
                connection.expired = true;
            }
            self.touch(id);
        }
        while let Some((request, visit)) = self.half_open.visit(now, &mut self.wire, &self.config) {
            self.follow_visit(&request.tuple, visit);
        }
        while let Some((id, closed)) = self.time_wait.pop_expired(now) {
            self.demux.remove(&closed.tuple, Target::TimeWait(id));
        }
    }

    fn follow_visit(&mut self, tuple: &crate::packet::Tuple, visit: Visit) {
        match visit {
            Visit::Stays(id) => self.demux.set(*tuple, Target::HalfOpen(id)),
            Visit::Expired(id) => self.demux.remove(tuple, Target::HalfOpen(id)),
        }
    }

    /// Lets the machine's own sockets send, and takes over what DHCP has learnt.
    pub(crate) fn send_local(&mut self, now: Instant) {
        if !self.local.touched && self.local.due.is_none_or(|due| due > now) {
            return;
        }
        let at = clock::to_smoltcp(now);
        self.local.touched = false;
        let interface = &mut self.interfaces.narrow;
        let mut due = interface.poll_at(at, &self.local.sockets);
        let mut left = EGRESS_BURST;
        while left > 0 && due.is_some_and(|due| due <= at) {
            self.wire.start_log(None);
            let mut phy = Phy {
                wire: Some(&mut self.wire),
                frame: None,
            };
            interface.poll_egress(at, &mut phy, &mut self.local.sockets);
            if let Some(address) = self.wire.log.arp_target {
                self.local.neighbours.asked_for(address);
            }
            left -= 1;
            due = interface.poll_at(at, &self.local.sockets);
        }
        let has_changed = self.local.follow_dhcp(&mut self.interfaces);
        let mut untold = None;
        if let Some(seat) = &mut self.seat {
            if has_changed {
                seat.announce();
            }
            let is_busy = seat.tell(self.local.addresses.as_ref());
            untold = is_busy.then_some(now + ADDRESSES_AGAIN);
        }
        let due = due.map(clock::from_smoltcp);
        self.local.due = due.into_iter().chain(untold).min();
    }
}
