//! `stats=SECONDS` on the command line: a thread that prints what memory and network hold, whenever that has changed.
//!
//! One line of the core that boots, and one of each other core that has a network, for people and for tests that want to see that everything came back:
//!
//! ```text
//! stats: heap 412320 of 62210048 bytes in use, 0 connections open, 0 in TIME-WAIT, 100000 accepted, 0 given up half open, 0 asleep
//! ```

use core::time::Duration;

use toro_boot::BootInfo;
use toro_net::DropReason;

/// Starts the thread, if the command line asks for it.
pub(crate) fn start(info: &BootInfo) {
    let Some(text) = info.command_line().value("stats") else {
        return;
    };
    let Some(seconds) = text.parse().ok().filter(|&seconds| seconds > 0) else {
        log::error!("stats={text}: not a number of seconds from 1 on");
        return;
    };
    let interval = Duration::from_secs(seconds);
    let spawned = toro_sched::Builder::new()
        .name("stats")
        .spawn(move || report_every(interval, ""));
    if let Err(reason) = spawned {
        log::error!("stats: {reason}");
    }
    #[cfg(feature = "multiqueue")]
    report_others(interval);
}

/// Starts a thread on each other core that has a network.
#[cfg(feature = "multiqueue")]
fn report_others(interval: Duration) {
    for core in 1..toro_sched::cores() {
        let report = move || {
            if toro_net::is_init() {
                report_every(interval, &alloc::format!("core {core}: "));
            }
        };
        let spawned = toro_sched::Builder::new()
            .name("stats")
            .spawn_on(core, report);
        if let Err(reason) = spawned {
            log::error!("stats: {reason}");
        }
    }
}

fn report_every(interval: Duration, whose: &str) {
    let mut last = None;
    loop {
        let (heap, net) = (toro_mem::stats(), toro_net::stats());
        let given_up = net.dropped(DropReason::HalfOpenFull);
        let held = (heap.in_use, net.open, net.time_wait, given_up, net.asleep);
        if last != Some(held) {
            last = Some(held);
            toro_log::write(format_args!(
                "stats: {whose}heap {} of {} bytes in use, {} connections open, {} in TIME-WAIT, {} accepted, {given_up} given up half open, {} asleep\n",
                heap.in_use, heap.total, net.open, net.time_wait, net.accepted, net.asleep
            ));
        }
        toro_sched::sleep(interval);
    }
}
