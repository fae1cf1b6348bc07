//! The socket class: [`SocketDevice`], packets between this machine and its host, used by one core.
//!
//! A packet is a [`Header`] and up to [`payload`](SocketDevice::payload) bytes in a buffer that the device can reach: the driver hands a
//! received [`Packet`] out and gets it back with [`recycle`](SocketDevice::recycle); one to send comes from
//! [`allocate`](SocketDevice::allocate) and goes in with [`transmit`](SocketDevice::transmit).

mod header;

use core::fmt;
use core::task::Waker;

use toro_mem::DmaBuf;

pub use header::{HEADER, Header, HeaderError, Op, STREAM, shut};

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VsockAddr {
    /// The machine: [`HOST`](Self::HOST), or another guest.
    pub cid: u32,
    /// The port.
    pub port: u32,
}

impl VsockAddr {
    /// The context id of the host.
    pub const HOST: u32 = 2;

    /// The host's port of that number.
    pub const fn host(port: u32) -> Self {
        Self {
            cid: Self::HOST,
            port,
        }
    }
}

impl fmt::Display for VsockAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.cid, self.port)
    }
}

/// The payload of a packet, behind the place of its header.
#[derive(Debug)]
pub struct Packet {
    buf: DmaBuf,
    len: usize,
}

impl Packet {
    /// Wraps `buf`, of which `len` bytes behind the header are payload.
    ///
    /// # Panics
    /// Panics if they do not lie inside `buf`.
    pub fn new(buf: DmaBuf, len: usize) -> Self {
        assert!(
            HEADER <= buf.len() && len <= buf.len() - HEADER,
            "the payload lies outside its buffer"
        );
        Self { buf, len }
    }

    /// The payload.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.buf[HEADER..HEADER + self.len]
    }

    /// Appends as much of `bytes` as there is room for, and says how much that was.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let room = &mut self.buf[HEADER + self.len..];
        let len = bytes.len().min(room.len());
        room[..len].copy_from_slice(&bytes[..len]);
        self.len += len;
        len
    }

    /// Gives the buffer back: for the driver, which writes the header.
    pub fn into_buf(self) -> DmaBuf {
        self.buf
    }
}

/// A socket device. No call blocks.
pub trait SocketDevice {
    /// The context id of this machine.
    fn cid(&self) -> u32;

    /// The most bytes of a payload to send.
    fn payload(&self) -> usize;

    /// Takes the next received packet. What is no packet is dropped and [counted](Self::malformed).
    fn receive(&mut self) -> Option<(Header, Packet)>;

    /// Gives a received packet back, for the receive queue.
    fn recycle(&mut self, packet: Packet);

    /// Takes a free packet to send, without payload; `None` while the device has all of them.
    fn allocate(&mut self) -> Option<Packet>;

    /// Queues `packet` for the device, under `header`, whose length it sets. Nothing moves before [`flush`](Self::flush).
    fn transmit(&mut self, header: &Header, packet: Packet);

    /// Makes what was queued and recycled since the last call known to the device: one notification a batch.
    fn flush(&mut self);

    /// How many packets the device has not taken yet.
    fn outstanding(&mut self) -> usize;

    /// Whether the device has lost all connections since the last call: it says so, for another host, or it has broken a rule and was
    /// given up. The context id may be another one now.
    fn take_loss(&mut self) -> bool;

    /// Whether the device was given up. Everything but [`revive`](Self::revive) does nothing then.
    fn is_failed(&self) -> bool;

    /// Resets the device and starts it anew: one that was given up, or that does nothing any more. Returns `false` if it does not start.
    fn revive(&mut self) -> bool;

    /// How many buffers came back that held no packet, since the device was started.
    fn malformed(&self) -> u64;

    /// Asks for `waker` to be woken at the next received packet, or at the next free one if there was none to send. Returns `false` if
    /// there is something to do already: look again before parking.
    fn arm(&mut self, waker: &Waker) -> bool;
}
