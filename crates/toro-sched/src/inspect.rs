//! The threads of any core, as a debugger or a report sees them that has stopped it.

use core::ops::Range;

use crate::core_loop;

/// What a thread was doing when its core was stopped. A reason says what it waits for, and is empty if it only parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Its core runs it.
    Running,
    /// It waits as the last that ran, and its core idles in it.
    Idling(&'static str),
    /// It has ended as the last that ran, and its core idles in it.
    Ended,
    /// It waits for its turn.
    Ready,
    /// It waits.
    Waiting(&'static str),
}

/// A thread as it is seen from outside.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The number that no other thread has or had.
    pub id: u64,
    /// The name that it was given.
    pub name: &'a str,
    /// Its home core.
    pub core: usize,
    /// What it was doing.
    pub doing: Doing,
    /// Where the registers of a thread lie that its core is not in: R15, R14, R13, R12, RBX, RBP and the return address.
    pub stack_pointer: u64,
    /// What it can use of its stack.
    pub stack: Range<u64>,
    /// Where it goes on, if its core is not in it.
    pub resumes: Option<Frame>,
}

/// A place in a function, and its frame: where a backtrace starts.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// The next instruction.
    pub rip: u64,
    /// The frame pointer.
    pub rbp: u64,
}

/// Calls `visit` with each thread of `core`, the youngest first.
///
/// # Safety
/// 1. The core is stopped, or the running one, until this returns.
pub unsafe fn threads_of(core: usize, visit: &mut dyn FnMut(&Seen<'_>)) {
    // SAFETY: duty 1.
    unsafe {
        core_loop::for_each_on(core, |block, is_current| {
            let doing = match (is_current, block.word.is_waiting()) {
                (true, false) if block.word.is_active() => Doing::Running,
                (true, false) => Doing::Ended,
                (true, true) => Doing::Idling(block.reason.get()),
                (false, false) => Doing::Ready,
                (false, true) => Doing::Waiting(block.reason.get()),
            };
            visit(&Seen {
                id: block.id,
                name: &block.name,
                core,
                doing,
                stack_pointer: block.stack_pointer(),
                stack: block.stack_range(),
                resumes: (!is_current).then(|| block.resumes()).flatten(),
            });
        });
    }
}
