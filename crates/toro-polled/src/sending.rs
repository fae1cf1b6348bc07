//! [`Sending`]: a queue to a device and the buffers for it.

use alloc::vec::Vec;

use toro_mem::{DmaBuf, OutOfMemory};
use toro_virtio::{Buffer, Queue};

use crate::Wait;

/// A queue of which the device takes bytes.
#[derive(Debug)]
pub(crate) struct Sending {
    queue: Queue,
    /// Buffers that the device has not got. Room for all, so that none is ever allocated again.
    free: Vec<DmaBuf>,
    wait: Wait,
}

impl Sending {
    /// As many buffers of `len` bytes as the queue takes.
    pub(crate) fn try_new(mut queue: Queue, len: usize, wait: Wait) -> Result<Self, OutOfMemory> {
        queue.disable_interrupts();
        let buffers = (0..queue.size()).map(|_| DmaBuf::try_new(len));
        let free = buffers.collect::<Result<_, _>>()?;
        Ok(Self { queue, free, wait })
    }

    /// A buffer; `None` if the device keeps them all for too long, or breaks a rule.
    pub(crate) fn take(&mut self) -> Option<DmaBuf> {
        self.reap();
        if self.free.is_empty() {
            self.queue.notify_if_needed();
            let wait = self.wait;
            wait(&mut || {
                self.reap();
                !self.free.is_empty() || self.queue.error().is_some()
            });
        }
        self.free.pop()
    }

    /// Shows the device the first `len` bytes of `buf`.
    pub(crate) fn send(&mut self, buf: DmaBuf, len: usize) -> bool {
        match self.queue.add(Buffer::readable(buf, 0..len).into()) {
            Ok(_) => {
                self.queue.notify_if_needed();
                true
            }
            Err(full) => {
                self.free.push(full.0.into_first());
                false
            }
        }
    }

    /// Waits until the device has taken all.
    pub(crate) fn drain(&mut self) -> bool {
        let wait = self.wait;
        wait(&mut || {
            self.reap();
            self.queue.outstanding() == 0 || self.queue.error().is_some()
        }) && self.queue.error().is_none()
    }

    fn reap(&mut self) {
        while let Ok(Some(used)) = self.queue.pop() {
            self.free.push(used.chain.into_first());
        }
    }
}

/// Gives the device a buffer to write to.
pub(crate) fn give(queue: &mut Queue, buf: DmaBuf) {
    let len = buf.len();
    // Refused only by a queue that has failed: there are as many buffers as descriptors.
    drop(queue.add(Buffer::writable(buf, 0..len).into()));
}
