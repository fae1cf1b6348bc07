//! Joining: how a thread's end and its result reach whoever waits for them.
//!
//! The end is announced in the thread's block, which the scheduler holds, so that it comes even if the thread panics and its
//! frames are never left. The result travels in a packet that the thread and the handle share.

use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

use toro_sync::SpinLock;

use crate::thread::Thread;
use crate::wait;

/// Whether a thread has ended, and who wants to know.
pub(crate) struct End(SpinLock<EndState>);

struct EndState {
    ended: bool,
    panicked: bool,
    waiter: Option<Waker>,
}

impl End {
    pub(crate) const fn new() -> Self {
        Self(SpinLock::new(EndState {
            ended: false,
            panicked: false,
            waiter: None,
        }))
    }

    /// Says that the thread has ended.
    pub(crate) fn announce(&self) {
        let waiter = {
            let mut state = self.0.lock();
            state.ended = true;
            state.waiter.take()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Says that the thread is about to end by a panic.
    pub(crate) fn note_panic(&self) {
        self.0.lock().panicked = true;
    }

    pub(crate) fn was_panic(&self) -> bool {
        let state = self.0.lock();
        state.ended && state.panicked
    }

    pub(crate) fn has_come(&self) -> bool {
        self.0.lock().ended
    }

    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.ended {
            return Poll::Ready(());
        }
        match &mut state.waiter {
            Some(waiter) => waiter.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

/// Where a thread leaves its result.
pub(crate) type Packet<T> = Arc<SpinLock<Option<T>>>;

/// A thread that was spawned, and the right to its result. Dropping the handle lets the thread go on alone.
pub struct JoinHandle<T> {
    thread: Thread,
    packet: Packet<T>,
}

/// The thread ended without a result: it panicked, or its core had no memory for its stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoResult;

impl fmt::Display for NoResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the thread ended without a result")
    }
}

impl core::error::Error for NoResult {}

impl<T> JoinHandle<T> {
    pub(crate) fn new(thread: Thread, packet: Packet<T>) -> Self {
        Self { thread, packet }
    }

    /// The thread.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Waits for the thread to end and takes its result.
    ///
    /// # Errors
    /// Fails if the thread panicked or could not be given a stack.
    pub fn join(self) -> Result<T, NoResult> {
        wait::block_on_for("join", poll_fn(|context| self.thread.0.end.poll(context)));
        self.packet.lock().take().ok_or(NoResult)
    }

    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.0.end.has_come()
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinHandle({:?})", self.thread)
    }
}
