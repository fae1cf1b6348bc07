//! Traps: the interrupt descriptor table and the code that every vector enters.
//!
//! Two kinds of vector, two kinds of stub (and a third for the timer where `watch.rs` looks after the scheduler):
//! - An **exception** (0 to 31) saves all registers, those of SSE among them, as a [`TrapFrame`] and calls the handler that [`set_handler`] installed.
//! - An **interrupt** (from [`FIRST_IRQ`]) sets its bit in the core's pending word, tells the local APIC that it is
//!   done, and returns: no Rust, no registers but RAX. The scheduler loop does the work.

use core::arch::{global_asm, naked_asm};
use core::fmt;
use core::sync::atomic::{AtomicPtr, Ordering};

use x86_64::VirtAddr;
use x86_64::instructions::tables::lidt;
use x86_64::registers::control::Cr2;
use x86_64::structures::DescriptorTablePointer;

use crate::gdt::InterruptStack;

/// The first vector that a device can use.
pub const FIRST_IRQ: u8 = 32;
/// How many vectors devices, timers and other cores share: one bit each in the pending word.
pub const IRQS: usize = 64;
/// The local APIC's vector for interrupts that vanished before they were delivered: no end of interrupt for it.
pub const SPURIOUS: u8 = 255;

const EXCEPTIONS: usize = 32;
const STUB_BYTES: u64 = 16;

/// The registers at the moment of an exception, as its stub pushed them.
#[derive(Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "each field is the register of that name")]
pub struct TrapFrame {
    /// The x87 and SSE registers (Intel SDM volume 1, table 10-2).
    pub fx: [u8; 512],
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

impl TrapFrame {
    /// The exception's name in the processor's manual.
    pub fn name(&self) -> &'static str {
        const NAMES: [&str; 22] = [
            "divide error",
            "debug",
            "non-maskable interrupt",
            "breakpoint",
            "overflow",
            "bound range",
            "invalid opcode",
            "device not available",
            "double fault",
            "coprocessor overrun",
            "invalid TSS",
            "segment not present",
            "stack fault",
            "general protection fault",
            "page fault",
            "reserved",
            "floating-point error",
            "alignment check",
            "machine check",
            "SIMD floating-point error",
            "virtualization",
            "control protection",
        ];
        usize::try_from(self.vector)
            .ok()
            .and_then(|vector| NAMES.get(vector))
            .copied()
            .unwrap_or("reserved")
    }

    /// Goes on behind a HLT that comes next.
    ///
    /// The end of a non-maskable interrupt between STI and HLT lets other interrupts in before the HLT, and their wake-ups would be
    /// slept through. Whoever halts looks again afterwards, so nothing is lost.
    pub fn leave_halt(&mut self) {
        const HLT: u8 = 0xF4;
        // SAFETY: the frame is that of an interrupt, which says where the code goes on: it is mapped.
        if unsafe { (self.rip as *const u8).read() } == HLT {
            self.rip += 1;
        }
    }

    /// The address whose access faulted, if this is a page fault.
    pub fn fault_address(&self) -> Option<u64> {
        (self.vector == 14).then(Cr2::read_raw)
    }
}

impl fmt::Debug for TrapFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("rip", self.rip),
            ("rsp", self.rsp),
            ("rbp", self.rbp),
            ("rflags", self.rflags),
            ("rax", self.rax),
            ("rbx", self.rbx),
            ("rcx", self.rcx),
            ("rdx", self.rdx),
            ("rsi", self.rsi),
            ("rdi", self.rdi),
            ("r8", self.r8),
            ("r9", self.r9),
            ("r10", self.r10),
            ("r11", self.r11),
            ("r12", self.r12),
            ("r13", self.r13),
            ("r14", self.r14),
            ("r15", self.r15),
            ("error", self.error),
            ("cs", self.cs),
        ];
        for (index, (name, value)) in rows.iter().enumerate() {
            let end = if index % 4 == 3 { "\n" } else { "  " };
            write!(f, "{name:>6} {value:016x}{end}")?;
        }
        Ok(())
    }
}

/// Calls `then` with the registers as they are where this was called, as if an exception had come there.
#[unsafe(naked)]
pub extern "C" fn with_frame(then: extern "C" fn(&mut TrapFrame)) {
    naked_asm!(
        "mov rax, [rsp]",
        "lea rcx, [rsp + 8]",
        // The stack is 8 off a multiple of 16 as in any function's first instruction; below come 22 words and what FXSAVE writes.
        "sub rsp, 8",
        "mov rdx, ss",
        "push rdx",
        "push rcx",
        "pushfq",
        "mov rdx, cs",
        "push rdx",
        "push rax",
        "push 0",
        "push 3",
        "push rax",
        "push rcx",
        "push rdx",
        "push rbx",
        "push rbp",
        "push rsi",
        "push rdi",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 512",
        "fxsave64 [rsp]",
        "mov rax, rdi",
        "mov rdi, rsp",
        "call rax",
        "add rsp, 512 + 22 * 8 + 8",
        "ret",
    )
}

/// What runs on an exception, on its own stack, with interrupts off. Returning resumes at `rip`.
pub type Handler = fn(&mut TrapFrame);

static HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Installs the exception handler: once, before [`init`].
pub fn set_handler(handler: Handler) {
    HANDLER.store(handler as *mut (), Ordering::Release);
}

// 32 exception stubs and 64 interrupt stubs, 16 bytes each, so that a vector's entry is a multiplication away.
global_asm!(
    r#"
    .section .text.toro_traps, "ax"
    .balign 16
toro_exception_stubs:
    .set vector, 0
    .rept 32
    .balign 16
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    push 0
    .endif
    push vector
    jmp toro_exception
    .set vector, vector + 1
    .endr

    .balign 16
toro_interrupt_stubs:
    .set vector, 0
    .rept 64
    .balign 16
    push rax
    mov eax, vector
    jmp toro_interrupt
    .set vector, vector + 1
    .endr

    .balign 16
    .globl toro_exception
    .hidden toro_exception
toro_exception:
    push rax
    push rcx
    push rdx
    push rbx
    push rbp
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    // The stack began at a multiple of 16 and holds 22 words: 16 divides what is below, as FXSAVE asks.
    sub rsp, 512
    fxsave64 [rsp]
    cld
    mov rdi, rsp
    call {handle}
    fxrstor64 [rsp]
    add rsp, 512
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rbp
    pop rbx
    pop rdx
    pop rcx
    pop rax
    add rsp, 16
    iretq

    // gs:[8] is the pending word, gs:[16] the end-of-interrupt register or 0 (see core_local.rs). One instruction sets
    // the bit, so another interrupt of this core cannot come between; no other core writes the word.
    .balign 16
toro_interrupt:
    bts qword ptr gs:[8], rax
    .globl toro_interrupt_end
    .hidden toro_interrupt_end
toro_interrupt_end:
    mov rax, gs:[16]
    test rax, rax
    jz 2f
    mov dword ptr [rax], 0
    pop rax
    iretq
2:  push rcx
    push rdx
    mov ecx, 0x80B
    xor eax, eax
    xor edx, edx
    wrmsr
    pop rdx
    pop rcx
    pop rax
toro_spurious:
    iretq
    "#,
    handle = sym handle,
);

unsafe extern "C" {
    fn toro_exception_stubs();
    fn toro_interrupt_stubs();
    fn toro_spurious();
}

extern "C" fn handle(frame: &mut TrapFrame) {
    let handler = HANDLER.load(Ordering::Acquire);
    if handler.is_null() {
        crate::cpu::stop();
    }
    // SAFETY: only `set_handler` stores here, and it stores a `Handler`.
    let handler = unsafe { core::mem::transmute::<*mut (), Handler>(handler) };
    handler(frame);
}

/// A gate of the descriptor table (Intel SDM volume 3, figure 6-8).
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Gate(u64, u64);

impl Gate {
    const MISSING: Self = Self(0, 0);

    /// A present interrupt gate at ring 0: interrupts stay off in it.
    const fn new(entry: u64, stack: InterruptStack) -> Self {
        // The first descriptor after the null one is the code segment; see `gdt::init`.
        const CODE: u64 = 8;
        const PRESENT_INTERRUPT_GATE: u64 = 0x8E00;
        let low = entry & 0xFFFF | CODE << 16 | (stack as u64) << 32 | PRESENT_INTERRUPT_GATE << 32;
        Self(low | (entry >> 16 & 0xFFFF) << 48, entry >> 32)
    }
}

/// The table's last byte, as LIDT counts.
const LIMIT: u16 = 4095;
const _: () = assert!(size_of::<[Gate; 256]>() == LIMIT as usize + 1);

struct Table(core::cell::UnsafeCell<[Gate; 256]>);

// SAFETY: `fill` writes the table while one core runs and before the table is loaded; afterwards it is only read.
unsafe impl Sync for Table {}

static TABLE: Table = Table(core::cell::UnsafeCell::new([Gate::MISSING; 256]));

/// Fills the table that all cores share: once, on the core that boots.
pub fn fill() {
    let exceptions = toro_exception_stubs as *const () as u64;
    let interrupts = toro_interrupt_stubs as *const () as u64;
    // SAFETY: no other core runs yet and this one has not loaded the table: nobody else looks at it.
    let table = unsafe { &mut *TABLE.0.get() };
    for (vector, gate) in (0..).zip(table.iter_mut().take(EXCEPTIONS)) {
        let stack = match vector {
            2 | 18 => InterruptStack::Nmi,
            8 => InterruptStack::DoubleFault,
            _ => InterruptStack::Exception,
        };
        *gate = Gate::new(exceptions + vector * STUB_BYTES, stack);
    }
    for (index, gate) in (0..).zip(table.iter_mut().skip(EXCEPTIONS).take(IRQS)) {
        *gate = Gate::new(interrupts + index * STUB_BYTES, InterruptStack::Interrupt);
    }
    table[usize::from(SPURIOUS)] =
        Gate::new(toro_spurious as *const () as u64, InterruptStack::Interrupt);
}

/// Gives `vector` an entry and a stack of its own in place of the stub that all interrupts share.
///
/// # Safety
/// 1. No other core runs yet, and this one has interrupts off.
/// 2. `entry` is the entry of an interrupt: it saves what it changes, signals the end, and returns with IRETQ.
pub(crate) unsafe fn set_gate(vector: u8, entry: u64, stack: InterruptStack) {
    // SAFETY: duty 1: nobody looks at the table meanwhile but the processor, which does not look at this gate.
    let table = unsafe { &mut *TABLE.0.get() };
    table[usize::from(vector)] = Gate::new(entry, stack);
}

/// Loads the table on the running core.
pub fn init() {
    let pointer = DescriptorTablePointer {
        limit: LIMIT,
        base: VirtAddr::from_ptr(TABLE.0.get()),
    };
    // SAFETY: the table is static, `fill` has filled it, and the stacks that its gates name came with `gdt::init`.
    unsafe { lidt(&pointer) };
}

/// Ends the machine by a fault that nothing can handle.
pub fn triple_fault() -> ! {
    let pointer = DescriptorTablePointer {
        limit: 0,
        base: VirtAddr::zero(),
    };
    // SAFETY: ends everything, which is the purpose.
    unsafe { lidt(&pointer) };
    undefined_instruction()
}

#[unsafe(naked)]
extern "C" fn undefined_instruction() -> ! {
    naked_asm!("ud2")
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::{TrapFrame, with_frame};

    static SEEN: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

    extern "C" fn look(frame: &mut TrapFrame) {
        // An aligned stack is what formatting with SSE needs.
        let text = alloc::format!("{:?}", 1.5);
        assert_eq!(text, "1.5");
        for (seen, value) in SEEN.iter().zip([frame.rip, frame.rsp, frame.ss]) {
            seen.store(value, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_caller_sees_its_own_registers() {
        let here = 0u8;
        with_frame(look);
        let [rip, rsp, ss] = SEEN.each_ref().map(|word| word.load(Ordering::Relaxed));
        let (place, local) = (look as *const () as u64, &raw const here as u64);
        assert!(
            rip.abs_diff(place) < 1 << 24,
            "{rip:#x} is code near {place:#x}"
        );
        assert!(rsp.abs_diff(local) < 1 << 16, "{rsp:#x} is near {local:#x}");
        assert_ne!(ss, 0);
    }
}
