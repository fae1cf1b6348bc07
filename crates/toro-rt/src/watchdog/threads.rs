//! What the threads of a core do: part of every report that ends the image, and of that on a thread which does not yield.

use toro_arch::core_local;
use toro_sched::State;

use crate::fault::report;

/// Who has more has them from one place, most likely.
const MOST: usize = 32;

/// Prints what each thread of this core does: the first to look at when all of them wait.
pub(crate) fn print_threads() {
    let mut count = 0;
    report!("threads of core {}:\n", core_local::id());
    toro_sched::for_each_thread(|thread| {
        count += 1;
        if count > MOST {
            return;
        }
        report!("  {} ({}) ", thread.id, thread.name);
        match thread.state {
            State::Running => report!("runs\n"),
            State::Ready => report!("is ready\n"),
            State::Waiting("") => report!("is parked\n"),
            State::Waiting(reason) => report!("waits: {reason}\n"),
        };
    });
    if count > MOST {
        report!("  and {} more\n", count - MOST);
    }
}
