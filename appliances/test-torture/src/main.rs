//! Random work on all cores: threads and tasks are spawned, joined, woken and put to sleep, buffers are sent, checked and freed
//! far from home. Arguments: `seed=1 seconds=2`.
//!
//! The work is done in rounds, each with a seed of its own: the first has the one that was given, and each further one the next
//! number. One seed gives each core the same steps each time; how they interleave is up to the machine. So to repeat what a round
//! did, give its seed.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod driver;
mod leaks;
mod random;

use alloc::sync::Arc;
use alloc::vec::Vec;

use toro::println;
use toro::sync::{Receiver, channel};
use toro::thread::{self, Builder};
use toro::time::{Duration, Instant};

use crate::driver::{Buffer, Count, Driver};

/// Steps of each core in a round.
const STEPS: u64 = 10_000;

toro::main!(main);

fn main() {
    toro_test::run(toro_test::cases![
        random_work_on_every_core_loses_nothing,
        the_same_seed_does_the_same,
        leaks::the_memory_is_back_at_its_start,
    ]);
}

/// The number that follows `name=` among the arguments.
fn argument(name: &str) -> Option<u64> {
    toro::env::args().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

fn random_work_on_every_core_loses_nothing() {
    let seed = argument("seed").unwrap_or(1);
    let long = Duration::from_secs(argument("seconds").unwrap_or(2));
    let begun = Instant::now();
    let mut total = Count::default();
    for round in 0.. {
        let passed = begun.elapsed();
        if passed >= long {
            break;
        }
        let seed = seed + round;
        // `cargo xtask test --soak` shows these lines.
        println!(
            "torture: seed {seed} begins after {} s; so far {round} rounds, {total}",
            passed.as_secs()
        );
        let count = work(seed, STEPS);
        assert_eq!(count.sent, count.received);
        total = total.plus(count);
    }
    println!("torture: {total}");
}

fn the_same_seed_does_the_same() {
    let counts = [1, 1, 2].map(|seed| work(seed, 300));
    assert_eq!(counts[0], counts[1]);
    assert_ne!(counts[0], counts[2]);
}

/// Lets every core take so many steps, and adds up what they did. All that it started has ended then.
fn work(seed: u64, steps: u64) -> Count {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..thread::cores()).map(|_| channel::<Buffer>(64)).unzip();
    let senders = Arc::new(senders);
    let drivers: Vec<_> = (0..thread::cores())
        .map(|core| {
            let driver = Driver::new(seed, core, Arc::clone(&senders));
            let builder = Builder::new().name("driver").stack_size(64 * 1024);
            let body = move || driver.run(steps);
            builder.spawn_on(core, body).expect("the driver began")
        })
        .collect();
    drop(senders);
    let receivers: Vec<_> = (0..)
        .zip(receivers)
        .map(|(core, receiver)| {
            let builder = Builder::new().name("receiver");
            let body = move || receive(receiver);
            builder.spawn_on(core, body).expect("the receiver began")
        })
        .collect();
    let driven = drivers
        .into_iter()
        .map(|thread| thread.join().expect("it drove"));
    let mut count = driven.fold(Count::default(), Count::plus);
    for receiver in receivers {
        count.received += receiver.join().expect("it received");
    }
    count
}

/// Checks and frees what arrives until all senders are gone.
fn receive(mut receiver: Receiver<Buffer>) -> u64 {
    let mut received = 0;
    while let Some(buffer) = receiver.recv() {
        buffer.check();
        received += 1;
        if received % 128 == 0 {
            // The senders have to wait now and then.
            thread::sleep(Duration::from_micros(200));
        }
    }
    received
}
