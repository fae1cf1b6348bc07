//! What one asks of a stream: how long its calls may wait, and which half to shut down.

use core::cell::Cell;
use core::time::Duration;

use toro_time::Instant;

/// Which half of a connection to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Reads end, whatever still arrives.
    Read,
    /// The peer sees the end of the stream after all that was written.
    Write,
    /// Both.
    Both,
}

/// How long reads and writes of a stream may wait: for ever from the start.
#[derive(Debug)]
pub struct Waits {
    read: Cell<Option<Duration>>,
    write: Cell<Option<Duration>>,
    is_nonblocking: Cell<bool>,
}

impl Waits {
    /// Reads and writes that wait for ever.
    pub const fn for_ever() -> Self {
        Self {
            read: Cell::new(None),
            write: Cell::new(None),
            is_nonblocking: Cell::new(false),
        }
    }

    /// Limits how long a read may wait; `None` for no limit.
    pub fn set_read(&self, timeout: Option<Duration>) {
        self.read.set(timeout);
    }

    /// Limits how long a write may wait; `None` for no limit.
    pub fn set_write(&self, timeout: Option<Duration>) {
        self.write.set(timeout);
    }

    /// Says that nothing is to wait at all, or that it is.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.is_nonblocking.set(nonblocking);
    }

    /// Whether nothing is to wait at all.
    pub fn is_nonblocking(&self) -> bool {
        self.is_nonblocking.get()
    }

    /// Until when a read that begins now may wait; `None` for ever.
    pub fn read_deadline(&self) -> Option<Instant> {
        self.read.get().map(|timeout| Instant::now() + timeout)
    }

    /// Until when a write that begins now may wait; `None` for ever.
    pub fn write_deadline(&self) -> Option<Instant> {
        self.write.get().map(|timeout| Instant::now() + timeout)
    }
}
