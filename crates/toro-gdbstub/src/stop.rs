//! One core talks, the others wait: how they are stopped, and let go.
//!
//! Whoever has something to tell takes [`OWNER`] and sends the others an interrupt that cannot be masked. Each of them shows the registers that
//! its exception stub has saved, and waits. All of that is atomics: a core can be stopped anywhere, in the middle of a lock too.
//!
//! A core that goes and an owner that comes may meet. Each says what it does before it looks what the other does, so that at least one of
//! them sees the other: the core stays, or the owner sends it another interrupt.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use toro_arch::core_local::{self, MAX_CORES};
use toro_arch::debug::Beyond;
use toro_arch::trap::TrapFrame;
use toro_arch::{apic, cpu, tsc};
use toro_sync::StoppedCore;

/// The core that talks, counted from 1; 0 if all run.
static OWNER: AtomicUsize = AtomicUsize::new(0);

/// A core, as others see it.
struct Slot {
    /// It is in the debugger: what comes now is not to be told.
    is_inside: AtomicBool,
    /// A call came while it was.
    was_called: AtomicBool,
    /// Its registers, while it waits.
    frame: AtomicPtr<TrapFrame>,
    /// Those beyond the frame, wherever that is set.
    beyond: AtomicPtr<Beyond>,
    /// It waits on though nobody talks: gdb has let only others go.
    is_held: AtomicBool,
}

static SLOTS: [Slot; MAX_CORES] = [const {
    Slot {
        is_inside: AtomicBool::new(false),
        was_called: AtomicBool::new(false),
        frame: AtomicPtr::new(ptr::null_mut()),
        beyond: AtomicPtr::new(ptr::null_mut()),
        is_held: AtomicBool::new(false),
    }
}; MAX_CORES];

/// So many ticks of the counter, a few seconds, a core may take to stop. One that takes longer is not shown.
const PATIENCE: u64 = 1 << 34;

/// Notes that the running core is in the debugger; `false` if it was already.
pub(crate) fn come_in() -> bool {
    !SLOTS[core_local::id()]
        .is_inside
        .swap(true, Ordering::SeqCst)
}

/// Notes that the running core leaves the debugger.
pub(crate) fn go_out() {
    let slot = &SLOTS[core_local::id()];
    slot.is_inside.store(false, Ordering::SeqCst);
}

/// Notes that somebody has called the running core while it was in the debugger.
pub(crate) fn note_call() {
    let slot = &SLOTS[core_local::id()];
    slot.was_called.store(true, Ordering::SeqCst);
}

/// Whether somebody has, since this was asked last.
pub(crate) fn was_called() -> bool {
    let slot = &SLOTS[core_local::id()];
    slot.was_called.swap(false, Ordering::SeqCst)
}

/// Makes the running core the one that talks, unless another one is; `frame` is what it shows of itself.
pub(crate) fn own(frame: &mut TrapFrame) -> bool {
    let this = core_local::id();
    let owned = OWNER.compare_exchange(0, this + 1, Ordering::SeqCst, Ordering::SeqCst);
    if owned.is_ok() {
        SLOTS[this].frame.store(frame, Ordering::SeqCst);
    }
    owned.is_ok()
}

/// Stops all other cores; returns when they wait.
pub(crate) fn stop_others() {
    let others = || (0..toro_sched::cores()).filter(|&core| core != core_local::id());
    let is_waiting = |core: usize| !SLOTS[core].frame.load(Ordering::SeqCst).is_null();
    others()
        .filter(|&core| !is_waiting(core))
        .for_each(apic::send_nmi);
    let begun = tsc::read();
    while !others().all(is_waiting) && tsc::read() - begun < PATIENCE {
        cpu::relax();
    }
}

/// The registers of `core`, if it is stopped.
///
/// # Context
/// The core that talks.
pub(crate) fn frame_of(core: usize) -> Option<&'static mut TrapFrame> {
    let frame = SLOTS.get(core)?.frame.load(Ordering::SeqCst);
    // SAFETY: the frame lies on the stack of an exception handler that does not return while its core waits, which it does
    // until the one core that talks, and alone calls this, lets it go. References do not outlive one answer.
    unsafe { frame.as_mut() }
}

/// What `core` has beyond its frame, if it is stopped.
///
/// # Context
/// The core that talks.
pub(crate) fn beyond_of(core: usize) -> Option<&'static mut Beyond> {
    frame_of(core)?;
    let beyond = SLOTS[core].beyond.load(Ordering::SeqCst);
    // SAFETY: a frame is shown within `with_beyond` only, whose value lives until its core goes on; the rest as in `frame_of`.
    unsafe { beyond.as_mut() }
}

/// Leave to look at each core by its number; `None` for those that are not stopped.
///
/// # Context
/// The core that talks, which lets no core go as long as it uses what it gets.
pub(crate) fn cores() -> [Option<StoppedCore>; MAX_CORES] {
    core::array::from_fn(|core| {
        frame_of(core)?;
        // SAFETY: 1. it waits until the one core that talks lets it go (context); 2. `Monitor` says so.
        Some(unsafe { StoppedCore::new(core) })
    })
}

/// Shows what this core has beyond its frames as long as `f` runs, and sets what was changed of that.
pub(crate) fn with_beyond<R>(f: impl FnOnce() -> R) -> R {
    let mut beyond = Beyond::read();
    let before = beyond.upper;
    SLOTS[core_local::id()]
        .beyond
        .store(&raw mut beyond, Ordering::SeqCst);
    let outcome = f();
    if beyond.upper != before {
        beyond.write_upper();
    }
    outcome
}

/// Says whether `core` waits on when nobody talks any more.
pub(crate) fn hold(core: usize, is_held: bool) {
    SLOTS[core].is_held.store(is_held, Ordering::SeqCst);
}

/// Ends the talk: cores that are not held go on, but for the running one, which has to [`wait`] for that if it is held.
pub(crate) fn disown() {
    let slot = &SLOTS[core_local::id()];
    if !slot.is_held.load(Ordering::SeqCst) {
        slot.frame.store(ptr::null_mut(), Ordering::SeqCst);
    }
    OWNER.store(0, Ordering::SeqCst);
}

/// Whether the running core is held.
pub(crate) fn is_held() -> bool {
    SLOTS[core_local::id()].is_held.load(Ordering::SeqCst)
}

/// Whether a core talks.
pub(crate) fn is_owned() -> bool {
    OWNER.load(Ordering::SeqCst) != 0
}

/// Shows `frame` and waits until this core may go on; `false` if it may not, but nobody talks and `is_called` says that somebody should.
pub(crate) fn wait(frame: &mut TrapFrame, is_called: impl Fn() -> bool) -> bool {
    let slot = &SLOTS[core_local::id()];
    slot.frame.store(frame, Ordering::SeqCst);
    loop {
        let is_held = slot.is_held.load(Ordering::SeqCst);
        if OWNER.load(Ordering::SeqCst) == 0 {
            if !is_held {
                slot.frame.store(ptr::null_mut(), Ordering::SeqCst);
                if OWNER.load(Ordering::SeqCst) == 0 {
                    return true;
                }
                // Somebody began to talk in between, and may have taken this core for one that waits.
                slot.frame.store(frame, Ordering::SeqCst);
            } else if is_called() {
                return false;
            }
        }
        cpu::relax();
    }
}
