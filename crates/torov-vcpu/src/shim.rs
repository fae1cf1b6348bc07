//! The shim: the program's side of the ring, at privilege level 3. Patched call sites jump here.
//!
//! In: the number in `eax`, the arguments where `syscall` wants them, in `rcx` where to go on. Out: the result in `rax`;
//! `rcx` and `r11` are lost as behind `syscall`, flags are kept, the stack is not touched (programs keep data below it).
//!
//! ```text
//!         0   keeps number and flags, posts the call in the slot at gs:0 and looks for the answer
//!      EXIT   leaves by `syscall`: the poller sleeps, is late, or has refused
//!     SITES   trampolines of patched sites, see [`sites`]
//!    0x1000   the page of the slots
//! ```

pub mod sites;

use std::arch::global_asm;

/// Where the instruction behind the shim's `syscall` is.
pub const EXIT: u64 = LEAVE + 22;

/// Where the way out by `syscall` begins.
pub const LEAVE: u64 = 0x80;

/// From here on the number is in the slot, and the flags are in `ax` as `seto al; lahf` leaves them.
const KEPT: u64 = 12;

global_asm!(
    ".pushsection .rodata.torov_shim, \"a\"",
    ".balign 64",
    ".globl torov_shim_start",
    "torov_shim_start:",
    "2:",
    "mov dword ptr gs:[4], eax",
    "seto al",
    "lahf",
    "cmp dword ptr [rip + 2b + 0x1000], 0",
    "jne 4f",
    "mov qword ptr gs:[8], rdi",
    "mov qword ptr gs:[16], rsi",
    "mov qword ptr gs:[24], rdx",
    "mov qword ptr gs:[32], r10",
    "mov qword ptr gs:[40], r8",
    "mov qword ptr gs:[48], r9",
    "mov r11d, dword ptr [rip + 2b + 0x1004]",
    "mov dword ptr gs:[0], 1",
    "3:",
    "cmp dword ptr gs:[0], 2",
    "ja 5f",
    "pause",
    "dec r11d",
    "jnz 3b",
    "jmp 4f",
    ".org 2b + 0x80",
    "4:",
    "mov qword ptr gs:[56], rcx",
    // Overflow again if it was 1, and the others.
    "add al, 0x7f",
    "sahf",
    "mov eax, dword ptr gs:[4]",
    "syscall",
    "jmp qword ptr gs:[56]",
    "5:",
    "cmp dword ptr gs:[0], 3",
    "jne 4b",
    "add al, 0x7f",
    ".globl torov_shim_restoring",
    "torov_shim_restoring:",
    "sahf",
    "mov rax, qword ptr gs:[8]",
    ".globl torov_shim_answered",
    "torov_shim_answered:",
    "mov dword ptr gs:[0], 0",
    "jmp rcx",
    ".globl torov_shim_end",
    "torov_shim_end:",
    ".popsection",
);

unsafe extern "C" {
    static torov_shim_start: u8;
    static torov_shim_restoring: u8;
    static torov_shim_answered: u8;
    static torov_shim_end: u8;
}

/// The code, which works at any address that is followed by the page of the slots.
#[must_use]
pub fn code() -> &'static [u8] {
    let start = &raw const torov_shim_start;
    let end = &raw const torov_shim_end;
    // SAFETY: both symbols bound the piece of read-only data above, which nobody writes to.
    unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) }
}

/// How far a thread that was interrupted in the shim, or in a trampoline, has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is done that could not be done later: it is about to enter, or in a trampoline.
    Outside,
    /// The number is in the slot, flags are where they were: it can enter again.
    Entering,
    /// It waits for its answer, or is about to: the call can be made by [`LEAVE`] as well.
    Asking,
    /// It is about to make the call outside.
    Leaving,
    /// The result is in the slot; of the flags those are back in their place that `sahf` does not set, or all of them.
    Restoring {
        /// Whether `sahf` is still to come.
        flags: bool,
    },
    /// `rax` holds the answer; the slot is to be freed, and the thread goes on at `rcx`.
    Answered,
    /// The call has been made outside; the thread goes on where the slot's last word says.
    Left,
}

/// How far a thread has come that was interrupted `offset` bytes behind the start of the shim, at less than a page.
#[must_use]
pub fn stage(offset: u64) -> Stage {
    let from_start = |symbol: *const u8| {
        torov_abi::word::wide(symbol.addr() - (&raw const torov_shim_start).addr())
    };
    let restoring = from_start(&raw const torov_shim_restoring);
    let answered = from_start(&raw const torov_shim_answered);
    match offset {
        0 => Stage::Outside,
        EXIT => Stage::Left,
        _ if offset >= sites::FIRST => Stage::Outside,
        _ if offset >= answered => Stage::Answered,
        _ if offset >= restoring => Stage::Restoring {
            flags: offset == restoring,
        },
        _ if (LEAVE..EXIT).contains(&offset) => Stage::Leaving,
        _ if offset < KEPT => Stage::Entering,
        _ => Stage::Asking,
    }
}

#[cfg(test)]
mod tests {
    use super::{EXIT, KEPT, LEAVE, Stage, code, sites, stage};

    fn at(offset: u64) -> &'static [u8] {
        &code()[usize::try_from(offset).unwrap()..]
    }

    #[test]
    fn the_exit_is_where_the_monitor_looks_for_it() {
        assert_eq!(at(EXIT - 2)[..2], [0x0f, 0x05]);
        assert!(code().len() < usize::try_from(sites::FIRST).unwrap());
    }

    #[test]
    fn stages_are_those_of_the_code() {
        assert_eq!(at(KEPT - 1)[0], 0x9f, "lahf");
        assert_eq!((stage(0), stage(8)), (Stage::Outside, Stage::Entering));
        assert_eq!(
            (stage(KEPT - 1), stage(KEPT)),
            (Stage::Entering, Stage::Asking)
        );
        assert_eq!(
            (stage(LEAVE), stage(EXIT - 2)),
            (Stage::Leaving, Stage::Leaving)
        );
        assert_eq!(
            (stage(EXIT), stage(sites::FIRST + 30)),
            (Stage::Left, Stage::Outside)
        );
        // The last instruction is `jmp rcx`, of two bytes, behind one of twelve.
        let end = u64::try_from(code().len()).unwrap();
        assert_eq!(
            (stage(end - 2), stage(end - 14)),
            (Stage::Answered, Stage::Answered)
        );
        // `sahf`, and a load of nine bytes.
        assert_eq!(at(end - 24)[0], 0x9e);
        assert_eq!(stage(end - 24), Stage::Restoring { flags: true });
        assert_eq!(stage(end - 23), Stage::Restoring { flags: false });
        assert_eq!(stage(end - 26), Stage::Asking, "`add al, 0x7f`");
    }
}
