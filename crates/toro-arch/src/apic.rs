//! The local APIC of a core: end of interrupt, one-shot timer, interrupts to other cores.
//!
//! x2APIC (MSRs) when the processor offers it, else the memory-mapped registers (Intel SDM volume 3, chapter 10).

use core::sync::atomic::Ordering;

use x86_64::registers::model_specific::Msr;

use crate::core_local;
use crate::cpu::Features;
use crate::trap;

const BASE_MSR: u32 = 0x1B;
const X2APIC_MSRS: u32 = 0x800;
pub(crate) const X2APIC_TIMER_MSR: u32 = X2APIC_MSRS + (TIMER_INITIAL >> 4);
pub(crate) const TSC_DEADLINE_MSR: u32 = 0x6E0;
const ENABLE: u64 = 1 << 11;
const ENABLE_X2APIC: u64 = 1 << 10;

const ID: u32 = 0x20;
const TASK_PRIORITY: u32 = 0x80;
pub(crate) const EOI: u32 = 0xB0;
const SPURIOUS: u32 = 0xF0;
const COMMAND_LOW: u32 = 0x300;
const COMMAND_HIGH: u32 = 0x310;
const TIMER: u32 = 0x320;
const LINT0: u32 = 0x350;
const LINT1: u32 = 0x360;
const ERROR: u32 = 0x370;
pub(crate) const TIMER_INITIAL: u32 = 0x380;
const TIMER_CURRENT: u32 = 0x390;
const TIMER_DIVIDE: u32 = 0x3E0;

const MASKED: u32 = 1 << 16;
const NMI_DELIVERY: u32 = 4 << 8;
const LEVEL_ASSERT: u32 = 1 << 14;
const TIMER_TSC_DEADLINE: u32 = 2 << 17;

/// The address of the registers, or `None` while they are MSRs.
fn registers() -> Option<u64> {
    match core_local::current().eoi.load(Ordering::Relaxed) {
        0 => None,
        eoi => Some(eoi - u64::from(EOI)),
    }
}

fn read(register: u32) -> u32 {
    match registers() {
        // SAFETY: `init` took the base from the processor; below 4 GiB everything is mapped one to one, and the
        // register is one of the constants above.
        Some(base) => unsafe { ((base + u64::from(register)) as *const u32).read_volatile() },
        #[expect(
            clippy::cast_possible_truncation,
            reason = "these registers have 32 bits"
        )]
        // SAFETY: the x2APIC is on, and the register is one of the constants above.
        None => unsafe { Msr::new(X2APIC_MSRS + (register >> 4)).read() as u32 },
    }
}

fn write(register: u32, value: u32) {
    match registers() {
        // SAFETY: as in `read`.
        Some(base) => unsafe { ((base + u64::from(register)) as *mut u32).write_volatile(value) },
        // SAFETY: as in `read`.
        None => unsafe { Msr::new(X2APIC_MSRS + (register >> 4)).write(u64::from(value)) },
    }
}

/// Switches the running core's APIC on, with its timer masked, and notes its id.
pub fn init() {
    let mut base_msr = Msr::new(BASE_MSR);
    // SAFETY: every x86-64 processor has this register.
    let base = unsafe { base_msr.read() };
    let x2apic = Features::detect().x2apic;
    let mode = if x2apic {
        ENABLE | ENABLE_X2APIC
    } else {
        ENABLE
    };
    // SAFETY: switches the APIC on in a mode that the processor offers, at the address that it has.
    unsafe { base_msr.write(base | mode) };
    let core = core_local::current();
    let eoi = if x2apic {
        0
    } else {
        (base & 0x000F_FFFF_FFFF_F000) + u64::from(EOI)
    };
    core.eoi.store(eoi, Ordering::Relaxed);
    let id = if x2apic { read(ID) } else { read(ID) >> 24 };
    core.apic_id.store(id, Ordering::Relaxed);

    write(TASK_PRIORITY, 0);
    write(SPURIOUS, 1 << 8 | u32::from(trap::SPURIOUS));
    write(LINT0, MASKED);
    write(LINT1, NMI_DELIVERY);
    write(ERROR, MASKED);
    write(TIMER, MASKED);
    write(TIMER_DIVIDE, 0b1011); // by one
}

/// Starts the timer downwards from its largest value, without an interrupt: for calibration.
pub fn start_counting() {
    write(TIMER, MASKED);
    write(TIMER_INITIAL, u32::MAX);
}

/// Ticks since [`start_counting`].
pub fn counted() -> u32 {
    u32::MAX - read(TIMER_CURRENT)
}

/// Sets the one-shot timer to raise `vector` after `ticks` of its own clock; 0 switches it off.
pub fn arm_timer_in(vector: u8, ticks: u32) {
    write(TIMER, u32::from(vector));
    write(TIMER_INITIAL, ticks);
}

/// Sets the timer to raise `vector` when the time stamp counter reaches `tsc`; 0 switches it off.
///
/// Only on processors with [`Features::tsc_deadline`].
pub fn arm_timer_at(vector: u8, tsc: u64) {
    write(TIMER, u32::from(vector) | TIMER_TSC_DEADLINE);
    // The MSR is not serialising: the mode must be visible first (Intel SDM volume 3, 10.5.4.1).
    core::sync::atomic::fence(Ordering::SeqCst);
    // SAFETY: the caller has checked that the processor has this register.
    unsafe { Msr::new(TSC_DEADLINE_MSR).write(tsc) };
}

/// Lets the next interrupt of this priority in: for one whose stub has not done so.
pub(crate) fn end_of_interrupt() {
    write(EOI, 0);
}

/// Sends the command `low` to the core with APIC id `target`.
fn command(target: u32, low: u32) {
    if registers().is_some() {
        write(COMMAND_HIGH, target << 24);
        write(COMMAND_LOW, low);
    } else {
        let value = u64::from(target) << 32 | u64::from(low);
        // SAFETY: the x2APIC is on; the register takes both halves at once (Intel SDM volume 3, 10.12.9).
        unsafe { Msr::new(X2APIC_MSRS + (COMMAND_LOW >> 4)).write(value) };
    }
}

/// Resets the core with APIC id `target`: it waits for a startup then.
pub fn send_init(target: u32) {
    command(target, 0x4500);
}

/// Starts the core with APIC id `target` in real mode at the beginning of page `page`.
pub fn send_startup(target: u32, page: u8) {
    command(target, 0x4600 | u32::from(page));
}

/// Raises `vector` on core `core`.
pub fn send_ipi(core: usize, vector: u8) {
    command(core_local::apic_id(core), u32::from(vector));
}

/// Sends a non-maskable interrupt to core `core`.
///
/// May be called in one that came in the middle of [`send_ipi`]: the half of the command that was written stays as it was.
pub fn send_nmi(core: usize) {
    let half = registers().map(|_| read(COMMAND_HIGH));
    command(core_local::apic_id(core), NMI_DELIVERY | LEVEL_ASSERT);
    if let Some(half) = half {
        write(COMMAND_HIGH, half);
    }
}
