//! A program that measures calls: a static ELF file of less than a page, for Linux and for ToroV.
//!
//! With `write` as its argument it writes one byte to standard error, [`ROUNDS`] times, and with `batch` it does so in batches of
//! [`BATCH`] calls. To standard output go the counts of the time stamp counter that each round took, 32 bits each. Its status is 2 if there
//! are no batches, and 3 if a call failed.

use std::arch::global_asm;

/// How often it measures.
pub const ROUNDS: usize = 5000;
/// How many calls a batch has.
pub const BATCH: u32 = 16;

global_asm!(
    ".pushsection .rodata.torov_yardstick, \"a\"",
    ".balign 16",
    ".globl torov_yardstick_start",
    "torov_yardstick_start:",
    ".Lyard:",
    // The file header: a program of 64 bits for x86-64 with two program headers.
    ".byte 0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0",
    ".quad 0",
    ".short 2, 62",
    ".long 1",
    ".quad 0x400000 + .Lyard_entry - .Lyard, 64, 0",
    ".long 0",
    ".short 64, 56, 2, 64, 0, 0",
    // The file, read and execute; and room for counts and records, read and write.
    ".long 1, 5",
    ".quad 0, 0x400000, 0x400000, .Lyard_end - .Lyard, .Lyard_end - .Lyard, 4096",
    ".long 1, 6",
    ".quad 0, 0x500000, 0x500000, 0, 0x8000, 4096",
    ".Lyard_entry:",
    "mov ebx, 0x500000", // Where the next count goes.
    "mov ebp, {ROUNDS}",
    "cmp qword ptr [rsp], 2",
    "jb 9f",
    "mov rax, qword ptr [rsp + 16]",
    "cmp byte ptr [rax], 0x62",
    "je 4f",
    "3:",
    "lfence",
    "rdtsc",
    "mov r12d, eax",
    "mov edi, 2",
    "mov esi, 0x400000",
    "mov edx, 1",
    "mov eax, 1",
    "syscall",
    "cmp rax, 1",
    "jne 9f",
    "rdtsc",
    "sub eax, r12d",
    "mov dword ptr [rbx], eax",
    "add rbx, 4",
    "dec ebp",
    "jnz 3b",
    "jmp 7f",
    // The records: number, three arguments.
    "4:",
    "mov r13d, 0x507000",
    "mov ecx, {BATCH}",
    "5:",
    "mov qword ptr [r13], 1",
    "mov qword ptr [r13 + 8], 2",
    "mov qword ptr [r13 + 16], 0x400000",
    "mov qword ptr [r13 + 24], 1",
    "add r13, 64",
    "dec ecx",
    "jnz 5b",
    "6:",
    "lfence",
    "rdtsc",
    "mov r12d, eax",
    "mov edi, 0x507000",
    "mov esi, {BATCH}",
    "mov eax, 0x546f72",
    "syscall",
    "cmp rax, -38",
    "je 8f",
    "cmp rax, {BATCH}",
    "jne 9f",
    "rdtsc",
    "sub eax, r12d",
    "mov dword ptr [rbx], eax",
    "add rbx, 4",
    "dec ebp",
    "jnz 6b",
    // All counts to standard output, which may take them in pieces.
    "7:",
    "mov r13d, 0x500000",
    "2:",
    "mov edi, 1",
    "mov rsi, r13",
    "mov rdx, rbx",
    "sub rdx, r13",
    "mov eax, 1",
    "syscall",
    "test rax, rax",
    "jle 9f",
    "add r13, rax",
    "cmp r13, rbx",
    "jb 2b",
    "xor edi, edi",
    "jmp 1f",
    "8:",
    "mov edi, 2",
    "jmp 1f",
    "9:",
    "mov edi, 3",
    "1:",
    "mov eax, 231",
    "syscall",
    ".Lyard_end:",
    ".globl torov_yardstick_end",
    "torov_yardstick_end:",
    ".popsection",
    ROUNDS = const ROUNDS,
    BATCH = const BATCH,
);

unsafe extern "C" {
    static torov_yardstick_start: u8;
    static torov_yardstick_end: u8;
}

/// The file.
#[must_use]
pub fn file() -> &'static [u8] {
    let start = &raw const torov_yardstick_start;
    let end = &raw const torov_yardstick_end;
    // SAFETY: both symbols bound the piece of read-only data above, which nobody writes to.
    unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) }
}

#[cfg(test)]
mod tests {
    use super::{BATCH, ROUNDS, file};

    #[test]
    fn the_file_is_small_and_its_room_is_enough() {
        assert_eq!(file()[..4], *b"\x7fELF");
        assert!(file().len() < 4096);
        // Counts from 0x500000, records from 0x507000, the end at 0x508000.
        const { assert!(4 * ROUNDS <= 0x7000 && 64 * BATCH <= 0x1000) };
    }
}
