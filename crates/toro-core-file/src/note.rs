//! Notes: what is known of each thread (Linux, `include/uapi/linux/elfcore.h` and `arch/x86/include/asm/user_64.h`).

/// Bytes of the x87 and SSE registers as FXSAVE lays them out.
pub const FX: usize = 512;

/// A thread's status: signal, number, registers.
pub(crate) const PRSTATUS: u32 = 1;
/// Its x87 and SSE registers.
pub(crate) const FPREGSET: u32 = 2;
/// The name under which debuggers look for both.
pub(crate) const CORE: [u8; 8] = *b"CORE\0\0\0\0";
/// What XSAVE lays out: those again, and the AVX registers.
pub(crate) const XSTATE: u32 = 0x202;
/// The name under which debuggers look for that.
pub(crate) const LINUX: [u8; 8] = *b"LINUX\0\0\0";
/// The name of the text for people, a note of kind 1.
pub(crate) const TORO: [u8; 8] = *b"TORO\0\0\0\0";

const HEADER: usize = 12;
const NAME: usize = 8;
const STATUS: usize = 336;
/// FXSAVE's area, the header of XSAVE's, and the upper halves of sixteen registers (Intel SDM volume 1, 13.4 and 13.5.2).
const XSAVE: usize = FX + 64 + size_of::<UpperHalves>();

/// The places of registers in [`Registers`].
pub mod register {
    #![expect(missing_docs, reason = "each is the register of that name")]
    pub const R15: usize = 0;
    pub const R14: usize = 1;
    pub const R13: usize = 2;
    pub const R12: usize = 3;
    pub const RBP: usize = 4;
    pub const RBX: usize = 5;
    pub const R11: usize = 6;
    pub const R10: usize = 7;
    pub const R9: usize = 8;
    pub const R8: usize = 9;
    pub const RAX: usize = 10;
    pub const RCX: usize = 11;
    pub const RDX: usize = 12;
    pub const RSI: usize = 13;
    pub const RDI: usize = 14;
    pub const RIP: usize = 16;
    pub const CS: usize = 17;
    pub const FLAGS: usize = 18;
    pub const RSP: usize = 19;
    pub const SS: usize = 20;
    pub const FS_BASE: usize = 21;
    pub const GS_BASE: usize = 22;
}

/// General registers in the order of Linux' `struct user_regs_struct`; [`register`] names their places.
pub type Registers = [u64; 27];

/// The upper halves of the AVX registers, YMM0 first.
pub type UpperHalves = [[u8; 16]; 16];

/// A thread as a debugger will see it.
#[derive(Clone, Copy, Debug)]
pub struct Thread<'a> {
    /// Its number, above 0.
    pub id: u32,
    /// The signal of Unix that says what happened to it; 0 for nothing.
    pub signal: u16,
    /// Its registers; 0 where one is not known.
    pub registers: &'a Registers,
    /// Its x87 and SSE registers, if they are known.
    pub fx: Option<&'a [u8; FX]>,
    /// The upper halves of its AVX registers, if they are known and the processor has any.
    pub upper: Option<&'a UpperHalves>,
}

/// Bytes of a note with so many bytes of content.
pub(crate) const fn size(content: usize) -> usize {
    HEADER + NAME + content.next_multiple_of(4)
}

/// Bytes of the notes of a thread.
pub(crate) fn len(thread: &Thread<'_>) -> usize {
    let fx = thread.fx.map_or(0, |_| size(FX));
    let extended = extended(thread).map_or(0, |_| size(XSAVE));
    size(STATUS) + fx + extended
}

/// What XSAVE would have written; `None` if there is no more to tell than FXSAVE has.
pub(crate) fn extended(thread: &Thread<'_>) -> Option<[u8; XSAVE]> {
    /// x87, SSE and AVX.
    const STATES: u8 = 0b111;
    let mut bytes = [0; XSAVE];
    bytes[..FX].copy_from_slice(thread.fx?);
    // Where Linux says which states there are (`struct xregs_state`, the bytes that are left to software), and XSTATE_BV: all are there.
    bytes[464..472].copy_from_slice(&u64::from(STATES).to_le_bytes());
    bytes[FX] = STATES;
    let (_, upper) = bytes.split_at_mut(FX + 64);
    upper.copy_from_slice(thread.upper?.as_flattened());
    Some(bytes)
}

/// The header and the name of a note.
pub(crate) fn head(name: [u8; NAME], kind: u32, content: usize) -> [u8; HEADER + NAME] {
    let mut bytes = [0; HEADER + NAME];
    let content = u32::try_from(content).unwrap_or(u32::MAX);
    // Those that count, with the zero at the end.
    let letters = (1..).zip(&name).filter(|(_, letter)| **letter != 0);
    let name_len: u32 = letters.last().map_or(1, |(count, _)| count + 1);
    bytes[..4].copy_from_slice(&name_len.to_le_bytes());
    bytes[4..8].copy_from_slice(&content.to_le_bytes());
    bytes[8..12].copy_from_slice(&kind.to_le_bytes());
    bytes[12..].copy_from_slice(&name);
    bytes
}

/// The content of a thread's status: `struct elf_prstatus`.
pub(crate) fn status(thread: &Thread<'_>) -> [u8; STATUS] {
    let mut bytes = [0; STATUS];
    bytes[..4].copy_from_slice(&u32::from(thread.signal).to_le_bytes());
    bytes[12..14].copy_from_slice(&thread.signal.to_le_bytes());
    bytes[32..36].copy_from_slice(&thread.id.to_le_bytes());
    let (places, _) = bytes[112..328].as_chunks_mut::<8>();
    for (place, value) in places.iter_mut().zip(thread.registers) {
        *place = value.to_le_bytes();
    }
    bytes[328] = u8::from(thread.fx.is_some());
    bytes
}
