//! What every thread of every core does: part of a report that ends the image and of that on a thread which does not yield, and on request.
//!
//! The core that reports has the others stand first (`stand.rs`). They can have been anywhere, in the middle of a lock too: the log is taken
//! before they are stopped, and nothing else here needs a lock or the heap.
//!
//! The machine's operator asks with a non-maskable interrupt (`nmi` in QEMU's monitor), a service with [`dump`].

use core::fmt::Write;

use toro_arch::trap::TrapFrame;
use toro_arch::{core_local, cpu};
use toro_sched::{Doing, Frame, Seen};

use crate::stand::NMI;
use crate::{fault, stand};

/// The core that answers the machine's operator, whose interrupt may come to all of them.
const OPERATORS_CORE: usize = 0;

/// Who has more threads has them from one place, most likely.
const MOST: usize = 32;

/// Writes to the log what every thread of every core does, what it waits for, and where.
///
/// That is how a deadlock is seen: its threads wait for locks, and the backtraces say in which functions. Stops all cores for as long as
/// the log takes. Of a core with very many threads only the youngest are shown. Tasks have no threads of their own and are not shown.
pub fn dump() {
    cpu::disable_interrupts();
    fault::begin();
    let here = Frame {
        rip: dump as *const () as u64,
        rbp: cpu::frame_pointer() as u64,
    };
    print(Some(here));
    fault::finish();
    cpu::enable_interrupts();
}

/// Takes a non-maskable interrupt that the machine's operator has sent: reports. `false` if the exception is none.
pub(crate) fn is_answered(frame: &mut TrapFrame) -> bool {
    if frame.vector != NMI {
        return false;
    }
    // A report that is under way shows all that this one would, or comes to its end soon.
    if core_local::id() == OPERATORS_CORE && fault::try_begin() {
        print(Some(Frame {
            rip: frame.rip,
            rbp: frame.rbp,
        }));
        fault::finish();
    }
    frame.leave_halt();
    true
}

/// Writes what the threads of all cores do. `here` is where this core was, unless that was shown already.
///
/// # Context
/// The core that has begun a report; interrupts are off.
pub(crate) fn print(here: Option<Frame>) {
    let this = core_local::id();
    toro_log::with_emergency(|out| {
        let others = stand::stop_others();
        for core in 0..toro_sched::cores() {
            let place = others.of(core).map(|standing| Frame {
                rip: standing.frame.rip,
                rbp: standing.frame.rbp,
            });
            if core == this {
                print_core(out, core, here);
            } else if place.is_some() {
                print_core(out, core, place);
            } else {
                // The log takes everything.
                let _ = writeln!(out, "core {core} does not stop, its threads are not shown");
            }
        }
    });
}

/// Writes what the threads of a core do that stands, or is this one; it was at `place`.
fn print_core(out: &mut dyn Write, core: usize, place: Option<Frame>) {
    let mut count = 0;
    // The log takes everything.
    let _ = writeln!(out, "threads of core {core}:");
    let mut show = |thread: &Seen<'_>| {
        count += 1;
        if count <= MOST {
            print_thread(out, thread, place);
        }
    };
    // SAFETY: 1. the caller has stopped the core, or runs on it.
    unsafe { toro_sched::threads_of(core, &mut show) };
    if count > MOST {
        let _ = writeln!(out, "  and {} more", count - MOST);
    }
}

fn print_thread(out: &mut dyn Write, thread: &Seen<'_>, place: Option<Frame>) {
    let _ = write!(out, "  {} ({}) ", thread.id, thread.name);
    let (place, _) = match thread.doing {
        Doing::Running => (place, writeln!(out, "runs")),
        Doing::Ended => (None, writeln!(out, "has ended, its core is idle")),
        Doing::Ready => (thread.resumes, writeln!(out, "is ready")),
        Doing::Idling("") => (place, writeln!(out, "is parked")),
        Doing::Waiting("") => (thread.resumes, writeln!(out, "is parked")),
        Doing::Idling(reason) => (place, writeln!(out, "waits: {reason}")),
        Doing::Waiting(reason) => (thread.resumes, writeln!(out, "waits: {reason}")),
    };
    if let Some(Frame { rip, rbp }) = place {
        // SAFETY: 1. the stack belongs to a thread that lives, so it is mapped; 2. its core stands, or runs this.
        unsafe {
            fault::backtrace(rip, rbp, thread.stack.clone(), |line| {
                let _ = writeln!(out, "    {line}");
            });
        }
    }
}
