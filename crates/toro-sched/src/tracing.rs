//! Tracing of what the scheduler does: whether it is to be noted, and the names of the threads that are there.

use toro_arch::core_local;
use toro_trace::Kind;

use crate::core_loop;

/// Has the running core note what it does if anybody wants events now, and not any more if nobody does.
///
/// To be called on each core after each call of [`toro_trace::want`]: what is called last finds what was said last.
pub fn trace_here() {
    let is_wanted = toro_trace::is_on();
    toro_mem::trace(is_wanted);
    core_loop::watch(is_wanted);
    if is_wanted {
        trace_threads();
    }
}

/// Notes the names of all threads of this core, and which of them runs: for somebody who begins to read.
fn trace_threads() {
    let core = core_local::id();
    // SAFETY: 1. it is the running core.
    unsafe {
        core_loop::for_each_on(core, |block, _| {
            toro_trace::emit_name(Kind::Thread, block.id, &block.name);
        });
    }
    core_loop::with_current(|block| toro_trace::emit(Kind::Switch, block.id));
}
