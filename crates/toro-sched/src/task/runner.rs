//! The runner: the thread of a core that polls its tasks.
//!
//! It polls [`TURN`] tasks, lets the threads of the core have their turn, and parks when none is ready. A panic in a task ends
//! the runner with it: a new runner takes over the queue, and whoever joins the task learns that there is no result.

use alloc::sync::Arc;
use core::cell::Cell;
use core::ptr;

use toro_arch::core_local::{self, MAX_CORES};
use toro_queue::{Mailbox, Posted};
use toro_sync::{PerCore, SpinLock};

use super::Task;
use crate::core_loop;
use crate::run_queue::RunQueue;
use crate::thread::{Builder, SpawnError, Thread};
use crate::wait;

/// How many polls the threads of the core wait for.
const TURN: usize = 32;
/// Futures nest deeper than most threads do.
const STACK: usize = 32 * 1024;

/// The tasks of a core.
struct Tasks {
    /// Those to poll; the queue owns a count of each.
    ready: RunQueue<Task>,
    /// Whether the runner will look into the queue before it parks.
    is_awake: Cell<bool>,
    /// The task whose poll runs: the runner's count of it.
    polled: Cell<*const Task>,
    runner: Cell<Option<Thread>>,
}

static TASKS: PerCore<Tasks> = PerCore::new();

/// Tasks that other cores have woken or spawned, a mailbox for each core.
static MAIL: [Mailbox<Arc<Task>>; MAX_CORES] = [const { Mailbox::new() }; MAX_CORES];

/// The runner of each core that has one.
static RUNNERS: [SpinLock<Option<Thread>>; MAX_CORES] = [const { SpinLock::new(None) }; MAX_CORES];

/// Makes sure that core `core` has a runner.
pub(super) fn ensure(core: usize) -> Result<(), SpawnError> {
    if core == core_local::id() && TASKS.is_init() {
        return Ok(());
    }
    if core >= core_loop::cores() {
        return Err(SpawnError::NoSuchCore(core));
    }
    let mut runner = RUNNERS[core].lock();
    if runner.is_none() {
        *runner = Some(spawn(core)?);
    }
    Ok(())
}

fn spawn(core: usize) -> Result<Thread, SpawnError> {
    let builder = Builder::new().name("tasks").stack_size(STACK);
    let handle = builder.on_panic(take_over).spawn_on(core, run)?;
    Ok(handle.thread().clone())
}

/// Queues a task that has just been marked as queued.
pub(super) fn enqueue(task: Arc<Task>) {
    if task.home == core_local::id() && TASKS.is_init() {
        return TASKS.with(|tasks| tasks.push(task));
    }
    let home = task.home;
    match MAIL[home].post(task) {
        Ok(Posted::Behind) => {}
        Ok(Posted::First | Posted::Wake) => {
            if let Some(runner) = &*RUNNERS[home].lock() {
                runner.unpark();
            }
        }
        Err(_) => unreachable!("a task is marked once before it is polled"),
    }
}

impl Tasks {
    fn push(&self, task: Arc<Task>) {
        // SAFETY: 1. the mark has one winner, so the task is in no queue; 2. the queue owns a count.
        unsafe { self.ready.push(Arc::into_raw(task)) };
        if !self.is_awake.replace(true)
            && let Some(runner) = self.runner.take()
        {
            runner.unpark();
            self.runner.set(Some(runner));
        }
    }

    fn pop(&self) -> Option<Arc<Task>> {
        // SAFETY: the count that `push` turned into a pointer.
        self.ready.pop().map(|task| unsafe { Arc::from_raw(task) })
    }

    fn poll(&self, task: Arc<Task>) {
        self.polled.set(Arc::as_ptr(&task));
        task.poll();
        self.polled.set(ptr::null());
    }
}

/// The runner's body.
fn run() {
    if !TASKS.is_init() {
        TASKS.init(Tasks {
            ready: RunQueue::new(),
            is_awake: Cell::new(true),
            polled: Cell::new(ptr::null()),
            runner: Cell::new(None),
        });
    }
    let mail = &MAIL[core_local::id()];
    TASKS.with(|tasks| {
        tasks.runner.set(Some(crate::current()));
        loop {
            for task in mail.take_all() {
                tasks.push(task);
            }
            (0..TURN)
                .map_while(|_| tasks.pop())
                .for_each(|task| tasks.poll(task));
            if tasks.ready.is_empty() && mail.is_empty() {
                // What comes by mail from here on leaves word, so that the runner does not park.
                tasks.is_awake.set(false);
                wait::park();
                tasks.is_awake.set(true);
            } else {
                core_loop::yield_now();
            }
        }
    })
}

/// What a runner does that ends with the panic of a task: the task has ended, and another runner goes on.
fn take_over() {
    TASKS.with(|tasks| {
        let polled = tasks.polled.replace(ptr::null());
        if !polled.is_null() {
            // SAFETY: the count of the frame that called `poll`, which is never returned to.
            unsafe { Arc::from_raw(polled) }.finish();
        }
        tasks.is_awake.set(true);
    });
    let core = core_local::id();
    let runner = spawn(core);
    if let Err(error) = &runner {
        log::error!("the tasks of core {core} have no runner: {error}");
    }
    *RUNNERS[core].lock() = runner.ok();
}
