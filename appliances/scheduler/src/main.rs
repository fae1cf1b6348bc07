//! Shows turns and wake-ups of threads, and what a switch and a thread cost.
//!
//! What threads did is checked: the image fails if one overtook another. Costs are in cycles of the time stamp counter, next to
//! those of the Toro that was written in Pascal, on an emulated machine with two cores.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicBool, Ordering};

use toro::thread::{self, Builder};
use toro::{ExitCode, println};
use toro_arch::tsc;

toro::main!(main);

fn main() {
    let checks = [
        ("turns", takes_turns()),
        ("wake-ups", wakes_in_order()),
        ("waits across cores", waits_across_cores()),
    ];
    println!("{:<28}{:>12}{:>12}", "cycles", "here", "original");
    row("switch there and back", switch_pair(), "750");
    row("wake, switch and back", wake_pair(), "-");
    let last = thread::cores() - 1;
    row("thread made and joined", life(0), "129000");
    row("the same on the last core", life(last), "238000");
    for (name, holds) in checks {
        println!("{name}: {}", if holds { "verified" } else { "WRONG" });
    }
    if checks.iter().any(|(_, holds)| !holds) {
        toro::exit(ExitCode::Failure);
    }
}

fn row(name: &str, cycles: u64, original: &str) {
    println!("{name:<28}{cycles:>12}{original:>12}");
}

/// Three threads that yield run in turn.
fn takes_turns() -> bool {
    let log = Rc::new(RefCell::new(String::new()));
    let threads = ['a', 'b', 'c'].map(|name| {
        let log = Rc::clone(&log);
        thread::spawn("turn", move || {
            for _ in 0..4 {
                log.borrow_mut().push(name);
                thread::yield_now();
            }
        })
    });
    let joined = threads.into_iter().all(|thread| thread.join().is_ok());
    println!("turns: {}", log.borrow());
    joined && *log.borrow() == "abcabcabcabc"
}

/// Threads that are woken run in the order in which they were.
fn wakes_in_order() -> bool {
    let log = Rc::new(RefCell::new(String::new()));
    let threads = ['a', 'b', 'c'].map(|name| {
        let log = Rc::clone(&log);
        thread::spawn("parked", move || {
            thread::park();
            log.borrow_mut().push(name);
        })
    });
    thread::yield_now();
    for thread in threads.iter().rev() {
        thread.thread().unpark();
    }
    let joined = threads.into_iter().all(|thread| thread.join().is_ok());
    println!("woken: {}", log.borrow());
    joined && *log.borrow() == "cba"
}

/// A thread of every core parks until this one says so.
fn waits_across_cores() -> bool {
    (0..thread::cores()).all(|core| {
        let go = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&go);
        let far = Builder::new().spawn_on(core, move || {
            while !seen.load(Ordering::Acquire) {
                thread::park();
            }
        });
        far.is_ok_and(|far| {
            go.store(true, Ordering::Release);
            far.thread().unpark();
            far.join().is_ok()
        })
    })
}

/// To another thread that is ready, and back.
fn switch_pair() -> u64 {
    const ROUNDS: u64 = 20_000;
    let ended = Rc::new(Cell::new(false));
    let seen = Rc::clone(&ended);
    let other = thread::spawn("other", move || {
        while !seen.get() {
            thread::yield_now();
        }
    });
    let cycles = per(ROUNDS, thread::yield_now);
    ended.set(true);
    other.join().expect("it returned");
    cycles
}

/// Another thread is woken, and wakes this one.
fn wake_pair() -> u64 {
    const ROUNDS: u64 = 20_000;
    let here = thread::current();
    let ended = Rc::new(Cell::new(false));
    let seen = Rc::clone(&ended);
    let other = thread::spawn("other", move || {
        while !seen.get() {
            here.unpark();
            thread::park();
        }
    });
    let far = other.thread().clone();
    let cycles = per(ROUNDS, || {
        far.unpark();
        thread::park();
    });
    ended.set(true);
    far.unpark();
    other.join().expect("it returned");
    cycles
}

/// A thread from its spawn to its end on core `core`.
fn life(core: usize) -> u64 {
    const ROUNDS: u64 = 1000;
    per(ROUNDS, || {
        let thread = Builder::new().spawn_on(core, || {}).expect("it began");
        thread.join().expect("it returned");
    })
}

/// Cycles of one `step`.
fn per(rounds: u64, mut step: impl FnMut()) -> u64 {
    step();
    let begun = tsc::read();
    for _ in 0..rounds {
        step();
    }
    (tsc::read() - begun) / rounds
}
