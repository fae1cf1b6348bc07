//! Connection requests that are not yet connections: the SYN came, the SYN|ACK went, the ACK is missing.
//!
//! An entry is what the peer said and nothing else, so a flood of requests costs some 80 bytes each up to a cap, not
//! a socket with buffers. The handshake is answered here; [`birth`](crate::birth) makes the socket afterwards.
//!
//! Each entry is visited once a second, and the SYN|ACK goes out again after 1, 3 and 7 seconds.

use core::time::Duration;

use smoltcp::wire::{TcpControl, TcpOption, TcpRepr};
use toro_time::Instant;

use crate::aging::{Aging, AgingId};
use crate::birth::Agreement;
use crate::config::{Buffers, Config};
use crate::device::Wire;
use crate::packet::{IPV4_LEN, Segment, TCP_LEN, Tuple};
use crate::segment;
use crate::slot::Slot;
use crate::timestamps::{self, Timestamps};

/// The interval of visits.
const VISIT: Duration = Duration::from_secs(1);

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfOpen {
    pub(crate) tuple: Tuple,
    pub(crate) agreed: Agreement,
    mac: [u8; 6],
    /// What our clock is ahead in its timestamps.
    offset: Slot<u32>,
    /// Visits so far.
    age: u32,
}

impl HalfOpen {
    /// The request that `syn` makes, to be answered with the sequence number `isn`, and with a clock that is ahead by `offset` if
    /// there are to be timestamps.
    pub(crate) fn from_syn(frame: &[u8], syn: &Segment, isn: u32, offset: Option<u32>) -> Self {
        let mut agreed = agreement(frame, syn, isn);
        let said = agreed.timestamps.get().filter(|_| offset.is_some());
        agreed.timestamps = Slot::new(said);
        Self {
            tuple: syn.tuple,
            agreed,
            mac: syn.mac,
            offset: Slot::new(offset),
            age: 0,
        }
    }

    /// Sends the SYN|ACK.
    #[inline(never)]
    pub(crate) fn answer(&self, now: Instant, wire: &mut Wire, config: &Config) {
        let mut repr: TcpRepr<'_> = segment::blank(&self.tuple);
        repr.control = TcpControl::Syn;
        repr.seq_number = segment::seq(self.agreed.isn);
        repr.ack_number = Some(segment::seq(self.agreed.peer_isn.wrapping_add(1)));
        repr.window_len = u16::try_from(config.buffers.receive).unwrap_or(u16::MAX);
        repr.window_scale = self.agreed.scale.map(|_| config.window_shift());
        repr.sack_permitted = self.agreed.sack;
        repr.timestamp = self.timestamps(now).map(|times| times.at(now));
        let mss = wire.info().mtu.saturating_sub(IPV4_LEN + TCP_LEN);
        repr.max_seg_size = Some(u16::try_from(mss).unwrap_or(u16::MAX));
        segment::send(wire, self.mac, &self.tuple, &repr);
    }

    /// Whether `segment` completes the handshake.
    pub(crate) fn is_completed_by(&self, segment: &Segment) -> bool {
        segment.flags.ack() && segment.ack == self.agreed.isn.wrapping_add(1)
    }

    /// Whether `segment` is no older than the request, and has a timestamp if the others have one.
    pub(crate) fn is_followed_by(&self, frame: &[u8], segment: &Segment) -> bool {
        let recent = self.agreed.timestamps.get();
        recent.is_none_or(|recent| {
            timestamps::judge_first(frame, segment, recent) == timestamps::Verdict::Fresh
        })
    }

    /// The times of the connection that it becomes.
    pub(crate) fn timestamps(&self, now: Instant) -> Option<Timestamps> {
        let (offset, recent) = (self.offset.get()?, self.agreed.timestamps.get()?);
        Some(Timestamps::new(now, offset, recent))
    }

    /// Whether `segment` lies where the peer may send now; only the start of its stream is known.
    pub(crate) fn is_in_window(&self, segment: &Segment, buffers: &Buffers) -> bool {
        let offset = segment
            .seq
            .wrapping_sub(self.agreed.peer_isn.wrapping_add(1));
        (offset as usize) < buffers.receive
    }
}

/// What the peer has said in `syn`; this side begins with `isn`.
pub(crate) fn agreement(frame: &[u8], syn: &Segment, isn: u32) -> Agreement {
    let mut agreed = Agreement {
        isn,
        peer_isn: syn.seq,
        window: syn.window,
        mss: None,
        scale: None,
        sack: false,
        timestamps: Slot::EMPTY,
    };
    read_options(&frame[syn.start + TCP_LEN..syn.payload], &mut agreed);
    agreed
}

/// Reads the options of a SYN. What is malformed ends the list, as in every other stack.
fn read_options(mut options: &[u8], agreed: &mut Agreement) {
    while !options.is_empty() {
        let Ok((rest, option)) = TcpOption::parse(options) else {
            return;
        };
        match option {
            TcpOption::EndOfList => return,
            TcpOption::MaxSegmentSize(mss) => agreed.mss = Some(mss),
            // RFC 7323, 2.3: more than 14 counts as 14.
            TcpOption::WindowScale(scale) => agreed.scale = Some(scale.min(14)),
            TcpOption::SackPermitted => agreed.sack = true,
            TcpOption::TimeStamp { tsval, .. } if timestamps::ARE_COMPILED => {
                agreed.timestamps = Slot::new(Some(tsval));
            }
            _ => {}
        }
        options = rest;
    }
}

/// The requests of a stack.
pub(crate) struct HalfOpenTable {
    entries: Aging<HalfOpen>,
    cap: usize,
}

/// What to do with a request that was due.
pub(crate) enum Visit {
    /// It has a new name.
    Stays(AgingId),
    /// The peer never answered; this was its name.
    Expired(AgingId),
}

impl HalfOpenTable {
    pub(crate) const fn new(cap: usize) -> Self {
        Self {
            entries: Aging::new(),
            cap,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether another request fits. The holes of completed requests count for a second too, with a larger cap.
    fn has_room(&self) -> bool {
        self.entries.len() < self.cap && self.entries.footprint() < self.cap.saturating_mul(4)
    }

    /// Gives up a request if another one would not fit: that which has waited longest without a visit.
    ///
    /// In a flood that is one that will never be completed: a table of 4,096 lets each request wait for 0.4 s at 10,000 a
    /// second, and whoever is there answers sooner.
    pub(crate) fn make_room(&mut self) -> Option<(AgingId, HalfOpen)> {
        if self.has_room() {
            return None;
        }
        let name = self.entries.first_id();
        Some((name, self.entries.pop_oldest()?))
    }

    pub(crate) fn insert(&mut self, now: Instant, request: HalfOpen) -> AgingId {
        self.entries.push(now + VISIT, request)
    }

    pub(crate) fn get(&mut self, id: AgingId) -> Option<&HalfOpen> {
        self.entries.get_mut(id).map(|request| &*request)
    }

    pub(crate) fn remove(&mut self, id: AgingId) -> Option<HalfOpen> {
        self.entries.remove(id)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.entries.next_deadline()
    }

    /// Visits the next request that is due.
    pub(crate) fn visit(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        config: &Config,
    ) -> Option<(HalfOpen, Visit)> {
        let name = self.entries.first_id();
        let mut request = self.entries.pop_expired(now)?;
        request.age += 1;
        if VISIT * request.age >= config.times.handshake {
            return Some((request, Visit::Expired(name)));
        }
        if matches!(request.age, 1 | 3 | 7) {
            request.answer(now, wire, config);
        }
        let id = self.entries.push(now + VISIT, request);
        Some((request, Visit::Stays(id)))
    }
}
