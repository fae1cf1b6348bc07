//! The memory after random work, compared with the memory before.
//!
//! Every byte has to come back but for three things, which a core makes when it needs more of them than ever before, and keeps:
//! stacks in its cache, the table of its timers, and page tables for the guards of stacks. [`fill_caches`] brings the first two to
//! where they cannot grow any more. Page tables are made where a stack happens to come to lie, one for each 2 MiB at most: so
//! memory may grow by whole tables, in as many rounds of work as there can be tables, but not in more.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::Poll;

use toro::thread::{self, Builder};
use toro::time::{Duration, Instant};
use toro::{mem, println, task};
use toro_test::memory::in_use;

use crate::driver::LIVE;

/// What a page table takes, and how much memory it describes.
const TABLE: usize = 4096;
const REACH: usize = 2 << 20;

/// Steps of each core in a round.
const STEPS: u64 = 3000;

/// Rounds that must leave memory as it was.
const CLEAN: usize = 3;

pub(crate) fn the_memory_is_back_at_its_start() {
    let tables = page_tables();
    fill_caches();
    let start = in_use();
    let (mut before, mut clean) = (start, 0);
    for seed in 1.. {
        let count = crate::work(seed, STEPS);
        let after = in_use();
        println!("torture: {before} bytes, then {after}, {count}");
        let more = after.saturating_sub(before);
        assert!(
            more.is_multiple_of(TABLE),
            "{before} bytes, then {after}: this is no page table"
        );
        assert!(
            after <= start + tables * TABLE,
            "{start} bytes, then {after}: there are {tables} page tables at most"
        );
        clean += usize::from(more == 0);
        if clean == CLEAN {
            return;
        }
        before = after;
    }
}

/// As many page tables as the guards of stacks can need: those of the last level, and at most as many for the levels above and at
/// the ends of each core's memory.
fn page_tables() -> usize {
    let totals = thread::on_each_core("total", || mem::stats().total);
    let totals = totals.expect("there is memory for a thread");
    let tables = totals
        .into_iter()
        .map(|total| total.expect("it returned").div_ceil(REACH) + 3);
    tables.sum()
}

/// Lets each core have as many threads and timers at the same time as random work can bring it.
fn fill_caches() {
    let most = thread::cores() * LIVE + 2;
    let arrived = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..thread::cores() * most)
        .map(|number| {
            let (arrived, all) = (Arc::clone(&arrived), thread::cores() * most);
            let body = move || {
                arrived.fetch_add(1, Ordering::SeqCst);
                while arrived.load(Ordering::SeqCst) < all {
                    thread::yield_now();
                }
            };
            let thread = Builder::new().spawn_on(number % thread::cores(), body);
            thread.expect("there is memory for a thread")
        })
        .collect();
    for thread in threads {
        thread.join().expect("it returned");
    }
    // Threads and tasks, each with a timer.
    for core in 0..thread::cores() {
        let far = Instant::now() + Duration::from_secs(3600);
        let set = async move {
            let mut timers: Vec<_> = (0..2 * most)
                .map(|_| Box::pin(task::sleep_until(far)))
                .collect();
            poll_fn(|context| {
                let states = timers.iter_mut().map(|timer| timer.as_mut().poll(context));
                Poll::Ready(states.filter(Poll::is_ready).count())
            })
            .await
        };
        let task = task::spawn_on(core, set).expect("the core is there");
        assert_eq!(task.join(), Ok(0), "an hour is long");
    }
}
