//! Stands still on purpose, in the way that its argument names, and looks who notices. What the console must then show stands in
//! the manifest.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::sync::Arc;
use core::hint;
use core::sync::atomic::{AtomicUsize, Ordering};

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
        Some("deadlock") => dump_of_a_deadlock(),
        Some("deadlock-for-ever") => stay_deadlocked(),
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

/// Two threads on two cores have a lock each and wait for that of the other; returns when both do.
fn deadlock() -> [JoinHandle<()>; 2] {
    let locks = [(); 2].map(|()| Arc::new(Mutex::new(())));
    let held = Arc::new(AtomicUsize::new(0));
    let threads = [("left", 0), ("right", 1)].map(|(name, core)| {
        let (own, other) = (Arc::clone(&locks[core]), Arc::clone(&locks[1 - core]));
        let held = Arc::clone(&held);
        let builder = Builder::new().name(name);
        let thread = builder.spawn_on(core, move || take_both(&own, &other, &held));
        thread.expect("it began")
    });
    while held.load(Ordering::SeqCst) < 2 {
        thread::yield_now();
    }
    // Both have had a turn since then when two others have had theirs, one after the other.
    for _ in 0..2 {
        let turns = thread::on_each_core("turn", || ()).expect("they began");
        assert!(turns.iter().all(Result::is_ok));
    }
    threads
}

#[inline(never)]
fn take_both(own: &Mutex<()>, other: &Mutex<()>, held: &AtomicUsize) {
    let _own = own.lock();
    held.fetch_add(1, Ordering::SeqCst);
    while held.load(Ordering::SeqCst) < 2 {
        thread::yield_now();
    }
    drop(other.lock());
}

fn dump_of_a_deadlock() {
    let threads = deadlock();
    thread::dump();
    // All goes on.
    assert!(thread::on_each_core("after", || ()).is_ok());
    drop(threads);
    println!("test-watchdog: after the dump");
}

fn stay_deadlocked() {
    let [left, _right] = deadlock();
    println!("test-watchdog: both wait");
    assert_eq!(left.join(), Ok(()), "it never ends");
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
