//! The threads of any core, as a debugger sees them that has stopped it.

use crate::core_loop;

/// What a thread was doing when its core was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Its core runs it.
    Running,
    /// Its core waits in it for something to do: it is the last that ran.
    Idling,
    /// It waits for its turn.
    Ready,
    /// It waits for what this says; empty if it only parked.
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
                (true, false) => Doing::Running,
                (true, true) => Doing::Idling,
                (false, false) => Doing::Ready,
                (false, true) => Doing::Waiting(block.reason.get()),
            };
            visit(&Seen {
                id: block.id,
                name: &block.name,
                core,
                doing,
                stack_pointer: block.stack_pointer(),
            });
        });
    }
}
