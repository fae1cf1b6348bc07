//! [`Card`]: a network card that looks at what it is to send.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use toro_dev::net::{Frame, NetDevice, NetInfo};
use toro_mem::DmaBuf;

use super::frames::{self, MAC, be16, be32};

const HEADROOM: usize = 12;
const MTU: usize = 1500;
/// The longest frame that comes in: put together by a device.
const LONGEST: usize = 4096;

/// What a segment that was sent said: its ports, its number behind its bytes, its acknowledgement, its time and its echo.
#[derive(Clone, Copy)]
pub(super) struct Said {
    pub(super) ports: [u16; 2],
    pub(super) next: u32,
    pub(super) ack: u32,
    pub(super) times: [u32; 2],
}

/// What lies between the card and the test.
pub(super) struct Link {
    pub(super) to_stack: VecDeque<Vec<u8>>,
    /// The last frames.
    pub(super) sent: VecDeque<Vec<u8>>,
    tx_checksum: bool,
    trusted: bool,
}

impl Link {
    pub(super) fn new(tx_checksum: bool, trusted: bool) -> Self {
        Self {
            to_stack: VecDeque::new(),
            sent: VecDeque::new(),
            tx_checksum,
            trusted,
        }
    }

    /// What the last segment said.
    pub(super) fn last_segment(&self, is_six: bool) -> Option<Said> {
        let mut sent = self.sent.iter().rev();
        sent.find_map(|frame| {
            let at = if is_six { 54 } else { 34 };
            let kind = frames::kind(frame)?;
            let tcp = frame.get(at..).filter(|_| kind == (is_six, 6))?;
            let payload = tcp.len() - usize::from(tcp[12] >> 4) * 4;
            let controls = u32::from(tcp[13] & 1) + u32::from(tcp[13] >> 1 & 1);
            Some(Said {
                ports: [be16(tcp, 0), be16(tcp, 2)],
                next: be32(tcp, 4).wrapping_add(payload as u32 + controls),
                ack: be32(tcp, 8),
                times: times(&tcp[20..tcp.len() - payload]),
            })
        })
    }

    /// The last question for a DHCP server.
    pub(super) fn last_dhcp(&self) -> Option<Vec<u8>> {
        let is = |frame: &&Vec<u8>| {
            frames::kind(frame) == Some((false, 17)) && frame.len() > 282 && be16(frame, 36) == 67
        };
        self.sent.iter().rev().find(is).cloned()
    }
}

/// The time and the echo among the options of a segment; of a peer without them any will do.
fn times(options: &[u8]) -> [u32; 2] {
    let found = options.windows(10).find(|option| option[..2] == [8, 10]);
    found.map_or([0, 5000], |option| [be32(option, 2), be32(option, 6)])
}

/// A [`NetDevice`] on a [`Link`].
pub(super) struct Card(pub(super) Rc<RefCell<Link>>);

/// Panics if `frame` is none that a wire takes.
fn check(frame: &[u8]) {
    assert!(
        (14..=14 + MTU).contains(&frame.len()),
        "{} bytes",
        frame.len()
    );
    assert_eq!(frame[6..12], MAC, "from somebody else");
    match be16(frame, 12) {
        0x0806 => {
            assert_eq!(frame.len(), 42);
            assert!(frame[38] < 240 && frame[28] < 240, "a stand-in has left");
        }
        0x0800 => {
            assert_eq!(
                (frame[14], usize::from(be16(frame, 16))),
                (0x45, frame.len() - 14)
            );
            assert_eq!(frames::sum(0, &frame[14..34]), 0xffff);
            let is_stand_in = |at: usize| (240..255).contains(&frame[at]);
            assert!(!is_stand_in(26) && !is_stand_in(30), "a stand-in has left");
        }
        0x86dd => {
            assert_eq!(
                (frame[14] >> 4, usize::from(be16(frame, 18))),
                (6, frame.len() - 54)
            );
            if frame[20] != 0 {
                let start = frames::pseudo(frame, true, frame[20], frame.len() - 54);
                assert_eq!(frames::sum(start, &frame[54..]), 0xffff);
            }
        }
        other => panic!("what is {other:#x}?"),
    }
}

impl NetDevice for Card {
    fn info(&self) -> NetInfo {
        NetInfo {
            mac: MAC,
            mtu: MTU,
            tx_checksum: self.0.borrow().tx_checksum,
            rx_checksum: true,
        }
    }

    fn link_up(&mut self) -> bool {
        true
    }

    fn receive(&mut self) -> Option<Frame> {
        let mut link = self.0.borrow_mut();
        let bytes = link.to_stack.pop_front()?;
        let buf = DmaBuf::try_new(HEADROOM + LONGEST).expect("the host has memory");
        let mut frame = Frame::new(buf, HEADROOM, bytes.len().min(LONGEST));
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
        let buf = DmaBuf::try_new(HEADROOM + 14 + MTU).expect("the host has memory");
        Some(Frame::new(buf, HEADROOM, 0))
    }

    fn transmit(&mut self, frame: Frame) {
        let mut link = self.0.borrow_mut();
        assert!(link.tx_checksum || !frame.needs_checksum);
        check(frame.bytes());
        if link.sent.len() == 16 {
            link.sent.pop_front();
        }
        link.sent.push_back(frame.bytes().to_vec());
    }

    fn flush(&mut self) {}

    fn arm(&mut self, _: &Waker) -> bool {
        self.0.borrow().to_stack.is_empty()
    }
}
