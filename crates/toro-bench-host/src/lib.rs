//! The host's side of `cargo xtask bench kernel`: two programs that print the samples that an image prints.
//!
//! `bench-toro` runs Toro's scheduler, heap and timers as a program of the host, on a [`machine`] that stands in for the
//! processor's privileged half. `bench-reference` does the same work with what the host offers: threads of the standard
//! library, tokio, crossbeam, the allocator of its C library. Both keep to given cores and count nanoseconds.

use std::fmt;

use toro_bench::Meter;

pub mod machine;

/// A meter of nanoseconds that prints to standard output; the program's argument `quick` makes it a tenth of the work.
pub fn meter(by: &'static str) -> Meter {
    let quick = std::env::args().any(|arg| arg == "quick");
    Meter {
        by,
        now: nanoseconds,
        print,
        divisor: if quick { 10 } else { 1 },
    }
}

/// Keeps the running thread to core `core` of those that this program may use, counted round.
///
/// # Panics
/// Panics if the host says no.
pub fn pin(core: usize) {
    // SAFETY: a set of processors is plain bits, and none is a valid set.
    let mut allowed: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: asks for a number.
    let parent = unsafe { libc::getppid() };
    // SAFETY: the set is as long as is said.
    let asked = unsafe { libc::sched_getaffinity(parent, size, &raw mut allowed) };
    assert_eq!(asked, 0, "the parent's cores are known");
    // SAFETY: the numbers are below the size of a set.
    let is_allowed = |&core: &usize| unsafe { libc::CPU_ISSET(core, &allowed) };
    let cores: Vec<usize> = (0..1024).filter(is_allowed).collect();
    // SAFETY: as above.
    let mut wanted: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number came from a set.
    unsafe { libc::CPU_SET(cores[core % cores.len()], &mut wanted) };
    // SAFETY: the set is as long as is said; 0 is the running thread.
    let set = unsafe { libc::sched_setaffinity(0, size, &raw const wanted) };
    assert_eq!(set, 0, "a core of the parent's may be used");
}

fn nanoseconds() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the host writes the time to where it is told.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

fn print(line: fmt::Arguments<'_>) {
    println!("{line}");
}
