//! The frame that a handler finds on its stack, as Linux lays it out on x86-64 (`arch/x86/include/asm/sigframe.h`).
//!
//! ```text
//!    0  where the handler returns to: the restorer, which calls rt_sigreturn
//!    8  ucontext: flags, link, the stack for handlers (24 bytes), the registers (256), the mask (8)
//!  312  siginfo (128)
//!  440  up to 64 bytes of room, then the image of the floating-point registers and 4 bytes that mark its end
//! ```

use torov_abi::{Errno, USER_END};
use torov_memory::Memory;
use torov_vcpu::Registers;

use super::{Action, Info, SA_ONSTACK, SA_RESTORER, Stack};
use crate::context::word_at;

/// Below the stack pointer lie 128 bytes that are the program's.
const RED_ZONE: u64 = 128;

const LEN: u64 = 440;
const CONTEXT: usize = 8;
const STACK: usize = CONTEXT + 16;
const REGISTERS: usize = CONTEXT + 40;
const MASK: usize = REGISTERS + 256;
const INFO: usize = MASK + 8;

/// `uc_flags`: the floating-point registers are an XSAVE image; `ss` counts.
const FLAGS: u64 = 7;

/// What marks an image that is more than FXSAVE, before and behind.
const MAGIC_BEFORE: u32 = 0x4650_5853;
const MAGIC_BEHIND: u32 = 0x4650_5845;
/// Where the first lies: in the part of FXSAVE that is for software.
const SOFTWARE: usize = 464;
const FXSAVE: usize = 512;

const SS_ONSTACK: u32 = 1;
const SS_DISABLE: u32 = 2;
const SS_AUTODISARM: u32 = 1 << 31;

/// What the processor said of a thread's last fault.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LastFault {
    pub(crate) vector: u64,
    pub(crate) error: u64,
    pub(crate) address: u64,
}

/// What a frame is made of.
#[derive(Debug)]
pub(crate) struct Interrupted<'a> {
    pub(crate) registers: &'a Registers,
    /// The image of the floating-point registers, and its parts as in XCR0.
    pub(crate) extended: Vec<u8>,
    pub(crate) states: u64,
    pub(crate) mask: u64,
    pub(crate) stack: Stack,
    pub(crate) fault: LastFault,
}

/// What `rt_sigreturn` goes back to.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) registers: Registers,
    /// The image of the floating-point registers, as far as the frame has one.
    pub(crate) extended: Option<Vec<u8>>,
    pub(crate) mask: u64,
    pub(crate) stack: Option<Stack>,
}

/// `stack_t`. `pointer` is the stack pointer, which tells whether the stack is in use.
pub(crate) fn stack_bytes(stack: Stack, pointer: u64) -> [u8; 24] {
    let mut bytes = [0; 24];
    let flags = match stack.len {
        0 => SS_DISABLE,
        _ if stack.holds(pointer) => SS_ONSTACK,
        _ => 0,
    };
    let flags = flags | if stack.disarms { SS_AUTODISARM } else { 0 };
    bytes[..8].copy_from_slice(&stack.start.to_le_bytes());
    bytes[8..12].copy_from_slice(&flags.to_le_bytes());
    bytes[16..].copy_from_slice(&stack.len.to_le_bytes());
    bytes
}

/// The stack that a `stack_t` describes.
///
/// # Errors
/// `EINVAL` for flags that Linux has not, `ENOMEM` if it is too small.
pub(crate) fn stack_of(bytes: &[u8; 24]) -> Result<Stack, Errno> {
    const LEAST: u64 = 2048;
    let flags = torov_abi::word::low(word_at(bytes, 8));
    let (start, len) = (word_at(bytes, 0), word_at(bytes, 16));
    let disarms = flags & SS_AUTODISARM != 0;
    match flags & !SS_AUTODISARM {
        SS_DISABLE => Ok(Stack::default()),
        0 | SS_ONSTACK if len < LEAST => Err(Errno::ENOMEM),
        0 | SS_ONSTACK => Ok(Stack {
            start,
            len,
            disarms,
        }),
        _ => Err(Errno::EINVAL),
    }
}

/// Puts a frame for `info` onto the stack and returns the registers with which the handler begins.
///
/// # Errors
/// `EFAULT` if the stack has no room or the action makes no sense: Linux sends SIGSEGV then.
pub(crate) fn push(
    memory: &Memory,
    interrupted: &Interrupted<'_>,
    info: &Info,
    action: &Action,
) -> Result<Registers, Errno> {
    let [handler, flags, restorer, _] = *action;
    if flags & SA_RESTORER == 0 || handler >= USER_END {
        return Err(Errno::EFAULT);
    }
    let old = interrupted.registers;
    let stack = interrupted.stack;
    let mut top = old.rsp.wrapping_sub(RED_ZONE);
    let switches = flags & SA_ONSTACK != 0 && stack.len != 0 && !stack.holds(old.rsp);
    if switches {
        top = stack.start.wrapping_add(stack.len);
    }
    let image = marked(&interrupted.extended, interrupted.states);
    let image_at = top.wrapping_sub(torov_abi::word::wide(image.len())) & !63;
    let at = (image_at.wrapping_sub(LEN) & !15).wrapping_sub(8);
    if (switches || stack.holds(old.rsp)) && at <= stack.start {
        // The stack for handlers is used up: whatever lies below it is not for them.
        return Err(Errno::EFAULT);
    }
    let mut bytes = vec![0; torov_abi::word::size(LEN)];
    bytes[..8].copy_from_slice(&restorer.to_le_bytes());
    bytes[CONTEXT..CONTEXT + 8].copy_from_slice(&FLAGS.to_le_bytes());
    bytes[STACK..STACK + 24].copy_from_slice(&stack_bytes(stack, old.rsp));
    let words = register_words(old, interrupted, image_at);
    for (place, word) in bytes[REGISTERS..MASK].chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes[MASK..INFO].copy_from_slice(&interrupted.mask.to_le_bytes());
    bytes[INFO..].copy_from_slice(&info.bytes());
    memory.write(image_at, &image)?;
    memory.write(at, &bytes)?;
    let offset = torov_abi::word::wide;
    Ok(Registers {
        rax: 0,
        rdi: info.signal.number().into(),
        rsi: at + offset(INFO),
        rdx: at + offset(CONTEXT),
        rsp: at,
        rip: handler,
        // Neither trap nor direction.
        rflags: old.rflags & !0x500,
        ..*old
    })
}

/// `struct sigcontext`.
fn register_words(old: &Registers, interrupted: &Interrupted<'_>, image: u64) -> [u64; 24] {
    // cs, gs, fs, ss.
    const SELECTORS: u64 = 0x002b_0000_0000_0033;
    let fault = interrupted.fault;
    [
        old.r8,
        old.r9,
        old.r10,
        old.r11,
        old.r12,
        old.r13,
        old.r14,
        old.r15,
        old.rdi,
        old.rsi,
        old.rbp,
        old.rbx,
        old.rdx,
        old.rax,
        old.rcx,
        old.rsp,
        old.rip,
        old.rflags,
        SELECTORS,
        fault.error,
        fault.vector,
        interrupted.mask,
        fault.address,
        image,
    ]
}

/// An image with the marks by which a program knows how long it is.
fn marked(image: &[u8], states: u64) -> Vec<u8> {
    let len = u32::try_from(image.len()).unwrap_or(0);
    let mut bytes = image.to_vec();
    let mut software = [0; 48];
    software[..4].copy_from_slice(&MAGIC_BEFORE.to_le_bytes());
    software[4..8].copy_from_slice(&(len + 4).to_le_bytes());
    software[8..16].copy_from_slice(&(states | 3).to_le_bytes());
    software[16..20].copy_from_slice(&len.to_le_bytes());
    bytes[SOFTWARE..FXSAVE].copy_from_slice(&software);
    bytes.extend(MAGIC_BEHIND.to_le_bytes());
    bytes
}

/// Takes the frame whose first word the handler's `ret` has taken: the stack pointer is behind it.
///
/// # Errors
/// `EFAULT` if there is no frame that makes sense: Linux sends SIGSEGV then.
pub(crate) fn pop(memory: &Memory, pointer: u64, image_len: usize) -> Result<Restored, Errno> {
    let bytes: [u8; 440] = memory.read_array(pointer.wrapping_sub(8))?;
    let word = |index: usize| word_at(&bytes, REGISTERS + 8 * index);
    let registers = Registers {
        r8: word(0),
        r9: word(1),
        r10: word(2),
        r11: word(3),
        r12: word(4),
        r13: word(5),
        r14: word(6),
        r15: word(7),
        rdi: word(8),
        rsi: word(9),
        rbp: word(10),
        rbx: word(11),
        rdx: word(12),
        rax: word(13),
        rcx: word(14),
        rsp: word(15),
        rip: word(16),
        rflags: word(17),
    };
    if registers.rip >= USER_END {
        return Err(Errno::EFAULT);
    }
    let mut stack = [0; 24];
    stack.copy_from_slice(&bytes[STACK..STACK + 24]);
    let extended = match word(23) {
        0 => None,
        at => Some(image(memory, at, image_len)?),
    };
    Ok(Restored {
        registers,
        extended,
        mask: word_at(&bytes, MASK),
        stack: stack_of(&stack).ok(),
    })
}

/// The image at `at`: whole if it is marked, else the part that FXSAVE has.
fn image(memory: &Memory, at: u64, len: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; FXSAVE];
    memory.read(at, &mut bytes)?;
    let before = torov_abi::word::low(word_at(&bytes, SOFTWARE));
    let end = at.wrapping_add(torov_abi::word::wide(len));
    if before == MAGIC_BEFORE && memory.read_u32(end) == Ok(MAGIC_BEHIND) {
        bytes.resize(len, 0);
        memory.read(at, &mut bytes)?;
    }
    Ok(bytes)
}
