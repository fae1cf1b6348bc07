//! The fake device and the wire behind it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use toro_dev::net::{Frame, NetDevice, NetInfo};
use toro_mem::DmaBuf;

/// The stack's station.
pub(crate) const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
const HEADROOM: usize = 12;
const MTU: usize = 1500;
const LONGEST: usize = 65_524;

/// What lies between the device and the test.
#[derive(Default)]
pub(crate) struct Link {
    /// Frames for the stack.
    pub(crate) to_stack: VecDeque<Vec<u8>>,
    /// Frames that the stack has flushed.
    pub(crate) from_stack: VecDeque<Vec<u8>>,
    unflushed: Vec<Vec<u8>>,
    /// Free transmit buffers; `None` for any number.
    pub(crate) free: Option<usize>,
    /// The device cuts long frames, of which this many went out; `None` if it cannot.
    pub(crate) cut: Option<usize>,
    /// Vouch for the checksums of received frames.
    pub(crate) trusted: bool,
}

/// A [`NetDevice`] on a [`Link`].
pub(crate) struct FakeNet {
    link: Rc<RefCell<Link>>,
    mac: [u8; 6],
    tx_checksum: bool,
}

impl FakeNet {
    pub(crate) fn new(tx_checksum: bool) -> (Self, Rc<RefCell<Link>>) {
        Self::at(MAC, tx_checksum)
    }

    /// A device of the station `mac`.
    pub(crate) fn at(mac: [u8; 6], tx_checksum: bool) -> (Self, Rc<RefCell<Link>>) {
        let link = Rc::new(RefCell::new(Link::default()));
        let device = Self {
            link: Rc::clone(&link),
            mac,
            tx_checksum,
        };
        (device, link)
    }
}

impl NetDevice for FakeNet {
    fn info(&self) -> NetInfo {
        NetInfo {
            mac: self.mac,
            mtu: MTU,
            tx_checksum: self.tx_checksum,
            rx_checksum: true,
        }
    }

    fn longest_frame(&self) -> usize {
        self.link.borrow().cut.map_or(0, |_| LONGEST)
    }

    fn allocate_long(&mut self) -> Option<Frame> {
        let buf = DmaBuf::try_new(HEADROOM + LONGEST).unwrap();
        Some(Frame::new(buf, HEADROOM, 0))
    }

    fn link_up(&mut self) -> bool {
        true
    }

    fn receive(&mut self) -> Option<Frame> {
        let mut link = self.link.borrow_mut();
        let bytes = link.to_stack.pop_front()?;
        let mut frame = blank();
        frame.set_len(bytes.len().min(frame.capacity()));
        let len = frame.bytes().len();
        frame.bytes_mut().copy_from_slice(&bytes[..len]);
        frame.checksum_good = link.trusted;
        Some(frame)
    }

    fn recycle(&mut self, _: Frame) {}

    fn surrender(&mut self, frame: Frame) -> Option<Frame> {
        Some(frame)
    }

    fn allocate(&mut self) -> Option<Frame> {
        if let Some(free) = &mut self.link.borrow_mut().free {
            *free = free.checked_sub(1)?;
        }
        Some(blank())
    }

    fn transmit(&mut self, frame: Frame) {
        let mut bytes = frame.bytes().to_vec();
        if frame.segment_size > 0 {
            assert!(frame.needs_checksum, "cutting goes with checksums");
            let mut link = self.link.borrow_mut();
            *link.cut.as_mut().expect("a device that can cut") += 1;
            link.unflushed
                .extend(cut(&bytes, frame.segment_size.into()));
            return;
        }
        assert!(bytes.len() <= 14 + MTU, "longer than the wire takes");
        if frame.needs_checksum {
            complete_checksum(&mut bytes);
        }
        self.link.borrow_mut().unflushed.push(bytes);
    }

    fn flush(&mut self) {
        let mut link = self.link.borrow_mut();
        let frames = std::mem::take(&mut link.unflushed);
        link.from_stack.extend(frames);
    }

    fn arm(&mut self, _: &Waker) -> bool {
        self.link.borrow().to_stack.is_empty()
    }
}

fn blank() -> Frame {
    let buf = DmaBuf::try_new(HEADROOM + 14 + MTU).unwrap();
    Frame::new(buf, HEADROOM, 0)
}

/// Does what a device does with a segment size, byte by byte from the standards: RFC 791 and RFC 9293.
fn cut(long: &[u8], size: usize) -> Vec<Vec<u8>> {
    assert_eq!(
        (long[14], long[23]),
        (0x45, 6),
        "TCP over IPv4 without options"
    );
    assert_eq!(
        usize::from(u16::from_be_bytes([long[16], long[17]])),
        long.len() - 14
    );
    // Linux takes the sum of the whole packet's pseudo-header and corrects it for each segment.
    let whole = pseudo_header(long, long.len() - 34);
    assert_eq!(
        u16::from_be_bytes([long[50], long[51]]),
        whole,
        "the sum that was begun"
    );
    let headers = 34 + usize::from(long[46] >> 4) * 4;
    let payload = &long[headers..];
    assert!(payload.len() > size, "nothing to cut");
    let first = u32::from_be_bytes(long[38..42].try_into().unwrap());
    let pieces = payload.chunks(size).enumerate().map(|(number, piece)| {
        let mut frame = [&long[..headers], piece].concat();
        let len = frame.len();
        frame[16..18].copy_from_slice(&(len as u16 - 14).to_be_bytes());
        frame[18..20].copy_from_slice(&(number as u16).to_be_bytes());
        frame[24..26].fill(0);
        let sum = !sum(0, &frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        let seq = first.wrapping_add((number * size) as u32);
        frame[38..42].copy_from_slice(&seq.to_be_bytes());
        if (number + 1) * size < payload.len() {
            // FIN and PSH are for the last one.
            frame[47] &= !0x09;
        }
        let start = pseudo_header(&frame, len - 34);
        frame[50..52].copy_from_slice(&start.to_be_bytes());
        complete_checksum(&mut frame);
        frame
    });
    pieces.collect()
}

fn pseudo_header(frame: &[u8], tcp_len: usize) -> u16 {
    let tail = [0, 6, (tcp_len >> 8) as u8, tcp_len as u8];
    sum(0, &[&frame[26..34], &tail].concat())
}

fn sum(start: u32, bytes: &[u8]) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Does what a device does with `needs_checksum`: sums from the TCP header on, over the pseudo-header sum in place.
fn complete_checksum(bytes: &mut [u8]) {
    let sum = !sum(0, &bytes[34..]);
    bytes[50..52].copy_from_slice(&sum.to_be_bytes());
}

/// A seeded generator: xorshift.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Whether something that happens `per_mille` times in a thousand happens.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.next() % 1000 < per_mille
    }
}
