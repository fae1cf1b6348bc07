//! The ways to end a virtual machine that need no table: the test device and the reset line.

use crate::port::{inb, outb, outl, outw};

/// QEMU's `isa-debug-exit` device, where the tools put it.
const DEBUG_EXIT: u16 = 0xF4;

/// Ends QEMU with status `code << 1 | 1`, if it has the `isa-debug-exit` device; returns otherwise.
pub fn debug_exit(code: u8) {
    outl(DEBUG_EXIT, u32::from(code));
}

/// Writes the ACPI sleep registers: `type_a` and `type_b` come from the `\_S5` object, the ports from the FADT.
///
/// Returns if the machine does not go off at once. ACPI 6.5, 4.8.3.2: bit 13 is SLP_EN, bits 10 to 12 the type.
pub fn acpi_off(pm1a: u16, type_a: u8, pm1b: Option<(u16, u8)>) {
    let value = |kind: u8| u16::from(kind) << 10 | 1 << 13;
    outw(pm1a, value(type_a));
    if let Some((port, kind)) = pm1b {
        outw(port, value(kind));
    }
}

/// Resets the machine: the keyboard controller's line, then the PCI reset register, then a triple fault.
pub fn reset() -> ! {
    crate::cpu::disable_interrupts();
    for _ in 0..1000 {
        if inb(0x64) & 2 == 0 {
            break;
        }
    }
    outb(0x64, 0xFE);
    outb(0xCF9, 0x0E);
    crate::trap::triple_fault()
}
