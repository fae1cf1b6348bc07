//! What connections have to say, on its way to the device.

use toro_dev::socket::{Op, shut};
use toro_queue::slab::SlotId;
use toro_time::Instant;

use crate::config::BURST;
use crate::stack::Stack;

impl Stack {
    /// Sends what there is to send, sees to what is overdue, and lets the device know: once a turn.
    pub fn advance(&mut self, now: Instant) {
        self.expire(now);
        self.is_blocked = false;
        while let Some(header) = self.refusals.front() {
            let Some(packet) = self.device.allocate() else {
                self.is_blocked = true;
                break;
            };
            self.device.transmit(header, packet);
            self.stats.sent += 1;
            self.refusals.pop_front();
        }
        // Not those that come meanwhile: others have their turn first.
        for _ in 0..self.speakers.len() {
            if self.is_blocked {
                break;
            }
            if let Some(id) = self.speakers.pop_front() {
                self.speak(now, id);
            }
        }
        self.device.flush();
        self.watch(now);
    }

    /// Sends up to [`BURST`] packets of connection `id`. If it has more to say, it gets another place in the queue.
    fn speak(&mut self, now: Instant, id: SlotId) {
        for _ in 0..BURST {
            let Some(op) = self.connections.get(id).and_then(|c| c.next_op()) else {
                break;
            };
            if !self.say(now, id, op) {
                // First in line when there are packets again.
                self.speakers.push_front(id);
                return;
            }
        }
        if let Some(connection) = self.connections.get_mut(id) {
            connection.is_queued = false;
            self.wake_writer_with_room(id);
            self.notice(id);
            self.touch(id);
        }
    }

    /// Sends one packet of connection `id`; `false` if there is none free.
    fn say(&mut self, now: Instant, id: SlotId, op: Op) -> bool {
        let Some(connection) = self.connections.get_mut(id) else {
            return true;
        };
        let Some(mut packet) = self.device.allocate() else {
            self.is_blocked = true;
            return false;
        };
        let mut header = connection.header(self.device.cid(), op);
        match op {
            Op::Request | Op::Response => connection.due.hello = None,
            Op::CreditRequest => connection.due.request = false,
            Op::Shutdown => {
                header.flags = connection.shut_now();
                connection.said_shut = header.flags;
                if header.flags == shut::BOTH {
                    connection.deadline = Some(now + self.config.times.farewell);
                }
            }
            Op::Data => {
                let output = connection.output.bytes();
                let most = output.len().min(connection.credit.may_send());
                let len = packet.append(&output[..most]);
                connection.output.consume(len);
                connection.credit.send(len);
            }
            Op::Nothing | Op::Reset | Op::CreditUpdate => {}
        }
        self.device.transmit(&header, packet);
        self.stats.sent += 1;
        if op == Op::Shutdown {
            self.arm(id);
        }
        true
    }

    /// Sends as much of `bytes` as the peer has room and the device has packets for, past the empty output of connection `id`.
    pub(crate) fn send_at_once(&mut self, id: SlotId, bytes: &[u8]) -> usize {
        let mut done = 0;
        while let Some(connection) = self.connections.get_mut(id)
            && connection.output.is_empty()
            && done < bytes.len()
        {
            let most = connection.sendable().min(bytes.len() - done);
            if most == 0 {
                break;
            }
            let Some(mut packet) = self.device.allocate() else {
                break;
            };
            let len = packet.append(&bytes[done..done + most]);
            let header = connection.header(self.device.cid(), Op::Data);
            connection.credit.send(len);
            self.device.transmit(&header, packet);
            self.stats.sent += 1;
            done += len;
        }
        done
    }

    /// Wakes who waits for room in the output of connection `id`, if there is enough to be worth it.
    fn wake_writer_with_room(&mut self, id: SlotId) {
        if let Some(connection) = self.connections.get_mut(id)
            && connection.output.room() >= connection.output.capacity() / 2
            && let Some(writer) = connection.writer.take()
        {
            writer.wake();
        }
    }
}
