//! Tracing: what happens on each core, as typed events.
//!
//! The units of the kernel call [`emit`] where something happens. Without the feature `compiled`, which the unit `trace` of an image
//! picks, that is nothing. With it, it is a look at one static word while nobody wants events, and otherwise a few stores into
//! the core's own ring ([`toro_queue::EventRing`]), which takes no lock, waits for nobody and overwrites what is oldest.
//! Whoever wants events gives each core its rings ([`prepare`]), says so ([`want`]), and reads with a [`Reader`] from any core.
//!
//! The shortest ways are not a call of `emit`, for even a look would show there: changes of threads, waits, wake-ups and allocation, which
//! tells of pages and not of objects, go through pointers that each core has for itself (`toro_sched::trace_here`).
//!
//! Samples of the timer's interrupt have a ring of their own, for an interrupt may come in the middle of [`emit`].

#![no_std]

extern crate alloc;

mod rings;

use core::sync::atomic::{AtomicU8, Ordering};

pub use rings::{EVENTS, Reader, count, is_idle, latest, prepare};
pub use toro_abi::trace::{Event, Kind, Source};

/// Whether the hooks are in this image.
pub const IS_COMPILED: bool = cfg!(feature = "compiled");

/// Who wants events: a bit for each.
static WANTED: AtomicU8 = AtomicU8::new(0);

/// Somebody who wants events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Client {
    /// The host, which reads them at a port.
    Host = 1,
    /// The operator or the command line.
    Operator = 2,
}

/// Says whether `client` wants events from now on; each core hears of it by `toro_sched::trace_here`.
pub fn want(client: Client, wants: bool) {
    let bit = client as u8;
    match wants {
        true => WANTED.fetch_or(bit, Ordering::Relaxed),
        false => WANTED.fetch_and(!bit, Ordering::Relaxed),
    };
}

/// Whether anybody wants events.
#[inline(always)]
pub fn is_on() -> bool {
    IS_COMPILED && WANTED.load(Ordering::Relaxed) != 0
}

/// Notes an event of this core, if anybody wants events.
///
/// # Context
/// A thread of the core or its scheduler, never an interrupt.
#[inline(always)]
pub fn emit(kind: Kind, value: u64) {
    if is_on() {
        note(kind, value);
    }
}

/// Notes an event whose value takes some work to find.
#[inline(always)]
pub fn emit_with(kind: Kind, value: impl FnOnce() -> u64) {
    if is_on() {
        note(kind, value());
    }
}

/// Notes an event of this core.
#[cold]
#[inline(never)]
pub fn note(kind: Kind, value: u64) {
    rings::push(kind, value);
}

/// As [`note`], for functions that are apart already: even a call would show there.
#[inline(always)]
pub fn note_here(kind: Kind, value: u64) {
    rings::push(kind, value);
}

/// Notes the name of the thread or of the service `number`, if anybody wants events.
#[inline(always)]
pub fn emit_name(kind: Kind, number: u64, name: &str) {
    if is_on() {
        note_name(kind, number, name);
    }
}

#[cold]
#[inline(never)]
fn note_name(kind: Kind, number: u64, name: &str) {
    note(kind, number);
    toro_abi::trace::spell(name).for_each(|text| note(Kind::Text, text));
}

/// Notes where this core was interrupted: in the thread `thread`, at the addresses that `walk` visits; `None` if it was idle.
///
/// # Context
/// The timer's interrupt.
pub fn sample(thread: Option<u64>, walk: impl FnOnce(&mut dyn FnMut(u64))) {
    let push = rings::push_sample;
    match thread {
        None => push(Kind::IdleSample, 0),
        Some(thread) => {
            push(Kind::Sample, thread);
            walk(&mut |address| push(Kind::Frame, address));
        }
    }
}
