//! What happens when nothing does: timers of connections, silent peers, a device that takes no packets, and one that has lost everything.

use toro_dev::socket::shut;
use toro_queue::slab::SlotId;
use toro_time::Instant;

use crate::config::Times;
use crate::connection::{End, Stage};
use crate::dispatch::Event;
use crate::stack::Stack;

/// Whether the device still does something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watch {
    /// Since when it has left this many packets lying.
    stalled: Option<(Instant, u64)>,
    /// When a device that was given up is tried again.
    revive: Option<Instant>,
}

impl Watch {
    pub(crate) fn next_deadline(&self, times: &Times) -> Option<Instant> {
        let stalled = self.stalled.map(|(since, _)| since + times.stall);
        self.revive.or(stalled)
    }
}

impl Stack {
    /// Sees to the timers that are due.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop_expired(now) {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.timer = None;
                self.age(now, id);
                self.arm(id);
            }
        }
    }

    /// Sees to what is overdue of connection `id`.
    fn age(&mut self, now: Instant, id: SlotId) {
        let times = self.config.times;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.end.is_none() {
            if connection.deadline.is_some_and(|deadline| deadline <= now) {
                let end = match connection.said_shut {
                    shut::BOTH => End::Finished,
                    _ => End::TimedOut,
                };
                return self.reset(id, end);
            }
            if connection.stage != Stage::Connecting && connection.silence(&times) <= now {
                if connection.probed.is_some() {
                    self.stats.silent += 1;
                    return self.reset(id, End::TimedOut);
                }
                connection.probed = Some(now);
                connection.due.request = true;
                self.touch(id);
            }
        }
        self.time_out_service(now, id);
    }

    /// Makes sure that the next thing that is to happen to connection `id` is noticed.
    ///
    /// A timer that comes too early is set again: that is cheaper than to move it for each packet.
    pub(crate) fn arm(&mut self, id: SlotId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Some(deadline) = connection.next_deadline(&self.config.times) else {
            return;
        };
        match connection.timer {
            Some((at, _)) if at <= deadline => return,
            Some((_, key)) => {
                self.timers.cancel(key);
            }
            None => {}
        }
        connection.timer = Some((deadline, self.timers.insert(deadline, id)));
    }

    /// Looks whether the device still takes packets, and starts it anew if not.
    pub(crate) fn watch(&mut self, now: Instant) {
        let times = self.config.times;
        if self.device.is_failed() {
            match self.watch.revive {
                None => self.watch.revive = Some(now + times.revive),
                Some(at) if at <= now => self.revive(now),
                Some(_) => {}
            }
            return;
        }
        self.watch.revive = None;
        let outstanding = self.device.outstanding() as u64;
        let taken = self.stats.sent.wrapping_sub(outstanding);
        self.watch.stalled = match self.watch.stalled {
            _ if outstanding == 0 => None,
            Some((since, before)) if before == taken => Some((since, before)),
            _ => Some((now, taken)),
        };
        let is_dead = |(since, _): (Instant, u64)| since + times.stall <= now;
        if self.watch.stalled.is_some_and(is_dead) {
            log::error!("vsock: the device takes no packets any more; starting it anew");
            self.revive(now);
        }
    }

    fn revive(&mut self, now: Instant) {
        self.watch = Watch::default();
        let works = self.device.revive();
        self.device.take_loss();
        self.lose_all();
        self.stats.revived += u64::from(works);
        if !works {
            self.watch.revive = Some(now + self.config.times.revive);
        }
    }

    /// Ends all connections: the other side does not know of them any more. Listeners stay.
    pub(crate) fn lose_all(&mut self) {
        self.refusals.clear();
        self.speakers.clear();
        for id in self.connections.ids() {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.is_queued = false;
                self.finish(id, End::Reset);
            }
        }
    }

    /// Calls the service of connection `id` if its deadline has passed.
    fn time_out_service(&mut self, now: Instant, id: SlotId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Some(served) = &mut connection.served else {
            return;
        };
        if served.deadline.is_some_and(|deadline| deadline <= now) {
            served.deadline = None;
            self.call_and_attend(now, id, Event::TimedOut);
        }
    }
}
