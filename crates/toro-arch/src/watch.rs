//! The watch over a core's scheduler: a timer interrupt that notices when nobody takes what interrupts leave behind.
//!
//! The timer fires once for each time that it is armed, and it is the scheduler's loop that arms it. With the watch on, the
//! timer's stub arms it too, so that it fires again even if the loop does not run. The pending word tells the two apart:
//!
//! - The timer's bit was clear: the loop has run since the last time. The stub sets the bit, arms the timer and returns, without
//!   any Rust, as other interrupts do.
//! - The bit was still set: a thread has kept the core in between. The stub enters the handler of exceptions, on their
//!   stack; that one calls [`tick`], and may report and return.
//!
//! A thread that yields pays nothing for this: the loop takes the word anyway.
//!
//! The same timer can [sample](install_sampling) where a core is: then its stub always enters the handler of exceptions.

use core::arch::global_asm;
use core::sync::atomic::Ordering;

use crate::apic;
use crate::core_local;
use crate::gdt::InterruptStack;
use crate::trap;

const _: () = assert!(apic::TSC_DEADLINE_MSR == 0x6E0 && apic::X2APIC_TIMER_MSR == 0x838);
const _: () = assert!(apic::TIMER_INITIAL - apic::EOI == 0x2D0);

// gs:[8] is the pending word, gs:[16] the end-of-interrupt register or 0, then the three words of the watch (see core_local.rs).
// The comparison with the counter has the register 0x6E0, the countdown of an x2APIC 0x838; 0 is the countdown in memory,
// 0x2D0 behind the end-of-interrupt register.
global_asm!(
    r#"
    .section .text.toro_watch, "ax"
    .balign 16
toro_watch_stub:
    bts qword ptr gs:[8], {bit}
    jc 4f
    push rax
    push rcx
    push rdx
    mov qword ptr gs:[32], 0
    mov ecx, gs:[40]
    mov rax, gs:[24]
    xor edx, edx
    test ecx, ecx
    jz 2f
    cmp ecx, 0x6E0
    jne 1f
    rdtsc
    shl rdx, 32
    or rax, rdx
    add rax, gs:[24]
    mov rdx, rax
    shr rdx, 32
1:  wrmsr
    jmp 3f
2:  mov rcx, gs:[16]
    mov [rcx + 0x2D0], eax
3:  pop rdx
    pop rcx
    jmp toro_interrupt_end
4:  push 0
    push {vector}
    jmp toro_exception

    .balign 16
toro_sample_stub:
    push 0
    push {vector}
    jmp toro_exception
    "#,
    bit = const TIMER - trap::FIRST_IRQ,
    vector = const TIMER,
);

unsafe extern "C" {
    fn toro_watch_stub();
    fn toro_sample_stub();
}

/// The vector of the timer: the first there is.
pub const TIMER: u8 = trap::FIRST_IRQ;

/// How the timer of a core is armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Ticks of the time stamp counter from now.
    TscDeadline,
    /// Ticks of the local APIC's own clock.
    Countdown,
}

/// Makes the timer's interrupt the one that watches. The cores begin with [`start`].
///
/// # Safety
/// 1. No other core runs yet, and this one has interrupts off.
pub unsafe fn install() {
    let entry = toro_watch_stub as *const () as u64;
    // SAFETY: 1. duty 1; 2. the stub above ends as the one that it replaces, or as an exception does.
    unsafe { trap::set_gate(TIMER, entry, InterruptStack::Exception) };
}

/// Makes the timer's interrupt always enter the handler of exceptions, which calls [`sampled`]. The cores begin with [`start`].
///
/// # Safety
/// 1. No other core runs yet, and this one has interrupts off.
pub unsafe fn install_sampling() {
    let entry = toro_sample_stub as *const () as u64;
    // SAFETY: 1. duty 1; 2. the stub above ends as an exception does.
    unsafe { trap::set_gate(TIMER, entry, InterruptStack::Exception) };
}

/// Leaves the interrupt that the handler of exceptions was entered for to the scheduler, ends it and arms the next.
pub fn sampled() {
    core_local::leave_pending(1 << (TIMER - trap::FIRST_IRQ));
    tick();
}

/// Watches the running core from now on: its timer fires every `ticks` at least, and the first time after as many.
///
/// # Context
/// Interrupts are off, the local APIC and its timer's mode are set.
pub fn start(timer: Timer, ticks: u64) {
    let core = core_local::current();
    let msr = match timer {
        Timer::TscDeadline => apic::TSC_DEADLINE_MSR,
        Timer::Countdown if core.eoi.load(Ordering::Relaxed) == 0 => apic::X2APIC_TIMER_MSR,
        Timer::Countdown => 0,
    };
    core.watch_ticks.store(ticks, Ordering::Relaxed);
    core.watch_msr.store(u64::from(msr), Ordering::Relaxed);
    arm(timer);
}

/// Notes a tick that the handler of exceptions was entered for, ends the interrupt and arms the next; returns how many there have
/// been since the scheduler last ran.
pub fn tick() -> u64 {
    let core = core_local::current();
    let missed = core.watch_missed.load(Ordering::Relaxed) + 1;
    core.watch_missed.store(missed, Ordering::Relaxed);
    apic::end_of_interrupt();
    arm(
        if core.watch_msr.load(Ordering::Relaxed) == u64::from(apic::TSC_DEADLINE_MSR) {
            Timer::TscDeadline
        } else {
            Timer::Countdown
        },
    );
    missed
}

fn arm(timer: Timer) {
    let ticks = core_local::current().watch_ticks.load(Ordering::Relaxed);
    match timer {
        Timer::TscDeadline => apic::arm_timer_at(TIMER, crate::tsc::read().saturating_add(ticks)),
        Timer::Countdown => apic::arm_timer_in(TIMER, u32::try_from(ticks).unwrap_or(u32::MAX)),
    }
}
