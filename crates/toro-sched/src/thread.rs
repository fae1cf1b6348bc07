//! Threads: the block that the scheduler keeps of each, the handle that others hold, and how one begins and ends.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use core::task::Waker;

use toro_arch::context::Context;
use toro_arch::stack::Stack;
use toro_arch::{core_local, paging};
use toro_queue::{Link, Linked, WakeWord};
use toro_sync::SpinLock;

use crate::inspect::Frame;
use crate::join::{End, JoinHandle, NoResult, Packet};
use crate::roster::Place;
use crate::run_queue::Queued;
use crate::stack::StackCache;
use crate::{core_loop, wake};

/// The stack of a thread that does not ask for another size.
pub const DEFAULT_STACK: usize = 16 * 1024 * UNOPTIMISED;

/// So many times the stack takes code that is not optimised, as for a debugger: each variable has a place of its own there.
const UNOPTIMISED: usize = if cfg!(debug_assertions) { 4 } else { 1 };

/// The registers of a thread that does not run, as [`toro_arch::context`] leaves them on its stack: RBP is the last but one, then
/// comes the address where it goes on.
type Saved = [u64; 7];
const SAVED_BYTES: u64 = size_of::<Saved>() as u64;

/// What the scheduler knows of a thread.
///
/// Shared by reference count: the home core's scheduler holds one count from start to end, and so does each handle and waker.
/// `next`, `context`, `stack`, `guard`, `top`, `reason`, `roster` and `birth` belong to the home core alone; `word`, `mail` and
/// `end` are where cores meet.
pub(crate) struct Block {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) home: usize,
    pub(crate) word: WakeWord,
    /// The next block in the run queue.
    next: AtomicPtr<Block>,
    /// The place in the home core's mailbox, for a wake-up or a spawn from another core.
    mail: Link<Block>,
    pub(crate) end: End,
    pub(crate) context: UnsafeCell<Context>,
    /// `None` until the home core has given it one, and for the thread that booted, whose stack is static.
    stack: Cell<Option<Stack>>,
    /// Where the guard page below the stack starts; 0 if there is no stack yet, or no guard.
    guard: Cell<u64>,
    /// The upper end of the stack; 0 if there is none.
    top: Cell<u64>,
    /// What the thread waits for while it is parked, for people; empty if it did not say.
    pub(crate) reason: Cell<&'static str>,
    pub(crate) roster: Place,
    birth: Cell<Option<Birth>>,
    pub(crate) on_panic: OnPanic,
}

/// What a panic in a thread ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OnPanic {
    /// The thread.
    EndThread,
    /// The image, which cannot do without the thread.
    EndImage,
    /// The thread, after it has called this.
    Call(fn()),
}

/// What a thread that has not begun will do, and the stack it wants for it.
struct Birth {
    body: Body,
    stack_bytes: usize,
}

type Body = Box<dyn FnOnce()>;

// SAFETY: the cells are touched by the home core only: by `begin` before the thread runs, and by the switch. A `birth` that
// travels to another core holds a body that is `Send` (`spawn_on`). Everything else is atomic, locked, or never changes.
unsafe impl Send for Block {}
// SAFETY: as for `Send`.
unsafe impl Sync for Block {}

// SAFETY: the link is a field of the block, and no other node returns it.
unsafe impl Linked for Block {
    fn link(&self) -> &Link<Self> {
        &self.mail
    }
}

impl Queued for Block {
    fn next(&self) -> &AtomicPtr<Self> {
        &self.next
    }
}

impl Block {
    pub(crate) fn new(name: String, home: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name,
            home,
            word: WakeWord::new(),
            next: AtomicPtr::new(ptr::null_mut()),
            mail: Link::new(),
            end: End::new(),
            context: UnsafeCell::new(Context::empty()),
            stack: Cell::new(None),
            guard: Cell::new(0),
            top: Cell::new(0),
            reason: Cell::new(""),
            roster: Place::new(),
            birth: Cell::new(None),
            on_panic: OnPanic::EndThread,
        }
    }

    /// The thread that boots a core: it has a stack already, from the guard page at its start to its upper end.
    pub(crate) fn booted(home: usize, stack: Range<u64>) -> Self {
        let mut block = Self::new(String::from("boot"), home);
        block.on_panic = OnPanic::EndImage;
        block.guard.set(stack.start);
        block.top.set(stack.end);
        block
    }

    /// Where the registers of the thread lie, if it does not run.
    ///
    /// # Context
    /// The home core, or one that has stopped it.
    pub(crate) fn stack_pointer(&self) -> u64 {
        // SAFETY: only the home core changes the context, and it is the caller, or stands still.
        unsafe { &*self.context.get() }.stack_pointer() as u64
    }

    /// Where the thread goes on, if it does not run and has its registers on its stack.
    ///
    /// # Context
    /// The home core, or one that has stopped it.
    pub(crate) fn resumes(&self) -> Option<Frame> {
        let (at, stack) = (self.stack_pointer(), self.stack_range());
        let is_inside = stack.contains(&at) && stack.end - at >= SAVED_BYTES;
        if !is_inside || !at.is_multiple_of(8) {
            return None;
        }
        // SAFETY: the words lie in the thread's stack, which is mapped; nobody writes there while it does not run.
        let [.., rbp, rip] = unsafe { (at as *const Saved).read_volatile() };
        Some(Frame { rip, rbp })
    }

    /// Takes the stack of a thread that has ended and been switched away from.
    ///
    /// # Context
    /// The home core.
    pub(crate) fn take_stack(&self) -> Option<Stack> {
        self.guard.set(0);
        self.top.set(0);
        self.stack.take()
    }

    /// Whether `address` lies in the guard page below the thread's stack.
    ///
    /// # Context
    /// The home core.
    pub(crate) fn is_guard(&self, address: u64) -> bool {
        let guard = self.guard.get();
        guard != 0 && address.wrapping_sub(guard) < paging::PAGE
    }

    /// What the thread can use of its stack; empty if it has none.
    ///
    /// # Context
    /// The home core.
    pub(crate) fn stack_range(&self) -> Range<u64> {
        let top = self.top.get();
        (self.guard.get() + paging::PAGE).min(top)..top
    }

    /// Gives a new thread its stack. `Ok(false)` if it had begun before.
    ///
    /// # Context
    /// The home core.
    pub(crate) fn begin(&self, stacks: &StackCache) -> Result<bool, SpawnError> {
        let Some(birth) = self.birth.take() else {
            return Ok(false);
        };
        let Some(stack) = stacks.take(birth.stack_bytes) else {
            return Err(SpawnError::OutOfMemory(birth.stack_bytes));
        };
        let argument = Box::into_raw(Box::new(birth.body)) as usize;
        let top = stack.top().wrapping_sub(stacks.padding());
        // SAFETY: 1. the stack has at least a page, of which the padding takes less than 512 bytes, in steps of 16; 2. `enter`
        // never returns.
        let context = unsafe { Context::new(top, enter, argument) };
        // SAFETY: the thread does not run yet, and only its home core looks here.
        unsafe { *self.context.get() = context };
        self.guard.set(stack.guard());
        self.top.set(stack.top() as u64);
        self.stack.set(Some(stack));
        Ok(true)
    }
}

/// A handle to a thread.
#[derive(Clone)]
pub struct Thread(pub(crate) Arc<Block>);

impl Thread {
    /// A number that no other thread has or had.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The name it was given.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The core that it lives on.
    pub fn core(&self) -> usize {
        self.0.home
    }

    /// Whether it has ended by a panic: what its frames own is never dropped.
    pub fn has_panicked(&self) -> bool {
        self.0.end.was_panic()
    }

    /// Makes the thread's current or next [`park`](crate::park) return. Works from any core.
    pub fn unpark(&self) {
        wake::wake(&self.0);
    }

    /// A waker that unparks the thread.
    pub fn waker(&self) -> Waker {
        wake::waker(self.0.clone())
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thread({}, {})", self.id(), self.name())
    }
}

/// Why a thread could not be spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnError {
    /// There is no memory for a stack of this many bytes.
    OutOfMemory(usize),
    /// There is no core of this number.
    NoSuchCore(usize),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory(bytes) => write!(f, "no memory for a stack of {bytes} bytes"),
            Self::NoSuchCore(core) => write!(f, "there is no core {core}"),
        }
    }
}

impl core::error::Error for SpawnError {}

/// A thread to be: its name and stack.
#[derive(Debug)]
pub struct Builder {
    name: String,
    stack_bytes: usize,
    on_panic: OnPanic,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// A thread without a name, with the default stack.
    pub fn new() -> Self {
        Self {
            name: String::new(),
            stack_bytes: DEFAULT_STACK,
            on_panic: OnPanic::EndThread,
        }
    }

    /// Names the thread, for logs and debuggers.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the size of the stack in bytes; it is rounded up to whole pages, and larger in code that is not optimised.
    #[must_use]
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_bytes = bytes.saturating_mul(UNOPTIMISED);
        self
    }

    /// Makes a panic in the thread end the image: for one that the rest cannot do without.
    #[must_use]
    pub fn essential(mut self) -> Self {
        self.on_panic = OnPanic::EndImage;
        self
    }

    /// Makes a panic in the thread call `rescue`, on its stack, before it ends.
    #[must_use]
    pub(crate) fn on_panic(mut self, rescue: fn()) -> Self {
        self.on_panic = OnPanic::Call(rescue);
        self
    }

    /// Spawns the thread on the running core, behind those that are ready.
    ///
    /// # Errors
    /// Fails if there is no memory for the stack.
    pub fn spawn<T: 'static>(
        self,
        body: impl FnOnce() -> T + 'static,
    ) -> Result<JoinHandle<T>, SpawnError> {
        let (thread, packet) = self.build(core_local::id(), body);
        core_loop::begin(&thread.0)?;
        Ok(JoinHandle::new(thread, packet))
    }

    /// Spawns the thread on core `core`, which gives it a stack from its own memory. Never blocks.
    ///
    /// If that core has no memory for the stack, the thread ends without a result.
    ///
    /// # Errors
    /// Fails if there is no such core, or if it is this one and there is no memory for the stack.
    pub fn spawn_on<T: Send + 'static>(
        self,
        core: usize,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>, SpawnError> {
        if core == core_local::id() {
            return self.spawn(body);
        }
        if core >= core_loop::cores() {
            return Err(SpawnError::NoSuchCore(core));
        }
        let (thread, packet) = self.build(core, body);
        core_loop::post(thread.0.clone());
        Ok(JoinHandle::new(thread, packet))
    }

    fn build<T: 'static>(
        self,
        core: usize,
        body: impl FnOnce() -> T + 'static,
    ) -> (Thread, Packet<T>) {
        let packet = Arc::new(SpinLock::new(None));
        let result = packet.clone();
        let body: Body = Box::new(move || *result.lock() = Some(body()));
        let mut block = Block::new(self.name, core);
        block.on_panic = self.on_panic;
        block.birth.set(Some(Birth {
            body,
            stack_bytes: self.stack_bytes,
        }));
        (Thread(Arc::new(block)), packet)
    }
}

/// Spawns a thread with the default stack on the running core.
///
/// # Panics
/// Panics if there is no memory for the stack; [`Builder::spawn`] returns an error instead.
pub fn spawn<T: 'static>(name: &str, body: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    match Builder::new().name(name).spawn(body) {
        Ok(handle) => handle,
        Err(error) => panic!("cannot spawn thread {name}: {error}"),
    }
}

/// Runs `body` on a thread of each core and waits for all; the results are in the order of the cores.
///
/// # Errors
/// Fails if a thread could not be spawned on the running core. `Err` inside: the thread of that core panicked, or had no stack.
pub fn on_each_core<T: Send + 'static>(
    name: &str,
    body: impl Fn() -> T + Send + Sync + 'static,
) -> Result<Vec<Result<T, NoResult>>, SpawnError> {
    let body = Arc::new(body);
    let handles: Result<Vec<_>, _> = (0..core_loop::cores())
        .map(|core| {
            let body = Arc::clone(&body);
            Builder::new().name(name).spawn_on(core, move || body())
        })
        .collect();
    Ok(handles?.into_iter().map(JoinHandle::join).collect())
}

/// The running thread.
pub fn current() -> Thread {
    Thread(core_loop::current())
}

/// The running thread; `None` before the first.
pub fn try_current() -> Option<Thread> {
    core_loop::try_current().map(Thread)
}

/// Whether `address` lies in the guard page below the running thread's stack: to be asked when an access has faulted.
pub fn is_stack_overflow(address: u64) -> bool {
    core_loop::try_current().is_some_and(|block| block.is_guard(address))
}

/// What the running thread can use of its stack; empty before the first thread.
pub fn stack_range() -> Range<u64> {
    core_loop::try_current().map_or(0..0, |block| block.stack_range())
}

/// The first function of every thread.
extern "C" fn enter(argument: usize) -> ! {
    // SAFETY: `argument` is the box that `begin` turned into a number, and a thread begins once.
    let body = unsafe { Box::from_raw(argument as *mut Body) };
    body();
    core_loop::end()
}
