//! The same work with what the host offers: threads of the standard library, crossbeam, tokio, the C library's allocator.

use std::alloc::System;
use std::ffi::c_int;
use std::future::{Future, poll_fn};
use std::pin::pin as pinned;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use tokio::sync::mpsc;
use toro_bench::{Meter, copy, heap, name};
use toro_bench_host::{meter, pin};

const THREADS: &str = "std threads";
const TOKIO: &str = "tokio";
const CROSSBEAM: &str = "crossbeam";
/// How many values a channel holds.
const CAPACITY: usize = 64;

fn main() {
    pin(1);
    let meter = meter(THREADS);
    // The C library at its best: it knows of no other thread and needs no locks, and it keeps what is freed.
    // SAFETY: sets a parameter.
    let set = unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, c_int::MAX) };
    assert_eq!(set, 1, "the C library has that parameter");
    heap::run(&meter.named("glibc"), &System);
    meter.measure(name::YIELD, 1_000_000, |count| {
        (0..count).for_each(|_| thread::yield_now());
    });
    meter.measure(name::SWITCH, 100_000, |count| hand_overs(count, 1));
    meter.measure(name::PARK, 100_000, |count| hand_overs(count, 1));
    meter.measure(name::SPAWN, 5_000, |count| {
        for _ in 0..count {
            join(thread::spawn(|| ()));
        }
    });
    channels(&meter.named(CROSSBEAM));
    tasks(&meter.named(TOKIO));
    task_round_trips(&meter.named(TOKIO));
    timers(&meter.named(TOKIO));
    copy::run(&meter.named("glibc"));
    meter.measure(name::REMOTE_SPAWN, 5_000, |count| {
        for _ in 0..count {
            join(thread::spawn(|| pin(0)));
        }
    });
    meter.measure(name::REMOTE_WAKE, 20_000, |count| hand_overs(count * 2, 0));
}

/// Two threads take turns by futex, the other one on core `core`: each wakes its partner, then waits.
fn hand_overs(count: u64, core: usize) {
    let main = thread::current();
    let partner = thread::spawn(move || {
        pin(core);
        for _ in 0..count / 2 {
            thread::park();
            main.unpark();
        }
    });
    for _ in 0..count / 2 {
        partner.thread().unpark();
        thread::park();
    }
    join(partner);
}

/// Channels between threads: within one, to another of the same core, and to one of another core.
fn channels(meter: &Meter) {
    meter.measure(name::CHANNEL, 2_000_000, |count| {
        let (sender, receiver) = bounded(CAPACITY);
        for value in 0..count {
            sender.try_send(value).expect("there is room");
            assert_eq!(receiver.try_recv(), Ok(value));
        }
    });
    meter.measure(name::CHANNEL_THREADS, 50_000, |count| round_trips(count, 1));
    meter.measure(name::CHANNEL_CORES, 20_000, |count| round_trips(count, 0));
}

/// A value goes to a thread on core `core` and back.
fn round_trips(count: u64, core: usize) {
    let (there, arrivals) = bounded(CAPACITY);
    let (back, answers) = bounded(CAPACITY);
    let partner = thread::spawn(move || {
        pin(core);
        for value in arrivals {
            back.send(value).expect("somebody waits for the answer");
        }
    });
    for value in 0..count {
        there.send(value).expect("the partner lives");
        assert_eq!(answers.recv(), Ok(value));
    }
    drop(there);
    join(partner);
}

/// Tasks of a runtime with one thread, measured from within one of them.
fn tasks(meter: &Meter) {
    let runtime = runtime();
    meter.measure(name::TASK_SPAWN, 500_000, |count| {
        let spawns = runtime.spawn(async move {
            for _ in 0..count {
                let ended = tokio::spawn(async {}).await;
                ended.expect("the task gave a result");
            }
        });
        let ended = runtime.block_on(spawns);
        ended.expect("the task gave a result");
    });
    let turns = |count| async move {
        for _ in 0..count / 2 {
            tokio::task::yield_now().await;
        }
    };
    meter.measure(name::TASK_SWITCH, 1_000_000, |count| {
        let pair = [runtime.spawn(turns(count)), runtime.spawn(turns(count))];
        for task in pair {
            runtime.block_on(task).expect("the task gave a result");
        }
    });
}

/// A value goes to another task and back.
fn task_round_trips(meter: &Meter) {
    let runtime = runtime();
    meter.measure(name::CHANNEL_TASKS, 500_000, |count| {
        let (there, mut arrivals) = mpsc::channel(CAPACITY);
        let (back, mut answers) = mpsc::channel(CAPACITY);
        let partner = runtime.spawn(async move {
            while let Some(value) = arrivals.recv().await {
                let sent = back.send(value).await;
                sent.expect("somebody waits for the answer");
            }
        });
        let main = runtime.spawn(async move {
            for value in 0..count {
                there.send(value).await.expect("the partner lives");
                assert_eq!(answers.recv().await, Some(value));
            }
        });
        for task in [main, partner] {
            runtime.block_on(task).expect("the task gave a result");
        }
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime can be had")
}

/// A timeout that is waited for once and dropped, as it is when what it guards comes first.
fn timers(meter: &Meter) {
    let runtime = runtime();
    let _inside = runtime.enter();
    let poll = |sleep: std::pin::Pin<&mut tokio::time::Sleep>| {
        let mut context = Context::from_waker(Waker::noop());
        assert!(sleep.poll(&mut context).is_pending());
    };
    let moments = |index: u64| Duration::from_micros(1_000_000 + index * 7919 % 4_000_000);
    let mut waiting: Vec<_> = (0..1000)
        .map(|index| Box::pin(tokio::time::sleep(moments(index))))
        .collect();
    waiting.iter_mut().for_each(|sleep| poll(sleep.as_mut()));
    meter.measure(name::TIMER, 1_000_000, |count| {
        for index in 0..count {
            poll(pinned!(tokio::time::sleep(moments(index))));
        }
    });
    runtime.block_on(poll_fn(|_| Poll::Ready(())));
}

fn join<T>(handle: thread::JoinHandle<T>) {
    handle.join().expect("the thread gave a result");
}
