//! [`Recovery`]: what a connection does that has lost something, where smoltcp would wait.
//!
//! smoltcp's smallest time-out is a second, it doubles with every loss and stays where it is until bytes arrive that were never
//! sent before, and of several losses in a flight each waits for one. It sends its oldest segment again at the third duplicate
//! acknowledgement, if there were no bytes in those. So from its first loss on a connection
//!
//! - counts duplicates itself, and those that name what has arrived (SACK) even with bytes in them;
//! - takes an acknowledgement of only a part of what was sent before the loss for the next loss (RFC 6582);
//! - has a timer of its own (RFC 6298), which begins anew with every acknowledgement of new bytes.
//!
//! Each of these ends in [`say_again`](Stack::say_again), which tells smoltcp of three duplicates in private. A FIN that alone is
//! missing smoltcp would not send again for those: then it is sent from here.

use smoltcp::iface::Interface;
use smoltcp::wire::TcpControl;
use toro_time::Instant;

use crate::birth;
use crate::clock;
use crate::connection::Connection;
use crate::packet::Segment;
use crate::random::low_word;
use crate::segment;
use crate::slab::SlotId;
use crate::stack::Stack;

/// Duplicate acknowledgements that mean a loss, as in smoltcp (RFC 5681, 3.2).
const LOSS: u8 = 3;
/// What the timer allows for besides the round trip, in microseconds: as in Linux, where RFC 6298 says a second.
const LEAST_MARGIN: u32 = 200_000;
/// The time-out before the first round trip is known (RFC 6298, 2.1), in microseconds.
const FIRST_TIMEOUT: u32 = 1_000_000;
/// The longest time-out (RFC 6298, 2.5), in microseconds.
const LONGEST_TIMEOUT: u64 = 60_000_000;
/// After so many in a row smoltcp is left alone: what it is told here looks to it like a sign of life.
const MOST_TRIES: u8 = 9;

/// What is known of the losses of a connection.
#[derive(Debug)]
pub(crate) struct Recovery {
    /// When the timer was started.
    since: Instant,
    /// A sequence number whose acknowledgement gives a round trip, and when it was sent.
    sample: Option<(u32, Instant)>,
    /// Smoothed round trip and its variation in microseconds; 0 if none is known.
    round_trip: u32,
    variation: u32,
    /// What had been sent when the loss was noticed: with all of it acknowledged, it is over.
    until: u32,
    /// Time-outs in a row.
    tries: u8,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing is to be done.
    Calm,
    /// The oldest segment is to be sent again.
    Wanted,
    /// smoltcp was told so.
    Told,
}

impl Recovery {
    pub(crate) fn new(sent: u32) -> Self {
        Self {
            since: Instant::ZERO,
            sample: None,
            round_trip: 0,
            variation: 0,
            until: sent,
            tries: 0,
            step: Step::Calm,
        }
    }

    /// No round trip is known yet.
    pub(crate) fn lacks_sample(&self) -> bool {
        self.round_trip == 0
    }

    /// New bytes up to `end` were sent, the `first` on their way.
    pub(crate) fn note_new(&mut self, now: Instant, end: u32, first: bool) {
        if first {
            self.since = now;
        }
        self.sample.get_or_insert((end, now));
    }

    /// smoltcp could not send: it takes what it was told for done, and its timer has stopped.
    pub(crate) fn note_held(&mut self) {
        if self.step == Step::Told {
            self.step = Step::Wanted;
        }
    }

    /// Something was sent a second time; the oldest byte on its way is `delivered`.
    pub(crate) fn note_again(&mut self, now: Instant, delivered: u32) {
        // Nobody knows which of the two is acknowledged (RFC 6298, 3).
        self.sample = None;
        self.since = now;
        if self.step == Step::Calm {
            // smoltcp's own timer: it begins anew from the oldest byte, one segment at first.
            self.until = delivered;
        }
        self.step = Step::Calm;
    }

    /// Everything before `delivered` has arrived; the peer has told when that was sent, or not.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_progress(&mut self, now: Instant, delivered: u32, told: Option<Instant>) {
        let since = core::mem::replace(&mut self.since, now);
        self.tries = 0;
        match self.sample.or(told.map(|sent| (delivered, sent))) {
            Some((end, _)) if delivered.wrapping_sub(end).cast_signed() < 0 => {}
            Some((_, sent)) => self.take_sample(now, sent),
            // Better than none, though it may have been an earlier copy that arrived.
            None if self.lacks_sample() => self.take_sample(now, since),
            None => {}
        }
        if self.until.wrapping_sub(delivered).cast_signed() > 0 {
            self.step = Step::Wanted;
        }
    }

    /// Takes the time since `sent` for a round trip (RFC 6298, 2.2 and 2.3).
    fn take_sample(&mut self, now: Instant, sent: Instant) {
        self.sample = None;
        let micros = (now.as_nanos() - sent.as_nanos()) / 1000;
        let took = low_word(micros.clamp(1, LONGEST_TIMEOUT));
        if self.round_trip == 0 {
            (self.round_trip, self.variation) = (took, took / 2);
        } else {
            self.variation = (3 * self.variation + self.round_trip.abs_diff(took)) / 4;
            self.round_trip = (7 * self.round_trip + took) / 8;
        }
    }

    /// When the timer fires (RFC 6298, 2.3 and 5.5).
    fn fires_at(&self) -> Instant {
        let micros = match self.round_trip {
            0 => FIRST_TIMEOUT,
            round_trip => round_trip + LEAST_MARGIN.max(4 * self.variation),
        };
        let micros = (u64::from(micros) << self.tries).min(LONGEST_TIMEOUT);
        Instant::from_nanos(self.since.as_nanos() + 1000 * micros)
    }
}

impl Connection {
    /// Looks for the third duplicate acknowledgement; smoltcp sees `window` in it.
    pub(crate) fn watch(&mut self, segment: &Segment, window: u16) {
        let is_same = core::mem::replace(&mut self.shown, window) == window;
        let oldest = self.delivered;
        if segment.ack != oldest || self.sent == oldest || segment.flags.rst() {
            if segment.ack.wrapping_sub(oldest).cast_signed() > 0 {
                self.repeats = 0;
            }
            return;
        }
        let is_bare = segment.is_bare_ack() && is_same;
        if is_bare || segment.has_options_beyond(self.options_len()) {
            self.repeats = self.repeats.saturating_add(1);
        }
        if self.repeats == LOSS {
            self.lossy = true;
            self.lose();
        }
    }

    /// Begins to make up for a loss, unless that is under way.
    fn lose(&mut self) {
        let recovery = &mut self.recovery;
        if recovery.until.wrapping_sub(self.delivered).cast_signed() <= 0 {
            recovery.until = self.sent;
            recovery.step = Step::Wanted;
        }
    }

    /// When something is to be sent again, if nothing is heard before.
    #[inline]
    pub(crate) fn retry_at(&self) -> Instant {
        if self.lossy {
            self.waits_until()
        } else {
            Instant::FAR_FUTURE
        }
    }

    #[inline(never)]
    fn waits_until(&self) -> Instant {
        let in_flight = self.sent.wrapping_sub(self.delivered).cast_signed();
        let is_waiting = self.agreed.is_some() && self.recovery.tries < MOST_TRIES && in_flight > 0;
        if is_waiting {
            self.recovery.fires_at()
        } else {
            Instant::FAR_FUTURE
        }
    }

    /// Follows up on the timer.
    #[inline]
    pub(crate) fn recover_in_time(&mut self, now: Instant) {
        if self.retry_at() <= now {
            let recovery = &mut self.recovery;
            recovery.tries += 1;
            (recovery.since, recovery.sample) = (now, None);
            let tries = recovery.tries;
            self.doubt_path(tries);
            self.say_all_again();
        }
    }

    /// Has everything that is on its way sent again.
    pub(crate) fn say_all_again(&mut self) {
        (self.recovery.until, self.recovery.step) = (self.sent, Step::Wanted);
    }
}

impl Connection {
    /// Tells smoltcp of three duplicate acknowledgements, for which it sends its oldest segment again.
    #[cold]
    #[inline(never)]
    fn repeat(&mut self, interface: &mut Interface, now: Instant) {
        self.recovery.step = Step::Told;
        let (tuple, expected) = (self.tuple, self.acknowledged);
        let oldest = self.delivered;
        let shown = self.shown_window(oldest);
        // smoltcp counts only what says the same as before, so its count begins anew with another window.
        self.shown = if shown > 1 { shown - 1 } else { 2 };
        let mut repr = segment::acknowledgement(&tuple.turned(), expected, oldest, shown);
        for _ in 0..5 {
            birth::tell(
                interface,
                &mut self.sockets,
                &tuple,
                &repr,
                clock::to_smoltcp(now),
            );
            repr.window_len = self.shown;
        }
    }
}

impl Stack {
    /// Sends the oldest segment of connection `id` again, if that is wanted. Nothing else waits to be sent.
    #[inline]
    pub(crate) fn say_again(&mut self, now: Instant, id: SlotId) {
        let wanted = self.connections.get_mut(id);
        if let Some(connection) = wanted.filter(|it| it.recovery.step == Step::Wanted) {
            if connection.socket().send_queue() > 0 {
                connection.repeat(&mut self.interfaces.narrow, now);
                self.touch(id);
            } else {
                self.repeat_fin(now, id);
            }
        }
    }

    /// Sends the FIN of connection `id` again, if that is all that its peer lacks and the way there is known.
    #[cold]
    #[inline(never)]
    fn repeat_fin(&mut self, now: Instant, id: SlotId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.recovery.step = Step::Calm;
        let fin = connection.sent.wrapping_sub(1);
        if !connection.has_sent_fin() || connection.delivered != fin {
            return;
        }
        let (tuple, window) = (connection.tuple, connection.offered_window());
        let mut repr = segment::acknowledgement(&tuple, fin, connection.acknowledged, window);
        repr.timestamp = connection.stamp(now);
        repr.control = TcpControl::Fin;
        if let Some(station) = self.station_towards(tuple.remote) {
            segment::send(&mut self.wire, station, &tuple, &repr);
            self.stats.retransmits += 1;
        }
    }
}
