//! [`RwLock`]: a value that many may read, or one may write.
//!
//! A reader takes one permit, a writer all. Since the queue is served in order, a writer that waits holds back the readers behind
//! it, and is not starved by them.

use core::fmt;
use core::ops::{Deref, DerefMut};

use toro_sched::block_on_for;

use crate::permits::Permits;

/// How many may read at a time.
const READERS: usize = 1 << 30;

/// A value that many threads or tasks may read at a time, or one may write, in the order in which they came.
///
/// Whoever reads must not ask to read again before it is done: a writer may wait in between.
pub struct RwLock<T> {
    permits: Permits,
    value: spin::RwLock<T>,
}

/// The right to read the value, until it is dropped.
#[must_use = "the lock is given back when this is dropped"]
pub struct RwLockReadGuard<'a, T> {
    // The fields are dropped in this order: the value is free before the next may ask for it.
    value: spin::RwLockReadGuard<'a, T>,
    _turn: Turn<'a>,
}

/// The right to read and write the value, until it is dropped.
#[must_use = "the lock is given back when this is dropped"]
pub struct RwLockWriteGuard<'a, T> {
    // As in `RwLockReadGuard`.
    value: spin::RwLockWriteGuard<'a, T>,
    _turn: Turn<'a>,
}

/// The permits.
struct Turn<'a> {
    permits: &'a Permits,
    count: usize,
}

impl<T> RwLock<T> {
    /// An unlocked value.
    pub const fn new(value: T) -> Self {
        Self {
            permits: Permits::new(READERS),
            value: spin::RwLock::new(value),
        }
    }

    /// Locks it for reading, parked until the writers that came before are done.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        block_on_for("rwlock, to read", self.read_async())
    }

    /// Locks it for reading when the writers that came before are done.
    pub async fn read_async(&self) -> RwLockReadGuard<'_, T> {
        self.permits.take(1).await;
        self.reader()
    }

    /// Locks it for reading if nobody writes or waits.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.permits.try_take(1).then(|| self.reader())
    }

    /// Locks it for writing, parked until all that came before are done.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        block_on_for("rwlock, to write", self.write_async())
    }

    /// Locks it for writing when all that came before are done.
    pub async fn write_async(&self) -> RwLockWriteGuard<'_, T> {
        self.permits.take(READERS).await;
        self.writer()
    }

    /// Locks it for writing if nobody reads, writes or waits.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.permits.try_take(READERS).then(|| self.writer())
    }

    /// The value, which nobody else can touch.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value, out of the lock.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    fn reader(&self) -> RwLockReadGuard<'_, T> {
        let turn = self.turn(1);
        let value = self.value.try_read();
        RwLockReadGuard {
            value: value.expect("a writer has all permits"),
            _turn: turn,
        }
    }

    fn writer(&self) -> RwLockWriteGuard<'_, T> {
        let turn = self.turn(READERS);
        let value = self.value.try_write();
        RwLockWriteGuard {
            value: value.expect("a writer has all permits"),
            _turn: turn,
        }
    }

    fn turn(&self, count: usize) -> Turn<'_> {
        Turn {
            permits: &self.permits,
            count,
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.permits.give(self.count);
    }
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.permits.free() {
            0 => f.write_str("RwLock(written)"),
            free => write!(f, "RwLock({} readers)", READERS - free),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
