//! [`Tap`]: a card whose frames are seen.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::task::Waker;

use toro_dev::net::{Frame, NetDevice, NetInfo};

use crate::blocks::Direction;
use crate::capture::Capture;

/// A card, or one queue pair of it, with a capture that sees what it receives and sends.
///
/// A frame to send is seen as the stack made it: the device completes its checksum, and cuts it if it is a long one.
pub struct Tap {
    card: Box<dyn NetDevice>,
    capture: Arc<Capture>,
    interface: u32,
}

impl Tap {
    /// Shows what `card` receives and sends to `capture`, as its interface number `interface`.
    pub fn new(card: Box<dyn NetDevice>, capture: Arc<Capture>, interface: u32) -> Self {
        Self {
            card,
            capture,
            interface,
        }
    }
}

impl core::fmt::Debug for Tap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tap")
            .field("interface", &self.interface)
            .finish_non_exhaustive()
    }
}

impl NetDevice for Tap {
    fn info(&self) -> NetInfo {
        self.card.info()
    }

    fn link_up(&mut self) -> bool {
        self.card.link_up()
    }

    fn receive(&mut self) -> Option<Frame> {
        let frame = self.card.receive()?;
        self.capture
            .keep(self.interface, Direction::Inbound, frame.bytes());
        Some(frame)
    }

    fn recycle(&mut self, frame: Frame) {
        self.card.recycle(frame);
    }

    fn surrender(&mut self, frame: Frame) -> Option<Frame> {
        self.card.surrender(frame)
    }

    fn allocate(&mut self) -> Option<Frame> {
        self.card.allocate()
    }

    fn longest_frame(&self) -> usize {
        self.card.longest_frame()
    }

    fn allocate_long(&mut self) -> Option<Frame> {
        self.card.allocate_long()
    }

    fn transmit(&mut self, frame: Frame) {
        self.capture
            .keep(self.interface, Direction::Outbound, frame.bytes());
        self.card.transmit(frame);
    }

    fn flush(&mut self) {
        self.card.flush();
    }

    fn arm(&mut self, waker: &Waker) -> bool {
        self.card.arm(waker)
    }
}
