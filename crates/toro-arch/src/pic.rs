//! The two 8259 interrupt controllers of the first PCs: switched off.

use crate::port::outb;

const MASK_FIRST: u16 = 0x21;
const MASK_SECOND: u16 = 0xA1;

/// Masks every line of both.
///
/// Before the local APIC stops listening to them: an interrupt that they have raised and nobody can take any more would
/// otherwise hang in the processor (QEMU then reports a general protection fault for vector -1).
pub fn disable() {
    outb(MASK_FIRST, 0xFF);
    outb(MASK_SECOND, 0xFF);
}
