//! Tasks: futures that a core runs one poll at a time, without a stack for each.
//!
//! All tasks of a core share one thread, the runner ([`runner`]), which comes with the first of them. A task is a node of its own:
//! to wake it puts it into the runner's queue, or, from another core, into that core's mail. Whoever may hold a [`Waker`] may
//! do so on any core; the future itself is polled and dropped on its home core only.
//!
//! ```text
//! wake: is_queued false -> true, and the winner queues     runner: takes the task, is_queued -> false, polls
//! ```
//!
//! The mark is taken away before the poll, so a wake-up during the poll queues the task again.
//!
//! [`Waker`]: core::task::Waker

mod runner;
mod select;
mod timer;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::cell::Cell;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use core::task::{Context, Poll, Waker};

use toro_arch::core_local;
use toro_queue::{Link, Linked};
use toro_sync::SpinLock;

pub use self::select::{Either, select};
pub use self::timer::{Sleep, sleep, sleep_until, timeout};
use crate::join::{End, NoResult, Packet};
use crate::run_queue::Queued;
use crate::thread::SpawnError;

type Body = Pin<Box<dyn Future<Output = ()>>>;

/// A future, and what its core knows of it.
///
/// `next`, `body` and `this` belong to the home core alone; `is_queued`, `mail` and `end` are where cores meet.
struct Task {
    home: usize,
    /// Whether the task is in the queue, or on its way there.
    is_queued: AtomicBool,
    next: AtomicPtr<Task>,
    mail: Link<Task>,
    /// `None` while it is polled, and once it has ended.
    body: Cell<Option<Body>>,
    /// The task's own count, until it has ended: it must not be dropped with its last waker, on whatever core that was.
    this: Cell<Option<Arc<Task>>>,
    end: End,
}

// SAFETY: the cells are touched by the home core only. A body that came from another core is `Send` (`spawn_on`). Everything
// else is atomic, locked, or never changes. The last count is dropped after `this` is, when the body is gone.
unsafe impl Send for Task {}
// SAFETY: as for `Send`.
unsafe impl Sync for Task {}

// SAFETY: the link is a field of the task, and no other node returns it.
unsafe impl Linked for Task {
    fn link(&self) -> &Link<Self> {
        &self.mail
    }
}

impl Queued for Task {
    fn next(&self) -> &AtomicPtr<Self> {
        &self.next
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        // AcqRel: pairs with `poll`; what was written before the wake-up is visible to the poll that follows.
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            runner::enqueue(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // As in `wake`.
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            runner::enqueue(Arc::clone(self));
        }
    }
}

impl Task {
    /// A task that is marked as queued, for its spawner to queue it.
    fn new(home: usize, body: Body) -> Arc<Self> {
        Arc::new(Self {
            home,
            is_queued: AtomicBool::new(true),
            next: AtomicPtr::new(ptr::null_mut()),
            mail: Link::new(),
            body: Cell::new(Some(body)),
            this: Cell::new(None),
            end: End::new(),
        })
    }

    /// Runs the future until it waits or ends.
    ///
    /// # Context
    /// The runner of the home core.
    fn poll(self: &Arc<Self>) {
        // AcqRel: pairs with `wake`. A wake-up from here on queues the task again.
        self.is_queued.swap(false, Ordering::AcqRel);
        // A waker that outlived the future has woken it in vain.
        let Some(mut body) = self.body.take() else {
            return;
        };
        let waker = Waker::from(Arc::clone(self));
        match body.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => self.body.set(Some(body)),
            Poll::Ready(()) => {
                drop(body);
                self.finish();
            }
        }
    }

    /// The task has ended, with a result or without.
    fn finish(&self) {
        drop(self.this.take());
        self.end.announce();
    }
}

/// A task that was spawned, and the right to its result: a future itself. Dropping the handle lets the task go on alone.
pub struct JoinHandle<T> {
    task: Arc<Task>,
    packet: Packet<T>,
}

impl<T> JoinHandle<T> {
    /// Waits for the task to end, parked, and takes its result.
    ///
    /// # Errors
    /// Fails if the task panicked.
    pub fn join(self) -> Result<T, NoResult> {
        crate::block_on(self)
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.task.end.has_come()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, NoResult>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = self.task.end.poll(context);
        ended.map(|()| self.packet.lock().take().ok_or(NoResult))
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("is_finished", &self.is_finished())
            .finish()
    }
}

/// Spawns a task on the running core, behind those that are ready.
///
/// # Panics
/// Panics if it is the core's first and there is no memory for the runner.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    let core = core_local::id();
    match runner::ensure(core) {
        Ok(()) => start(core, future),
        Err(error) => panic!("cannot run tasks: {error}"),
    }
}

/// Spawns a task on core `core`. Never blocks.
///
/// # Errors
/// Fails if there is no such core, or if the task is this core's first and there is no memory for the runner.
pub fn spawn_on<F>(core: usize, future: F) -> Result<JoinHandle<F::Output>, SpawnError>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    runner::ensure(core)?;
    Ok(start(core, future))
}

fn start<F: Future + 'static>(core: usize, future: F) -> JoinHandle<F::Output> {
    let packet = Arc::new(SpinLock::new(None));
    let result = Arc::clone(&packet);
    let body = Box::pin(async move {
        let output = future.await;
        *result.lock() = Some(output);
    });
    let task = Task::new(core, body);
    // Nobody else knows of the task yet, so this is as good as its home core.
    task.this.set(Some(Arc::clone(&task)));
    runner::enqueue(Arc::clone(&task));
    JoinHandle { task, packet }
}

/// Lets every task that is ready run before this one goes on.
pub async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if has_yielded {
            return Poll::Ready(());
        }
        has_yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
