//! Threads that begin and end: how many, where, and what is left of them.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

use toro::println;
use toro::thread::{self, Builder, JoinHandle, SpawnError};
use toro::time::Instant;
use toro_test::memory::{assert_back_at, in_use};

/// How many threads come and go.
const MANY: u64 = 100_000;
/// How many are there at the same time.
const LIVE: usize = 10_000;

pub(crate) fn a_hundred_thousand_threads_come_and_go() {
    spawn_and_join(0, 1000);
    let before = in_use();
    let begun = Instant::now();
    spawn_and_join(0, MANY);
    report("spawn and join", begun, MANY);
    assert_back_at(before);
}

pub(crate) fn threads_come_and_go_on_every_core() {
    let others = thread::cores() as u64 - 1;
    for core in 1..thread::cores() {
        spawn_and_join(core, 100);
        let before = in_use();
        let begun = Instant::now();
        spawn_and_join(core, MANY / others);
        report("remote spawn and join", begun, MANY / others);
        assert_back_at(before);
    }
}

pub(crate) fn ten_thousand_threads_live_at_once() {
    // The first time also pays for the page tables of the guards, which stay.
    live_at_once();
    let before = in_use();
    live_at_once();
    assert_back_at(before);
}

fn live_at_once() {
    let sum = Rc::new(Cell::new(0));
    let threads: Vec<JoinHandle<()>> = (0..LIVE)
        .map(|number| {
            let sum = Rc::clone(&sum);
            let body = move || {
                thread::park();
                sum.set(sum.get() + number);
            };
            Builder::new()
                .name("live")
                .stack_size(4096)
                .spawn(body)
                .expect("there is memory for its stack")
        })
        .collect();
    thread::yield_now();
    assert_eq!(sum.get(), 0, "all are parked");
    threads.iter().for_each(|thread| thread.thread().unpark());
    for thread in threads {
        thread.join().expect("the thread returned");
    }
    assert_eq!(sum.get(), LIVE * (LIVE - 1) / 2);
}

pub(crate) fn a_builder_names_its_thread() {
    let name = || thread::current().name().len();
    let builder = Builder::new().name("seven c");
    assert_eq!(builder.spawn(name).expect("it began").join(), Ok(7));
    let thread = thread::spawn("core", || thread::current().core());
    assert_eq!(thread.thread().name(), "core");
    assert_eq!(thread.join(), Ok(0));
}

pub(crate) fn a_core_that_is_not_there_is_an_error() {
    let cores = thread::cores();
    let spawned = Builder::new().spawn_on(cores, || ());
    assert_eq!(spawned.err(), Some(SpawnError::NoSuchCore(cores)));
}

fn spawn_and_join(core: usize, count: u64) {
    for number in 0..count {
        let thread = Builder::new().spawn_on(core, move || number);
        assert_eq!(thread.expect("it began").join(), Ok(number));
    }
}

pub(crate) fn a_function_runs_on_each_core() {
    let cores = thread::on_each_core("each", || thread::current().core());
    let cores = cores.expect("there is memory for a thread");
    assert!((0..thread::cores()).eq(cores.into_iter().flatten()));
}

fn report(what: &str, begun: Instant, count: u64) {
    let nanos = begun.elapsed().as_nanos() / u128::from(count);
    println!("{what}: {nanos} ns");
}
