//! Values that go there and come back, between threads, tasks and cores.

use toro_sched::channel::channel;
use toro_sched::{Builder, JoinHandle, cores, task};

use crate::{Meter, name};

/// How many values a channel holds.
const CAPACITY: usize = 64;

/// Measures channels whose ends are both on the running core.
pub fn run(meter: &Meter) {
    meter.measure(name::CHANNEL, 2_000_000, |count| {
        let (sender, mut receiver) = channel(CAPACITY);
        for value in 0..count {
            sender.try_send(value).expect("there is room");
            assert_eq!(receiver.try_recv(), Ok(value));
        }
    });
    meter.measure(name::CHANNEL_THREADS, 500_000, |count| threads(count, 0));
    meter.measure(name::CHANNEL_TASKS, 500_000, tasks);
}

/// Measures a channel to core 1 and back, if there is such a core.
pub fn between_cores(meter: &Meter) {
    if cores() > 1 {
        meter.measure(name::CHANNEL_CORES, 20_000, |count| threads(count, 1));
    }
}

/// A thread here and one on core `core` send a value to and fro; an operation is there and back.
fn threads(count: u64, core: usize) {
    let (there, mut arrivals) = channel(CAPACITY);
    let (back, mut answers) = channel(CAPACITY);
    let partner = Builder::new().spawn_on(core, move || {
        while let Some(value) = arrivals.recv() {
            back.send(value).expect("somebody waits for the answer");
        }
    });
    let partner = partner.expect("the core is up");
    for value in 0..count {
        there.send(value).expect("the partner lives");
        assert_eq!(answers.recv(), Some(value));
    }
    drop(there);
    join(partner);
}

/// As [`threads`], with two tasks of this core.
fn tasks(count: u64) {
    let (there, mut arrivals) = channel(CAPACITY);
    let (back, mut answers) = channel(CAPACITY);
    let partner = task::spawn(async move {
        while let Some(value) = arrivals.recv_async().await {
            let sent = back.send_async(value).await;
            sent.expect("somebody waits for the answer");
        }
    });
    let main = task::spawn(async move {
        for value in 0..count {
            there.send_async(value).await.expect("the partner lives");
            assert_eq!(answers.recv_async().await, Some(value));
        }
    });
    main.join().expect("the task gave a result");
    partner.join().expect("the task gave a result");
}

fn join<T>(handle: JoinHandle<T>) -> T {
    handle.join().expect("the thread gave a result")
}
