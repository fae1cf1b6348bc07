//! [`Timestamps`]: the timestamps of a connection (RFC 7323), in images with the unit of that name.
//!
//! Each segment carries the time of its sender and the last time that it has heard of. Of two segments with one sequence number
//! that tells which is old: one from before the numbers came round, or from an earlier connection of the same addresses and ports,
//! is dropped (PAWS).
//!
//! smoltcp leaves room for the option and says in it what it was told last, by whichever segment, with a clock that is one function
//! for all sockets. So it is told to leave the room and nothing more: what stands there is written at the edge ([`put`]), with a
//! clock of a millisecond that begins elsewhere for each tuple, and an echo by the rule of RFC 7323, 4.3. What arrives is judged
//! before smoltcp sees it.

use core::time::Duration;

use smoltcp::wire::{TcpOption, TcpTimestampRepr};
use toro_time::Instant;

use crate::birth::Agreement;
use crate::checksum;
use crate::connection::Connection;
use crate::device::TCP_AT;
use crate::packet::{self, Flags, Segment, TCP_LEN, Tuple};
use crate::random::low_word;
use crate::slab::SlotId;
use crate::slot::Slot;
use crate::stack::Stack;
use crate::time_wait::Remembered;

/// Whether there are timestamps in this image at all.
pub(crate) const ARE_COMPILED: bool = cfg!(feature = "timestamps");

/// What they add to a header, with padding.
pub(crate) const LEN: usize = 12;
/// Two bytes of padding and the beginning of the option: the layout of RFC 7323, appendix A.
const ALIGNED: [u8; 4] = [1, 1, 8, 10];
/// After so long a peer with a clock of a millisecond may be ahead or behind (RFC 7323, 5.5).
const IDLE: Duration = Duration::from_secs(24 * 24 * 3600);
/// What is echoed later than this says nothing of the way.
const LONGEST_TRIP_MS: u32 = 60_000;

/// The two times of a connection whose segments have them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timestamps {
    /// What our clock is ahead of the time since boot, in milliseconds.
    offset: u32,
    /// TS.Recent of RFC 7323: what is echoed, and what is older than that is old.
    recent: u32,
    /// When that was heard.
    recent_at: Instant,
    /// Our own time, as the last segment echoes it.
    echoed: u32,
}

impl Timestamps {
    /// Those of a connection with this [`offset`](crate::random::Secrets::clock_offset), whose peer has said `recent` in its SYN.
    pub(crate) fn new(now: Instant, offset: u32, recent: u32) -> Self {
        Self {
            offset,
            recent,
            recent_at: now,
            // An instant that lies too far back to be believed.
            echoed: clock(now, offset).wrapping_sub(2 * LONGEST_TRIP_MS),
        }
    }

    /// What a segment says that is sent now.
    pub(crate) fn at(&self, now: Instant) -> TcpTimestampRepr {
        stamp(now, self.offset, self.recent)
    }

    /// Whether a segment with `value` was sent before one that was heard already.
    fn is_old(&self, now: Instant, value: u32) -> bool {
        is_older(value, self.recent) && now.duration_since(self.recent_at) <= IDLE
    }

    /// When we sent what the peer echoes, to a millisecond.
    ///
    /// The echo tells of a segment that was sent first or again, whichever has arrived: Karn's rule need not be kept.
    fn echoed(&self, now: Instant) -> Option<Instant> {
        let millis = clock(now, self.offset).wrapping_sub(self.echoed);
        let nanos = now.as_nanos().checked_sub(u64::from(millis) * 1_000_000)?;
        (millis <= LONGEST_TRIP_MS).then(|| Instant::from_nanos(nanos))
    }
}

/// Our clock for a tuple.
fn clock(now: Instant, offset: u32) -> u32 {
    offset.wrapping_add(low_word(now.as_nanos() / 1_000_000))
}

/// What is said at `now` to a peer whose clock was at `recent`.
fn stamp(now: Instant, offset: u32, recent: u32) -> TcpTimestampRepr {
    TcpTimestampRepr::new(clock(now, offset), recent)
}

/// Whether `value` lies before `recent` on the circle of 32 bits.
fn is_older(value: u32, recent: u32) -> bool {
    value.wrapping_sub(recent).cast_signed() < 0
}

/// The timestamps in a segment.
pub(crate) fn read(frame: &[u8], segment: &Segment) -> Option<TcpTimestampRepr> {
    let mut options = frame.get(segment.start + TCP_LEN..segment.payload)?;
    if options.len() == LEN && options.starts_with(&ALIGNED) {
        let (tsval, tsecr) = (packet::be32(options, 4), packet::be32(options, 8));
        return Some(TcpTimestampRepr::new(tsval, tsecr));
    }
    while !options.is_empty() {
        // What is malformed ends the list, as in every other stack.
        let (rest, option) = TcpOption::parse(options).ok()?;
        match option {
            TcpOption::TimeStamp { tsval, tsecr } => {
                return Some(TcpTimestampRepr::new(tsval, tsecr));
            }
            TcpOption::EndOfList => return None,
            _ => options = rest,
        }
    }
    None
}

/// Writes `stamp` where smoltcp has left room for it in a frame of ours, whose checksum is `complete`, or only begun.
pub(crate) fn put(frame: &mut [u8], stamp: TcpTimestampRepr, complete: bool) {
    let (start, flags) = (TCP_AT + TCP_LEN, frame[TCP_AT + 13]);
    let end = TCP_AT + usize::from(frame[TCP_AT + 12] >> 4) * 4;
    let Some(options) = frame.get_mut(start..end) else {
        return;
    };
    let folded = |options: &[u8]| checksum::fold(checksum::sum(0, options));
    let before = complete.then(|| folded(options));
    if options.len() == LEN && flags & Flags::SYN == 0 {
        // Here peers look first.
        options[..4].copy_from_slice(&ALIGNED);
        write(&mut options[4..], stamp);
    } else {
        let mut at = 0;
        while at + 10 <= options.len() {
            match (options[at], usize::from(options[at + 1])) {
                (8, 10) => {
                    write(&mut options[at + 2..], stamp);
                    break;
                }
                (0, _) => return,
                (1, _) => at += 1,
                (_, len) => at += len.max(2),
            }
        }
    }
    if let Some(before) = before {
        let after = folded(options);
        let at = TCP_AT + 16;
        let sum = checksum::corrected(packet::be16(frame, at), before, after);
        frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

fn write(place: &mut [u8], stamp: TcpTimestampRepr) {
    place[..4].copy_from_slice(&stamp.tsval.to_be_bytes());
    place[4..8].copy_from_slice(&stamp.tsecr.to_be_bytes());
}

/// What is to be done with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Fresh,
    /// It is dropped; a segment that takes sequence numbers is answered.
    Old,
    /// It is dropped, for it has no timestamp (RFC 7323, 3.2).
    Bare,
}

/// Judges a segment of a connection whose peer has said `recent` before anything else.
pub(crate) fn judge_first(frame: &[u8], segment: &Segment, recent: u32) -> Verdict {
    match read(frame, segment) {
        None => Verdict::Bare,
        Some(stamp) if is_older(stamp.tsval, recent) => Verdict::Old,
        Some(_) => Verdict::Fresh,
    }
}

impl Connection {
    /// What a segment says that is sent now.
    #[inline]
    pub(crate) fn stamp(&self, now: Instant) -> Option<TcpTimestampRepr> {
        self.timestamps.get().map(|times| times.at(now))
    }

    /// What the options of each segment take.
    #[inline]
    pub(crate) fn options_len(&self) -> usize {
        self.timestamps.get().map_or(0, |_| LEN)
    }

    /// When that was sent whose arrival the last segment tells of.
    #[inline]
    pub(crate) fn echoed(&self, now: Instant) -> Option<Instant> {
        self.timestamps.get().and_then(|times| times.echoed(now))
    }

    /// The peer's clock, for who is to remember it.
    pub(crate) fn last_heard(&self) -> Slot<u32> {
        Slot::new(self.timestamps.get().map(|times| times.recent))
    }

    /// Takes over what the peer has said in its half of the handshake: no timestamps if one of the two has none.
    pub(crate) fn agree_on_timestamps(&mut self, now: Instant, agreed: &mut Agreement) {
        let times = self.timestamps.get().zip(agreed.timestamps.get());
        let times = times.map(|(times, recent)| Timestamps::new(now, times.offset, recent));
        self.timestamps = Slot::new(times);
        agreed.timestamps = Slot::new(times.map(|times| times.recent));
    }

    /// Judges `segment`, and takes note of its times if it is fresh (RFC 7323, 5.3).
    fn judge_age(&mut self, now: Instant, frame: &[u8], segment: &Segment) -> Verdict {
        let is_agreed = self.agreed.is_some() && !segment.flags.rst();
        let Some(mut times) = self.timestamps.get().filter(|_| is_agreed) else {
            return Verdict::Fresh;
        };
        let Some(stamp) = read(frame, segment) else {
            // A peer that has begun anew is to hear of it, see RFC 9293, 3.10.7.4.
            return match segment.flags.syn() {
                true => Verdict::Fresh,
                false => Verdict::Bare,
            };
        };
        if times.is_old(now, stamp.tsval) {
            return Verdict::Old;
        }
        if self.is_at_last_acknowledgement(segment) {
            // It is newer, or what was heard last has lost its meaning.
            (times.recent, times.recent_at) = (stamp.tsval, now);
        }
        if segment.flags.ack() {
            times.echoed = stamp.tsecr;
        }
        self.timestamps = Slot::new(Some(times));
        Verdict::Fresh
    }

    /// Whether `segment` holds the number that we have acknowledged last, and acknowledges what we may have sent: only such a one
    /// sets the clock (RFC 7323, 4.3), so that nobody does who does not know where we are.
    fn is_at_last_acknowledgement(&self, segment: &Segment) -> bool {
        let before = self.acknowledged.wrapping_sub(segment.seq);
        let (ahead, behind) = (
            self.sent.wrapping_sub(segment.ack),
            self.delivered.wrapping_sub(segment.ack).cast_signed(),
        );
        let socket = self.socket();
        let is_possible = ahead.cast_signed() >= 0
            && (behind <= 0 || behind.unsigned_abs() as usize <= socket.send_capacity());
        before <= segment.len() && segment.flags.ack() && is_possible
    }
}

impl Stack {
    /// Says whether `segment` is fresh enough for connection `id`. One with bytes that is not is answered, within bounds: its
    /// sender may not know what has arrived. An acknowledgement alone is not, or two ends whose clocks were put back would
    /// answer each other for ever.
    #[inline(never)]
    pub(crate) fn is_fresh(
        &mut self,
        now: Instant,
        id: SlotId,
        frame: &[u8],
        segment: &Segment,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(id).filter(|it| it.attached) else {
            return false;
        };
        let verdict = connection.judge_age(now, frame, segment);
        if verdict == Verdict::Old && segment.len() > 0 {
            self.challenge(now, id, segment);
        }
        verdict == Verdict::Fresh
    }

    /// What our clock is ahead in the timestamps for `tuple`, if there are to be some.
    #[inline]
    pub(crate) fn clock_offset(&self, tuple: &Tuple) -> Option<u32> {
        let is_wanted = self.config.timestamps.get();
        is_wanted.map(|()| self.secrets.clock_offset(tuple))
    }

    /// What is said at `now` to the peer of a connection that is closed.
    pub(crate) fn stamp_of(&self, now: Instant, closed: &Remembered) -> Option<TcpTimestampRepr> {
        let recent = closed.recent.get()?;
        Some(stamp(now, self.secrets.clock_offset(&closed.tuple), recent))
    }
}

/// Whether `syn` begins a new connection after `closed` and is not left from an earlier one (RFC 6191, 2).
pub(crate) fn begins_anew(frame: &[u8], syn: &Segment, closed: &Remembered) -> bool {
    let Some(recent) = closed.recent.get() else {
        // Our own numbers go on by a clock.
        return true;
    };
    let is_beyond = syn.seq.wrapping_sub(closed.expected).cast_signed() > 0;
    match read(frame, syn) {
        Some(stamp) if stamp.tsval != recent => !is_older(stamp.tsval, recent),
        _ => is_beyond,
    }
}

#[cfg(test)]
mod tests;
