//! Waiting for a moment inside a future.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use toro_arch::core_local;
use toro_time::{Instant, TimerKey};

use super::{Either, select};

/// A future that ends at its moment. Made by [`sleep`] and [`sleep_until`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Sleep {
    deadline: Instant,
    timer: Option<Timer>,
}

/// The timer that will wake the task, on the core that it was set on.
#[derive(Debug)]
struct Timer {
    core: usize,
    key: TimerKey,
    waker: Waker,
}

/// Waits for `duration`, at least.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

/// Waits until `deadline`.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep {
        deadline,
        timer: None,
    }
}

/// Waits for `future`, but not longer than `duration`: `None` if it was still pending then.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Option<F::Output> {
    match select(future, sleep(duration)).await {
        Either::First(output) => Some(output),
        Either::Second(()) => None,
    }
}

impl Sleep {
    fn is_set_for(&self, waker: &Waker) -> bool {
        self.timer
            .as_ref()
            .is_some_and(|timer| timer.core == core_local::id() && timer.waker.will_wake(waker))
    }

    fn cancel(&mut self) {
        if let Some(timer) = self.timer.take()
            && timer.core == core_local::id()
        {
            toro_time::cancel(timer.key);
        }
        // A timer of another core stays: it will wake somebody in vain.
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.deadline {
            return Poll::Ready(());
        }
        let waker = context.waker();
        if !self.is_set_for(waker) {
            self.cancel();
            self.timer = Some(Timer {
                core: core_local::id(),
                key: toro_time::wake_at(self.deadline, waker),
                waker: waker.clone(),
            });
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}
