//! [`Together`]: what the queues of one disk know together, whatever core they are on.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The size of a disk, and whether it was given up. The owner of the device writes both; the other queues see a change at their next request.
#[derive(Debug)]
pub(crate) struct Together {
    sectors: AtomicU64,
    is_failed: AtomicBool,
}

impl Together {
    pub(crate) fn new(sectors: u64) -> Arc<Self> {
        Arc::new(Self {
            sectors: AtomicU64::new(sectors),
            is_failed: AtomicBool::new(false),
        })
    }

    pub(crate) fn sectors(&self) -> u64 {
        // Relaxed: the number stands for itself.
        self.sectors.load(Ordering::Relaxed)
    }

    pub(crate) fn resize(&self, sectors: u64) {
        self.sectors.store(sectors, Ordering::Relaxed);
    }

    /// Whether the device was given up.
    pub(crate) fn is_failed(&self) -> bool {
        // Relaxed: nothing was written before that a reader of this looks at.
        self.is_failed.load(Ordering::Relaxed)
    }

    pub(crate) fn fail(&self) {
        self.is_failed.store(true, Ordering::Relaxed);
    }
}
