//! Every number the stack runs on, in one place.

use core::time::Duration;

/// How the stack is set up.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The first port that a connection from here gets; they count up from there.
    pub first_port: u32,
    /// What a connection may hold.
    pub buffers: Buffers,
    /// What the peers may make us hold.
    pub limits: Limits,
    /// Intervals.
    pub times: Times,
}

/// What a connection may hold, in bytes. The memory is taken as it is needed.
#[derive(Clone, Copy, Debug)]
pub struct Buffers {
    /// Received bytes that wait to be read: the room that the peer is told of.
    pub receive: usize,
    /// Bytes that wait until the peer has room.
    pub send: usize,
}

/// What the peers may make us hold at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections, open or closing.
    pub connections: usize,
    /// Connections that wait to be accepted, per listener.
    pub backlog: usize,
}

/// Intervals.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// How long `connect` waits for an answer.
    pub connect: Duration,
    /// Silence after which a peer is asked for a sign of life.
    pub probe: Duration,
    /// How long it may take for that.
    pub answer: Duration,
    /// How long a dropped connection may go without delivering another byte.
    pub linger: Duration,
    /// How long a peer may take to confirm the end of a connection.
    pub farewell: Duration,
    /// How long the device may leave a packet lying.
    pub stall: Duration,
    /// How long to wait after a device has failed to start.
    pub revive: Duration,
}

impl Config {
    /// The defaults.
    pub fn new(first_port: u32) -> Self {
        Self {
            first_port,
            buffers: Buffers {
                receive: 64 << 10,
                send: 32 << 10,
            },
            limits: Limits {
                connections: 4096,
                backlog: 128,
            },
            times: Times::default(),
        }
    }

    /// Lowers sizes and limits so that connections take at most `bytes` of memory.
    #[must_use]
    pub fn within_memory(mut self, bytes: usize) -> Self {
        if bytes < 4 << 20 {
            self.buffers = Buffers {
                receive: 8 << 10,
                send: 8 << 10,
            };
        }
        let each = self.buffers.receive + self.buffers.send + 512;
        let limits = &mut self.limits;
        limits.connections = limits.connections.min(bytes / each).max(4);
        limits.backlog = limits.backlog.min(limits.connections);
        self
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            probe: Duration::from_secs(10),
            answer: Duration::from_secs(10),
            linger: Duration::from_secs(60),
            farewell: Duration::from_secs(10),
            stall: Duration::from_secs(10),
            revive: Duration::from_secs(5),
        }
    }
}

/// Packets sent for one connection before the next one has its turn.
pub(crate) const BURST: usize = 16;
/// The most refusals that wait to be sent: beyond, no packet is received before some have left.
pub(crate) const REFUSALS: usize = 128;
/// Ports that `connect` and `bind` choose from: those below are for services, the last one stands for any.
pub(crate) const EPHEMERAL_PORTS: core::ops::RangeInclusive<u32> = 0x1_0000..=0xffff_fffe;
