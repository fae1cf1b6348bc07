//! A packet on its way to its connection.

use toro_dev::socket::{Header, Op, STREAM, shut};
use toro_queue::slab::SlotId;
use toro_time::Instant;

use crate::config::REFUSALS;
use crate::connection::{Connection, End, Key, Stage};
use crate::stack::Stack;

impl Stack {
    /// Takes up to `budget` packets from the device. Returns whether there may be more.
    pub fn receive(&mut self, now: Instant, budget: usize) -> bool {
        if self.device.take_loss() {
            self.lose_all();
        }
        for _ in 0..budget {
            // A peer that is refused all the time has to listen first.
            if self.refusals.len() >= REFUSALS {
                return !self.is_blocked;
            }
            let Some((header, packet)) = self.device.receive() else {
                return false;
            };
            self.stats.received += 1;
            self.take(now, &header, packet.payload());
            self.device.recycle(packet);
        }
        true
    }

    fn take(&mut self, now: Instant, header: &Header, payload: &[u8]) {
        if header.dst.cid != self.cid() {
            self.stats.misaddressed += 1;
            return;
        }
        let key = Key {
            port: header.dst.port,
            peer: header.src,
        };
        let known = self.keys.get(&key).copied();
        match known.filter(|_| header.kind == STREAM) {
            Some(id) => self.follow(now, id, header, payload),
            None if header.op == Op::Reset => {}
            None if header.op == Op::Request && header.kind == STREAM => self.welcome(now, header),
            None => self.refuse(header),
        }
    }

    /// Answers a packet that nobody is there for.
    fn refuse(&mut self, header: &Header) {
        self.stats.refused += 1;
        self.refusals.push_back(Header {
            src: header.dst,
            dst: header.src,
            op: Op::Reset,
            len: 0,
            flags: 0,
            buf_alloc: 0,
            fwd_cnt: 0,
            kind: header.kind,
        });
    }

    /// Makes the connection that a peer asks for, if there is a listener with room.
    fn welcome(&mut self, now: Instant, header: &Header) {
        let limits = self.config.limits;
        let is_full = self.connections.len() >= limits.connections;
        let listener = self.listeners.get(&header.dst.port);
        if is_full || listener.is_none_or(|listener| listener.ready.len() >= limits.backlog) {
            return self.refuse(header);
        }
        let key = Key {
            port: header.dst.port,
            peer: header.src,
        };
        let buffers = &self.config.buffers;
        let mut connection = Connection::new(key, Stage::Waiting, Op::Response, buffers, now);
        if connection
            .credit
            .hear(header.buf_alloc, header.fwd_cnt)
            .is_err()
        {
            // It cannot have received anything yet.
            return self.refuse(header);
        }
        let id = self.insert(connection);
        if let Some(listener) = self.listeners.get_mut(&header.dst.port) {
            listener.ready.push_back(id);
            listener.wake();
        }
        self.stats.accepted += 1;
    }

    /// Gives a packet to its connection.
    fn follow(&mut self, now: Instant, id: SlotId, header: &Header, payload: &[u8]) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if header.op == Op::Reset {
            let said_all = connection.peer_shut & shut::SEND != 0;
            let end = match said_all || connection.said_shut == shut::BOTH {
                true => End::Finished,
                false => End::Reset,
            };
            return self.finish(id, end);
        }
        let is_new = connection.stage == Stage::Connecting;
        let makes_sense = match header.op {
            Op::Request => false,
            Op::Data | Op::Shutdown => !is_new,
            _ => true,
        };
        let heard = connection.credit.hear(header.buf_alloc, header.fwd_cnt);
        let (true, Ok(has_progress)) = (makes_sense, heard) else {
            return self.break_off(id);
        };
        (connection.heard, connection.probed) = (now, None);
        if has_progress || connection.sendable() > 0 {
            connection.has_asked = false;
        }
        if has_progress && connection.stage == Stage::Orphan && connection.said_shut != shut::BOTH {
            connection.deadline = Some(now + self.config.times.linger);
        }
        match header.op {
            Op::Response if is_new => {
                connection.stage = Stage::Open;
                connection.deadline = None;
                connection.wake();
            }
            Op::Data => return self.take_data(id, payload),
            Op::CreditRequest => {
                connection.due.is_owed = true;
                // Who knows that there is no room is answered when there is some: to say it again would only have it ask again.
                connection.due.update = !connection.credit.is_shut();
            }
            Op::Shutdown => return self.take_shutdown(id, header.flags),
            _ => {}
        }
        self.wake_writer(id);
        self.touch(id);
        self.notice(id);
    }

    fn take_data(&mut self, id: SlotId, payload: &[u8]) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let may_come = connection.peer_shut & shut::SEND == 0;
        if !may_come || connection.credit.receive(len).is_err() {
            return self.break_off(id);
        }
        if connection.wants_shut & shut::RECEIVE != 0 {
            // Nobody will read it.
            connection.credit.take(payload.len());
            connection.tell_if_due();
        } else if connection.input.push(payload).is_err() {
            self.stats.without_memory += 1;
            return self.reset(id, End::Reset);
        } else if let Some(reader) = connection.reader.take() {
            reader.wake();
        }
        self.wake_writer(id);
        self.touch(id);
        self.notice(id);
    }

    fn take_shutdown(&mut self, id: SlotId, flags: u32) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.peer_shut |= flags;
        if !connection.is_heard() {
            connection.output.clear();
        }
        connection.wake();
        self.touch(id);
        self.notice(id);
        self.confirm_end(id);
    }

    /// Wakes who waits for room to write, if there is some.
    fn wake_writer(&mut self, id: SlotId) {
        if let Some(connection) = self.connections.get_mut(id)
            && connection.sendable() > 0
            && let Some(writer) = connection.writer.take()
        {
            writer.wake();
        }
    }

    /// Ends the connection of a peer that has broken a rule.
    fn break_off(&mut self, id: SlotId) {
        self.stats.broken += 1;
        self.reset(id, End::Reset);
    }
}
