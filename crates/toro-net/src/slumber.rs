//! Connections asleep: open, with nothing to say, and without rings.
//!
//! Rings are most of what a connection costs, and of ten thousand connections few have bytes in them. So a connection has rings
//! while there is memory for them. When there is none, one that has been silent for long gives its rings back:
//!
//! ```text
//!                 memory is needed, and it is at rest
//!     awake ──────────────────────────────────────────► asleep
//!       ▲                                                 │
//!       └─────────────────────────────────────────────────┘
//!         a segment, a write, a call of its service, or the time to ask the peer for a sign of life
//! ```
//!
//! The peer sees nothing of it: the window that it was offered stays open, for the ring that it stands for is made before its
//! segment is looked at. Going to sleep and waking up are what [growing](crate::growth) is, a new socket with the same numbers; the
//! one of a sleeper has rings of no bytes. If everybody who is awake has bytes under way, segments for sleepers are dropped
//! and come again, and writes wait.

use core::time::Duration;

use toro_time::Instant;

use crate::config::{Buffers, SOCKET_LEN};
use crate::connection::{Connection, Stage};
use crate::slab::SlotId;
use crate::stack::Stack;

/// How many connections that could go to sleep are compared to find one that has been silent for long.
const SAMPLE: u32 = 8;

/// How many places are looked at for those. Sleepers are passed over, so this is many.
const LOOKS: u32 = 256;

/// When a connection tries again to wake up that found no memory.
pub(crate) const AGAIN: Duration = Duration::from_millis(500);

impl Connection {
    /// It has no rings, and needs them before anything is done with it.
    #[inline]
    pub(crate) fn is_asleep(&self) -> bool {
        self.promised > 0
    }

    /// It has rings and nothing in them, whoever has it does not wait for room, and it is not in line to say something.
    fn may_sleep(&self) -> bool {
        let is_quiet = !self.queued && !self.held && self.sent == self.delivered;
        if self.promised > 0 || self.stage != Stage::Open || !is_quiet || self.waits_for_room() {
            return false;
        }
        let socket = self.socket();
        socket.recv_queue() + socket.send_queue() == 0
    }
}

impl Stack {
    /// Makes room for the rings of another connection, if need be by putting one to sleep. Says whether there is.
    #[inline(never)]
    pub(crate) fn make_room_for_rings(&mut self, now: Instant) -> bool {
        while !self.has_room_for_rings() {
            let is_done = self
                .find_silent()
                .is_some_and(|silent| self.put_to_sleep(now, silent));
            if !is_done {
                return false;
            }
        }
        true
    }

    /// The connection that has been silent longest of the next few that could go to sleep.
    fn find_silent(&mut self) -> Option<SlotId> {
        let (mut found, mut seen): (Option<(Instant, SlotId)>, _) = (None, 0);
        for _ in 0..LOOKS {
            self.hand = (self.hand + 1) % self.connections.places().max(1);
            let Some((id, connection)) = self.connections.at(self.hand) else {
                continue;
            };
            if !connection.may_sleep() {
                continue;
            }
            let heard = connection.heard;
            if found.is_none_or(|(oldest, _)| heard < oldest) {
                found = Some((heard, id));
            }
            seen += 1;
            if seen == SAMPLE {
                break;
            }
        }
        found.map(|(_, id)| id)
    }

    fn has_room_for_rings(&self) -> bool {
        let Buffers { receive, send } = self.config.buffers;
        let rings = (self.awake + 1) * (receive + send) + self.grown;
        rings + self.connections.len() * SOCKET_LEN <= self.config.limits.memory
    }

    #[inline(never)]
    fn put_to_sleep(&mut self, now: Instant, id: SlotId) -> bool {
        let none = Buffers {
            receive: 0,
            send: 0,
        };
        if !self.renew(now, id, &none) {
            return false;
        }
        let timer = self.connections.get_mut(id).and_then(|it| it.timer.take());
        if let Some((_, key)) = timer {
            self.timers.cancel(key);
        }
        self.arm(id, Some(now + self.config.times.keep_alive));
        true
    }

    /// Gives connection `id` its rings back, if it is asleep. Returns `false` if there is no memory, and tries again later.
    ///
    /// The new socket is as old as the last sign of life of the peer, so it asks for the next one in time.
    pub(crate) fn wake(&mut self, now: Instant, id: SlotId) -> bool {
        let connection = self.connections.get(id);
        !connection.is_some_and(Connection::is_asleep) || self.wake_up(now, id)
    }

    /// Whether connection `id`, which is asleep, stays so when it has its turn to send: unless its timer has fired, as then it is
    /// time to ask the peer for a sign of life, or to try again to wake up.
    #[cold]
    #[inline(never)]
    pub(crate) fn sleeps_on(&mut self, now: Instant, id: SlotId) -> bool {
        let Some(connection) = self.connections.get_mut(id) else {
            return true;
        };
        connection.touched = false;
        let is_due = core::mem::take(&mut connection.expired);
        !is_due || !self.wake_up(now, id)
    }

    #[cold]
    #[inline(never)]
    fn wake_up(&mut self, now: Instant, id: SlotId) -> bool {
        let has_room = self.make_room_for_rings(now);
        let send = self.config.buffers.send;
        let Some(connection) = self.connections.get(id) else {
            return false;
        };
        let (heard, receive) = (connection.heard, connection.promised);
        if !has_room || !self.renew(heard, id, &Buffers { receive, send }) {
            self.arm(id, Some(now + AGAIN));
            return false;
        }
        if let Some(connection) = self.connections.get_mut(id) {
            connection.wake_ready();
        }
        true
    }
}
