//! [`Event`]: what a descriptor to wait for is, and what the host does not tell of it.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use torov_abi::Errno;
use torov_host as host;

use super::Descriptor;

/// What a descriptor to wait for is.
#[derive(Debug)]
pub(crate) enum Event {
    /// A counter (eventfd(2)), and whether reading takes one from it.
    Counter { takes_one: bool },
    /// A timer (timerfd_create(2)), by its clock.
    Timer { clock: i32 },
    /// Signals that wait and can be read (signalfd(2)).
    Signals(Bell),
    /// A set of descriptors (epoll(7)).
    Set(Interest),
}

/// What is readable while signals wait: the host's descriptor is a counter, which is not 0 then.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    mask: AtomicU64,
    is_rung: AtomicBool,
}

// Relaxed all: whoever rings does so with the signals locked.
impl Bell {
    /// A bell for the signals of `mask`.
    pub(crate) fn new(mask: u64) -> Self {
        Self {
            mask: mask.into(),
            ..Self::default()
        }
    }

    /// The signals that it is for.
    pub(crate) fn mask(&self) -> u64 {
        self.mask.load(Ordering::Relaxed)
    }

    /// Changes them.
    pub(crate) fn set_mask(&self, mask: u64) {
        self.mask.store(mask, Ordering::Relaxed);
    }

    /// Rings it, also if it was rung already: who waits for an edge sees one.
    pub(crate) fn ring(&self, fd: BorrowedFd<'_>) {
        self.is_rung.store(true, Ordering::Relaxed);
        // A counter takes far more than there can be signals.
        let _ = host::write_bytes(fd, &1_u64.to_le_bytes());
    }

    /// Silences it, if it was rung: only then is there something to read, and the call does not wait.
    pub(crate) fn silence(&self, fd: BorrowedFd<'_>) {
        if self.is_rung.swap(false, Ordering::Relaxed) {
            let _ = host::read_bytes(fd, &mut [0; 8]);
        }
    }
}

/// What a set waits for. The host has the same list, and does not show it.
#[derive(Debug, Default)]
pub(crate) struct Interest(Mutex<Vec<Wanted>>);

/// One of a set.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// It is in the set for as long as somebody has it open.
    pub(crate) descriptor: Weak<Descriptor>,
    /// What for, as in `epoll_ctl`.
    pub(crate) events: u32,
    /// The program's own word.
    pub(crate) own: u64,
}

impl Interest {
    fn lock(&self) -> MutexGuard<'_, Vec<Wanted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `change` change what the host's set says of `descriptor`, and keeps `event`, or that it is none of the set any more.
    ///
    /// # Errors
    /// Those of `change`.
    pub(crate) fn set(
        &self,
        descriptor: &Arc<Descriptor>,
        event: Option<(u32, u64)>,
        change: impl FnOnce() -> Result<u64, Errno>,
    ) -> Result<u64, Errno> {
        let mut all = self.lock();
        let answer = change()?;
        let this = Arc::downgrade(descriptor);
        // What was closed has left the host's set by itself.
        all.retain(|one| one.descriptor.strong_count() > 0 && !one.descriptor.ptr_eq(&this));
        all.extend(event.map(|(events, own)| Wanted {
            descriptor: this,
            events,
            own,
        }));
        Ok(answer)
    }

    /// What is waited for now.
    pub(crate) fn all(&self) -> Vec<Wanted> {
        self.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use torov_abi::Errno;

    use super::super::Class;
    use super::{Descriptor, Interest};

    fn descriptor() -> Arc<Descriptor> {
        let file = File::open("/dev/null").unwrap();
        Arc::new(Descriptor::new(file.into(), Class::Pipe, String::new()))
    }

    #[test]
    fn a_set_knows_what_the_host_was_told() {
        let (interest, one, other) = (Interest::default(), descriptor(), descriptor());
        let own = |interest: &Interest| -> Vec<u64> {
            interest.all().iter().map(|wanted| wanted.own).collect()
        };
        interest.set(&one, Some((1, 10)), || Ok(0)).unwrap();
        interest.set(&other, Some((1, 20)), || Ok(0)).unwrap();
        let refused = interest.set(&one, Some((1, 99)), || Err(Errno::EEXIST));
        assert_eq!(
            (refused, own(&interest)),
            (Err(Errno::EEXIST), vec![10, 20])
        );
        interest.set(&one, Some((4, 11)), || Ok(0)).unwrap();
        assert_eq!(own(&interest), [20, 11]);
        drop(other);
        interest.set(&one, None, || Ok(0)).unwrap();
        assert!(own(&interest).is_empty());
    }
}
