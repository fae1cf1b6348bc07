//! The processor: features, interrupt flag, waiting, control registers.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};

use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use x86_64::registers::model_specific::{Efer, EferFlags};
use x86_64::registers::xcontrol::XCr0;

/// What CPUID says, asked once.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// The x2APIC's MSR interface.
    pub x2apic: bool,
    /// The local timer takes a TSC value as deadline.
    pub tsc_deadline: bool,
    /// RDRAND.
    pub rdrand: bool,
    /// RDSEED.
    pub rdseed: bool,
    /// No-execute pages.
    pub nx: bool,
    /// 1 GiB pages.
    pub huge_pages: bool,
    /// The processor runs under a hypervisor that says so.
    pub hypervisor: bool,
}

impl Features {
    /// Asks the processor.
    ///
    /// Not inlined: it is asked in many places, each of them once.
    #[inline(never)]
    pub fn detect() -> Self {
        let one = __cpuid(1);
        let seven = if __cpuid(0).eax >= 7 {
            __cpuid_count(7, 0).ebx
        } else {
            0
        };
        let extended = if __cpuid(0x8000_0000).eax >= 0x8000_0001 {
            __cpuid(0x8000_0001).edx
        } else {
            0
        };
        Self {
            x2apic: one.ecx & 1 << 21 != 0,
            tsc_deadline: one.ecx & 1 << 24 != 0,
            rdrand: one.ecx & 1 << 30 != 0,
            rdseed: seven & 1 << 18 != 0,
            nx: extended & 1 << 20 != 0,
            huge_pages: extended & 1 << 26 != 0,
            hypervisor: one.ecx & 1 << 31 != 0,
        }
    }
}

/// The name under which KVM offers its leaves.
pub const KVM: [u32; 3] = signature(*b"KVMKVMKVM\0\0\0");
/// The name of QEMU's emulator.
pub const TCG: [u32; 3] = signature(*b"TCGTCGTCGTCG");

/// A name as CPUID spells it.
const fn signature(name: [u8; 12]) -> [u32; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = name;
    [
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
        u32::from_le_bytes([i, j, k, l]),
    ]
}

/// The largest leaf of the hypervisor and its name (leaf 0x4000_0000), if there is one.
pub fn hypervisor() -> Option<(u32, [u32; 3])> {
    if !Features::detect().hypervisor {
        return None;
    }
    let [highest, name @ ..] = cpuid(0x4000_0000);
    Some((highest, name))
}

/// Reads a CPUID leaf.
pub fn cpuid(leaf: u32) -> [u32; 4] {
    let result = __cpuid(leaf);
    [result.eax, result.ebx, result.ecx, result.edx]
}

/// Switches on what every core needs: write protection for ring 0, no-execute pages.
///
/// SSE and AVX are on already: the entry code does it before the first Rust function runs.
pub fn init() {
    let features = Features::detect();
    // SAFETY: write protection takes rights away only; no page of ours is written through a read-only mapping.
    unsafe { Cr0::update(|flags| flags.insert(Cr0Flags::WRITE_PROTECT)) };
    if features.nx {
        // SAFETY: no page table entry has the no-execute bit set for a page that holds code.
        unsafe { Efer::update(|flags| flags.insert(EferFlags::NO_EXECUTE_ENABLE)) };
    }
    let seven = if __cpuid(0).eax >= 7 {
        __cpuid_count(7, 0)
    } else {
        __cpuid(0)
    };
    let mut wanted = Cr4Flags::empty();
    wanted.set(
        Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION,
        __cpuid(0).eax >= 7 && seven.ebx & 1 << 7 != 0,
    );
    wanted.set(
        Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION,
        __cpuid(0).eax >= 7 && seven.ebx & 1 << 20 != 0,
    );
    wanted.set(
        Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION,
        __cpuid(0).eax >= 7 && seven.ecx & 1 << 2 != 0,
    );
    // SAFETY: the flags guard against user-mode pages and code, of which there are none.
    unsafe { Cr4::update(|flags| flags.insert(wanted)) };
}

/// The registers that every core must have alike.
#[derive(Clone, Copy, Debug)]
pub struct ControlRegisters {
    /// Protection and paging.
    pub cr0: u32,
    /// Features that are on.
    pub cr4: u32,
    /// Long mode and no-execute.
    pub efer: u32,
    /// Which registers XSAVE knows; 0 without XSAVE.
    pub xcr0: u32,
}

/// Reads the running core's.
#[expect(
    clippy::cast_possible_truncation,
    reason = "only the lower halves of these registers are defined"
)]
pub fn control_registers() -> ControlRegisters {
    let cr4 = Cr4::read();
    let xcr0 = if cr4.contains(Cr4Flags::OSXSAVE) {
        XCr0::read_raw()
    } else {
        0
    };
    ControlRegisters {
        cr0: Cr0::read_raw() as u32,
        cr4: cr4.bits() as u32,
        efer: Efer::read_raw() as u32,
        xcr0: xcr0 as u32,
    }
}

/// Lets interrupts in.
#[inline(always)]
pub fn enable_interrupts() {
    x86_64::instructions::interrupts::enable();
}

/// Keeps interrupts out.
#[inline(always)]
pub fn disable_interrupts() {
    x86_64::instructions::interrupts::disable();
}

/// Lets interrupts in and waits for one, with no gap between the two: an interrupt that is pending ends the wait at once.
#[inline(always)]
pub fn wait_for_interrupt() {
    x86_64::instructions::interrupts::enable_and_hlt();
}

/// Stops this core for good.
pub fn stop() -> ! {
    loop {
        disable_interrupts();
        x86_64::instructions::hlt();
    }
}

/// Tells the processor that this is a spin loop.
#[inline(always)]
pub fn relax() {
    core::hint::spin_loop();
}

/// The frame pointer of the caller: where a backtrace starts.
#[inline(always)]
pub fn frame_pointer() -> usize {
    let rbp: usize;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags)) };
    rbp
}

/// 64 random bits from RDRAND, if the processor has it and it answers.
pub fn rdrand() -> Option<u64> {
    if !Features::detect().rdrand {
        return None;
    }
    // Ten tries: Intel SDM volume 1, 7.3.17.1.
    (0..10).find_map(|_| {
        let value: u64;
        let ok: u8;
        // SAFETY: the processor has the instruction, as was just checked.
        unsafe {
            asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) ok, options(nomem, nostack));
        }
        (ok != 0).then_some(value)
    })
}

/// 64 random bits from RDSEED, if the processor has it and it answers: slower than RDRAND, and fit to seed a generator.
pub fn rdseed() -> Option<u64> {
    if !Features::detect().rdseed {
        return None;
    }
    // It runs dry when many ask: a hundred tries with pauses, then RDRAND will do.
    (0..100).find_map(|_| {
        let value: u64;
        let ok: u8;
        // SAFETY: the processor has the instruction, as was just checked.
        unsafe {
            asm!("rdseed {}", "setc {}", out(reg) value, out(reg_byte) ok, options(nomem, nostack));
        }
        if ok == 0 {
            relax();
        }
        (ok != 0).then_some(value)
    })
}
