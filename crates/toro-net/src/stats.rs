//! Counters of a stack: what went through, what was dropped and why.

/// Why a received frame was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum DropReason {
    /// The frame ends before its headers do.
    Truncated,
    /// Addressed to another station.
    OtherStation,
    /// Neither IPv4 nor ARP.
    EtherType,
    /// An IPv4 header with impossible lengths or another version.
    BadIpHeader,
    /// A checksum that does not add up.
    BadChecksum,
    /// A piece of a fragmented packet.
    Fragment,
    /// A source address that no packet may come from.
    BadSource,
    /// Addressed to an IP address that is not ours.
    NotOurAddress,
    /// No socket for this protocol or port.
    NoSocket,
    /// A TCP header with an impossible length, port or combination of flags.
    BadTcpHeader,
    /// A segment that does not fit the state of its connection.
    BadSegment,
    /// A connection request, or the last packet of a handshake, while the backlog of its listener was full.
    BacklogFull,
    /// A half-open connection given up for a newer one, as their table was full.
    HalfOpenFull,
    /// No memory or no slot left for another connection.
    ConnectionsFull,
    /// An ARP packet that nobody asked for, or that would change a live entry.
    UnsolicitedArp,
    /// A frame for another core, which had too much waiting.
    CoreBusy,
    /// A datagram for a socket whose queue was full.
    QueueFull,
    /// A reply that found no free transmit buffer.
    TransmitFull,
    /// A segment that was sent before others that have arrived, by its timestamp, or that lacks one.
    OldTimestamp,
    /// A message of a router about a segment that is not on its way.
    ForgedError,
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ForgedError as usize + 1;

    /// All of them, in the order of [`Stats::drops`].
    pub const ALL: [Self; Self::COUNT] = [
        Self::Truncated,
        Self::OtherStation,
        Self::EtherType,
        Self::BadIpHeader,
        Self::BadChecksum,
        Self::Fragment,
        Self::BadSource,
        Self::NotOurAddress,
        Self::NoSocket,
        Self::BadTcpHeader,
        Self::BadSegment,
        Self::BacklogFull,
        Self::HalfOpenFull,
        Self::ConnectionsFull,
        Self::UnsolicitedArp,
        Self::CoreBusy,
        Self::QueueFull,
        Self::TransmitFull,
        Self::OldTimestamp,
        Self::ForgedError,
    ];
}

/// What a stack has done since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames received.
    pub frames_in: u64,
    /// Bytes in those.
    pub bytes_in: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Bytes in those.
    pub bytes_out: u64,
    /// Frames dropped, by [`DropReason`].
    pub drops: [u64; DropReason::COUNT],
    /// Connections that exist now, open or closing.
    pub open: usize,
    /// Of those, how many have no rings, as they are idle and others needed the memory.
    pub asleep: usize,
    /// Requests now on their way to become connections.
    pub half_open: usize,
    /// Closed connections remembered now.
    pub time_wait: usize,
    /// Connections that a listener has made.
    pub accepted: u64,
    /// Connections that this side has asked for.
    pub connected: u64,
    /// Connections that ended by a reset from the peer.
    pub reset: u64,
    /// Connections that ended because the peer went silent.
    pub timed_out: u64,
    /// Segments sent a second time.
    pub retransmits: u64,
    /// Times that a connection went over to shorter packets, as a router found those it sent too long.
    pub narrowed: u64,
    /// Frames passed on to another core, since this one did not know them.
    pub passed_on: u64,
    /// Resets sent to segments that belong to no connection.
    pub refused: u64,
    /// Times that a connection was looked at; per packet this does not grow with the number of connections.
    pub visits: u64,
}

impl Stats {
    /// Frames dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    pub(crate) fn count(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }
}
