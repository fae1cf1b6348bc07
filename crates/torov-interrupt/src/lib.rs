//! System calls of the host that another thread can interrupt, without a moment in which that is lost.
//!
//! A thread of the guest is in one of two places: in the virtual machine, or in a call that may block. Both are entered
//! by [`call`]. Each thread has a [`Line`]: whoever wants its attention [raises](Line::raise) it, which sets a word and
//! sends a signal. A call looks at the word before it enters the kernel. Between the look and the kernel there is a gap of
//! one instruction, in which a signal would come too early to interrupt anything: the handler sees by the instruction
//! pointer that the thread is in it, and sends it to the way out.
//!
//! ```text
//!   LOOK   cmp [raised], 0        a signal here or
//!          jne LEAVE              here
//!   ENTER  syscall                or here goes to LEAVE; inside of the kernel it ends the call with EINTR
//!   DONE   ret
//!   LEAVE  mov rax, -ERESTARTSYS
//! ```
//! So who calls can tell a call that was cut short from one that was not made: the kernel knows neither signal nor flag of the second,
//! and makes it whole once the signal was seen to.
//!
//! Signals from outside, such as SIGTERM, arrive in the same way: see [`listen`] and [`arrived`].

use std::arch::global_asm;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::{io, mem, ptr};

/// A call with its six arguments.
type Words = [u64; 7];

global_asm!(
    ".pushsection .text.torov_interrupt, \"ax\"",
    ".globl torov_interruptible",
    "torov_interruptible:",
    "mov r11, rdi",
    "mov rcx, rsi",
    "mov rax, [rcx]",
    "mov rdi, [rcx + 8]",
    "mov rsi, [rcx + 16]",
    "mov rdx, [rcx + 24]",
    "mov r10, [rcx + 32]",
    "mov r8, [rcx + 40]",
    "mov r9, [rcx + 48]",
    ".globl torov_interrupt_look",
    "torov_interrupt_look:",
    "cmp dword ptr [r11], 0",
    "jne torov_interrupt_leave",
    ".globl torov_interrupt_enter",
    "torov_interrupt_enter:",
    "syscall",
    "ret",
    ".globl torov_interrupt_leave",
    "torov_interrupt_leave:",
    "mov rax, -512",
    "ret",
    ".popsection",
);

unsafe extern "C" {
    fn torov_interruptible(raised: *const AtomicU32, words: *const Words) -> i64;
    static torov_interrupt_look: u8;
    static torov_interrupt_enter: u8;
    static torov_interrupt_leave: u8;
}

thread_local! {
    /// The word of the thread's line. It needs no destructor, so a signal handler may look at it at any time.
    static RAISED: Cell<*const AtomicU32> = const { Cell::new(&raw const NEVER) };
}

/// The word of a thread without a line.
static NEVER: AtomicU32 = AtomicU32::new(0);

/// Signals that came from outside, a bit for each.
static ARRIVED: AtomicU64 = AtomicU64::new(0);

/// How the attention of a thread is drawn.
#[derive(Debug, Default)]
pub struct Line {
    raised: AtomicU32,
    /// The thread that answers, as the host numbers it, or 0.
    thread: AtomicI32,
}

/// A thread that is on a [`Line`], for as long as this lives.
#[derive(Debug)]
pub struct Attached(Arc<Line>);

impl Line {
    /// Makes the calling thread the one that answers. Its calls are interruptible from now on.
    #[must_use]
    pub fn attach(self: &Arc<Self>) -> Attached {
        // Not by `gettid`: std's weak reference makes it null where all is linked statically and optimised as one.
        // SAFETY: the call takes nothing and cannot fail.
        let thread = unsafe { libc::syscall(libc::SYS_gettid) };
        let thread = i32::try_from(thread).unwrap_or(0);
        RAISED.set(&raw const self.raised);
        self.thread.store(thread, Ordering::SeqCst);
        Attached(Arc::clone(self))
    }

    /// Draws the attention of the thread: its call ends with `EINTR`, or its next one is not made. Never blocks.
    pub fn raise(&self) {
        // SeqCst, as everything here: the word is set before the thread's number is read, and `attach` does the reverse.
        self.raised.store(1, Ordering::SeqCst);
        let thread = self.thread.load(Ordering::SeqCst);
        let own = RAISED.get() == &raw const self.raised;
        if thread != 0 && !own {
            let process = std::process::id();
            // SAFETY: the call takes numbers only. Should the thread have ended and its number be another's of this
            // process, that one is interrupted for nothing, which every thread here expects.
            unsafe { libc::syscall(libc::SYS_tgkill, process, thread, nudge()) };
        }
    }

    /// Whether it was raised; it no longer is.
    #[must_use]
    pub fn take(&self) -> bool {
        self.raised.load(Ordering::Relaxed) != 0 && self.raised.swap(0, Ordering::SeqCst) != 0
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.thread.store(0, Ordering::SeqCst);
        RAISED.set(&raw const NEVER);
    }
}

/// Lowers the calling thread's line, as [`Line::take`] does.
pub fn lower() {
    let _ = own().map(|raised| raised.swap(0, Ordering::SeqCst));
}

/// Raises the calling thread's own line: its next call is not made.
pub fn raise() {
    let _ = own().map(|raised| raised.swap(1, Ordering::SeqCst));
}

/// The word of the calling thread's line.
fn own() -> Option<&'static AtomicU32> {
    let raised = RAISED.get();
    // SAFETY: `call` says why the word lives as long as the thread is on the line, and the reference is not kept longer.
    (raised != &raw const NEVER).then(|| unsafe { &*raised })
}

/// The signal that carries nothing but the interruption: one that the C library leaves alone.
fn nudge() -> i32 {
    libc::SIGRTMIN()
}

/// What [`call`] returns for a call that was not made, because the thread's line was raised before: minus `ERESTARTSYS`.
pub const NOT_MADE: i64 = -512;

/// Makes a call of the host by its number. The result is the kernel's: minus the error number if it failed; or [`NOT_MADE`].
///
/// # Safety
/// 1. The call with these arguments is sound: what they point to lives, and may be read or written as the call does.
#[must_use]
pub unsafe fn call(words: [u64; 7]) -> i64 {
    // SAFETY: the words live during the call; duty 1 is the caller's. The line's word outlives the thread's stay on it:
    // `Attached` holds it, and takes the pointer away before it lets go.
    unsafe { torov_interruptible(RAISED.get(), &raw const words) }
}

/// Installs the handler, for the nudge and for `signals`, whose arrival [`arrived`] tells of. What this process was
/// started to ignore, as below `nohup`, it ignores.
///
/// # Errors
/// What the host says, such as `EINVAL` for a signal that nobody can handle.
pub fn listen(signals: &[i32]) -> io::Result<()> {
    for signal in signals.iter().copied().chain([nudge()]) {
        // SAFETY: all-zero is a value of this structure: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: all-zero is a value of this structure.
        let mut old: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: the structure is ours for the call.
        unsafe { libc::sigaction(signal, ptr::null(), &raw mut old) };
        if old.sa_sigaction == libc::SIG_IGN {
            continue;
        }
        // SAFETY: the structure lives during the call, and `handle` does only what a handler may.
        if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The signals that have come from outside since the last question, a bit for each: bit 0 is signal 1.
#[must_use]
pub fn arrived() -> u64 {
    match ARRIVED.load(Ordering::Relaxed) {
        0 => 0,
        _ => ARRIVED.swap(0, Ordering::SeqCst),
    }
}

/// Lets no signal interrupt the calling thread any more: it is the business of those that are on a line.
pub fn shut() {
    // SAFETY: all-zero is a set, which is filled before use.
    let mut all: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: the set is ours.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: the set lives during the call.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, ptr::null_mut()) };
}

/// The handler. It touches atomics, a word of the thread and the context that the kernel passes, nothing else.
extern "C" fn handle(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if signal != nudge() {
        let bit = u32::try_from(signal - 1).unwrap_or(0);
        ARRIVED.fetch_or(1 << bit, Ordering::SeqCst);
        raise();
    }
    let context: *mut libc::ucontext_t = context.cast();
    // SAFETY: the kernel passes a context to a handler with SA_SIGINFO, and nobody else uses it meanwhile.
    let registers = unsafe { &mut (*context).uc_mcontext.gregs };
    let at = &mut registers[usize::try_from(libc::REG_RIP).unwrap_or(0)];
    let [look, enter, leave] = [
        &raw const torov_interrupt_look,
        &raw const torov_interrupt_enter,
        &raw const torov_interrupt_leave,
    ]
    .map(|label| i64::try_from(label.addr()).unwrap_or(0));
    // Behind `syscall` the kernel has been: its result stands, and a call that was cut short says so itself.
    if (look..=enter).contains(at) {
        *at = leave;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    use super::{Line, NOT_MADE, arrived, call, listen};

    const EINTR: i64 = 4;

    /// `ppoll` on nothing, for ever: only an interruption ends it.
    fn wait() -> i64 {
        let number = u64::try_from(libc::SYS_ppoll).unwrap();
        // SAFETY: no descriptors, no time, no mask: nothing is pointed to.
        unsafe { call([number, 0, 0, 0, 0, 0, 0]) }
    }

    #[test]
    fn a_call_is_interrupted_whenever_the_line_is_raised() {
        listen(&[]).unwrap();
        let line = Arc::new(Line::default());
        let rounds = 20_000;
        let (told, heard) = std::sync::mpsc::sync_channel(0);
        let waiter = {
            let line = Arc::clone(&line);
            thread::spawn(move || {
                let _attached = line.attach();
                for _ in 0..rounds {
                    assert!([-EINTR, NOT_MADE].contains(&wait()));
                    // A signal that comes late interrupts the next call, for nothing.
                    while !line.take() {
                        assert!([-EINTR, NOT_MADE].contains(&wait()));
                    }
                    // The other side may raise it once more only now: each raise must end one wait.
                    told.send(()).unwrap();
                }
            })
        };
        for round in 0..rounds {
            // At every moment of the way into the kernel.
            for _ in 0..round % 97 {
                std::hint::spin_loop();
            }
            line.raise();
            let ended = heard.recv_timeout(Duration::from_secs(60));
            assert_eq!(ended, Ok(()), "round {round}");
        }
        waiter.join().unwrap();
    }

    #[test]
    fn a_line_that_is_raised_before_lets_no_call_through() {
        let line = Arc::new(Line::default());
        let _attached = line.attach();
        line.raise();
        assert_eq!(wait(), NOT_MADE);
        assert!(line.take() && !line.take());
    }

    #[test]
    fn without_a_line_calls_are_made() {
        let number = u64::try_from(libc::SYS_getppid).unwrap();
        // SAFETY: the call takes nothing.
        assert!(unsafe { call([number, 0, 0, 0, 0, 0, 0]) } > 0);
    }

    #[test]
    fn signals_from_outside_are_noted() {
        listen(&[libc::SIGUSR2]).unwrap();
        let line = Arc::new(Line::default());
        let _attached = line.attach();
        // SAFETY: the handler is installed.
        unsafe { libc::raise(libc::SIGUSR2) };
        assert_eq!(wait(), NOT_MADE);
        assert!(line.take());
        assert_eq!(arrived(), 1 << (libc::SIGUSR2 - 1));
        assert_eq!(arrived(), 0);
    }
}
