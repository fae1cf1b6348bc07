//! [`Stopped`]: the image that stands still, as a core file has it.

use core::fmt;

use toro_arch::debug::Beyond;
use toro_arch::trap::TrapFrame;
use toro_arch::{core_local, debug, paging};
use toro_boot::Ranges;
use toro_core_file::{PAGE, PAGE_BYTES, Registers, Segments, Source, Thread, register};
use toro_sched::{Doing, Seen};

use crate::protection;
use crate::stand::{Others, Standing};

/// The number of the thread that stands for core 0 where its thread is not known; that of other cores follow.
const CORES: u32 = 1_000_000;

/// Below the stack pointer lies what functions that call none may use.
const RED_ZONE: u64 = 128;

/// An image whose other cores stand.
pub(super) struct Stopped<'a> {
    failed: &'a Standing<'a>,
    signal: u16,
    others: &'a Others,
    /// Whether the lists of threads are believed.
    trusts_lists: bool,
}

impl<'a> Stopped<'a> {
    pub(super) fn new(
        failed: &'a Standing<'a>,
        signal: u16,
        others: &'a Others,
        trusts_lists: bool,
    ) -> Self {
        Self {
            failed,
            signal,
            others,
            trusts_lists,
        }
    }

    /// The registers of `core`, if it stands or is this one.
    fn of(&self, core: usize) -> Option<&Standing<'_>> {
        match core == core_local::id() {
            true => Some(self.failed),
            false => self.others.of(core),
        }
    }

    /// The cores that are known, this one first.
    fn cores(&self) -> impl Iterator<Item = usize> {
        let this = core_local::id();
        let others = (0..toro_sched::cores()).filter(move |&core| core != this);
        core::iter::once(this)
            .chain(others)
            .filter(|&core| self.of(core).is_some())
    }

    /// Calls `visit` with the threads of `core`, as far as lists are believed.
    fn seen(&self, core: usize, visit: &mut dyn FnMut(&Seen<'_>)) {
        if self.trusts_lists {
            // SAFETY: 1. the core stands, or is this one.
            unsafe { toro_sched::threads_of(core, visit) };
        }
    }

    /// The thread that `core` is in.
    fn thread_on(&self, core: usize) -> u32 {
        let mut id = None;
        self.seen(core, &mut |seen| {
            if is_on_core(seen) {
                id = u32::try_from(seen.id).ok();
            }
        });
        id.unwrap_or(CORES + u32::try_from(core).unwrap_or(0))
    }

    /// Makes `segments` what is worth keeping: pages of `ram` but those that lie in the image's file as they are. The data of the image and the stacks that cores are on
    /// come first.
    pub(super) fn find_memory(&self, ram: &Ranges, segments: &mut Segments) {
        segments.clear();
        let data = protection::data();
        let unchanged = protection::code();
        let mut from = 0;
        // Firmware need not tell of RAM in order.
        while let Some(range) = ram
            .iter()
            .filter(|range| range.start >= from)
            .min_by_key(|range| range.start)
        {
            let end = range.end.min(paging::mapped_end());
            for page in (range.start.next_multiple_of(PAGE)..end).step_by(PAGE_BYTES) {
                match debug::is_zero(page).filter(|_| !unchanged.contains(&page)) {
                    Some(true) => segments.push_zeros(page),
                    Some(false) => {
                        segments.push(page, data.contains(&page) || self.is_on_stack(page));
                    }
                    None => {}
                }
            }
            from = range.end.max(range.start + 1);
        }
    }

    /// Whether a core is on the stack that the page may be part of.
    fn is_on_stack(&self, page: u64) -> bool {
        const REACH: u64 = 64 << 10;
        self.cores().any(|core| {
            let pointer = self.of(core).map_or(0, |standing| standing.frame.rsp);
            let stack =
                pointer.saturating_sub(RED_ZONE) & !(PAGE - 1)..pointer.saturating_add(REACH);
            stack.contains(&page)
        })
    }
}

fn is_on_core(seen: &Seen<'_>) -> bool {
    matches!(seen.doing, Doing::Running | Doing::Idling(_) | Doing::Ended)
}

impl Source for Stopped<'_> {
    fn threads(&mut self, visit: &mut dyn FnMut(&Thread<'_>)) {
        for core in self.cores() {
            let Some(Standing { frame, beyond }) = self.of(core) else {
                continue;
            };
            visit(&Thread {
                id: self.thread_on(core),
                signal: if core == core_local::id() {
                    self.signal
                } else {
                    0
                },
                registers: &of_frame(frame, beyond),
                fx: Some(&frame.fx),
                upper: beyond.upper.as_ref(),
            });
        }
        for core in self.cores() {
            self.seen(core, &mut |seen| {
                if let (false, Ok(id)) = (is_on_core(seen), u32::try_from(seen.id)) {
                    visit(&Thread {
                        id,
                        signal: 0,
                        registers: &of_parked(seen.stack_pointer),
                        fx: None,
                        upper: None,
                    });
                }
            });
        }
    }

    fn describe(&mut self, out: &mut dyn fmt::Write) {
        // What counts and what writes take everything.
        let _ = writeln!(out, "build {:016x}", toro_backtrace::build_id());
        for core in self.cores() {
            let _ = writeln!(out, "{} on core {core}", self.thread_on(core));
            self.seen(core, &mut |seen| {
                let state = match seen.doing {
                    Doing::Running => "running",
                    Doing::Ended => "ended",
                    Doing::Ready => "ready",
                    Doing::Idling("") | Doing::Waiting("") => "parked",
                    Doing::Idling(reason) | Doing::Waiting(reason) => reason,
                };
                let _ = writeln!(out, "{} ({}) of core {core}: {state}", seen.id, seen.name);
            });
        }
    }

    fn page(&mut self, address: u64, page: &mut [u8; PAGE_BYTES]) {
        if !debug::read_page(address, page) {
            page.fill(0);
        }
    }
}

fn of_frame(frame: &TrapFrame, beyond: &Beyond) -> Registers {
    let mut registers = [0; 27];
    for (place, value) in [
        (register::R15, frame.r15),
        (register::R14, frame.r14),
        (register::R13, frame.r13),
        (register::R12, frame.r12),
        (register::RBP, frame.rbp),
        (register::RBX, frame.rbx),
        (register::R11, frame.r11),
        (register::R10, frame.r10),
        (register::R9, frame.r9),
        (register::R8, frame.r8),
        (register::RAX, frame.rax),
        (register::RCX, frame.rcx),
        (register::RDX, frame.rdx),
        (register::RSI, frame.rsi),
        (register::RDI, frame.rdi),
        (register::RIP, frame.rip),
        (register::CS, frame.cs),
        (register::FLAGS, frame.rflags),
        (register::RSP, frame.rsp),
        (register::SS, frame.ss),
        (register::FS_BASE, beyond.bases[0]),
        (register::GS_BASE, beyond.bases[1]),
    ] {
        registers[place] = value;
    }
    registers
}

/// What a parked thread has kept: see `toro_arch::context::switch`.
fn of_parked(stack_pointer: u64) -> Registers {
    let mut registers = [0; 27];
    let mut words = [0; 7 * 8];
    if debug::read(stack_pointer, &mut words) < words.len() {
        return registers;
    }
    let order = [
        register::R15,
        register::R14,
        register::R13,
        register::R12,
        register::RBX,
        register::RBP,
        register::RIP,
    ];
    for (place, word) in order.into_iter().zip(words.as_chunks().0) {
        registers[place] = u64::from_le_bytes(*word);
    }
    registers[register::RSP] = stack_pointer.saturating_add(7 * 8);
    registers
}
