//! [`Kernel`]: the image that runs, as a [`Machine`]. Only the core that talks has one, and the others stand still.

use core::fmt;

use toro_arch::debug::{self, Beyond, UpperHalves};
use toro_arch::trap::TrapFrame;
use toro_sched::{Doing, Seen};

use crate::breakpoints;
use crate::machine::{Machine, Thread};
use crate::points::Point;
use crate::registers::{
    BASES, FLAGS, GENERAL, MXCSR, R12, RBP, RBX, RIP, RSP, Registers, SEGMENTS, ST, UPPER, X87, XMM,
};
use crate::stop;
use crate::stub::Monitor;

/// The flags that gdb may set: those of results, and of the direction of strings.
const SETTABLE_FLAGS: u64 = 0xCD5;
/// The bits of MXCSR that a processor must have; others would fault (Intel SDM volume 1, 11.6.6).
const SETTABLE_MXCSR: u64 = 0xFFBF;

/// The image that runs.
pub(crate) struct Kernel {
    /// What answers commands of `monitor` that need more than is known here.
    pub(crate) monitor: Monitor,
}

/// Calls `visit` with every thread of the cores that are stopped.
fn each(visit: &mut dyn FnMut(&Seen<'_>)) {
    for core in (0..toro_sched::cores()).filter(|&core| stop::frame_of(core).is_some()) {
        // SAFETY: 1. the core waits, or is this one, which runs no thread's code as long as it talks.
        unsafe { toro_sched::threads_of(core, visit) };
    }
}

/// The thread that `core` is in; 0 if it has none yet.
pub(crate) fn thread_on(core: usize) -> u64 {
    let mut found = 0;
    // SAFETY: as in `each`; the core that talks asks for cores that are stopped.
    unsafe {
        toro_sched::threads_of(core, &mut |seen| {
            if is_on_core(seen) {
                found = seen.id;
            }
        });
    }
    found
}

fn is_on_core(seen: &Seen<'_>) -> bool {
    matches!(seen.doing, Doing::Running | Doing::Idling(_) | Doing::Ended)
}

impl Machine for Kernel {
    fn threads(&mut self, visit: &mut dyn FnMut(&Thread<'_>)) {
        each(&mut |seen| {
            visit(&Thread {
                id: seen.id,
                core: seen.core,
                name: seen.name,
                on_core: is_on_core(seen),
                state: match seen.doing {
                    Doing::Running => "running",
                    Doing::Idling(_) => "waiting, its core is idle",
                    Doing::Ended => "ended, its core is idle",
                    Doing::Ready => "ready",
                    Doing::Waiting("") => "waiting",
                    Doing::Waiting(reason) => reason,
                },
            });
        });
    }

    fn registers(&mut self, thread: u64) -> Option<Registers> {
        let mut found = None;
        each(&mut |seen| {
            if seen.id == thread {
                found = if is_on_core(seen) {
                    stop::frame_of(seen.core)
                        .map(|frame| of_frame(frame, stop::beyond_of(seen.core)))
                } else {
                    Some(of_parked(seen.stack_pointer))
                };
            }
        });
        found
    }

    fn set_registers(&mut self, thread: u64, registers: &Registers) -> bool {
        let mut is_set = false;
        each(&mut |seen| {
            if seen.id == thread
                && is_on_core(seen)
                && let Some(frame) = stop::frame_of(seen.core)
            {
                is_set = set_frame(frame, registers);
                if let Some(upper) = stop::beyond_of(seen.core)
                    .and_then(|beyond| beyond.upper.as_mut())
                    .filter(|_| is_set)
                {
                    set_upper(upper, registers);
                }
            }
        });
        is_set
    }

    fn has_avx(&self) -> bool {
        debug::has_avx()
    }

    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> usize {
        debug::read(addr, bytes)
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> bool {
        // SAFETY: 1. the other cores wait while this one talks; 2. whoever debugs the image answers for what they write.
        unsafe { debug::write(addr, bytes) }
    }

    fn insert(&mut self, point: Point) -> bool {
        breakpoints::insert(point)
    }

    fn remove(&mut self, point: Point) -> bool {
        breakpoints::remove(point)
    }

    fn monitor(&mut self, command: &str, out: &mut dyn fmt::Write) {
        if command != "threads" {
            return (self.monitor)(command, &stop::cores(), out);
        }
        self.threads(&mut |thread| {
            let Thread {
                id,
                core,
                name,
                state,
                ..
            } = thread;
            // A console takes everything.
            let _ = writeln!(out, "{id:>6}  core {core:<2}  {name:<16}  {state}");
        });
    }
}

/// The general registers of a frame in gdb's order.
fn general(frame: &mut TrapFrame) -> [&mut u64; 16] {
    [
        &mut frame.rax,
        &mut frame.rbx,
        &mut frame.rcx,
        &mut frame.rdx,
        &mut frame.rsi,
        &mut frame.rdi,
        &mut frame.rbp,
        &mut frame.rsp,
        &mut frame.r8,
        &mut frame.r9,
        &mut frame.r10,
        &mut frame.r11,
        &mut frame.r12,
        &mut frame.r13,
        &mut frame.r14,
        &mut frame.r15,
    ]
}

/// Where FXSAVE puts a register (Intel SDM volume 1, table 10-2).
fn fx_place(number: usize) -> core::ops::Range<usize> {
    match number {
        ST..X87 => {
            let start = 32 + 16 * (number - ST);
            start..start + 10
        }
        MXCSR => 24..28,
        _ => {
            let start = 160 + 16 * (number - XMM);
            start..start + 16
        }
    }
}

fn of_frame(frame: &mut TrapFrame, beyond: Option<&mut Beyond>) -> Registers {
    let mut registers = Registers::new();
    for (number, value) in (GENERAL..).zip(general(frame)) {
        registers.set_value(number, *value);
    }
    registers.set_value(RIP, frame.rip);
    registers.set_value(FLAGS, frame.rflags & !(debug::TRAP | debug::RESUME));
    // The code and stack segments are in the frame; the others are the stack's, but for FS and GS, which only have a base.
    for (number, value) in (SEGMENTS..).zip([frame.cs, frame.ss, frame.ss, frame.ss, 0, 0]) {
        registers.set_value(number, value);
    }
    for number in (ST..X87).chain(XMM..=MXCSR) {
        registers.set(number, &frame.fx[fx_place(number)]);
    }
    let half = |at: usize| u64::from(u16::from_le_bytes([frame.fx[at], frame.fx[at + 1]]));
    let word = |at: usize| half(at) | half(at + 2) << 16;
    // Each bit of the short tag word becomes two: 00 for a register that is used, 11 for one that is not.
    let tags = (0..8).fold(0, |tags, bit| {
        let is_empty = frame.fx[4] >> bit & 1 == 0;
        tags | (u64::from(is_empty) * 3) << (2 * bit)
    });
    let x87 = [half(0), half(2), tags, 0, word(8), 0, word(16), half(6)];
    for (number, value) in (X87..).zip(x87) {
        registers.set_value(number, value);
    }
    if let Some(beyond) = beyond {
        for (number, base) in (BASES..).zip(beyond.bases) {
            registers.set_value(number, base);
        }
        for (number, half) in (UPPER..).zip(beyond.upper.iter().flatten()) {
            registers.set(number, half);
        }
    }
    registers
}

/// What a parked thread has kept: see `toro_arch::context::switch`.
fn of_parked(stack_pointer: u64) -> Registers {
    let mut registers = Registers::new();
    let mut words = [0; 7 * 8];
    if debug::read(stack_pointer, &mut words) < words.len() {
        return registers;
    }
    let (words, _) = words.as_chunks::<8>();
    let order = [R12 + 3, R12 + 2, R12 + 1, R12, RBX, RBP, RIP];
    for (number, word) in order.into_iter().zip(words) {
        registers.set(number, word);
    }
    registers.set_value(RSP, stack_pointer.saturating_add(7 * 8));
    registers
}

fn set_upper(upper: &mut UpperHalves, registers: &Registers) {
    for (number, place) in (UPPER..).zip(upper) {
        if let Some(bytes) = registers.get(number) {
            place.copy_from_slice(bytes);
        }
    }
}

/// Puts registers into a frame, as far as that cannot make the return to it fault; `false`, and nothing done, if it would.
fn set_frame(frame: &mut TrapFrame, registers: &Registers) -> bool {
    if toro_arch::VirtAddr::try_new(registers.value(RIP)).is_err() {
        return false;
    }
    for (number, place) in (GENERAL..).zip(general(frame)) {
        *place = registers.value(number);
    }
    frame.rip = registers.value(RIP);
    let flags = registers.value(FLAGS) & SETTABLE_FLAGS;
    frame.rflags = frame.rflags & !SETTABLE_FLAGS | flags;
    for number in (ST..X87).chain(XMM..MXCSR) {
        if let Some(bytes) = registers.get(number) {
            frame.fx[fx_place(number)].copy_from_slice(bytes);
        }
    }
    let mxcsr = registers.value(MXCSR) & SETTABLE_MXCSR;
    frame.fx[fx_place(MXCSR)].copy_from_slice(&mxcsr.to_le_bytes()[..4]);
    true
}
