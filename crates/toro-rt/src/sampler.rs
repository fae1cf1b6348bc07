//! `sample=HZ` on the command line: each core is interrupted so often, and while events are noted the interrupt notes where it came.
//!
//! The scheduler's timer does that: it fires every so often even if nothing is due, and its interrupt always comes here
//! (`toro_arch::watch`). The watch over threads that do not yield needs the same interrupt, so it is off meanwhile.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use log::error;
use toro_arch::trap::TrapFrame;
use toro_arch::watch;
use toro_time::{Alarm, Clock};

/// More would leave no time for anything else.
const HIGHEST: u32 = 10_000;

/// How often a second each core is sampled; 0 if it is not.
static RATE: AtomicU32 = AtomicU32::new(0);

/// The time between two samples.
fn period() -> Option<Duration> {
    Duration::from_secs(1).checked_div(RATE.load(Ordering::Relaxed))
}

/// Makes the alarm of a core fire as often as the command line says, and its interrupt come here.
///
/// # Context
/// The core that boots, before it has interrupts on and before there are others.
pub(crate) fn install(alarm: Alarm) -> Alarm {
    let Some(text) = crate::environment::value("sample") else {
        return alarm;
    };
    match text.parse() {
        Ok(rate @ 1..=HIGHEST) => RATE.store(rate, Ordering::Relaxed),
        _ => error!("sample={text}: not a number from 1 to {HIGHEST}; nothing is sampled"),
    }
    let Some(period) = period() else {
        return alarm;
    };
    // SAFETY: 1. the context above.
    unsafe { watch::install_sampling() };
    alarm.at_least_every(period)
}

/// Begins to sample the running core.
///
/// # Context
/// Interrupts are off, and the core has its clock.
pub(crate) fn start_core(clock: &Clock, alarm: &Alarm) {
    if let Some(period) = period() {
        let (timer, ticks) = alarm.ticks(clock, period);
        watch::start(timer, ticks);
    }
}

/// Takes a timer's interrupt: notes where the core was. `false` if it is none, or nothing is sampled.
///
/// # Context
/// The interrupt itself.
pub(crate) fn tick(frame: &TrapFrame) -> bool {
    let is_sample = frame.vector == u64::from(watch::TIMER) && RATE.load(Ordering::Relaxed) != 0;
    if is_sample {
        watch::sampled();
        if toro_trace::is_on() {
            note(frame);
        }
    }
    is_sample
}

fn note(frame: &TrapFrame) {
    let Some(thread) = toro_sched::try_current().filter(|_| !toro_trace::is_idle()) else {
        return toro_trace::sample(None, |_| {});
    };
    toro_trace::sample(Some(thread.id()), |visit| {
        // SAFETY: 1. the stack of a thread that runs is mapped; 2. it stands still, for this has interrupted it.
        unsafe { toro_backtrace::walk(frame.rbp, frame.rip, toro_sched::stack_range(), visit) };
    });
}
