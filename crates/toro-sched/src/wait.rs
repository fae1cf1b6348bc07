//! Waiting: park, sleep, and blocking on a future.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll};
use core::time::Duration;

use toro_time::Instant;

use crate::core_loop;
use crate::wake;

/// Waits until the running thread is woken; returns at once if it was since it last parked.
pub fn park() {
    core_loop::park();
}

/// Waits until the running thread is woken or `deadline` has come, whichever is first.
pub fn park_until(deadline: Instant) {
    if Instant::now() >= deadline {
        return;
    }
    let key = core_loop::with_current(|block| {
        wake::with_waker(block, |waker| toro_time::wake_at(deadline, waker))
    });
    core_loop::park();
    toro_time::cancel(key);
}

/// Waits for `duration`, at least.
pub fn sleep(duration: Duration) {
    let deadline = Instant::now() + duration;
    waits_for("sleep", || {
        while Instant::now() < deadline {
            park_until(deadline);
        }
    });
}

/// Calls `wait`; a report meanwhile says that the thread waits for `reason`.
fn waits_for<R>(reason: &'static str, wait: impl FnOnce() -> R) -> R {
    let say = |reason| core_loop::with_current(|block| block.reason.set(reason));
    say(reason);
    let result = wait();
    say("");
    result
}

/// Runs `future` to its end on the running thread, parked while it is pending.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return output;
        }
        park();
    }
}

/// Runs `future` as [`block_on`] does, and a report says that the thread waits for `reason`: a word or two, such as `mutex`.
pub fn block_on_for<F: Future>(reason: &'static str, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return output;
        }
        waits_for(reason, park);
    }
}

/// Runs `future` as [`block_on`] does, but only until `deadline`; `None` if it was still pending then.
pub fn block_on_until<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return Some(output);
        }
        if Instant::now() >= deadline {
            return None;
        }
        park_until(deadline);
    }
}

fn poll<F: Future>(future: core::pin::Pin<&mut F>) -> Poll<F::Output> {
    core_loop::with_current(|block| {
        wake::with_waker(block, |waker| future.poll(&mut Context::from_waker(waker)))
    })
}
