//! The other cores stand while one looks at them: for a report of what all threads do, and for a core file.
//!
//! Each gets a non-maskable interrupt, shows the registers that its stub has saved, and stands until whoever stopped it is done. A core that
//! stands begins, ends and switches no thread, so that its lists hold still wherever it was.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use core::time::Duration;

use toro_arch::core_local::{self, MAX_CORES};
#[cfg(feature = "core-file")]
use toro_arch::debug::Beyond;
use toro_arch::trap::TrapFrame;
use toro_arch::{apic, cpu};

use crate::cores;

/// The vector of non-maskable interrupts.
pub(crate) const NMI: u64 = 2;

/// So long a core may take to stop, in time that this one runs. One that takes longer is not shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// The cores that shall stand.
static CALLED: [AtomicBool; MAX_CORES] = [const { AtomicBool::new(false) }; MAX_CORES];

/// What a core shows of itself.
#[derive(Debug)]
pub(crate) struct Standing<'a> {
    pub(crate) frame: &'a TrapFrame,
    #[cfg(feature = "core-file")]
    pub(crate) beyond: Beyond,
}

/// The registers of the cores that stand.
static FRAMES: [AtomicPtr<Standing<'static>>; MAX_CORES] =
    [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CORES];

/// Takes a non-maskable interrupt that another core has sent: stands until that is done. `false` if it was none.
pub(crate) fn stand(frame: &mut TrapFrame) -> bool {
    let core = core_local::id();
    let is_called = || CALLED[core].load(Ordering::SeqCst);
    if frame.vector != NMI || !is_called() {
        return false;
    }
    let mut standing = Standing {
        frame,
        #[cfg(feature = "core-file")]
        beyond: Beyond::read(),
    };
    FRAMES[core].store((&raw mut standing).cast(), Ordering::SeqCst);
    while is_called() {
        cpu::relax();
    }
    FRAMES[core].store(ptr::null_mut(), Ordering::SeqCst);
    frame.leave_halt();
    true
}

/// The other cores, as long as they stand. They go on when this ends.
#[derive(Debug)]
pub(crate) struct Others(());

fn others() -> impl Iterator<Item = usize> {
    (0..toro_sched::cores()).filter(|&core| core != core_local::id())
}

fn stands(core: usize) -> bool {
    !FRAMES[core].load(Ordering::SeqCst).is_null()
}

/// Stops the other cores, as far as they answer.
///
/// # Context
/// The core that has begun a report; interrupts are off.
pub(crate) fn stop_others() -> Others {
    for core in others() {
        CALLED[core].store(true, Ordering::SeqCst);
        apic::send_nmi(core);
    }
    cores::wait(PATIENCE, &|| others().all(stands));
    Others(())
}

impl Others {
    /// The registers of `core`; `None` if it does not stand, as the running one.
    pub(crate) fn of(&self, core: usize) -> Option<&Standing<'_>> {
        let standing = FRAMES.get(core)?.load(Ordering::SeqCst);
        // SAFETY: it and its frame lie on the stack of an interrupt that does not return while its core is called, as it is until this
        // ends.
        unsafe { standing.as_ref() }
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        others().for_each(|core| CALLED[core].store(false, Ordering::SeqCst));
        cores::wait(PATIENCE, &|| !others().any(stands));
    }
}
