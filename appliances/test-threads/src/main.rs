//! Tests threads, sleeping and waking on a machine.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::Poll;

use toro::thread;
use toro::time::{Duration, Instant};

toro::main!(main);

fn main() {
    toro_test::run(toro_test::cases![
        joins_with_the_result_of_a_thread,
        threads_take_turns_when_they_yield,
        a_parked_thread_runs_again_when_unparked,
        an_unpark_before_the_park_is_not_lost,
        a_sleep_lasts_as_long_as_was_asked,
        sleepers_wake_in_the_order_of_their_deadlines,
        a_deadline_ends_a_wait_for_a_future,
        a_waker_of_another_thread_wakes_a_future,
        a_thousand_threads_come_and_go,
        the_floating_point_registers_survive_a_switch,
        threads_begin_at_random_places_in_their_stacks,
    ]);
}

fn threads_begin_at_random_places_in_their_stacks() {
    let place = || {
        let local = 0u8;
        &raw const local as usize % 4096
    };
    let mut places: Vec<usize> = (0..32)
        .map(|_| thread::spawn("somewhere", place))
        .map(|handle| handle.join().expect("the thread gave a result"))
        .collect();
    places.sort_unstable();
    places.dedup();
    // 32 throws of a die with 32 faces show 20 of them, more or less.
    assert!(places.len() > 5, "threads begin at {places:x?}");
}

fn joins_with_the_result_of_a_thread() {
    let handle = thread::spawn("adds", || 40 + 2);
    assert_eq!(handle.join().expect("the thread gave a result"), 42);
}

fn threads_take_turns_when_they_yield() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let handles: Vec<_> = (0..3)
        .map(|number| {
            let order = Rc::clone(&order);
            thread::spawn("turn", move || {
                for round in 0..3 {
                    order.borrow_mut().push((round, number));
                    thread::yield_now();
                }
            })
        })
        .collect();
    handles.into_iter().for_each(join);
    let expected: Vec<_> = (0..3)
        .flat_map(|round| (0..3).map(move |number| (round, number)))
        .collect();
    assert_eq!(*order.borrow(), expected);
}

fn a_parked_thread_runs_again_when_unparked() {
    let woken = Rc::new(Cell::new(false));
    let flag = Rc::clone(&woken);
    let handle = thread::spawn("parks", move || {
        thread::park();
        flag.set(true);
    });
    thread::yield_now();
    assert!(!woken.get(), "it is parked");
    handle.thread().unpark();
    join(handle);
    assert!(woken.get());
}

fn an_unpark_before_the_park_is_not_lost() {
    thread::current().unpark();
    thread::park();
}

fn a_sleep_lasts_as_long_as_was_asked() {
    let start = Instant::now();
    thread::sleep(Duration::from_millis(30));
    let slept = Instant::now()
        .checked_duration_since(start)
        .expect("time goes on");
    assert!(slept >= Duration::from_millis(30), "{slept:?}");
}

fn sleepers_wake_in_the_order_of_their_deadlines() {
    // The first unit is long enough unless the machine is stopped for a while.
    let mut units = (0..12).map(|doublings| Duration::from_millis(10 << doublings));
    assert!(units.any(wake_in_order), "it takes 20 s to fall asleep");
}

/// Lets threads sleep for one to three times `unit`; `false` if not all slept before the first was due, which says nothing.
fn wake_in_order(unit: Duration) -> bool {
    let start = Instant::now();
    let order = Rc::new(RefCell::new(Vec::new()));
    let handles: Vec<_> = [3, 1, 2]
        .into_iter()
        .map(|units| {
            let order = Rc::clone(&order);
            let deadline = start + unit * units;
            thread::spawn("sleeps", move || {
                while Instant::now() < deadline {
                    thread::park_until(deadline);
                }
                order.borrow_mut().push(units);
            })
        })
        .collect();
    // All fall asleep before this thread goes on.
    thread::yield_now();
    let is_in_time = Instant::now() < start + unit;
    handles.into_iter().for_each(join);
    assert!(!is_in_time || *order.borrow() == [1, 2, 3]);
    is_in_time
}

fn a_deadline_ends_a_wait_for_a_future() {
    let deadline = Instant::now() + Duration::from_millis(10);
    let never = poll_fn(|_| Poll::<()>::Pending);
    assert!(thread::block_on_until(deadline, never).is_none());
    assert!(Instant::now() >= deadline);
    assert_eq!(
        thread::block_on_until(deadline, core::future::ready(7)),
        Some(7)
    );
}

fn a_waker_of_another_thread_wakes_a_future() {
    let slot = Rc::new(Cell::new(None));
    let (filled, waiter) = (Rc::clone(&slot), thread::current());
    let handle = thread::spawn("fills", move || {
        filled.set(Some(7));
        waiter.waker().wake();
    });
    let value = thread::block_on(poll_fn(|_| match slot.get() {
        Some(value) => Poll::Ready(value),
        None => Poll::Pending,
    }));
    assert_eq!(value, 7);
    join(handle);
}

fn a_thousand_threads_come_and_go() {
    let count = Rc::new(Cell::new(0));
    for _ in 0..100 {
        let handles: Vec<_> = (0..10)
            .map(|_| {
                let count = Rc::clone(&count);
                thread::spawn("counts", move || count.set(count.get() + 1))
            })
            .collect();
        handles.into_iter().for_each(join);
    }
    assert_eq!(count.get(), 1000);
}

fn the_floating_point_registers_survive_a_switch() {
    let handles: Vec<_> = (1_u16..=4)
        .map(|number| {
            thread::spawn("sums", move || {
                let step = f64::from(number) / 8.0;
                let mut sum = 0.0;
                for _ in 0..64 {
                    sum += step;
                    thread::yield_now();
                }
                assert_eq!(sum, f64::from(number) * 8.0);
            })
        })
        .collect();
    handles.into_iter().for_each(join);
}

fn join<T: 'static>(handle: thread::JoinHandle<T>) {
    handle.join().expect("the thread gave a result");
}
