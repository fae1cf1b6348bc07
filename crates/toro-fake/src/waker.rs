//! [`CountingWaker`]: a waker that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Wake, Waker};

/// Counts how often its waker was woken.
#[derive(Debug, Default)]
pub struct CountingWaker(AtomicU32);

impl CountingWaker {
    /// A counter and its waker.
    pub fn new() -> (Arc<Self>, Waker) {
        let counter = Arc::new(Self::default());
        (counter.clone(), counter.into())
    }

    /// How often it was woken.
    pub fn count(&self) -> u32 {
        // Relaxed: tests run in one thread.
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
