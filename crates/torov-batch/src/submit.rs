//! [`submit`], which makes the calls, and the [`Call`] that it takes.

use core::arch::asm;

/// The call that Linux does not have.
const BATCH: u32 = 0x54_6f72;

const EINTR: i64 = -4;
const ENOSYS: i64 = -38;

/// A system call, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Call {
    number: u64,
    args: [u64; 6],
    /// The result, or `-errno` if the call failed; 0 before it was made.
    pub result: i64,
}

impl Call {
    /// Call `number` of Linux on x86-64 with `args`, not made yet.
    #[must_use]
    pub const fn new(number: u64, args: [u64; 6]) -> Self {
        Self {
            number,
            args,
            result: 0,
        }
    }
}

/// Makes `calls` in their order, each as if it were made alone, and returns how many were made.
///
/// That is less than all of them behind a call that a signal ended: its result is `-EINTR`, whatever `SA_RESTART` says. Calls that end or
/// start a thread, `rt_sigreturn`, `sigaltstack` and `arch_prctl` answer `-ENOSYS`. Blocks as the calls do.
///
/// # Safety
/// 1. Each of the calls is sound to make here, in this order: what it points to lives, and may be read or written as the call does.
/// 2. None of them writes to `calls` or unmaps what this program still uses.
pub unsafe fn submit(calls: &mut [Call]) -> usize {
    let mut done = 0;
    while let Some(rest) = calls.get_mut(done..).filter(|rest| !rest.is_empty()) {
        // SAFETY: duties 1 and 2 are the caller's; the records are borrowed until the call returns.
        let mut made = unsafe { batch(rest) };
        if made == ENOSYS
            && let [first, ..] = rest
        {
            // SAFETY: duties 1 and 2 are the caller's.
            unsafe { one(first) };
            made = 1;
        }
        let Some(made) = usize::try_from(made).ok().filter(|made| *made > 0) else {
            break;
        };
        done = calls.len().min(done + made);
        if calls.get(done - 1).is_some_and(|last| last.result == EINTR) {
            break;
        }
    }
    done
}

/// ToroV's call.
///
/// # Safety
/// 1. Those of [`submit`].
unsafe fn batch(calls: &mut [Call]) -> i64 {
    let made;
    // SAFETY: the kernel writes to the records, which are exclusively ours, and does what they ask, which is the caller's duty. The
    // number is loaded right before the call: such sites are patched.
    unsafe {
        asm!(
            "mov eax, {number}",
            "syscall",
            number = const BATCH,
            out("rax") made,
            in("rdi") calls.as_mut_ptr(),
            in("rsi") calls.len(),
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    made
}

/// The call itself.
///
/// # Safety
/// 1. Those of [`submit`].
unsafe fn one(call: &mut Call) {
    let [a, b, c, d, e, f] = call.args;
    let result;
    // SAFETY: that the call is sound is the caller's duty.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") call.number => result,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            in("r9") f,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    call.result = result;
}

#[cfg(test)]
mod tests {
    use super::{Call, submit};

    const GETPPID: u64 = 110;
    const NO_SUCH_CALL: u64 = 100_000;

    #[test]
    fn calls_are_made_one_by_one_where_there_is_no_torov() {
        let call = |number| Call::new(number, [0; 6]);
        let mut calls = [call(GETPPID), call(NO_SUCH_CALL), call(GETPPID)];
        // SAFETY: these calls touch no memory.
        assert_eq!(unsafe { submit(&mut calls) }, 3);
        assert!(calls[0].result > 0 && calls[0].result == calls[2].result);
        assert_eq!(calls[1].result, -38);
        // SAFETY: as above.
        assert_eq!(unsafe { submit(&mut []) }, 0);
    }
}
