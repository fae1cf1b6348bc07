//! Measures threads, timers and memory on a machine, for `cargo xtask bench kernel`.
//!
//! Its words are `instructions` for a machine that counts instructions by its time stamp counter, without which it prints
//! nanoseconds, and `quick` for a tenth of the work.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::fmt;

use toro::time::Instant;
use toro_bench::{Meter, channels, copy, cores, heap, tasks, threads, timers};

toro::main!(main);

fn main() {
    let has = |word: &str| toro::env::args().any(|arg| arg == word);
    let meter = Meter {
        by: "toro",
        now: if has("instructions") {
            toro_arch::tsc::read
        } else {
            nanoseconds
        },
        print,
        divisor: if has("quick") { 200 } else { 20 },
    };
    threads::run(&meter);
    tasks::run(&meter);
    channels::run(&meter);
    timers::run(&meter);
    heap::run(&meter, &toro_mem::KernelHeap);
    copy::run(&meter);
    cores::run(&meter);
    channels::between_cores(&meter);
    toro::println!("bench-kernel: done");
}

fn nanoseconds() -> u64 {
    Instant::now().as_nanos()
}

fn print(line: fmt::Arguments<'_>) {
    toro::println!("{line}");
}
