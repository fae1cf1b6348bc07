//! [`Exclusive`]: a value that one thread of the core uses at a time, also across a park.

use alloc::collections::VecDeque;
use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};

/// A value that one thread of the core uses at a time.
///
/// The thread that uses it may park; the others then wait for their turn. The state of a file system lies in one.
pub struct Exclusive<T> {
    value: RefCell<T>,
    waiting: RefCell<VecDeque<Waker>>,
}

impl<T> Exclusive<T> {
    /// Nobody uses `value` yet.
    pub fn new(value: T) -> Self {
        Self {
            value: RefCell::new(value),
            waiting: RefCell::new(VecDeque::new()),
        }
    }

    /// Runs `call` as soon as no other thread uses the value.
    pub fn with<R>(&self, call: impl FnOnce(&mut T) -> R) -> R {
        let mut value = loop {
            if let Ok(value) = self.value.try_borrow_mut() {
                break value;
            }
            toro_sched::block_on(self.freed());
        };
        let outcome = call(&mut value);
        drop(value);
        let next = self.waiting.borrow_mut().pop_front();
        if let Some(waker) = next {
            waker.wake();
        }
        outcome
    }

    /// Runs `call` if no other thread uses the value; `None` if one does. Never waits.
    ///
    /// `call` does not park: who waited for the value meanwhile would not be told.
    pub fn try_with<R>(&self, call: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut value = self.value.try_borrow_mut().ok()?;
        Some(call(&mut value))
    }

    /// Completes when the value may be free.
    async fn freed(&self) {
        let mut has_waited = false;
        poll_fn(|context| {
            if has_waited || self.value.try_borrow_mut().is_ok() {
                return Poll::Ready(());
            }
            has_waited = true;
            let waker = context.waker().clone();
            self.waiting.borrow_mut().push_back(waker);
            Poll::Pending
        })
        .await;
    }
}

impl<T> fmt::Debug for Exclusive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exclusive").finish_non_exhaustive()
    }
}
