//! Waking: from a `core::task::Waker` to the run queue.
//!
//! What a thread waits with is a [`toro_queue::WakeWord`], whose exchange has one winner; the winner enqueues, here or by mail.

use alloc::sync::Arc;
use core::mem::ManuallyDrop;
use core::task::{RawWaker, RawWakerVTable, Waker};

use crate::core_loop;
use crate::thread::Block;

/// Makes `block` runnable, or leaves word that it shall not park.
pub(crate) fn wake(block: &Arc<Block>) {
    if block.word.wake() {
        core_loop::make_ready(block);
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake_owned, wake_by_ref, drop_owned);

/// A waker that holds one count of `block`.
pub(crate) fn waker(block: Arc<Block>) -> Waker {
    let raw = RawWaker::new(Arc::into_raw(block).cast(), &VTABLE);
    // SAFETY: the functions of the table treat the pointer as one count of an `Arc<Block>`, which it is; a block is
    // `Send` and `Sync`, and `wake` may be called on any core.
    unsafe { Waker::from_raw(raw) }
}

/// Calls `f` with a waker of `block` that costs no reference count.
pub(crate) fn with_waker<R>(block: &Arc<Block>, f: impl FnOnce(&Waker) -> R) -> R {
    let raw = RawWaker::new(Arc::as_ptr(block).cast(), &VTABLE);
    // SAFETY: as in `waker`; the count is borrowed from `block`, and `ManuallyDrop` never gives it back.
    let waker = ManuallyDrop::new(unsafe { Waker::from_raw(raw) });
    f(&waker)
}

/// # Safety
/// `data` must come from a waker of this module's.
unsafe fn borrow(data: *const ()) -> ManuallyDrop<Arc<Block>> {
    // SAFETY: the waker owns (or borrows) one count of this block; `ManuallyDrop` leaves it alone.
    ManuallyDrop::new(unsafe { Arc::from_raw(data.cast()) })
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: called by a waker of this module's.
    let block = unsafe { borrow(data) };
    RawWaker::new(Arc::into_raw(Arc::clone(&block)).cast(), &VTABLE)
}

unsafe fn wake_owned(data: *const ()) {
    // SAFETY: called by a waker of this module's, which gives its count away.
    let block = ManuallyDrop::into_inner(unsafe { borrow(data) });
    wake(&block);
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: called by a waker of this module's.
    let block = unsafe { borrow(data) };
    wake(&block);
}

unsafe fn drop_owned(data: *const ()) {
    // SAFETY: called by a waker of this module's, which gives its count away.
    drop(ManuallyDrop::into_inner(unsafe { borrow(data) }));
}
