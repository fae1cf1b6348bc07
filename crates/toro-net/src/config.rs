//! Every number the stack runs on, in one place: [`Config`] is what the image chooses, the constants are what
//! smoltcp is told on each socket.

use alloc::string::String;
use core::time::Duration;

use smoltcp::socket::tcp;

use crate::address::Address;
use crate::clock;
use crate::slot::Slot;

/// How the stack is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the IP address comes from.
    pub address: Address,
    /// The name told to the DHCP server; empty for none.
    pub hostname: String,
    /// Name servers instead of those that DHCP names: addresses with or without a port, with commas between.
    pub dns: &'static str,
    /// Names with their addresses, which no server is asked for: `name:address,name:address`.
    pub hosts: &'static str,
    /// Bits that no peer can know: table order, sequence numbers and ports follow from them.
    pub seed: [u64; 2],
    /// Segments are to have timestamps.
    pub(crate) timestamps: Slot<()>,
    /// Ring sizes of a connection.
    pub buffers: Buffers,
    /// Send rings that turn out to be small.
    pub growth: Growth,
    /// What the peers may make us hold.
    pub limits: Limits,
    /// Intervals.
    pub times: Times,
}

/// Ring sizes of an established connection, in bytes. A half-open one has none.
///
/// The send ring also bounds the first flight, and [grows](Growth) where it is used.
#[derive(Clone, Copy, Debug)]
pub struct Buffers {
    /// Received bytes that wait to be read, and the window offered to the peer. [Grows](Growth) where it is used.
    pub receive: usize,
    /// Bytes sent and not acknowledged, or waiting to be sent.
    pub send: usize,
}

/// Rings that grow, for connections that send or receive much.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    /// The largest send ring; what [`Buffers::send`] says, or less, if none is to grow.
    pub ring: usize,
    /// The largest receive ring, at most 65,535 bytes but [with large windows](Config::offer_large_windows); what [`Buffers::receive`] says, or less, if none is to grow.
    pub receive: usize,
    /// By how much all rings together may have grown.
    pub total: usize,
}

/// What the peers may make us hold at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes for connections and their rings. Idle connections give their rings up when others need them.
    pub memory: usize,
    /// Connections, open or closing.
    pub connections: usize,
    /// Half-open connections of all listeners together; when there are more, the oldest are given up.
    pub half_open: usize,
    /// Connections that wait to be accepted, per listener.
    pub backlog: usize,
    /// Connections that the service has dropped and that still have bytes or a FIN to deliver.
    pub orphans: usize,
    /// Closed connections remembered.
    pub time_wait: usize,
}

/// Intervals of the protocol.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// How long a request may stay half open.
    pub handshake: Duration,
    /// How long `connect` tries.
    pub connect: Duration,
    /// Silence after which the peer is asked for a sign of life.
    pub keep_alive: Duration,
    /// Silence after which a connection is given up: covers retransmission and dead idle peers alike.
    pub user_timeout: Duration,
    /// How long a dropped connection may go without delivering another byte.
    pub orphan: Duration,
    /// How long a dropped connection that has delivered everything waits for the peer's FIN.
    pub fin_wait: Duration,
    /// How long a closed connection is remembered.
    pub time_wait: Duration,
}

impl Config {
    /// Has peers be offered timestamps (RFC 7323), by which segments are known that are older than what has arrived. They cost each
    /// segment 12 bytes. Without the feature `timestamps` of this crate nothing is offered.
    pub fn offer_timestamps(&mut self) {
        self.timestamps = Slot::new(Some(()));
    }

    /// The defaults of a server with an address from DHCP.
    pub fn new(seed: [u64; 2]) -> Self {
        Self {
            address: Address::Dhcp,
            hostname: String::new(),
            dns: "",
            hosts: "",
            seed,
            timestamps: Slot::EMPTY,
            buffers: Buffers::default(),
            growth: Growth::default(),
            limits: Limits::default(),
            times: Times::default(),
        }
    }

    /// Lowers the limits so that connections take at most `bytes` of memory, and their growth a quarter of that.
    #[must_use]
    pub fn within_memory(mut self, bytes: usize) -> Self {
        // Ring sizes first: a small machine serves more peers with small rings.
        if bytes < 4 << 20 {
            self.buffers = Buffers {
                receive: 4 << 10,
                send: 8 << 10,
            };
            (self.growth.ring, self.growth.receive) = (0, 0);
        }
        self.growth.total = self.growth.total.min(bytes / 4);
        let limits = &mut self.limits;
        limits.memory = bytes;
        // The last quarter is for rings of those that have bytes under way.
        let most = (bytes - bytes / 4) / SOCKET_LEN;
        limits.connections = limits.connections.min(most).max(4);
        limits.backlog = limits.backlog.min(limits.connections);
        limits.half_open = limits.half_open.min(bytes / 1024).max(limits.backlog);
        limits.time_wait = limits.time_wait.min(bytes / 512).max(16);
        self
    }
}

/// What a connection takes besides its rings.
pub(crate) const SOCKET_LEN: usize = 2048;

impl Default for Buffers {
    fn default() -> Self {
        Self {
            receive: 8 << 10,
            send: 16 << 10,
        }
    }
}

impl Default for Growth {
    fn default() -> Self {
        Self {
            ring: 128 << 10,
            receive: u16::MAX as usize,
            total: 32 << 20,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: usize::MAX,
            connections: 65_536,
            half_open: 4096,
            backlog: 1024,
            orphans: 2048,
            time_wait: 4096,
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(15),
            connect: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            user_timeout: Duration::from_secs(300),
            // A retransmission interval may have grown to its 60 s: this allows for a few of those.
            orphan: Duration::from_secs(300),
            fin_wait: Duration::from_secs(60),
            time_wait: Duration::from_secs(10),
        }
    }
}

/// Segments sent for one connection before the next one has its turn.
pub(crate) const EGRESS_BURST: u32 = 16;
/// What a long packet counts there: less than the segments it is cut into, for it costs less.
pub(crate) const LONG_PACKET: u32 = 8;

/// Ports that `connect` chooses from: RFC 6056 wants a wide range above the well-known ones.
pub(crate) const EPHEMERAL_PORTS: core::ops::RangeInclusive<u16> = 32_768..=60_999;

/// Sets the options of a socket that smoltcp has otherwise chosen.
///
/// - Delayed acknowledgements off: the stack itself waits until the service has had its turn, so that the answer
///   carries the acknowledgement (see [`poll`](crate::poll)), and a lone peer never waits 10 ms.
/// - Nagle off: services write whole answers; with a peer that delays its acknowledgements it costs 40 ms.
/// - No congestion window until the first retransmission, then Reno. smoltcp's Reno begins with 2 KiB and cannot be
///   told otherwise. Without it the first flight is what the send ring holds, 16 KiB by default, 11 segments where
///   RFC 6928 says 10. A loss brings Reno in at its loss window.
/// - With timestamps only room for them: [`timestamps`](crate::timestamps) writes what stands there.
/// - Smallest RTO 1 s and first RTO 1 s are smoltcp's and cannot be changed from outside, nor can the RTO be taken back after a
///   backoff before new bytes are sent: from a connection's first loss on [`recovery`](crate::recovery) is earlier than that.
pub(crate) fn tune(socket: &mut tcp::Socket<'_>, times: &Times, has_timestamps: bool) {
    socket.set_ack_delay(None);
    socket.set_nagle_enabled(false);
    socket.set_congestion_control(tcp::CongestionControl::None);
    socket.set_tsval_generator(has_timestamps.then_some(|| 0));
    socket.set_keep_alive(Some(clock::to_smoltcp_duration(times.keep_alive)));
    socket.set_timeout(Some(clock::to_smoltcp_duration(times.user_timeout)));
    socket.set_hop_limit(Some(64));
}
