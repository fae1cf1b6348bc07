//! The door of the other cores: from a startup interrupt in real mode to long mode.
//!
//! A startup interrupt (SIPI) names a page below 1 MiB, where the core begins in real mode (Intel SDM volume 3, 8.4). The few
//! instructions that must lie there are copied to [`START_PAGE`]; they switch to protected mode and jump into the image, where
//! the rest of the way is the boot core's, with page tables that are ready. Each core takes a number from a counter, and by it a stack.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The page of the real-mode code: inside the first 64 KiB, which [`BootInfo`](crate::BootInfo) reserves.
pub const START_PAGE: u8 = 8;

/// More than any core counts to: what the counter is set to when the door is closed.
const CLOSED: u32 = 1 << 20;

global_asm!(
    r#"
    .section .rodata.boot, "a"
    .code16
    .balign 8
toro_trampoline:
    jmp 2f
    // At offset 8 of the page, where the code below finds it: limit and address of the boot core's first table.
    .balign 8
    .short 31
    .long toro_boot_gdt
2:  cli
    cld
    xor ax, ax
    mov ds, ax
    lgdtd ds:[{gdt_pointer}]
    mov eax, cr0
    or eax, 1
    mov cr0, eax
    .byte 0x66, 0xEA
    .long toro_core_protected_mode
    .short 24
toro_trampoline_end:

    .section .boot.text, "ax"
    .code32
toro_core_protected_mode:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov eax, [toro_core_cr4]
    mov cr4, eax
    mov eax, offset toro_page_root
    mov cr3, eax
    mov ecx, 0xC0000080
    mov eax, [toro_core_efer]
    xor edx, edx
    wrmsr
    mov eax, [toro_core_cr0]
    mov cr0, eax
    .byte 0xEA
    .long toro_core_long_mode
    .short 8

    .code64
toro_core_long_mode:
    mov rax, cr4
    bt eax, 18
    jnc 2f
    mov eax, [toro_core_xcr0]
    xor edx, edx
    xor ecx, ecx
    xsetbv
2:  fninit
    mov edi, 1
    lock xadd [toro_core_counter], edi
    cmp edi, [toro_core_expected]
    jae toro_core_left_out
    mov rax, [toro_core_stacks]
    mov rsp, [rax + rdi * 8]
    xor ebp, ebp
    call [toro_core_entry]
toro_core_left_out:
    cli
    hlt
    jmp toro_core_left_out
    .text
    "#,
    gdt_pointer = const START_PAGE as u32 * 4096 + 8,
);

unsafe extern "C" {
    static toro_trampoline: [u8; 0];
    static toro_trampoline_end: [u8; 0];
}

macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $value:expr;)*) => {
        $($(#[$doc])* #[unsafe(no_mangle)] static $name: $type = <$type>::new($value);)*
    };
}

// What the assembly above reads: the boot core's registers, and where each core goes.
parameters! {
    /// CR0 of the boot core.
    toro_core_cr0: AtomicU32 = 0;
    /// CR4 of the boot core.
    toro_core_cr4: AtomicU32 = 0;
    /// EFER of the boot core.
    toro_core_efer: AtomicU32 = 0;
    /// XCR0 of the boot core, if it has one.
    toro_core_xcr0: AtomicU32 = 0;
    /// How many cores have come through the door.
    toro_core_counter: AtomicU32 = CLOSED;
    /// How many may.
    toro_core_expected: AtomicU32 = 0;
    /// The upper ends of their stacks, an array of addresses.
    toro_core_stacks: AtomicU64 = 0;
    /// The function that a core calls with its number, from 0.
    toro_core_entry: AtomicU64 = 0;
}

/// The door, opened for a number of cores.
#[derive(Debug)]
pub struct CoreStart {
    expected: u32,
}

impl CoreStart {
    /// Opens the door: a core that is sent to [`START_PAGE`] calls `entry` with its number, counted from 0, on the stack that
    /// ends at `stacks[number]`. Cores beyond the number of stacks halt.
    ///
    /// # Safety
    /// 1. Each address in `stacks` is the upper end of an unused stack, a multiple of 16.
    /// 2. The boot core's page tables map everything that `entry` needs, and no other value of this type exists.
    pub unsafe fn open(stacks: &'static [u64], entry: extern "C" fn(usize) -> !) -> Self {
        let registers = toro_arch::cpu::control_registers();
        toro_core_cr0.store(registers.cr0, Ordering::Relaxed);
        toro_core_cr4.store(registers.cr4, Ordering::Relaxed);
        toro_core_efer.store(registers.efer, Ordering::Relaxed);
        toro_core_xcr0.store(registers.xcr0, Ordering::Relaxed);
        toro_core_stacks.store(stacks.as_ptr() as u64, Ordering::Relaxed);
        toro_core_entry.store(entry as *const () as u64, Ordering::Relaxed);
        let expected = u32::try_from(stacks.len()).unwrap_or(0);
        toro_core_expected.store(expected, Ordering::Relaxed);
        let (from, end) = (
            &raw const toro_trampoline as *const u8,
            &raw const toro_trampoline_end as *const u8,
        );
        let to = (usize::from(START_PAGE) * 4096) as *mut u8;
        // SAFETY: the page lies in the first 64 KiB, which are mapped and kept out of every heap; the code fits into it.
        unsafe { core::ptr::copy_nonoverlapping(from, to, end as usize - from as usize) };
        // Release: all of the above is visible to a core that counts.
        toro_core_counter.store(0, Ordering::Release);
        Self { expected }
    }

    /// How many cores have come so far.
    pub fn arrived(&self) -> u32 {
        toro_core_counter.load(Ordering::Acquire).min(self.expected)
    }

    /// Closes the door: a core that comes later halts. Returns how many came.
    pub fn close(self) -> u32 {
        toro_core_counter
            .swap(CLOSED, Ordering::AcqRel)
            .min(self.expected)
    }
}
