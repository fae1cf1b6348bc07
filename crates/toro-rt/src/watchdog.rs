//! The watchdogs: over threads that do not yield, and over the image as a whole.
//!
//! `watchdog=SECONDS` on the command line says how long a thread may keep its core; 0 turns both off. The **first** watches a
//! core from its own timer interrupt (`toro_arch::watch`): a thread that has kept the core for so long is reported with its
//! backtrace, once, and goes on. The **second** is a device, if the machine has one (`hardware.rs` below): it ends the machine
//! when it is not fed for twice as long, and it is fed only while the scheduler of every core runs.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use log::error;
use toro_arch::trap::TrapFrame;
use toro_arch::watch;
use toro_time::Alarm;

mod hardware;

pub use hardware::feeds;
pub(crate) use hardware::start;

/// How many seconds a thread may keep its core unless the command line says otherwise.
const PATIENCE: u64 = 10;

/// The most that the command line can ask for: a day.
const LONGEST: u64 = 24 * 60 * 60;

/// The longest time between two looks: a countdown of 32 bits reaches that far at 2 GHz.
const LONGEST_STEP: Duration = Duration::from_secs(2);

/// How often at least a core is looked at before its thread is reported.
const STEPS: u32 = 4;

/// How many reports there have been.
static REPORTS: AtomicUsize = AtomicUsize::new(0);

/// How many seconds a thread may keep its core; 0 if the watchdogs are off.
static SECONDS: AtomicU64 = AtomicU64::new(0);

/// What the command line says, in seconds.
fn wanted() -> u64 {
    let Some(text) = crate::environment::value("watchdog") else {
        return PATIENCE;
    };
    text.parse().map_or_else(
        |_| {
            error!("watchdog={text}: not a number of seconds; {PATIENCE} it is");
            PATIENCE
        },
        |seconds: u64| seconds.min(LONGEST),
    )
}

/// How long a thread may keep its core; `None` if the watchdogs are off.
fn patience() -> Option<Duration> {
    match SECONDS.load(Ordering::Relaxed) {
        0 => None,
        seconds => Some(Duration::from_secs(seconds)),
    }
}

/// The time between two looks.
fn step(patience: Duration) -> Duration {
    (patience / STEPS).min(LONGEST_STEP)
}

/// Makes the alarm of a core fire often enough, and the timer's interrupt watch.
///
/// # Context
/// The core that boots, before it has interrupts on and before there are others.
pub(crate) fn install(alarm: Alarm) -> Alarm {
    SECONDS.store(wanted(), Ordering::Relaxed);
    let Some(patience) = patience() else {
        return alarm;
    };
    // SAFETY: 1. the context above.
    unsafe { watch::install() };
    alarm.at_least_every(step(patience))
}

/// Begins to watch the running core.
///
/// # Context
/// Interrupts are off, and the core has its clock.
pub(crate) fn start_core(clock: &toro_time::Clock, alarm: &Alarm) {
    if let Some(patience) = patience() {
        let (timer, ticks) = alarm.ticks(clock, step(patience));
        watch::start(timer, ticks);
    }
}

/// The timer has fired, and the scheduler has not run since it last did.
///
/// # Context
/// The interrupt itself.
pub(crate) fn tick(frame: &TrapFrame) {
    let missed = watch::tick();
    let Some(patience) = patience() else {
        return;
    };
    // The first look comes up to a step after the thread began to run, so that it has kept the core for `patience` at least.
    if u128::from(missed) == patience.as_nanos().div_ceil(step(patience).as_nanos()) {
        crate::fault::report_stall(frame, patience.as_secs());
        REPORTS.fetch_add(1, Ordering::Release);
    }
}

/// How many threads have been reported, on all cores, because they did not yield for as long as `watchdog=` says.
pub fn stalls() -> usize {
    REPORTS.load(Ordering::Acquire)
}
