//! [`Mutex`]: a value that one at a time may touch.

use core::fmt;
use core::ops::{Deref, DerefMut};

use toro_sched::{block_on_for, block_on_until};
use toro_time::Instant;

use crate::permits::Permits;

/// A value that one thread or task at a time may touch, in the order in which they came. The guard may be held across a park.
pub struct Mutex<T> {
    permits: Permits,
    value: spin::Mutex<T>,
}

/// The right to touch the value, until it is dropped.
#[must_use = "the mutex is unlocked when this is dropped"]
pub struct MutexGuard<'a, T> {
    // The fields are dropped in this order: the value is free before the next may ask for it.
    value: spin::MutexGuard<'a, T>,
    turn: Turn<'a, T>,
}

/// The permit.
struct Turn<'a, T>(&'a Mutex<T>);

impl<T> Mutex<T> {
    /// An unlocked value.
    pub const fn new(value: T) -> Self {
        Self {
            permits: Permits::new(1),
            value: spin::Mutex::new(value),
        }
    }

    /// Locks it, parked until it is this one's turn.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        match self.try_lock() {
            Some(guard) => guard,
            None => block_on_for("mutex", self.lock_async()),
        }
    }

    /// Locks it when it is this one's turn.
    pub async fn lock_async(&self) -> MutexGuard<'_, T> {
        self.permits.take(1).await;
        self.guard()
    }

    /// Locks it, parked until it is this one's turn; `None` if that had not come by `deadline`.
    pub fn lock_until(&self, deadline: Instant) -> Option<MutexGuard<'_, T>> {
        block_on_until(deadline, self.lock_async())
    }

    /// Locks it if it is free and nobody waits.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.permits.try_take(1).then(|| self.guard())
    }

    /// The value, which nobody else can touch.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value, out of the mutex.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    /// What the permit that was taken entitles to.
    fn guard(&self) -> MutexGuard<'_, T> {
        let turn = Turn(self);
        let value = self.value.try_lock();
        MutexGuard {
            value: value.expect("there is one permit for the value"),
            turn,
        }
    }
}

impl<'a, T> MutexGuard<'a, T> {
    /// The mutex.
    pub(crate) fn mutex(&self) -> &'a Mutex<T> {
        self.turn.0
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.0.permits.give(1);
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = ["locked", "free"][self.permits.free().min(1)];
        write!(f, "Mutex({state})")
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
