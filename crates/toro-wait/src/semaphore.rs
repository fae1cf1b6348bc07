//! [`Semaphore`]: a number of permits.

use core::fmt;

use toro_sched::block_on_for;

use crate::permits::Permits;

/// A number of permits that are taken, waited for in the order of arrival, and given back.
pub struct Semaphore(Permits);

/// Permits that go back when this is dropped.
#[must_use = "the permits go back when this is dropped"]
pub struct Permit<'a> {
    of: &'a Semaphore,
    count: usize,
}

impl Semaphore {
    /// A semaphore with `count` permits.
    pub const fn new(count: usize) -> Self {
        Self(Permits::new(count))
    }

    /// Takes a permit, parked until there is one.
    pub fn acquire(&self) -> Permit<'_> {
        self.acquire_many(1)
    }

    /// Takes `count` permits at once, parked until there are so many.
    pub fn acquire_many(&self, count: usize) -> Permit<'_> {
        block_on_for("semaphore", self.acquire_async(count))
    }

    /// Takes `count` permits at once when there are so many.
    pub async fn acquire_async(&self, count: usize) -> Permit<'_> {
        self.0.take(count).await;
        Permit { of: self, count }
    }

    /// Takes `count` permits if so many are free and nobody waits.
    pub fn try_acquire(&self, count: usize) -> Option<Permit<'_>> {
        let taken = self.0.try_take(count);
        taken.then(|| Permit { of: self, count })
    }

    /// Adds `count` permits.
    pub fn add(&self, count: usize) {
        self.0.give(count);
    }

    /// How many permits are free.
    pub fn available(&self) -> usize {
        self.0.free()
    }
}

impl Permit<'_> {
    /// Keeps the permits from going back: they are used up.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            self.of.add(self.count);
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Semaphore({} free)", self.available())
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({})", self.count)
    }
}
