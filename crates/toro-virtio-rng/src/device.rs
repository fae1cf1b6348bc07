//! [`VirtioRng`]: the source while it runs.

use alloc::boxed::Box;
use core::task::{Poll, Waker};

use toro_mem::DmaBuf;
use toro_virtio::{Buffer, DeviceError, Queue, Transport, device};

/// A virtio source of random bytes.
pub struct VirtioRng {
    transport: Box<dyn Transport>,
    queue: Queue,
    /// The buffer, while the device has not got it.
    buf: Option<DmaBuf>,
}

impl VirtioRng {
    pub(crate) fn new(transport: Box<dyn Transport>, queue: Queue, buf: DmaBuf) -> Self {
        Self {
            transport,
            queue,
            buf: Some(buf),
        }
    }

    /// Takes random bytes, and says how many of `bytes` it has filled; none if the device has given none.
    ///
    /// While there are none, the device is asked for them and `waker` is woken when to look again. May answer fewer than
    /// were asked for, and never more than 64.
    ///
    /// # Errors
    /// Fails, and goes on failing, once the device has broken a rule.
    pub fn poll_fill(
        &mut self,
        bytes: &mut [u8],
        waker: &Waker,
    ) -> Poll<Result<usize, DeviceError>> {
        if let Some(error) = self.queue.error() {
            return Poll::Ready(Err(error));
        }
        self.ask();
        self.transport.wake_on_interrupt(waker);
        self.transport.acknowledge();
        loop {
            match self.queue.pop() {
                Ok(Some(used)) => {
                    let mut buf = used.chain.into_first();
                    let written = (used.written as usize).min(buf.len());
                    let taken = written.min(bytes.len());
                    bytes[..taken].copy_from_slice(&buf[..taken]);
                    // Nobody finds them here later.
                    buf.fill(0);
                    self.buf = Some(buf);
                    return Poll::Ready(Ok(taken));
                }
                Ok(None) if self.queue.enable_interrupts() => {}
                Ok(None) => return Poll::Pending,
                Err(error) => {
                    log::error!("rng: given up: {error}");
                    device::fail(&mut *self.transport);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// Gives the device the buffer, if it has not got it.
    fn ask(&mut self) {
        if let Some(buf) = self.buf.take() {
            let len = buf.len();
            let added = self.queue.add_one(Buffer::writable(buf, 0..len));
            debug_assert!(added.is_ok(), "one request is in flight at a time");
            self.queue.notify_if_needed();
        }
    }
}

impl Drop for VirtioRng {
    fn drop(&mut self) {
        // Without a proof the queue leaks what the device may still write to.
        if let Ok(proof) = device::reset(&mut *self.transport) {
            self.queue.retire(&proof);
        }
    }
}

impl core::fmt::Debug for VirtioRng {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("VirtioRng")
    }
}
