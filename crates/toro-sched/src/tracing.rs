//! Tracing of what the scheduler does: the change of threads, and the names of those that are there.
//!
//! A change of threads is some thirty instructions, beside which even a look at a flag would show. So in an image with the unit
//! `trace` it goes through a pointer: to the change itself while nobody wants events, and else to one that notes it first.

use core::mem::{self, offset_of};
use core::sync::atomic::{AtomicPtr, Ordering};

use toro_arch::context::{self, Context};
use toro_trace::Kind;

use crate::core_loop;
use crate::thread::Block;

type Change = unsafe extern "C" fn(*mut Context, *const Context);

/// [`context::switch`] or [`traced`]; only images with the unit `trace` look here.
static CHANGE: AtomicPtr<()> = AtomicPtr::new(context::switch as *mut ());

/// Has changes of threads traced from now on, or not any more.
pub fn trace_switches(is_wanted: bool) {
    let change: Change = if is_wanted { traced } else { context::switch };
    CHANGE.store(change as *mut (), Ordering::Relaxed);
}

/// Changes from one thread to another: [`context::switch`].
///
/// # Safety
/// 1. The duties of [`context::switch`].
/// 2. Both are the contexts of blocks.
#[inline(always)]
pub(crate) unsafe fn change(from: *mut Context, to: *const Context) {
    if toro_trace::IS_COMPILED {
        let change = CHANGE.load(Ordering::Relaxed);
        // SAFETY: only functions of this type are ever stored there.
        let change = unsafe { mem::transmute::<*mut (), Change>(change) };
        // SAFETY: duties 1 and 2.
        unsafe { change(from, to) };
    } else {
        // SAFETY: duty 1.
        unsafe { context::switch(from, to) };
    }
}

/// # Safety
/// The duties of [`change`].
unsafe extern "C" fn traced(from: *mut Context, to: *const Context) {
    // SAFETY: duty 2: the context is a field of a block.
    let block = unsafe { to.byte_sub(offset_of!(Block, context)) }.cast::<Block>();
    // SAFETY: a thread that is about to run is alive.
    toro_trace::note_here(Kind::Switch, unsafe { (*block).id });
    // SAFETY: duty 1.
    unsafe { context::switch(from, to) };
}

/// Notes the names of all threads of this core, and which of them runs: for somebody who begins to read.
pub fn trace_threads() {
    let core = toro_arch::core_local::id();
    // SAFETY: 1. it is the running core.
    unsafe {
        core_loop::for_each_on(core, |block, _| {
            toro_trace::emit_name(Kind::Thread, block.id, &block.name);
        });
    }
    core_loop::with_current(|block| toro_trace::emit(Kind::Switch, block.id));
}
