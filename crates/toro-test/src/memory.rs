//! How much memory is in use once everything that has ended is gone: for cases that compare it before and after.
//!
//! A thread says that it has ended before it leaves its stack, and what a core frees of another's memory is on its way until
//! the owner takes it back. So memory is counted in three steps, each of which waits for the one before:
//!
//! 1. Every core runs a thread, and so leaves the stack of the one that ended there last and drops what belonged to it.
//! 2. Every core takes back what the others have freed.
//! 3. It counts what is in use.
//!
//! The threads that do this have stacks of a size of their own: the cache of stacks is as full as before.

use alloc::vec::Vec;

use toro::mem;
use toro::thread::{self, Builder, DEFAULT_STACK, Thread};
use toro::time::{Duration, Instant};

/// How long [`assert_back_at`] waits for memory to come back: only a leak takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bytes that are in use on all cores, when every thread that was joined and everything that they freed is gone.
///
/// Two calls with nothing in between return the same. To be called on core 0, from a thread.
///
/// # Panics
/// Panics if a core has no memory for a thread.
pub fn in_use() -> usize {
    let others = 1..thread::cores();
    let (first, _) = on_cores(others.clone(), || 0);
    let (second, used) = on_cores(others, count);
    // Without this core's threads the handles are all that the steps have left here, and as many each time.
    let here = count();
    drop((first, second));
    used + here
}

fn count() -> usize {
    mem::collect();
    mem::stats().in_use
}

/// Runs `body` on each core, and returns the threads with the sum of the results.
fn on_cores(cores: impl Iterator<Item = usize>, body: fn() -> usize) -> (Vec<Thread>, usize) {
    let handles: Vec<_> = cores
        .map(|core| {
            let builder = Builder::new()
                .name("count")
                .stack_size(DEFAULT_STACK + 4096);
            builder
                .spawn_on(core, body)
                .expect("there is memory for a thread")
        })
        .collect();
    let threads = handles
        .iter()
        .map(|handle| handle.thread().clone())
        .collect();
    let results = handles
        .into_iter()
        .map(|handle| handle.join().expect("it returned"));
    (threads, results.sum())
}

/// Waits until not more memory is [in use](in_use) than `before`.
///
/// # Panics
/// Panics if more is in use for a minute.
pub fn assert_back_at(before: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = in_use();
        if now <= before {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{now} bytes are in use, {before} were before"
        );
        thread::yield_now();
    }
}
