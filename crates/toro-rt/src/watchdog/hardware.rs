//! The watchdog of the machine: fed while the scheduler of every core runs.
//!
//! A thread on each core counts its turns. The one on the core that boots feeds the device when all have had a turn since it last did.
//! So a core whose thread never yields, or that has died, ends the machine, and so does an image that stands still as a whole.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use log::{error, info, warn};
use toro_arch::core_local::MAX_CORES;
use toro_boot::BootInfo;
use toro_i6300esb::{ID, REGISTERS, Watchdog};
use toro_sched::{Builder, SpawnError};

use super::{patience, step};
use crate::pci;

/// How often each core's thread has had its turn.
static TURNS: [AtomicU64; MAX_CORES] = [const { AtomicU64::new(0) }; MAX_CORES];

/// How often the device was fed.
static MEALS: AtomicUsize = AtomicUsize::new(0);

/// Looks for the device, and starts it and those who feed it.
pub(crate) fn start(info: &BootInfo) {
    let Some(patience) = patience() else {
        return;
    };
    // A thread that stands still is reported first, and the report takes its time on a slow console.
    let timeout = patience * 2;
    let Some(watchdog) = find(info, timeout) else {
        return;
    };
    match feed_from_all_cores(watchdog, step(patience)) {
        Ok(()) => {
            info!("watchdog: the machine ends when a core stands still for {timeout:?}");
        }
        Err(reason) => {
            error!("watchdog: the machine ends in {timeout:?}, for nobody can feed it: {reason}");
        }
    }
}

fn find(info: &BootInfo, timeout: Duration) -> Option<Watchdog> {
    pci::with_function(info, ID, |function| {
        // SAFETY: 1. the function was found by the machine's own access. 2. `map_device` maps for good.
        match unsafe { function.map(0, 0, REGISTERS, toro_pci::map_device) } {
            Ok(registers) => Some(Watchdog::start(function, registers, timeout)),
            Err(error) => {
                warn!("watchdog: i6300esb: {error}");
                None
            }
        }
    })
    .flatten()
}

fn feed_from_all_cores(watchdog: Watchdog, every: Duration) -> Result<(), SpawnError> {
    for core in 1..toro_sched::cores() {
        let builder = Builder::new().name("turns").stack_size(8 * 1024);
        drop(builder.spawn_on(core, move || take_turns(core, every))?);
    }
    let builder = Builder::new().name("watchdog");
    drop(builder.spawn(move || feed(watchdog, every))?);
    Ok(())
}

fn take_turns(core: usize, every: Duration) {
    loop {
        TURNS[core].fetch_add(1, Ordering::Relaxed);
        toro_sched::sleep(every);
    }
}

fn feed(mut watchdog: Watchdog, every: Duration) {
    let turns = || -> Vec<u64> {
        let others = &TURNS[1..toro_sched::cores()];
        others
            .iter()
            .map(|turns| turns.load(Ordering::Relaxed))
            .collect()
    };
    let mut last = turns();
    loop {
        toro_sched::sleep(every);
        let now = turns();
        if now.iter().zip(&last).all(|(now, last)| now != last) {
            watchdog.feed();
            MEALS.fetch_add(1, Ordering::Relaxed);
            last = now;
        }
    }
}

/// How often the machine's watchdog was fed; 0 if it has none, or nobody has come to it yet.
pub fn feeds() -> usize {
    MEALS.load(Ordering::Relaxed)
}
