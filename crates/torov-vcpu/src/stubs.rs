//! The stubs: all code of the monitor that runs inside the guest.
//!
//! ```text
//! ENTRY    where `syscall` goes: tells the monitor by port 0x10, returns to the program
//! RETURN   where the monitor sends a processor that has a whole new set of registers: iretq
//! VECTORS  one of 16 bytes for each exception: pushes its number (and 0 if the processor pushed no error code),
//!          tells the monitor by port 0x11, drops both words, returns to the program
//! ```

use std::arch::global_asm;

/// The port by which `syscall` is told.
pub(crate) const CALL_PORT: u16 = 0x10;

/// The port by which an exception is told.
pub(crate) const FAULT_PORT: u16 = 0x11;

/// Where `syscall` goes, from the start of the page.
pub(crate) const ENTRY: u64 = 0;

/// Where a processor with new registers goes.
pub(crate) const RETURN: u64 = 16;

/// Where the first of the exceptions goes; the others follow every 16 bytes.
pub(crate) const VECTORS: u64 = 32;

/// How many bytes lead back to the program behind the `out` of an exception.
const WAY_OUT: u64 = 6;

/// How many exceptions there are.
pub(crate) const VECTOR_COUNT: u64 = 32;

global_asm!(
    ".pushsection .rodata.torov_stubs, \"a\"",
    ".balign 16",
    ".globl torov_stubs_start",
    "torov_stubs_start:",
    "out 0x10, eax",
    "sysretq",
    ".balign 16",
    "iretq",
    ".balign 16",
    ".set vector, 0",
    ".rept 32",
    ".balign 16",
    // 8, 10 to 14, 17, 21, 29 and 30 come with an error code.
    ".if ((0x60227d00 >> vector) & 1) == 0",
    "push 0",
    ".endif",
    "push vector",
    "jmp 3f",
    ".set vector, vector + 1",
    ".endr",
    ".balign 16",
    "3:",
    "out 0x11, al",
    "add rsp, 16",
    "iretq",
    ".globl torov_stubs_end",
    "torov_stubs_end:",
    ".popsection",
);

unsafe extern "C" {
    static torov_stubs_start: u8;
    static torov_stubs_end: u8;
}

/// Whether a processor at this place has told the monitor, or has been told where to go, and returns to the program.
pub(crate) fn is_way_out(offset: u64) -> bool {
    let behind_entry = ENTRY + 2;
    let end = torov_abi::word::wide(code().len());
    offset == behind_entry || offset == RETURN || (end - WAY_OUT..end).contains(&offset)
}

/// The code, which works at any address.
pub(crate) fn code() -> &'static [u8] {
    let start = &raw const torov_stubs_start;
    let end = &raw const torov_stubs_end;
    // SAFETY: both symbols bound the piece of read-only data above, which nobody writes to.
    unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) }
}

#[cfg(test)]
mod tests {
    use super::{ENTRY, RETURN, VECTOR_COUNT, VECTORS, code, is_way_out};

    fn at(offset: u64) -> &'static [u8] {
        &code()[usize::try_from(offset).unwrap()..]
    }

    #[test]
    fn stubs_lie_where_the_tables_say() {
        assert_eq!(at(ENTRY)[..5], [0xe7, 0x10, 0x48, 0x0f, 0x07]);
        assert_eq!(at(RETURN)[..2], [0x48, 0xcf]);
        for vector in 0..VECTOR_COUNT {
            let with_code = [8, 10, 11, 12, 13, 14, 17, 21, 29, 30].contains(&vector);
            let number = u8::try_from(vector).unwrap();
            let stub = at(VECTORS + vector * 16);
            let own = if with_code { stub } else { &stub[2..] };
            assert_eq!(own[..2], [0x6a, number], "vector {vector}");
            assert_eq!(
                stub[..2] == [0x6a, 0] && vector != 0,
                !with_code && vector != 0
            );
        }
        assert!(code().len() < 4096);
    }

    #[test]
    fn a_stub_is_on_its_way_out_behind_its_word() {
        let end = u64::try_from(code().len()).unwrap();
        assert_eq!(at(end - 6), [0x48, 0x83, 0xc4, 0x10, 0x48, 0xcf]);
        assert_eq!(at(end - 8)[..2], [0xe6, 0x11]);
        assert!(is_way_out(end - 6) && is_way_out(end - 2) && is_way_out(RETURN));
        assert!(is_way_out(ENTRY + 2) && !is_way_out(ENTRY));
        assert!(!is_way_out(end - 8) && !is_way_out(VECTORS) && !is_way_out(end));
    }
}
