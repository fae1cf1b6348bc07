//! The shim: the program's side of the ring, at privilege level 3. Patched call sites jump here.
//!
//! In: the number in `eax`, the arguments where `syscall` wants them, in `rcx` where to go on. Out: the result in `rax`;
//! `rcx`, `r11` and the arithmetic flags are lost, the stack is not touched (programs keep data below it).
//!
//! ```text
//!         0   posts the call in the slot at gs:0 and looks for the answer
//!      EXIT   leaves by `syscall`: the poller sleeps, is late, or has refused
//!     SITES   trampolines of patched sites, see `trampoline`
//!    0x1000   the page of the slots
//! ```

use std::arch::global_asm;

use torov_abi::PAGE;

/// Where the instruction behind the shim's `syscall` is.
pub const EXIT: u64 = 0x80 + 11;

/// Where the way out by `syscall` begins.
pub const LEAVE: u64 = 0x80;

/// Where the trampolines begin.
const SITES: u64 = 0x100;
/// How long one is.
const SITE: u64 = 24;
/// How many there can be.
pub const MOST_SITES: u64 = (PAGE - SITES) / SITE;

global_asm!(
    ".pushsection .rodata.torov_shim, \"a\"",
    ".balign 64",
    ".globl torov_shim_start",
    "torov_shim_start:",
    "2:",
    "cmp dword ptr [rip + 2b + 0x1000], 0",
    "jne 4f",
    "mov dword ptr gs:[4], eax",
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
    "syscall",
    "jmp qword ptr gs:[56]",
    "5:",
    "cmp dword ptr gs:[0], 3",
    "jne 4b",
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
    /// In the trampoline that begins at this offset: nothing is done yet.
    Site(u64),
    /// It waits for its answer, or is about to: the call can be made by [`LEAVE`] as well.
    Asking,
    /// `rax` holds the answer; the slot is to be freed, and the thread goes on at `rcx`.
    Answered,
    /// The call has been made outside; the thread goes on where the slot's last word says.
    Left,
}

/// How far a thread has come that was interrupted `offset` bytes behind the start of the shim, at less than a page.
#[must_use]
pub fn stage(offset: u64) -> Stage {
    let answered = (&raw const torov_shim_answered).addr() - (&raw const torov_shim_start).addr();
    match offset {
        EXIT => Stage::Left,
        _ if offset >= SITES => Stage::Site(SITES + (offset - SITES) / SITE * SITE),
        _ if offset >= torov_abi::word::wide(answered) => Stage::Answered,
        _ => Stage::Asking,
    }
}

/// What a trampoline at `at` does: the number of the call, and where the thread goes on.
#[must_use]
pub fn read_trampoline(at: u64, code: [u8; 17]) -> (u64, u64) {
    let word = |place: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&code[place..place + 4]);
        u32::from_le_bytes(bytes)
    };
    let back = i64::from(word(8).cast_signed());
    (word(1).into(), (at + 12).wrapping_add_signed(back))
}

/// A call site that can be patched: `mov eax, NUMBER; syscall`.
///
/// Only the first instruction, five bytes, becomes a jump. A branch to the second one finds it as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Behind the `syscall`.
    end: u64,
    number: u32,
}

impl Site {
    /// How many bytes before the end of the `syscall` must be looked at.
    pub const LEN: u64 = 8;

    /// Reads the bytes that end at `end`, where a call of `number` came from.
    #[must_use]
    pub fn read(end: u64, bytes: [u8; 8], number: u64) -> Option<Self> {
        let [before, opcode, a, b, c, d, 0x0f, 0x05] = bytes else {
            return None;
        };
        let immediate = u32::from_le_bytes([a, b, c, d]);
        // Behind a REX prefix the same bytes load another register.
        let plain = opcode == 0xb8 && !(0x40..=0x4f).contains(&before);
        (plain && u64::from(immediate) == number).then_some(Self {
            end,
            number: immediate,
        })
    }

    /// Where the patch goes.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.end - 7
    }

    /// The patch and the trampoline that it jumps to, the `index`-th behind the shim at `shim`, with its offset from there.
    #[must_use]
    pub fn patch(&self, shim: u64, index: u64) -> Option<([u8; 5], u64, [u8; 17])> {
        let offset = SITES + index * SITE;
        let trampoline = shim + offset;
        let jump = relative(self.place() + 5, trampoline)?;
        let back = relative(trampoline + 12, self.end)?;
        let go = relative(trampoline + 17, shim)?;
        let mut patch = [0xe9; 5];
        patch[1..].copy_from_slice(&jump);
        let mut code = [0; 17];
        // mov eax, NUMBER; lea rcx, [rip + back]; jmp shim
        code[0] = 0xb8;
        code[1..5].copy_from_slice(&self.number.to_le_bytes());
        code[5..8].copy_from_slice(&[0x48, 0x8d, 0x0d]);
        code[8..12].copy_from_slice(&back);
        code[12] = 0xe9;
        code[13..].copy_from_slice(&go);
        Some((patch, offset, code))
    }
}

/// The displacement from `from` to `to`, if 32 bits hold it.
fn relative(from: u64, to: u64) -> Option<[u8; 4]> {
    let distance = to.wrapping_sub(from).cast_signed();
    i32::try_from(distance).ok().map(i32::to_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::{EXIT, LEAVE, SITES, Site, Stage, code, read_trampoline, stage};

    #[test]
    fn the_exit_is_where_the_monitor_looks_for_it() {
        let exit = usize::try_from(EXIT).unwrap();
        assert_eq!(code()[exit - 2..exit], [0x0f, 0x05]);
        assert!(code().len() < usize::try_from(SITES).unwrap());
        assert_eq!(
            (stage(0), stage(LEAVE), stage(EXIT)),
            (Stage::Asking, Stage::Asking, Stage::Left)
        );
        // The last instruction is `jmp rcx`, of two bytes.
        let end = u64::try_from(code().len()).unwrap();
        assert_eq!(stage(end - 2), Stage::Answered);
        assert_eq!(stage(SITES + 30), Stage::Site(SITES + 24));
    }

    #[test]
    fn only_a_load_of_the_number_is_patched() {
        let bytes = |before, opcode| [before, opcode, 1, 0, 0, 0, 0x0f, 0x05];
        assert!(Site::read(0x40_1000, bytes(0x90, 0xb8), 1).is_some());
        assert!(Site::read(0x40_1000, bytes(0x41, 0xb8), 1).is_none(), "r8d");
        assert!(Site::read(0x40_1000, bytes(0x90, 0xb8), 2).is_none());
        assert!(Site::read(0x40_1000, bytes(0x90, 0xb9), 1).is_none());
    }

    #[test]
    fn a_patch_leads_to_the_trampoline_and_back() {
        let site = Site::read(0x40_1007, [0x90, 0xb8, 1, 0, 0, 0, 0x0f, 0x05], 1).unwrap();
        let (patch, offset, code) = site.patch(0x3f_0000, 1).unwrap();
        let at = 0x3f_0000 + offset;
        let jump = i32::from_le_bytes([patch[1], patch[2], patch[3], patch[4]]);
        assert_eq!(0x40_1005_u64.wrapping_add_signed(jump.into()), at);
        let back = i32::from_le_bytes([code[8], code[9], code[10], code[11]]);
        assert_eq!((at + 12).wrapping_add_signed(back.into()), 0x40_1007);
        assert_eq!(read_trampoline(at, code), (1, 0x40_1007));
        assert!(site.patch(0x7f00_0000_0000, 0).is_none(), "too far");
    }
}
