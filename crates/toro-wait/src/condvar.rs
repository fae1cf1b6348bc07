//! [`Condvar`]: waiting for a change of what a mutex guards.
//!
//! A waiter joins the queue before it unlocks the mutex, so no notification is lost in between. One that is served and then
//! dropped (a deadline, a `select`) passes the notification on.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use toro_sched::{block_on_for, block_on_until};
use toro_sync::SpinLock;
use toro_time::Instant;

use crate::mutex::{Mutex, MutexGuard};
use crate::queue::{Queue, Ticket};

/// A line of those who wait for a change of what a mutex guards.
pub struct Condvar(SpinLock<Queue>);

impl Condvar {
    /// Nobody waits.
    pub const fn new() -> Self {
        Self(SpinLock::new(Queue::new()))
    }

    /// Unlocks the mutex, waits for a notification, parked, and locks it again.
    ///
    /// The change may be gone by then: look again, or use [`wait_while`](Self::wait_while).
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        block_on_for("condvar", self.wait_async(guard))
    }

    /// Waits as [`wait`](Self::wait) does for as long as `condition` holds.
    pub fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// Waits as [`wait`](Self::wait) does, but for a notification only until `deadline`; also says whether one came.
    pub fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> (MutexGuard<'a, T>, bool) {
        let mutex = guard.mutex();
        let notified = block_on_until(deadline, self.notified(guard)).is_some();
        (mutex.lock(), notified)
    }

    /// Unlocks the mutex, waits for a notification, and locks it again: [`wait`](Self::wait) for tasks.
    pub async fn wait_async<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let mutex: &Mutex<T> = guard.mutex();
        self.notified(guard).await;
        mutex.lock_async().await
    }

    /// Wakes the one that has waited longest.
    pub fn notify_one(&self) {
        let first = self.0.lock().serve();
        if let Some(waker) = first {
            waker.wake();
        }
    }

    /// Wakes all who wait now.
    pub fn notify_all(&self) {
        let end = self.0.lock().end();
        loop {
            let first = self.0.lock().serve_before(end);
            match first {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }

    fn notified<'a, T>(&'a self, guard: MutexGuard<'a, T>) -> Notified<'a, T> {
        Notified {
            condvar: self,
            guard: Some(guard),
            ticket: None,
        }
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condvar")
    }
}

/// The wait for a notification.
struct Notified<'a, T> {
    condvar: &'a Condvar,
    /// `None` after the first poll.
    guard: Option<MutexGuard<'a, T>>,
    /// `None` before the first poll, and after the last.
    ticket: Option<Ticket>,
}

impl<T> Unpin for Notified<'_, T> {}

impl<T> Future for Notified<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.condvar.0.lock();
        match self.ticket {
            None => {
                self.ticket = Some(queue.join(0, context.waker()));
                drop(queue);
                self.guard = None;
                Poll::Pending
            }
            Some(ticket) if queue.still_waits(ticket, context.waker()) => Poll::Pending,
            Some(_) => {
                self.ticket = None;
                Poll::Ready(())
            }
        }
    }
}

impl<T> Drop for Notified<'_, T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else {
            return;
        };
        let waited = self.condvar.0.lock().leave(ticket);
        if !waited {
            self.condvar.notify_one();
        }
    }
}
