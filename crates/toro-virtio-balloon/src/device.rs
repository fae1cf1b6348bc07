//! [`VirtioBalloon`]: the balloon while it runs.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::task::{Poll, Waker};

use toro_mem::DmaBuf;
use toro_virtio::{Buffer, Chain, DeviceError, Queue, Transport, device};

/// A virtio balloon to which free memory is reported.
pub struct VirtioBalloon {
    transport: Box<dyn Transport>,
    queue: Queue,
}

impl VirtioBalloon {
    /// The most blocks of one report.
    pub const MOST: usize = 16;

    pub(crate) fn new(transport: Box<dyn Transport>, queue: Queue) -> Self {
        Self { transport, queue }
    }

    /// Shows the device free memory. It belongs to the device until [`poll_done`](Self::poll_done) completes.
    ///
    /// What does not fit, because a report is under way or the device was given up, is dropped: it is free.
    ///
    /// # Panics
    /// Panics if there are no blocks, or more than [`MOST`](Self::MOST).
    pub fn report(&mut self, blocks: Vec<DmaBuf>) {
        assert!(
            (1..=Self::MOST).contains(&blocks.len()),
            "one report's worth"
        );
        let whole = |block: DmaBuf| {
            let len = block.len();
            Buffer::writable(block, 0..len)
        };
        let chain = Chain::new(blocks.into_iter().map(whole).collect());
        if self.queue.add(chain).is_ok() {
            self.queue.notify_if_needed();
        }
    }

    /// Completes when the device has seen the last report; its memory is free again then.
    ///
    /// # Errors
    /// Fails, and goes on failing, once the device has broken a rule. It keeps what it was shown.
    pub fn poll_done(&mut self, waker: &Waker) -> Poll<Result<(), DeviceError>> {
        if let Some(error) = self.queue.error() {
            return Poll::Ready(Err(error));
        }
        self.transport.wake_on_interrupt(waker);
        self.transport.acknowledge();
        loop {
            match self.queue.pop() {
                Ok(Some(_)) => return Poll::Ready(Ok(())),
                Ok(None) if self.queue.outstanding() == 0 => return Poll::Ready(Ok(())),
                Ok(None) if self.queue.enable_interrupts() => {}
                Ok(None) => return Poll::Pending,
                Err(error) => {
                    log::error!("balloon: given up: {error}");
                    device::fail(&mut *self.transport);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

impl Drop for VirtioBalloon {
    fn drop(&mut self) {
        // Without a proof the queue leaks what the device may still write to.
        if let Ok(proof) = device::reset(&mut *self.transport) {
            self.queue.retire(&proof);
        }
    }
}

impl core::fmt::Debug for VirtioBalloon {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("VirtioBalloon")
    }
}
