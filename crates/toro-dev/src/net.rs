//! The network class: [`NetDevice`], one queue pair as the stack of one core sees it.
//!
//! Frames are owned: the driver hands a received [`Frame`] out and gets it back with [`NetDevice::recycle`];
//! a frame to send comes from [`NetDevice::allocate`] and goes in with [`NetDevice::transmit`].

use core::fmt;
use core::task::Waker;

use toro_mem::DmaBuf;

/// An Ethernet address as people write it: `52:54:00:12:34:56`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// What the stack must know of a device, fixed when the driver has started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetInfo {
    /// The Ethernet address.
    pub mac: [u8; 6],
    /// Largest IP packet in bytes, without the Ethernet header.
    pub mtu: usize,
    /// The device completes the checksums of TCP and UDP in frames we send; see [`Frame::needs_checksum`].
    pub tx_checksum: bool,
    /// Received frames may carry a verdict on their checksum; see [`Frame::checksum_good`].
    pub rx_checksum: bool,
}

/// An Ethernet frame in a buffer that the device can reach.
///
/// The bytes before `start` are headroom for the header that the driver puts in front.
#[derive(Debug)]
pub struct Frame {
    buf: DmaBuf,
    start: usize,
    len: usize,
    /// Received: the device (or the host behind it) has checked the transport checksum, or vouches that
    /// the frame never left the machine.
    pub checksum_good: bool,
    /// To send: the transport checksum field holds the pseudo-header sum, and the device completes it.
    pub needs_checksum: bool,
    /// To send: the device cuts the TCP payload into segments of this many bytes, each with the headers of this frame;
    /// 0 for a frame that is one segment. Goes with [`needs_checksum`](Self::needs_checksum).
    pub segment_size: u16,
}

impl Frame {
    /// Wraps `buf`, of which `len` bytes from `start` are the frame.
    ///
    /// # Panics
    /// Panics if the range does not lie inside `buf`.
    pub fn new(buf: DmaBuf, start: usize, len: usize) -> Self {
        assert!(
            start <= buf.len() && len <= buf.len() - start,
            "the frame lies outside its buffer"
        );
        Self {
            buf,
            start,
            len,
            checksum_good: false,
            needs_checksum: false,
            segment_size: 0,
        }
    }

    /// The frame, from the destination address on.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.start..self.start + self.len]
    }

    /// The frame for writing.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.start..self.start + self.len]
    }

    /// Largest length that [`set_len`](Self::set_len) takes.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.buf.len() - self.start
    }

    /// Sets the length of the frame.
    ///
    /// # Panics
    /// Panics if `len` exceeds [`capacity`](Self::capacity).
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity(), "the frame outgrows its buffer");
        self.len = len;
    }

    /// The whole buffer.
    pub fn buffer(&self) -> &DmaBuf {
        &self.buf
    }

    /// Gives the buffer back: for the driver, which knows what the headroom holds.
    pub fn into_buf(self) -> DmaBuf {
        self.buf
    }
}

/// A network device: one receive and one transmit queue, used by one core.
///
/// No call blocks.
pub trait NetDevice {
    /// What the stack must know; the same answer each time.
    fn info(&self) -> NetInfo;

    /// Whether the link is up.
    fn link_up(&mut self) -> bool;

    /// Takes the next received frame.
    fn receive(&mut self) -> Option<Frame>;

    /// Gives a received frame back, for the receive queue.
    fn recycle(&mut self, frame: Frame);

    /// Gives a received frame away for good: the receive queue gets another buffer in its place. `None` if there is no memory
    /// for one; the frame is then recycled.
    fn surrender(&mut self, frame: Frame) -> Option<Frame>;

    /// Takes a free frame to send, with length 0 and room for a full frame; `None` while the queue is full.
    fn allocate(&mut self) -> Option<Frame>;

    /// Bytes of the longest frame that the device cuts into segments itself; 0 if it cannot.
    ///
    /// It may become 0 later, if memory is short.
    fn longest_frame(&self) -> usize {
        0
    }

    /// Takes a free frame for [`longest_frame`](Self::longest_frame) bytes; `None` while too many are on their way.
    fn allocate_long(&mut self) -> Option<Frame> {
        None
    }

    /// Queues `frame` for the device. Nothing moves before [`flush`](Self::flush).
    fn transmit(&mut self, frame: Frame);

    /// Makes buffers and frames that were queued since the last call known to the device: one notification a batch.
    fn flush(&mut self);

    /// Asks for `waker` to be woken at the next received frame, or at the next free slot if the transmit
    /// queue was full. Returns `false` if there is something to do already: poll again before parking.
    fn arm(&mut self, waker: &Waker) -> bool;
}
