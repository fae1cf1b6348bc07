//! The guest's descriptor tables, and where the monitor's pages lie in its address space.
//!
//! ```text
//! KERNEL_BASE + 0        stubs                     read, execute
//!             + 0x1000   GDT at 0, IDT at 0x100    read
//!             + 0x2000   processor 0: its TSS at 0, its stack from the end downwards    read, write
//!             + 0x3000   processor 1, and so on
//! ```
//! All are supervisor pages.

use torov_abi::{Errno, PAGE};
use torov_memory::{KERNEL_BASE, Memory, Rights};

use crate::stubs;

/// The selectors, laid out as Linux does.
pub(crate) const KERNEL_CODE: u16 = 0x10;
pub(crate) const USER_DATA: u16 = 0x2b;
pub(crate) const USER_CODE: u16 = 0x33;
pub(crate) const TASK: u16 = 0x40;

/// `IA32_STAR`: where `syscall` and `sysret` take selectors from.
pub(crate) const STAR: u64 = 0x23 << 48 | (KERNEL_CODE as u64) << 32;

const TABLES: u64 = 0x1000;
const PROCESSORS: u64 = 0x2000;
const IDT: u64 = 0x100;

/// How many bytes the GDT has: eight descriptors and the double one of the task.
pub(crate) const GDT_LEN: u16 = 8 * 10;
/// How many bytes the IDT has.
pub(crate) const IDT_LEN: u16 = 16 * 32;
/// How many bytes a TSS has; no port is named in it, so the program reaches none.
pub(crate) const TASK_LEN: u32 = 104;

/// Where the GDT lies for the guest.
pub(crate) const GDT_AT: u64 = KERNEL_BASE + TABLES;
/// Where the IDT lies for the guest.
pub(crate) const IDT_AT: u64 = GDT_AT + IDT;

/// The page of one processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Desk {
    /// Where the guest sees it.
    pub(crate) address: u64,
    /// Where it lies in the RAM.
    pub(crate) gpa: u64,
}

/// Writes stubs and tables.
///
/// # Errors
/// `ENOMEM` if the monitor's share of the RAM is used up.
pub(crate) fn install(memory: &Memory) -> Result<(), Errno> {
    let page = memory.add_kernel_page(0, Rights::READ_EXECUTE)?;
    memory.ram().write(page, stubs::code());
    let page = memory.add_kernel_page(TABLES, Rights::READ)?;
    for (selector, descriptor) in [
        (KERNEL_CODE, 0x00af_9b00_0000_ffff),
        (0x18, 0x00cf_9300_0000_ffff),
        (USER_DATA & !3, 0x00cf_f300_0000_ffff),
        (USER_CODE & !3, 0x00af_fb00_0000_ffff),
    ] {
        memory.ram().store(page + u64::from(selector), descriptor);
    }
    for vector in 0..stubs::VECTOR_COUNT {
        let [low, high] = gate(KERNEL_BASE + stubs::VECTORS + 16 * vector, vector);
        let at = page + IDT + 16 * vector;
        memory.ram().store(at, low);
        memory.ram().store(at + 8, high);
    }
    Ok(())
}

/// An interrupt gate to `handler`. Breakpoints (3) and overflows (4) may be asked for by instructions.
fn gate(handler: u64, vector: u64) -> [u64; 2] {
    let level = if matches!(vector, 3 | 4) { 3 } else { 0 };
    let kind = 0x8e | level << 5;
    let stack = 1;
    let low = handler & 0xffff
        | u64::from(KERNEL_CODE) << 16
        | stack << 32
        | kind << 40
        | (handler >> 16 & 0xffff) << 48;
    [low, handler >> 32]
}

/// Makes the page of processor `index`.
///
/// # Errors
/// `ENOMEM` if the monitor's share of the RAM is used up.
pub(crate) fn desk(memory: &Memory, index: u64) -> Result<Desk, Errno> {
    let offset = PROCESSORS + index * PAGE;
    let gpa = memory.add_kernel_page(offset, Rights::READ_WRITE)?;
    let address = KERNEL_BASE + offset;
    let stack = address + PAGE;
    // RSP0 at 4 and IST1 at 36 are not aligned.
    memory.ram().write(gpa + 4, &stack.to_le_bytes());
    memory.ram().write(gpa + 36, &stack.to_le_bytes());
    // No port bitmap: its offset is the length.
    memory.ram().write(gpa + 102, &104_u16.to_le_bytes());
    Ok(Desk { address, gpa })
}

/// What an exception leaves on the processor's stack, from the stub's two words upwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    gpa: u64,
}

impl Frame {
    const WORDS: u64 = 7;

    /// The frame on the stack of `desk`: exceptions always begin at its end.
    pub(crate) fn of(desk: Desk) -> Self {
        Self {
            gpa: desk.gpa + PAGE - 8 * Self::WORDS,
        }
    }

    /// Vector, error code, rip, cs, rflags, rsp, ss.
    pub(crate) fn read(self, memory: &torov_memory::Ram) -> [u64; 7] {
        let mut words = [0; 7];
        let mut at = self.gpa;
        for word in &mut words {
            *word = memory.load(at);
            at += 8;
        }
        words
    }

    /// Where the processor returns to.
    pub(crate) fn write(self, memory: &torov_memory::Ram, rip: u64, rflags: u64, rsp: u64) {
        let words = [rip, USER_CODE.into(), rflags, rsp, USER_DATA.into()];
        let mut at = self.gpa + 16;
        for word in words {
            memory.store(at, word);
            at += 8;
        }
    }
}

/// Where `iretq` finds the last frame: the stack pointer behind the stub's two words.
pub(crate) fn return_stack(desk: Desk) -> u64 {
    desk.address + PAGE - 40
}

#[cfg(test)]
mod tests {
    use super::gate;

    #[test]
    fn gates_hold_the_handler_in_three_pieces() {
        let [low, high] = gate(0xffff_8000_1234_5678, 14);
        assert_eq!(high, 0xffff_8000);
        assert_eq!(low, 0x1234_8e01_0010_5678);
        assert_eq!(gate(0, 3)[0] >> 40 & 0xff, 0xee);
    }
}
