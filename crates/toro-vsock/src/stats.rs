//! [`Stats`]: what a stack has done, and what it holds.

/// Counters of a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections that there are, closing ones among them.
    pub connections: usize,
    /// Bytes that have arrived and that nobody has read.
    pub unread: usize,
    /// Packets received.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// Connections that peers have made.
    pub accepted: u64,
    /// Packets that nobody was there for, or requests that there was no room for: answered with a reset.
    pub refused: u64,
    /// Packets for another machine.
    pub misaddressed: u64,
    /// Buffers that came back without a packet.
    pub malformed: u64,
    /// Connections reset because the peer has broken a rule.
    pub broken: u64,
    /// Connections reset because the peer was silent.
    pub silent: u64,
    /// Connections reset because there was no memory for what they received.
    pub without_memory: u64,
    /// How often the device was started anew.
    pub revived: u64,
}
