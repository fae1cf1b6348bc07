//! The block that the GS base of each core points at: who it is, and which interrupts have arrived.
//!
//! The assembly of `trap.rs` knows the offsets of the fields; the assertions below hold them in place.

use core::arch::asm;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

/// The most cores that an image can use.
pub const MAX_CORES: usize = 64;

/// What interrupt entry, [`id`] and the scheduler need, two cache lines a core.
#[repr(C, align(64))]
pub(crate) struct CoreLocal {
    id: AtomicU64,
    /// One bit for each interrupt vector from [`crate::trap::FIRST_IRQ`]; set by the stubs, taken by the scheduler loop.
    pending: AtomicU64,
    /// Where the stubs write the end of interrupt: the register's address, or 0 for the x2APIC's MSR.
    pub(crate) eoi: AtomicU64,
    /// After how many ticks of its timer the core looks whether its scheduler still runs; 0 if it does not look. See `watch.rs`.
    pub(crate) watch_ticks: AtomicU64,
    /// How often the timer has fired since the scheduler last took the pending word.
    pub(crate) watch_missed: AtomicU64,
    /// The register that takes `watch_ticks`: the number of an MSR, or 0 for the local APIC's register in memory.
    pub(crate) watch_msr: AtomicU64,
    /// The local APIC's id, by which other cores and devices address this one.
    pub(crate) apic_id: AtomicU32,
    /// The core's ring of events, for `toro-trace`; null if it has none.
    ring: AtomicPtr<()>,
    /// The core's scheduler, for `toro-sched`, or null.
    scheduler: AtomicPtr<()>,
}

const _: () = assert!(offset_of!(CoreLocal, id) == 0);
const _: () = assert!(offset_of!(CoreLocal, pending) == 8);
const _: () = assert!(offset_of!(CoreLocal, eoi) == 16);
const _: () = assert!(offset_of!(CoreLocal, watch_ticks) == 24);
const _: () = assert!(offset_of!(CoreLocal, watch_missed) == 32);
const _: () = assert!(offset_of!(CoreLocal, watch_msr) == 40);
const _: () = assert!(offset_of!(CoreLocal, ring) == 56);
const _: () = assert!(offset_of!(CoreLocal, scheduler) == 64);

static CORES: [CoreLocal; MAX_CORES] = [const {
    CoreLocal {
        id: AtomicU64::new(0),
        pending: AtomicU64::new(0),
        eoi: AtomicU64::new(0),
        watch_ticks: AtomicU64::new(0),
        watch_missed: AtomicU64::new(0),
        watch_msr: AtomicU64::new(0),
        apic_id: AtomicU32::new(0),
        ring: AtomicPtr::new(ptr::null_mut()),
        scheduler: AtomicPtr::new(ptr::null_mut()),
    }
}; MAX_CORES];

/// Makes the running processor core `id`: the first step of each core.
///
/// # Panics
/// Panics if `id` is not below [`MAX_CORES`].
pub fn init(id: usize) {
    let block = &CORES[id];
    block.id.store(id as u64, Ordering::Relaxed);
    GsBase::write(VirtAddr::from_ptr(block));
}

/// The running core's number, from 0 for the one that booted.
///
/// Only in images: on a host the GS base belongs to the operating system.
#[inline(always)]
pub fn id() -> usize {
    let id: usize;
    // SAFETY: `init` pointed the GS base at this core's block, whose first field is its number.
    unsafe { asm!("mov {}, gs:[0]", out(reg) id, options(nostack, preserves_flags, readonly)) };
    id
}

/// What [`set_ring`] has set on the running core; null before.
#[inline(always)]
pub fn ring() -> *const () {
    let ring;
    // SAFETY: a field of the block that the GS base points at; see `id`.
    unsafe { asm!("mov {}, gs:[56]", out(reg) ring, options(nostack, preserves_flags, readonly)) };
    ring
}

/// Sets the address at which the running core notes events: one instruction away for [`ring`].
///
/// # Safety
/// 1. Whoever takes what [`ring`] returns for a ring of its own kind is the only one that calls this.
pub unsafe fn set_ring(ring: *const ()) {
    current().ring.store(ring.cast_mut(), Ordering::Relaxed);
}

/// What [`set_scheduler`] has set on the running core; null before.
#[inline(always)]
pub fn scheduler() -> *const () {
    let scheduler;
    // SAFETY: a field of the block that the GS base points at; see `id`.
    unsafe {
        asm!("mov {}, gs:[64]", out(reg) scheduler, options(nostack, preserves_flags, readonly))
    };
    scheduler
}

/// Sets the address at which the running core finds its scheduler: one instruction away for [`scheduler`].
///
/// # Safety
/// 1. Whoever takes what [`scheduler`] returns for a scheduler of its own kind is the only one that calls this.
pub unsafe fn set_scheduler(scheduler: *const ()) {
    // SAFETY: the last field of the block that the GS base points at, wherever that is; the type is atomic, and other cores never look.
    unsafe { asm!("mov gs:[64], {}", in(reg) scheduler, options(nostack, preserves_flags)) };
}

/// The running core's block.
pub(crate) fn current() -> &'static CoreLocal {
    &CORES[id()]
}

/// The local APIC's id of core `id`.
///
/// # Panics
/// Panics if `id` is not below [`MAX_CORES`].
pub fn apic_id(id: usize) -> u32 {
    CORES[id].apic_id.load(Ordering::Relaxed)
}

/// Whether an interrupt has arrived on this core since the last [`take_pending`].
#[inline(always)]
pub fn has_pending() -> bool {
    let pending: u64;
    // SAFETY: the second field of the block that the GS base points at; see `id`.
    unsafe {
        asm!("mov {}, gs:[8]", out(reg) pending, options(nostack, preserves_flags, readonly))
    };
    pending != 0
}

/// Takes the set of vectors that have arrived on this core, as bits from [`crate::trap::FIRST_IRQ`].
pub fn take_pending() -> u64 {
    // Relaxed: only interrupt stubs of this very core write the word, in order with its instructions.
    current().pending.swap(0, Ordering::Relaxed)
}

/// Adds vectors to those that have arrived on this core, as its stubs do.
pub(crate) fn leave_pending(vectors: u64) {
    // Relaxed: as in `take_pending`.
    current().pending.fetch_or(vectors, Ordering::Relaxed);
}

/// The vectors that have arrived on core `id` and were not taken yet, as bits from [`crate::trap::FIRST_IRQ`]: for whoever looks from outside.
///
/// # Panics
/// Panics if `id` is not below [`MAX_CORES`].
pub fn pending_on(id: usize) -> u64 {
    CORES[id].pending.load(Ordering::Relaxed)
}
