//! Tasks: many, timed, and on several cores.

use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{pending, poll_fn};
use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Poll, Waker};

use toro::task::{self, Either};
use toro::time::{Duration, Instant};
use toro::{mem, println, thread};
use toro_test::memory::{assert_back_at, in_use};

/// How many tasks are there at the same time.
const LIVE: usize = 100_000;
/// How many timers fire.
const TIMERS: u64 = 1_000_000;

pub(crate) fn a_task_gives_its_result() {
    let task = task::spawn(async { 40 + 2 });
    assert_eq!(task.join(), Ok(42));
    let nested = task::spawn(async { task::spawn(async { "inner" }).await });
    assert_eq!(nested.join(), Ok(Ok("inner")));
}

pub(crate) fn a_hundred_thousand_tasks_live_at_once() {
    let all = in_use();
    let before = mem::stats().in_use;
    let wakers = Rc::new(RefCell::new(Vec::<Waker>::with_capacity(LIVE)));
    let begun = Instant::now();
    let tasks: Vec<task::JoinHandle<usize>> = (0..LIVE)
        .map(|number| {
            let wakers = Rc::clone(&wakers);
            let mut is_woken = false;
            task::spawn(poll_fn(move |context| {
                if is_woken {
                    return Poll::Ready(number);
                }
                is_woken = true;
                wakers.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }))
        })
        .collect();
    while wakers.borrow().len() < LIVE {
        thread::yield_now();
    }
    let bytes = (mem::stats().in_use - before) / LIVE;
    wakers.take().into_iter().for_each(Waker::wake);
    for (number, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.join(), Ok(number));
    }
    let nanos = begun.elapsed().as_nanos() / LIVE as u128;
    println!("task with one wait: {nanos} ns, {bytes} bytes");
    drop(wakers);
    assert_back_at(all);
}

/// A thousand tasks with a thousand timers each, all of them near.
pub(crate) fn a_million_timers_fire_in_order() {
    const TASKS: u64 = 1000;
    let last = Rc::new(Cell::new(Instant::ZERO));
    let begun = Instant::now();
    let tasks: Vec<task::JoinHandle<()>> = (0..TASKS)
        .map(|task| {
            let last = Rc::clone(&last);
            task::spawn(async move {
                let mut deadline = begun;
                for round in 0..TIMERS / TASKS {
                    // From 1 to 1024 us, different for each.
                    let step = (task * 7919 + round * 104_729) % 1024 + 1;
                    deadline = deadline.max(Instant::now()) + Duration::from_micros(step);
                    task::sleep_until(deadline).await;
                    let now = Instant::now();
                    assert!(now >= deadline, "too early");
                    assert!(now >= last.replace(now), "time goes on");
                }
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.join(), Ok(()));
    }
    let nanos = begun.elapsed().as_nanos() / u128::from(TIMERS);
    println!("timer: {nanos} ns");
    in_order_of_deadlines();
}

/// Of timers that are due together, the earlier one is first.
fn in_order_of_deadlines() {
    // The first lead is long enough unless the machine is stopped for a while.
    let mut leads = (0..7).map(|doublings| Duration::from_millis(500 << doublings));
    assert!(
        leads.any(fires_in_order),
        "it takes a minute to set the timers"
    );
}

/// Sets timers that are due together after `lead`; `false` if the first was due before the last was set, which says nothing.
fn fires_in_order(lead: Duration) -> bool {
    const COUNT: u64 = 10_000;
    let order = Rc::new(RefCell::new(Vec::new()));
    let (start, unset) = (Instant::now() + lead, Rc::new(Cell::new(COUNT)));
    let tasks: Vec<task::JoinHandle<()>> = (0..COUNT)
        .map(|number| {
            let order = Rc::clone(&order);
            let unset = Rc::clone(&unset);
            let deadline = start + Duration::from_nanos(number * 7919 % COUNT);
            task::spawn(async move {
                let mut timer = pin!(task::sleep_until(deadline));
                let first = poll_fn(|context| Poll::Ready(timer.as_mut().poll(context))).await;
                unset.set(unset.get() - 1);
                if first.is_pending() {
                    timer.await;
                }
                order.borrow_mut().push(deadline);
            })
        })
        .collect();
    while unset.get() > 0 {
        thread::yield_now();
    }
    let is_in_time = Instant::now() < start;
    tasks
        .into_iter()
        .for_each(|task| task.join().expect("it fired"));
    assert!(!is_in_time || order.borrow().is_sorted());
    is_in_time
}

pub(crate) fn tasks_and_threads_take_turns() {
    let is_done = Rc::new(Cell::new(false));
    let done = Rc::clone(&is_done);
    let task = task::spawn(async move {
        while !done.get() {
            task::yield_now().await;
        }
    });
    for _ in 0..100 {
        thread::yield_now();
    }
    assert!(!task.is_finished());
    is_done.set(true);
    assert_eq!(task.join(), Ok(()));
}

pub(crate) fn the_first_of_two_futures_wins() {
    let race = |a: u64, b: u64| {
        let millis = Duration::from_millis;
        task::block_on(task::select(task::sleep(millis(a)), task::sleep(millis(b))))
    };
    assert_eq!(race(1, 60_000), Either::First(()));
    assert_eq!(race(60_000, 1), Either::Second(()));
}

pub(crate) fn a_timeout_ends_a_wait() {
    let short = Duration::from_millis(5);
    assert_eq!(task::block_on(task::timeout(short, pending::<()>())), None);
    let ready = async { 7 };
    assert_eq!(task::block_on(task::timeout(short, ready)), Some(7));
}

pub(crate) fn tasks_of_other_cores_are_woken_and_joined() {
    const TASKS: u64 = 1000;
    let sum = Arc::new(AtomicU64::new(0));
    for core in 0..thread::cores() {
        let tasks: Vec<task::JoinHandle<usize>> = (0..TASKS)
            .map(|number| {
                let sum = Arc::clone(&sum);
                let inner = task::spawn(async move { number });
                let outer = async move {
                    // Woken from core 0, where the inner task ends.
                    let number = inner.await.expect("the inner task ended");
                    sum.fetch_add(number, Ordering::Relaxed);
                    thread::current().core()
                };
                task::spawn_on(core, outer).expect("the core is there")
            })
            .collect();
        for task in tasks {
            assert_eq!(task.join(), Ok(core));
        }
    }
    let expected = thread::cores() as u64 * TASKS * (TASKS - 1) / 2;
    assert_eq!(sum.load(Ordering::Relaxed), expected);
}
