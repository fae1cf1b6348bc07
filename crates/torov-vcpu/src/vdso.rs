//! The vDSO: a small ELF image in the program's memory with the functions that tell the time (vdso(7)).
//!
//! ```text
//!  PAGE   the clock, which the program can read and only the monitor writes; see [`clock`]
//!  PAGE   the image: headers, symbols of version LINUX_2.6, unwinding tables, sections for debuggers, code
//! ```
//! A function adds the time that passed since the clock was set, by the time stamp counter, to what the clock said then. Once
//! that is longer ago than the clock is good for, it makes the system call instead, which sets the clock again; the
//! counter goes along as the third argument, which the call itself has not, so that the monitor sees what the program reads.

use std::arch::global_asm;

/// How many pages clock and image have.
pub const PAGES: u64 = 2;

/// Where things are in the page of the clock.
pub mod clock {
    /// How often the clock was set, twice; odd while it is being set. 32 bits.
    pub const SEQUENCE: u64 = 0;
    /// The counter when it was set.
    pub const START: u64 = 8;
    /// For how many counts it is good.
    pub const SPAN: u64 = 16;
    /// Nanoseconds in a count, times 2^32.
    pub const RATE: u64 = 24;
    /// Seconds and nanoseconds of `CLOCK_MONOTONIC` at the start.
    pub const MONOTONIC: u64 = 32;
    /// Seconds and nanoseconds of `CLOCK_REALTIME` at the start.
    pub const REAL: u64 = 48;
}

/// The calls that have a function here, in the order of the symbols.
pub const CALLS: [&str; 5] = [
    "clock_gettime",
    "gettimeofday",
    "time",
    "clock_getres",
    "getcpu",
];

global_asm!(
    ".macro torov_vdso_symbol name, from, to",
    ".long \\name - .Lvdso_strings",
    ".byte 0x12, 0", // global, function
    ".short 9",
    ".quad \\from - .Lvdso",
    ".quad \\to - \\from",
    ".endm",
    ".macro torov_vdso_section name, kind, flags, from, to, link, info, align, entry",
    ".long \\name - .Lvdso_section_names",
    ".long \\kind",
    ".quad \\flags",
    ".quad \\from - .Lvdso",
    ".quad \\from - .Lvdso",
    ".quad \\to - \\from",
    ".long \\link, \\info",
    ".quad \\align, \\entry",
    ".endm",
    // The time that [r8] began with and has now: seconds in r10, nanoseconds in rax, the counter in rdx.
    ".macro torov_vdso_read late",
    "2:",
    "mov r9d, dword ptr [rip + .Lvdso - 0x1000 + {SEQUENCE}]",
    "lfence",
    "rdtsc",
    "shl rdx, 32",
    "or rdx, rax",
    "mov rax, rdx",
    "test r9d, 1",
    "jnz \\late",
    "sub rax, qword ptr [rip + .Lvdso - 0x1000 + {START}]",
    "cmp rax, qword ptr [rip + .Lvdso - 0x1000 + {SPAN}]",
    "jae \\late",
    "imul rax, qword ptr [rip + .Lvdso - 0x1000 + {RATE}]",
    "shr rax, 32",
    "mov r10, qword ptr [r8]",
    "add rax, qword ptr [r8 + 8]",
    "cmp r9d, dword ptr [rip + .Lvdso - 0x1000 + {SEQUENCE}]",
    "jne 2b",
    "cmp rax, 1000000000",
    "jb 2f",
    "sub rax, 1000000000",
    "inc r10",
    "2:",
    ".endm",
    ".pushsection .rodata.torov_vdso, \"a\"",
    ".balign 64",
    ".globl torov_vdso_start",
    "torov_vdso_start:",
    ".Lvdso:",
    // The file header: a shared object of 64 bits for x86-64 with 3 program headers and 11 section headers.
    ".byte 0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0",
    ".quad 0",
    ".short 3, 62",
    ".long 1",
    ".quad 0, .Lvdso_headers - .Lvdso, .Lvdso_sections - .Lvdso",
    ".long 0",
    ".short 64, 56, 3, 64, 11, 10",
    ".Lvdso_headers:",
    // PT_LOAD, read and execute: all of it.
    ".long 1, 5",
    ".quad 0, 0, 0, .Lvdso_end - .Lvdso, .Lvdso_end - .Lvdso, 4096",
    // PT_DYNAMIC.
    ".long 2, 4",
    ".rept 3",
    ".quad .Lvdso_dynamic - .Lvdso",
    ".endr",
    ".rept 2",
    ".quad .Lvdso_dynamic_end - .Lvdso_dynamic",
    ".endr",
    ".quad 8",
    // PT_GNU_EH_FRAME.
    ".long 0x6474e550, 4",
    ".rept 3",
    ".quad .Lvdso_search - .Lvdso",
    ".endr",
    ".rept 2",
    ".quad .Lvdso_frames - .Lvdso_search",
    ".endr",
    ".quad 4",
    // One bucket: every symbol is in its chain.
    ".Lvdso_hash:",
    ".long 1, 6, 1, 0, 2, 3, 4, 5, 0",
    ".balign 8",
    ".globl torov_vdso_symbols",
    "torov_vdso_symbols:",
    ".Lvdso_symbols:",
    ".zero 24",
    "torov_vdso_symbol .Lname_gettime, .Lvdso_gettime, .Lvdso_timeofday",
    "torov_vdso_symbol .Lname_timeofday, .Lvdso_timeofday, .Lvdso_time",
    "torov_vdso_symbol .Lname_time, .Lvdso_time, .Lvdso_getres",
    "torov_vdso_symbol .Lname_getres, .Lvdso_getres, .Lvdso_getcpu",
    "torov_vdso_symbol .Lname_getcpu, .Lvdso_getcpu, .Lvdso_text_end",
    ".Lvdso_strings:",
    ".byte 0",
    ".Lname_object: .asciz \"linux-vdso.so.1\"",
    ".Lname_version: .asciz \"LINUX_2.6\"",
    ".Lname_gettime: .asciz \"__vdso_clock_gettime\"",
    ".Lname_timeofday: .asciz \"__vdso_gettimeofday\"",
    ".Lname_time: .asciz \"__vdso_time\"",
    ".Lname_getres: .asciz \"__vdso_clock_getres\"",
    ".Lname_getcpu: .asciz \"__vdso_getcpu\"",
    ".Lvdso_strings_end:",
    ".balign 2",
    ".Lvdso_versions:",
    ".short 0, 2, 2, 2, 2, 2",
    ".Lvdso_versions_end:",
    ".balign 4",
    // The file's own name, version 1, and LINUX_2.6, version 2, each with the hash of its name.
    ".Lvdso_definitions:",
    ".short 1, 1, 1, 1",
    ".long 0xdeebfa1, 20, 28, .Lname_object - .Lvdso_strings, 0",
    ".short 1, 0, 2, 1",
    ".long 0x3ae75f6, 20, 0, .Lname_version - .Lvdso_strings, 0",
    ".balign 8",
    ".Lvdso_dynamic:",
    ".quad 4, .Lvdso_hash - .Lvdso",
    ".quad 5, .Lvdso_strings - .Lvdso",
    ".quad 6, .Lvdso_symbols - .Lvdso",
    ".quad 10, .Lvdso_strings_end - .Lvdso_strings",
    ".quad 11, 24",
    ".quad 14, .Lname_object - .Lvdso_strings",
    ".quad 0x6ffffff0, .Lvdso_versions - .Lvdso",
    ".quad 0x6ffffffc, .Lvdso_definitions - .Lvdso",
    ".quad 0x6ffffffd, 2",
    ".quad 0, 0",
    ".Lvdso_dynamic_end:",
    // One description of frames: no function moves the stack pointer.
    ".Lvdso_search:",
    ".byte 1, 0x1b, 3, 0x3b",
    ".long .Lvdso_frames - .",
    ".long 1, .Lvdso_text - .Lvdso_search, .Lvdso_frame - .Lvdso_search",
    ".balign 8",
    ".Lvdso_frames:",
    ".long .Lvdso_frame - .Lvdso_frames - 4",
    ".long 0",
    ".byte 1, 0x7a, 0x52, 0, 1, 0x78, 16, 1, 0x1b",
    // The caller's stack pointer is rsp + 8, the return address below it.
    ".byte 0x0c, 7, 8, 0x90, 1",
    ".balign 8, 0",
    ".Lvdso_frame:",
    ".long .Lvdso_frames_end - .Lvdso_frame - 4",
    ".long .Lvdso_frame + 4 - .Lvdso_frames",
    ".long .Lvdso_text - .",
    ".long .Lvdso_text_end - .Lvdso_text",
    ".byte 0",
    ".balign 8, 0",
    ".Lvdso_frames_end:",
    ".long 0",
    ".Lvdso_frames_zero:",
    ".balign 64",
    ".Lvdso_text:",
    ".Lvdso_gettime:",
    // REALTIME 0, MONOTONIC 1 and their coarse kind, 5 and 6. For others the third argument says nothing.
    "xor edx, edx",
    "cmp edi, 6",
    "ja 4f",
    "mov ecx, 0x63",
    "bt ecx, edi",
    "jnc 4f",
    "lea r8, [rip + .Lvdso - 0x1000 + {REAL}]",
    "mov ecx, 0x42",
    "bt ecx, edi",
    "jnc 3f",
    "lea r8, [rip + .Lvdso - 0x1000 + {MONOTONIC}]",
    "3:",
    "torov_vdso_read 4f",
    "mov qword ptr [rsi], r10",
    "mov qword ptr [rsi + 8], rax",
    "xor eax, eax",
    "ret",
    "4:",
    "mov eax, 228",
    "syscall",
    "ret",
    ".balign 16",
    ".Lvdso_timeofday:",
    "test rdi, rdi",
    "jz 4f",
    "lea r8, [rip + .Lvdso - 0x1000 + {REAL}]",
    "torov_vdso_read 6f",
    // Nanoseconds below 2^30 times 2^38 / 1000: microseconds.
    "imul rax, rax, 274877907",
    "shr rax, 38",
    "mov qword ptr [rdi], r10",
    "mov qword ptr [rdi + 8], rax",
    "4:",
    "test rsi, rsi",
    "jz 5f",
    "mov qword ptr [rsi], 0",
    "5:",
    "xor eax, eax",
    "ret",
    "6:",
    "mov eax, 96",
    "syscall",
    "ret",
    ".balign 16",
    ".Lvdso_time:",
    "lea r8, [rip + .Lvdso - 0x1000 + {REAL}]",
    "torov_vdso_read 6f",
    "mov rax, r10",
    "test rdi, rdi",
    "jz 5f",
    "mov qword ptr [rdi], rax",
    "5:",
    "ret",
    "6:",
    "mov eax, 201",
    "syscall",
    "ret",
    ".balign 16",
    ".Lvdso_getres:",
    // A nanosecond for REALTIME and MONOTONIC.
    "cmp edi, 1",
    "ja 4f",
    "test rsi, rsi",
    "jz 5f",
    "mov qword ptr [rsi], 0",
    "mov qword ptr [rsi + 8], 1",
    "5:",
    "xor eax, eax",
    "ret",
    "4:",
    "mov eax, 229",
    "syscall",
    "ret",
    ".balign 16",
    ".Lvdso_getcpu:",
    // Where threads run is the host's affair: as the call, it says 0.
    "xor eax, eax",
    "test rdi, rdi",
    "jz 4f",
    "mov dword ptr [rdi], eax",
    "4:",
    "test rsi, rsi",
    "jz 5f",
    "mov dword ptr [rsi], eax",
    "5:",
    "ret",
    ".Lvdso_text_end:",
    ".Lvdso_section_names:",
    ".byte 0",
    ".Lsection_hash: .asciz \".hash\"",
    ".Lsection_dynsym: .asciz \".dynsym\"",
    ".Lsection_dynstr: .asciz \".dynstr\"",
    ".Lsection_version: .asciz \".gnu.version\"",
    ".Lsection_version_d: .asciz \".gnu.version_d\"",
    ".Lsection_dynamic: .asciz \".dynamic\"",
    ".Lsection_search: .asciz \".eh_frame_hdr\"",
    ".Lsection_frames: .asciz \".eh_frame\"",
    ".Lsection_text: .asciz \".text\"",
    ".Lsection_names: .asciz \".shstrtab\"",
    ".Lvdso_section_names_end:",
    ".balign 8",
    ".Lvdso_sections:",
    ".zero 64",
    "torov_vdso_section .Lsection_hash, 5, 2, .Lvdso_hash, .Lvdso_symbols, 2, 0, 8, 4",
    "torov_vdso_section .Lsection_dynsym, 11, 2, .Lvdso_symbols, .Lvdso_strings, 3, 1, 8, 24",
    "torov_vdso_section .Lsection_dynstr, 3, 2, .Lvdso_strings, .Lvdso_strings_end, 0, 0, 1, 0",
    "torov_vdso_section .Lsection_version, 0x6fffffff, 2, .Lvdso_versions, .Lvdso_versions_end, 2, 0, 2, 2",
    "torov_vdso_section .Lsection_version_d, 0x6ffffffd, 2, .Lvdso_definitions, .Lvdso_dynamic, 3, 2, 4, 0",
    "torov_vdso_section .Lsection_dynamic, 6, 2, .Lvdso_dynamic, .Lvdso_dynamic_end, 3, 0, 8, 16",
    "torov_vdso_section .Lsection_search, 1, 2, .Lvdso_search, .Lvdso_frames, 0, 0, 4, 0",
    "torov_vdso_section .Lsection_frames, 1, 2, .Lvdso_frames, .Lvdso_frames_zero, 0, 0, 8, 0",
    "torov_vdso_section .Lsection_text, 1, 6, .Lvdso_text, .Lvdso_text_end, 0, 0, 16, 0",
    "torov_vdso_section .Lsection_names, 3, 0, .Lvdso_section_names, .Lvdso_section_names_end, 0, 0, 1, 0",
    ".Lvdso_end:",
    ".globl torov_vdso_end",
    "torov_vdso_end:",
    ".popsection",
    SEQUENCE = const clock::SEQUENCE,
    START = const clock::START,
    SPAN = const clock::SPAN,
    RATE = const clock::RATE,
    MONOTONIC = const clock::MONOTONIC,
    REAL = const clock::REAL,
);

unsafe extern "C" {
    static torov_vdso_start: u8;
    static torov_vdso_symbols: u8;
    static torov_vdso_end: u8;
}

/// How long a symbol is, and where in it its section is told.
const SYMBOL: usize = 24;
const SECTION: usize = 6;

/// The image, which works at any page that follows the page of the clock. It has the functions of those of [`CALLS`] that are
/// `offered`: the symbols of the others are not defined, so that libraries make the call.
#[must_use]
pub fn image(offered: impl Fn(&str) -> bool) -> Vec<u8> {
    let start = &raw const torov_vdso_start;
    let end = &raw const torov_vdso_end;
    // SAFETY: both symbols bound the piece of read-only data above, which nobody writes to.
    let bytes = unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) };
    let mut image = bytes.to_vec();
    let symbols = (&raw const torov_vdso_symbols).addr() - start.addr();
    for (index, call) in CALLS.iter().enumerate() {
        if !offered(call) {
            let at = symbols + (index + 1) * SYMBOL + SECTION;
            image[at..at + 2].fill(0);
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::{CALLS, image};

    fn word(image: &[u8], at: usize, len: usize) -> usize {
        let bytes = image[at..at + len].iter().rev();
        bytes.fold(0, |word, byte| word << 8 | usize::from(*byte))
    }

    /// The value of an entry of the dynamic section.
    fn dynamic(image: &[u8], tag: usize) -> usize {
        let headers = word(image, 32, 8);
        let at = word(image, headers + 56 + 8, 8);
        let found = (0..16).find(|index| word(image, at + 16 * index, 8) == tag);
        word(image, at + 16 * found.unwrap() + 8, 8)
    }

    fn text(image: &[u8], at: usize) -> &str {
        let at = dynamic(image, 5) + at;
        let len = image[at..].iter().position(|byte| *byte == 0).unwrap();
        std::str::from_utf8(&image[at..at + len]).unwrap()
    }

    /// Looks a function up as the C libraries do: through the hash table, with the version.
    fn look_up(image: &[u8], name: &str) -> Option<usize> {
        let (hash, symbols) = (dynamic(image, 4), dynamic(image, 6));
        assert_eq!(word(image, hash, 4), 1, "one bucket");
        let mut index = word(image, hash + 8, 4);
        while index != 0 {
            let at = symbols + 24 * index;
            let version = word(image, dynamic(image, 0x6fff_fff0) + 2 * index, 2);
            let is_defined = word(image, at + 6, 2) != 0;
            if text(image, word(image, at, 4)) == name && is_defined && version == 2 {
                return Some(word(image, at + 8, 8));
            }
            index = word(image, hash + 12 + 4 * index, 4);
        }
        None
    }

    #[test]
    fn functions_are_found_by_name_and_version() {
        let image = image(|_| true);
        assert!(image.len() <= 4096);
        assert_eq!(image[..4], *b"\x7fELF");
        let mut last = 0;
        for call in CALLS {
            let at = look_up(&image, &format!("__vdso_{call}")).unwrap();
            assert!(at > last, "{call}");
            last = at;
        }
        let definitions = dynamic(&image, 0x6fff_fffc);
        let second = definitions + word(&image, definitions + 16, 4);
        let name = word(&image, second + word(&image, second + 12, 4), 4);
        assert_eq!(
            (word(&image, second + 4, 2), text(&image, name)),
            (2, "LINUX_2.6")
        );
        assert_eq!(text(&image, dynamic(&image, 14)), "linux-vdso.so.1");
    }

    #[test]
    fn what_is_not_offered_is_not_found() {
        let image = image(|call| call != "time");
        assert_eq!(look_up(&image, "__vdso_time"), None);
        assert!(look_up(&image, "__vdso_getcpu").is_some());
    }

    #[test]
    fn debuggers_find_the_sections() {
        let image = image(|_| true);
        let (table, names) = (word(&image, 40, 8), word(&image, 62, 2));
        assert_eq!(table + 64 * word(&image, 60, 2), image.len());
        let names = word(&image, table + 64 * names + 24, 8);
        let text = table + 64 * 9;
        let name = names + word(&image, text, 4);
        assert_eq!(image[name..name + 6], *b".text\0");
        let at = word(&image, text + 24, 8);
        assert_eq!(look_up(&image, "__vdso_clock_gettime"), Some(at));
    }
}
