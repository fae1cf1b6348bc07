//! The scheduler of a core: who runs, who is next, and the change from one to the other.
//!
//! There is no scheduler thread. Whoever gives up the core calls [`switch_away`], which takes in what has arrived (interrupts,
//! and threads from other cores), picks the next thread and changes to it; with nothing ready it waits in `idle`, still on the old
//! stack.
//!
//! What is done for each change of threads exists twice in an image with the unit `trace`, with events and without: [`unwatched`] tells which.

use alloc::sync::Arc;
use core::cell::Cell;
use core::mem::{self, ManuallyDrop};
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use toro_arch::context;
use toro_arch::core_local::{self, MAX_CORES};
use toro_queue::{Mailbox, Posted};
use toro_sync::{PerCore, per_core};
use toro_trace::{IS_COMPILED, Kind};

use crate::idle::{self, Look};
use crate::roster::Roster;
use crate::run_queue::RunQueue;
use crate::stack::StackCache;
use crate::stats::{Counters, Stats};
use crate::thread::{Block, OnPanic, SpawnError};

/// What one core schedules.
struct Core {
    id: usize,
    current: Cell<*const Block>,
    ready: RunQueue<Block>,
    /// The core's own of [`MAILBOXES`].
    mailbox: &'static Mailbox<Arc<Block>>,
    stacks: StackCache,
    /// All threads that have begun and not been buried.
    roster: Roster,
    look: Look,
    /// Whether the running code is the scheduler's own, or a waker that it has called.
    is_busy: Cell<bool>,
    counters: Counters,
}

static CORE: PerCore<Core> = PerCore::new();

/// Threads that other cores have woken or spawned, a mailbox for each core.
static MAILBOXES: [Mailbox<Arc<Block>>; MAX_CORES] = [const { Mailbox::new() }; MAX_CORES];

/// How many cores run.
static CORES: AtomicUsize = AtomicUsize::new(1);

/// How many cores run: threads can be spawned on those below this number.
pub fn cores() -> usize {
    CORES.load(Ordering::Acquire)
}

/// Says how many cores run, once they do.
pub fn set_cores(cores: usize) {
    CORES.store(cores, Ordering::Release);
}

/// Makes the running code the first thread of this core. Its stack begins with the guard page, where that is.
///
/// From `seed` it is drawn where in their stacks other threads begin; with 0 that is the top.
pub fn init(stack: Range<u64>, seed: u64) {
    let boot = Arc::into_raw(Arc::new(Block::booted(core_local::id(), stack)));
    let roster = Roster::new();
    // SAFETY: 1. it is new; 2. its count is kept until it is buried.
    unsafe { roster.insert(boot) };
    CORE.init(Core {
        id: core_local::id(),
        current: Cell::new(boot),
        ready: RunQueue::new(),
        mailbox: &MAILBOXES[core_local::id()],
        stacks: StackCache::new(seed),
        roster,
        look: Look::new(),
        is_busy: Cell::new(false),
        counters: Counters::default(),
    });
    watch(false);
}

/// Has this core note what it does from now on, or not any more.
pub(crate) fn watch(is_wanted: bool) {
    CORE.with(|core| {
        let unwatched = if is_wanted {
            ptr::null()
        } else {
            ptr::from_ref(core)
        };
        // SAFETY: 1. this is the only call, and `unwatched` takes it for what it is, which is there for good.
        unsafe { core_local::set_scheduler(unwatched.cast()) };
    });
}

/// The scheduler of this core, unless somebody wants to know what it does: a change of threads is some thirty instructions, beside which
/// a look of its own at whether there is somebody would show.
///
/// # Panics
/// Panics if there is no scheduler yet, in images that cannot be traced.
#[inline(always)]
fn unwatched() -> Option<&'static Core> {
    let core = scheduler();
    if !IS_COMPILED && core.is_none() {
        per_core::missing();
    }
    core
}

#[inline(always)]
fn scheduler() -> Option<&'static Core> {
    // SAFETY: it is null or was set by `watch`, to what is there for good, and never leaves this core: a `Core` is not `Sync`.
    unsafe { core_local::scheduler().cast::<Core>().as_ref() }
}

/// Calls `visit` with each thread of `core`, and whether the core is in it.
///
/// # Safety
/// 1. The core is stopped, or the running one, until this returns.
pub(crate) unsafe fn for_each_on(core: usize, mut visit: impl FnMut(&Block, bool)) {
    // SAFETY: duty 1.
    if let Some(core) = unsafe { CORE.of(core) } {
        let current = core.current.get();
        // SAFETY: 1. a core that stands still ends no thread.
        unsafe {
            core.roster
                .for_each(|block| visit(block, ptr::eq(block, current)));
        }
    }
}

/// What this core's scheduler has done so far; nothing before its first thread.
pub fn stats() -> Stats {
    CORE.try_with(|core| core.counters.read())
        .unwrap_or_default()
}

/// Lets every thread that is ready run before this one goes on.
pub fn yield_now() {
    match unwatched() {
        Some(core) => yield_on::<false>(core),
        None => CORE.with(yield_on::<IS_COMPILED>),
    }
}

#[inline(always)]
fn yield_on<const IS_TRACED: bool>(core: &Core) {
    if has_arrivals(core) {
        yield_after_arrivals::<IS_TRACED>();
    } else {
        yield_to_next::<IS_TRACED>(core);
    }
}

/// Apart, as the last thing that is done: without a call that returns, a yield keeps no registers for itself. Without an argument, so that
/// those of the change of threads have their registers.
#[cold]
#[inline(never)]
fn yield_after_arrivals<const IS_TRACED: bool>() {
    CORE.with(|core| {
        collect::<IS_TRACED>(core);
        yield_to_next::<IS_TRACED>(core);
    });
}

#[inline(always)]
fn yield_to_next<const IS_TRACED: bool>(core: &Core) {
    // SAFETY: 1. the running thread is in no queue; 2. it has not ended.
    if let Some(next) = unsafe { core.ready.exchange(core.current.get()) } {
        switch_to::<IS_TRACED>(core, next);
    }
}

/// Parks the running thread unless a wake-up is waiting for it.
pub(crate) fn park() {
    match unwatched() {
        Some(core) => park_on::<false>(core),
        None => CORE.with(park_on::<IS_COMPILED>),
    }
}

#[inline(always)]
fn park_on<const IS_TRACED: bool>(core: &Core) {
    // SAFETY: the running thread is alive.
    let current = unsafe { &*core.current.get() };
    if current.word.begin_wait() {
        switch_away::<IS_TRACED>(core);
    }
}

/// The running thread, with a count of its own.
pub(crate) fn current() -> Arc<Block> {
    with_current(Arc::clone)
}

/// The running thread, if threads have begun.
pub(crate) fn try_current() -> Option<Arc<Block>> {
    CORE.is_init().then(current)
}

/// Calls `f` with the running thread.
#[inline]
pub(crate) fn with_current<R>(f: impl FnOnce(&Arc<Block>) -> R) -> R {
    let block = CORE.with(|core| core.current.get());
    // SAFETY: the scheduler holds a count of the running thread from start to end; it is only borrowed here.
    f(&ManuallyDrop::new(unsafe { Arc::from_raw(block) }))
}

/// Gives a new thread of this core its stack and puts it into the run queue.
pub(crate) fn begin(block: &Arc<Block>) -> Result<(), SpawnError> {
    CORE.with(|core| {
        block.begin(&core.stacks)?;
        start(core, Arc::clone(block));
        Ok(())
    })
}

/// Takes a thread that has begun in: the scheduler's count of it is `block`.
fn start(core: &Core, block: Arc<Block>) {
    core.counters.begun();
    toro_trace::emit_name(Kind::Thread, block.id, &block.name);
    let block = Arc::into_raw(block);
    // SAFETY: 1. a new thread is on no roster; 2. its count is kept until it is buried.
    unsafe { core.roster.insert(block) };
    // SAFETY: 1. a new thread is in no queue; 2. its count is kept until it ends.
    unsafe { core.ready.push(block) };
}

/// Puts a thread that a waker has just claimed into the run queue of its core.
#[inline(always)]
pub(crate) fn make_ready(block: &Arc<Block>) {
    match scheduler() {
        Some(core) if core.id == block.home => enqueue(core, block),
        None if IS_COMPILED => make_ready_watched(block),
        _ => post_again(block),
    }
}

#[inline(always)]
fn enqueue(core: &Core, block: &Arc<Block>) {
    // SAFETY: 1. it was waiting, and the caller alone claimed it; 2. it has not ended, since it waited.
    unsafe { core.ready.push(Arc::as_ptr(block)) };
}

/// Apart, so that others save no registers for it.
#[cold]
#[inline(never)]
fn make_ready_watched(block: &Arc<Block>) {
    toro_trace::emit(Kind::Wake, block.id);
    if block.home == core_local::id() {
        CORE.with(|core| enqueue(core, block));
    } else {
        post_again(block);
    }
}

/// Apart, as is [`make_ready_watched`].
#[cold]
#[inline(never)]
fn post_again(block: &Arc<Block>) {
    post(Arc::clone(block));
}

/// Sends a thread to its home core: a new one, or one that a waker has just claimed.
pub(crate) fn post(block: Arc<Block>) {
    let home = block.home;
    match MAILBOXES[home].post(block) {
        Ok(Posted::Wake) => toro_arch::apic::send_ipi(home, toro_irq::WAKE.number()),
        Ok(Posted::First | Posted::Behind) => {}
        Err(_) => unreachable!("a thread is claimed once before it runs again"),
    }
}

/// Ends the running thread. What its frames own is not dropped: a thread that returns from its function has dropped it.
pub fn end() -> ! {
    match unwatched() {
        Some(core) => end_on::<false>(core),
        None => CORE.with(end_on::<IS_COMPILED>),
    }
}

fn end_on<const IS_TRACED: bool>(core: &Core) -> ! {
    let current = core.current.get();
    // SAFETY: the running thread is alive: the scheduler still holds its count.
    let block = unsafe { &*current };
    block.word.end();
    block.end.announce();
    let next = next::<IS_TRACED>(core);
    core.current.set(next);
    // SAFETY: the next thread is alive: it was queued.
    let heir = unsafe { &*next };
    if IS_TRACED {
        toro_trace::note(Kind::Switch, heir.id);
    }
    let to = heir.context.get();
    // SAFETY: 1. `next` was in the queue, so it is not running, and an ended thread is in no queue, so it is another; 2. nobody
    // queues a thread that has ended; 3. a switch leaves room for the frames of a wake-up, which are larger.
    unsafe { context::leave(to, bury, current.cast()) }
}

/// Whether the running thread can end where it is, without its core or the image.
///
/// Not if it is essential, nor in the middle of a switch: it may be queued already.
pub fn can_end_alone() -> bool {
    CORE.try_with(|core| {
        // SAFETY: the running thread is alive.
        let block = unsafe { &*core.current.get() };
        block.word.is_active()
            && !core.is_busy.get()
            && !matches!(block.on_panic, OnPanic::EndImage)
    })
    .unwrap_or(false)
}

/// Ends the running thread from within a panic: its frames are never left.
///
/// Objects in them are not dropped, and since others may still refer to those (a pinned future in a list of waiters), the stack is
/// never used again.
pub fn end_panicked() -> ! {
    with_current(|block| {
        if let OnPanic::Call(rescue) = block.on_panic {
            rescue();
        }
        mem::forget(block.take_stack());
        block.end.note_panic();
    });
    end()
}

/// Whether there is something for [`collect`].
#[inline(always)]
fn has_arrivals(core: &Core) -> bool {
    core_local::has_pending() || !core.mailbox.is_empty()
}

/// Takes in what has arrived: wakes whoever waits for an interrupt or a moment, and opens the mail.
#[inline(never)]
fn collect<const IS_TRACED: bool>(core: &Core) {
    if core_local::has_pending() {
        core.is_busy.set(true);
        if toro_irq::dispatch::<IS_TRACED>().timer {
            toro_time::expire();
        }
        core.is_busy.set(false);
    }
    if !core.mailbox.is_empty() {
        open_mail(core);
    }
}

#[cold]
#[inline(never)]
fn open_mail(core: &Core) {
    core.is_busy.set(true);
    for block in core.mailbox.take_all() {
        match block.begin(&core.stacks) {
            Ok(true) => start(core, block),
            // SAFETY: 1. it was claimed by the waker that posted it, and is in no queue; 2. it has not ended, since it waited.
            Ok(false) => unsafe { core.ready.push(Arc::as_ptr(&block)) },
            Err(error) => {
                log::error!("thread {} ends before it begins: {error}", block.name);
                block.word.end();
                block.end.announce();
            }
        }
    }
    core.is_busy.set(false);
}

/// Changes to the next thread that is ready; returns when the one that called is run again.
///
/// The caller has put the running thread wherever it belongs: the run queue, or a waker's hands.
#[inline(always)]
fn switch_away<const IS_TRACED: bool>(core: &Core) {
    if has_arrivals(core) {
        return switch_after_arrivals::<IS_TRACED>();
    }
    match core.ready.pop() {
        // Nobody has woken the one that called: it is another.
        Some(next) => switch_to::<IS_TRACED>(core, next),
        None => switch_after_wait::<IS_TRACED>(),
    }
}

/// Apart, as is [`yield_after_arrivals`].
#[cold]
#[inline(never)]
fn switch_after_arrivals<const IS_TRACED: bool>() {
    CORE.with(|core| go_on_with::<IS_TRACED>(core, next::<IS_TRACED>(core)));
}

/// Apart, as is [`yield_after_arrivals`].
#[cold]
#[inline(never)]
fn switch_after_wait<const IS_TRACED: bool>() {
    CORE.with(|core| go_on_with::<IS_TRACED>(core, wait_for_next::<IS_TRACED>(core)));
}

/// Changes to `next`, which was taken out of the run queue, unless it is the running thread.
#[inline(always)]
fn go_on_with<const IS_TRACED: bool>(core: &Core, next: *const Block) {
    if !ptr::eq(core.current.get(), next) {
        switch_to::<IS_TRACED>(core, next);
    }
}

/// Changes to `next`, which was taken out of the run queue and is not the running thread. The last thing that a caller does, so that it
/// becomes a jump.
#[inline(always)]
fn switch_to<const IS_TRACED: bool>(core: &Core, next: *const Block) {
    let previous = core.current.replace(next);
    debug_assert!(
        !ptr::eq(previous, next),
        "a thread has nowhere to go from itself"
    );
    core.counters.switched();
    // SAFETY: the previous thread is alive: it has not ended.
    let from = unsafe { &*previous }.context.get();
    // SAFETY: the next thread is alive: it was queued.
    let next = unsafe { &*next };
    if IS_TRACED {
        toro_trace::note_here(Kind::Switch, next.id);
    }
    let to = next.context.get();
    // SAFETY: 1. `next` was saved by an earlier switch or is new, and was in the queue, so it is not running; 2. blocks
    // do not move.
    unsafe { context::switch(from, to) };
}

/// Buries a thread that has ended: the first thing that is done on the stack of the next one.
///
/// Gives the ended one's stack back now, on the home core; handles elsewhere may keep the block.
extern "C" fn bury(ended: *const ()) {
    // SAFETY: the count that `init` or `start` turned into a pointer; the thread runs no more, and this is another stack.
    let block = unsafe { Arc::from_raw(ended.cast::<Block>()) };
    CORE.with(|core| {
        core.counters.ended();
        // SAFETY: 1. `init` or `start` has put it there.
        unsafe { core.roster.remove(&block) };
        if let Some(stack) = block.take_stack() {
            core.stacks.put(stack);
        }
    });
}

/// The next thread to run, waiting for one if need be.
#[inline]
fn next<const IS_TRACED: bool>(core: &Core) -> *const Block {
    collect::<IS_TRACED>(core);
    match core.ready.pop() {
        Some(block) => block,
        None => wait_for_next::<IS_TRACED>(core),
    }
}

/// The next thread to run, when none is ready.
#[cold]
#[inline(never)]
fn wait_for_next<const IS_TRACED: bool>(core: &Core) -> *const Block {
    loop {
        core.counters
            .idle(|| idle::wait::<IS_TRACED>(core.mailbox, &core.look));
        if IS_TRACED {
            toro_trace::note(Kind::Busy, 0);
        }
        open_mail(core);
        collect::<IS_TRACED>(core);
        if let Some(block) = core.ready.pop() {
            // A change to another thread says so itself.
            if IS_TRACED && ptr::eq(block, core.current.get()) {
                // SAFETY: it was queued, so it is alive.
                toro_trace::note(Kind::Switch, unsafe { &*block }.id);
            }
            return block;
        }
    }
}
