//! [`LogPort`]: the way of the log to the host, past everything that can fail.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use toro_mem::{DmaBuf, OutOfMemory};
use toro_virtio::{Buffer, Queue};

/// Bytes of a buffer. A line is sent when it ends, or when this is full.
const BUFFER: usize = 256;
/// How often a device that has all buffers is asked for one: some 10 us a log line, when nobody reads it.
const TRIES: u32 = 1_000;

/// Whether port 0 is there: what is written before waits in the buffers.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<AtomicBool>);

impl Gate {
    pub(crate) fn set(&self, is_open: bool) {
        // Relaxed: it guards no memory.
        self.0.store(is_open, Ordering::Relaxed);
    }
}

/// Writes to port 0, the console. Needs no thread and no interrupt; what the device does not take in time is lost.
#[derive(Debug)]
pub struct LogPort {
    queue: Queue,
    /// Buffers that the device has not got.
    pool: Vec<DmaBuf>,
    /// A line that has not ended, and its length.
    line: Option<(DmaBuf, usize)>,
    gate: Gate,
}

impl LogPort {
    pub(crate) fn try_new(mut queue: Queue, is_open: bool) -> Result<Self, OutOfMemory> {
        let pool: Result<_, _> = (0..queue.size()).map(|_| DmaBuf::try_new(BUFFER)).collect();
        queue.disable_interrupts();
        Ok(Self {
            pool: pool?,
            queue,
            line: None,
            gate: Gate(Arc::new(AtomicBool::new(is_open))),
        })
    }

    pub(crate) fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// Writes some bytes. Lines leave when they end.
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let Some((mut buf, len)) = self.line.take().or_else(|| Some((self.take()?, 0))) else {
                return;
            };
            buf[len] = byte;
            if byte == b'\n' || len + 1 == BUFFER {
                self.send(buf, len + 1);
            } else {
                self.line = Some((buf, len + 1));
            }
        }
        if self.gate.0.load(Ordering::Relaxed) {
            self.queue.notify_if_needed();
        }
    }

    pub(crate) fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }

    /// A buffer, if the device gives one back in time.
    fn take(&mut self) -> Option<DmaBuf> {
        let tries = if self.pool.is_empty() && self.gate.0.load(Ordering::Relaxed) {
            self.queue.notify_if_needed();
            TRIES
        } else {
            1
        };
        for _ in 0..tries {
            // A device that breaks a rule gets nothing any more.
            while let Ok(Some(used)) = self.queue.pop() {
                self.pool.push(used.chain.into_first());
            }
            if !self.pool.is_empty() {
                break;
            }
            core::hint::spin_loop();
        }
        self.pool.pop()
    }

    fn send(&mut self, buf: DmaBuf, len: usize) {
        self.queue.disable_interrupts();
        if let Err(full) = self.queue.add(Buffer::readable(buf, 0..len).into()) {
            self.pool.push(full.0.into_first());
        }
    }
}
