//! Changing threads: save what a function call must keep, change stacks, return on the other one.
//!
//! A cooperative switch is a function call, so only the callee-saved registers count (System V ABI, 3.2.1). MXCSR and the
//! x87 control word are callee-saved too, but nothing here ever changes them.

use core::arch::naked_asm;

/// A thread's saved state: the stack pointer under which its registers lie.
#[derive(Debug)]
#[repr(transparent)]
pub struct Context(*mut u64);

impl Context {
    /// The context of a thread that has not been saved yet: to be passed to [`switch`] as the first argument.
    pub const fn empty() -> Self {
        Self(core::ptr::null_mut())
    }

    /// A context that calls `entry(argument)` on the stack below `top` when it is first switched to.
    ///
    /// # Safety
    /// 1. The 128 bytes below `top` must be writable memory of the new stack, and `top` a multiple of 16.
    /// 2. `entry` must never return.
    pub unsafe fn new(top: *mut u8, entry: extern "C" fn(usize) -> !, argument: usize) -> Self {
        // From the top down: the end of the chain of frame pointers, then what `switch` pops.
        let frame = [
            0,                         // r15
            0,                         // r14
            argument as u64,           // r13
            entry as *const () as u64, // r12
            0,                         // rbx
            0,                         // rbp: a backtrace ends here
            start as *const () as u64, // where `switch` returns to
        ];
        // SAFETY: duty 1: seven words fit below `top`.
        let stack = unsafe { top.cast::<u64>().sub(frame.len()) };
        // SAFETY: as above; the words were not in use.
        unsafe { core::ptr::copy_nonoverlapping(frame.as_ptr(), stack, frame.len()) };
        Self(stack)
    }

    /// The saved stack pointer: where a parked thread's frames begin.
    pub fn stack_pointer(&self) -> usize {
        self.0 as usize
    }
}

/// Saves the running thread in `from` and continues `to`; returns when somebody switches back to `from`.
///
/// # Safety
/// 1. `to` must come from [`Context::new`] or from an earlier save, and its thread must not be running.
/// 2. `from` must stay where it is until it is switched to again.
#[unsafe(naked)]
pub unsafe extern "C" fn switch(from: *mut Context, to: *const Context) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, [rsi]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Continues `to` and calls `then(argument)` on its stack first, for a thread that ends: nobody runs on its stack any more then.
///
/// # Safety
/// 1. `to` must come from [`Context::new`] or from an earlier save, and its thread must not be running.
/// 2. Whoever calls is never continued: what its frames own is not dropped.
/// 3. `then` must return, and its frames must fit below those of `to`.
#[unsafe(naked)]
pub unsafe extern "C" fn leave(
    to: *const Context,
    then: extern "C" fn(*const ()),
    argument: *const (),
) -> ! {
    naked_asm!(
        "mov rsp, [rdi]",
        // The saved stack pointer is 8 off a multiple of 16, as in any function's first instruction.
        "sub rsp, 8",
        "mov rdi, rdx",
        "call rsi",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// The first code of a thread: enters `r12(r13)` as if called from address 0, which ends a backtrace.
#[unsafe(naked)]
extern "C" fn start() -> ! {
    // RBP is 0 as yet.
    naked_asm!("push rbp", "mov rdi, r13", "jmp r12")
}

#[cfg(test)]
#[expect(
    clippy::undocumented_unsafe_blocks,
    reason = "the test owns both stacks and runs on one thread"
)]
mod tests {
    use super::*;
    use alloc::vec;
    use core::cell::UnsafeCell;

    struct Pair {
        main: UnsafeCell<Context>,
        other: UnsafeCell<Context>,
        log: UnsafeCell<vec::Vec<usize>>,
    }

    extern "C" fn body(argument: usize) -> ! {
        let pair = unsafe { &*(argument as *const Pair) };
        for turn in 0.. {
            // The red zone and SSE registers are live across a switch in real code; format does both.
            let text = alloc::format!("{turn}");
            unsafe { (*pair.log.get()).push(text.len() + turn) };
            unsafe { switch(pair.other.get(), pair.main.get()) };
        }
        unreachable!()
    }

    #[test]
    fn alternates_between_two_stacks() {
        let mut stack = vec![0u128; 4096];
        let pair = Pair {
            main: UnsafeCell::new(Context::empty()),
            other: UnsafeCell::new(Context::empty()),
            log: UnsafeCell::new(vec![]),
        };
        let top = stack.as_mut_ptr_range().end.cast();
        let context = unsafe { Context::new(top, body, &raw const pair as usize) };
        unsafe { *pair.other.get() = context };
        for turn in 0..3 {
            unsafe { switch(pair.main.get(), pair.other.get()) };
            assert_eq!(unsafe { (*pair.log.get()).len() }, turn + 1);
        }
        assert_eq!(unsafe { &*pair.log.get() }, &[1, 2, 3]);
    }

    extern "C" fn note(argument: *const ()) {
        let pair = unsafe { &*argument.cast::<Pair>() };
        // Whatever format does with SSE registers needs an aligned stack.
        let text = alloc::format!("{:?} {}", 1.5, "aligned");
        unsafe { (*pair.log.get()).push(text.len()) };
    }

    extern "C" fn last(argument: usize) -> ! {
        let pair = argument as *const Pair;
        let main = unsafe { (*pair).main.get() };
        unsafe { leave(main, note, pair.cast()) }
    }

    #[test]
    fn who_leaves_has_something_done_on_the_other_stack() {
        let mut stack = vec![0u128; 4096];
        let pair = Pair {
            main: UnsafeCell::new(Context::empty()),
            other: UnsafeCell::new(Context::empty()),
            log: UnsafeCell::new(vec![]),
        };
        let top = stack.as_mut_ptr_range().end.cast();
        let context = unsafe { Context::new(top, last, &raw const pair as usize) };
        unsafe { *pair.other.get() = context };
        unsafe { switch(pair.main.get(), pair.other.get()) };
        assert_eq!(unsafe { &*pair.log.get() }, &["1.5 aligned".len()]);
    }

    extern "C" fn make_way(argument: usize) -> ! {
        let pair = argument as *const Pair;
        let other = unsafe { (*pair).other.get() };
        unsafe { leave(other, note, pair.cast()) }
    }

    #[test]
    fn who_leaves_can_make_way_for_a_new_thread() {
        let (mut stack, mut heirs) = (vec![0u128; 4096], vec![0u128; 4096]);
        let pair = Pair {
            main: UnsafeCell::new(Context::empty()),
            other: UnsafeCell::new(Context::empty()),
            log: UnsafeCell::new(vec![]),
        };
        let argument = &raw const pair as usize;
        let top = heirs.as_mut_ptr_range().end.cast();
        let heir = unsafe { Context::new(top, body, argument) };
        unsafe { *pair.other.get() = heir };
        let top = stack.as_mut_ptr_range().end.cast();
        let leaver = unsafe { Context::new(top, make_way, argument) };
        unsafe { switch(pair.main.get(), &raw const leaver) };
        assert_eq!(unsafe { &*pair.log.get() }, &["1.5 aligned".len(), 1]);
    }
}
