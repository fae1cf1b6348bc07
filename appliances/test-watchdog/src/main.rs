//! Stands still on purpose, in the way that its argument names, and looks who notices. What the console must then show stands in
//! the manifest.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::sync::Arc;
use core::hint;

use toro::sync::Mutex;
use toro::thread::{self, Builder, JoinHandle};
use toro::time::{Duration, Instant};
use toro::{ExitCode, println, watchdog};

toro::main!(main);

/// A stall is reported after a second or two, unless the machine has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    match toro::env::args().next() {
        Some("report") => report(),
        Some("stand-still") => stand_still(),
        Some("run") => run(),
        _ => toro_test::run(toro_test::cases![
            a_thread_that_keeps_its_core_is_reported_once_and_goes_on,
            a_second_thread_is_reported_too,
            turns_are_not_reported,
        ]),
    }
}

/// Does not yield until the watchdog says so, and then for `longer`.
#[inline(never)]
fn keep_the_core(longer: Duration) {
    let (before, begun) = (watchdog::stalls(), Instant::now());
    while watchdog::stalls() == before {
        assert!(begun.elapsed() < PATIENCE, "nobody notices");
        hint::spin_loop();
    }
    let noticed = Instant::now();
    while noticed.elapsed() < longer {
        hint::spin_loop();
    }
}

fn keep_last_core(longer: Duration) -> JoinHandle<()> {
    let last = thread::cores() - 1;
    let greedy = Builder::new().name("greedy");
    greedy
        .spawn_on(last, move || keep_the_core(longer))
        .expect("it began")
}

fn a_thread_that_keeps_its_core_is_reported_once_and_goes_on() {
    let before = watchdog::stalls();
    let greedy = keep_last_core(Duration::from_secs(2));
    assert_eq!(greedy.join(), Ok(()));
    assert_eq!(watchdog::stalls(), before + 1, "once");
    // The timers of that core go on.
    let sleeper = Builder::new().spawn_on(thread::cores() - 1, || {
        thread::sleep(Duration::from_millis(20));
    });
    assert_eq!(sleeper.expect("it began").join(), Ok(()));
}

fn a_second_thread_is_reported_too() {
    keep_the_core(Duration::ZERO);
    thread::yield_now();
    let before = watchdog::stalls();
    keep_the_core(Duration::ZERO);
    assert_eq!(watchdog::stalls(), before + 1);
}

/// A thread that yields now and then may use the core as long as it likes.
fn turns_are_not_reported() {
    let before = watchdog::stalls();
    let busy = thread::on_each_core("busy", || {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            thread::yield_now();
        }
    });
    assert!(busy.expect("they began").iter().all(Result::is_ok));
    assert_eq!(watchdog::stalls(), before);
}

/// A thread keeps a core, while others of that core wait.
fn report() {
    let held = Arc::new(Mutex::new(()));
    let guard = held.lock();
    let last = thread::cores() - 1;
    let locker = Arc::clone(&held);
    let waits = [
        Builder::new()
            .name("locker")
            .spawn_on(last, move || drop(locker.lock())),
        Builder::new()
            .name("sleeper")
            .spawn_on(last, || thread::sleep(Duration::from_secs(3600))),
    ];
    assert!(waits.iter().all(Result::is_ok), "they began");
    assert_eq!(keep_last_core(Duration::ZERO).join(), Ok(()));
    drop(guard);
    toro::exit(ExitCode::Failure)
}

/// Nobody feeds the machine's watchdog any more.
fn stand_still() {
    let forever = Duration::from_secs(3600);
    assert_eq!(keep_last_core(forever).join(), Ok(()), "it never ends");
}

/// All is well for longer than the machine's watchdog waits.
fn run() {
    let begun = Instant::now();
    // `watchdog=4` makes it wait for eight seconds.
    thread::sleep(Duration::from_secs(9));
    assert!(begun.elapsed() > Duration::from_secs(8));
    assert!(watchdog::feeds() > 0, "nobody fed it");
    println!("test-watchdog: fed while it ran");
}
