//! What went wrong: panics and exceptions, reported with a backtrace that names functions.
//!
//! A panic ends its thread, where that thread can be missed and the kernel's own work was not cut short; all else ends the machine.
//! An exception may have come anywhere, even in the middle of the heap, so it always does.

use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use toro_abi::exit::ExitCode;
use toro_arch::trap::{self, TrapFrame};
use toro_arch::{core_local, cpu};

macro_rules! report {
    ($($arg:tt)*) => { toro_log::write_emergency(format_args!($($arg)*)) };
}
/// The core that reports a failure, counted from 1: one more while it does ends the machine at once.
static REPORTER: AtomicUsize = AtomicUsize::new(0);

/// The sizes of each core's interrupt stacks: a debugger talks from them, and core files are written.
#[cfg(any(feature = "gdb", feature = "core-file"))]
pub(crate) use toro_arch::gdt::DEBUGGED_STACK_BYTES as STACK_BYTES;
#[cfg(not(any(feature = "gdb", feature = "core-file")))]
pub(crate) use toro_arch::gdt::STACK_BYTES;

/// Makes exceptions come here.
pub(crate) fn init() {
    trap::set_handler(exception);
}

fn exception(frame: &mut TrapFrame) {
    #[cfg(feature = "dump")]
    if crate::stand::stand(frame) {
        return;
    }
    #[cfg(feature = "trace")]
    if crate::sampler::tick(frame) {
        return;
    }
    #[cfg(feature = "gdb")]
    if toro_gdbstub::enter(frame) {
        return;
    }
    #[cfg(feature = "watchdog")]
    if frame.vector == u64::from(toro_arch::watch::TIMER) {
        return crate::watchdog::tick(frame);
    }
    #[cfg(feature = "dump")]
    if crate::dump::is_answered(frame) {
        return;
    }
    cpu::disable_interrupts();
    begin();
    #[cfg(feature = "core-file")]
    crate::core_file::note(frame, crate::core_file::signal(frame));
    report!("\n");
    let address = frame.fault_address();
    if address.is_some_and(toro_sched::is_stack_overflow) {
        report!("stack overflow in {Running}: ");
    }
    report!("{}", frame.name());
    if let Some(address) = address {
        report!(" {} {address:#x}", access(frame));
    }
    report!(" on core {}, {}\n{frame:?}", core_local::id(), Running);
    print_backtrace(frame.rip, frame.rbp, stack_around(frame.rbp));
    #[cfg(feature = "dump")]
    crate::dump::print(None);
    #[cfg(feature = "core-file")]
    crate::core_file::write();
    crate::exit::end(ExitCode::Failure)
}

/// Reports that the thread which `frame` interrupted has kept its core for `seconds`. It goes on when this returns.
///
/// # Context
/// An interrupt, which may have come anywhere, even in the middle of the heap or of a line for the log.
#[cfg(feature = "watchdog")]
pub(crate) fn report_stall(frame: &TrapFrame, seconds: u64) {
    begin();
    #[cfg(feature = "core-file")]
    crate::core_file::note(frame, crate::core_file::STALL);
    let core = core_local::id();
    report!("\nwatchdog: on core {core}, {Running} has not yielded for {seconds} s\n");
    print_backtrace(frame.rip, frame.rbp, toro_sched::stack_range());
    crate::dump::print(None);
    #[cfg(feature = "core-file")]
    crate::core_file::write();
    finish();
}

/// What a page fault's error code says was tried (Intel SDM volume 3, figure 4-12).
fn access(frame: &TrapFrame) -> &'static str {
    match (frame.error & 2 != 0, frame.error & 16 != 0) {
        (true, _) => "writing",
        (_, true) => "executing",
        _ => "reading",
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    cpu::disable_interrupts();
    begin();
    #[cfg(feature = "core-file")]
    crate::core_file::note_panic();
    let has_log = report!("\npanic on core {}, {}", core_local::id(), Running);
    if let Some(location) = info.location() {
        report!(", at {location}");
    }
    report!("\n{}\n", info.message());
    let rbp = cpu::frame_pointer() as u64;
    print_backtrace(panic as *const () as u64, rbp, stack_around(rbp));
    #[cfg(feature = "gdb")]
    crate::debugger::show_failure();
    // A thread that panicked while it wrote to the log holds it for ever.
    if has_log && !is_shutdown_wanted() && toro_sched::can_end_alone() {
        #[cfg(feature = "core-file")]
        crate::core_file::write();
        report!("thread ends, the others go on\n");
        finish();
        cpu::enable_interrupts();
        toro_sched::end_panicked()
    }
    #[cfg(feature = "dump")]
    crate::dump::print(None);
    #[cfg(feature = "core-file")]
    crate::core_file::write();
    crate::exit::end(ExitCode::Failure)
}

/// Whether the command line says that a panic ends everything.
fn is_shutdown_wanted() -> bool {
    crate::environment::value("panic") == Some("shutdown")
}

/// Waits for another core's report to end; ends the machine if this core is in one already.
pub(crate) fn begin() {
    let this = core_local::id() + 1;
    while let Err(reporter) =
        REPORTER.compare_exchange(0, this, Ordering::Acquire, Ordering::Relaxed)
    {
        if reporter == this {
            report!("\nand another failure while reporting it\n");
            #[cfg(feature = "core-file")]
            crate::core_file::rescue();
            crate::exit::end(ExitCode::Failure);
        }
        cpu::relax();
    }
}

/// Begins a report, unless one is under way.
#[cfg(feature = "dump")]
pub(crate) fn try_begin() -> bool {
    let this = core_local::id() + 1;
    let begun = REPORTER.compare_exchange(0, this, Ordering::Acquire, Ordering::Relaxed);
    begun.is_ok()
}

/// Ends a report after which the image goes on.
pub(crate) fn finish() {
    REPORTER.store(0, Ordering::Release);
}

/// The running thread, for a message.
struct Running;

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match toro_sched::try_current() {
            Some(thread) => write!(f, "thread {} ({})", thread.id(), thread.name()),
            None => f.write_str("before the first thread"),
        }
    }
}

fn print_backtrace(rip: u64, rbp: u64, stack: core::ops::Range<u64>) {
    report!("backtrace of build {:016x}:\n", toro_backtrace::build_id());
    // SAFETY: 1. the range is mapped; 2. this core runs nothing else, and the frames are below the caller's, or those of the thread
    // that an interrupt has stopped.
    unsafe { backtrace(rip, rbp, stack, |line| _ = report!("  {line}\n")) };
}

/// Shows a line for the function of `rip` and for each of its callers, innermost first.
///
/// # Safety
/// As [`toro_backtrace::walk`].
pub(crate) unsafe fn backtrace(
    rip: u64,
    rbp: u64,
    stack: core::ops::Range<u64>,
    mut show: impl FnMut(Line),
) {
    let mut is_innermost = true;
    let line = |address: u64| {
        show(Line {
            address,
            is_innermost,
        });
        is_innermost = false;
    };
    // SAFETY: the caller's duties are the same.
    unsafe { toro_backtrace::walk(rbp, rip, stack, line) };
}

/// A line of a backtrace: the address, and what lies there if the image has its symbols.
pub(crate) struct Line {
    address: u64,
    is_innermost: bool,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
        write!(f, "{address:#012x}")?;
        // SAFETY: the table lies in memory that `heap::init` spares, and nobody writes to it.
        let Some(symbols) = (unsafe { toro_backtrace::image_symbols() }) else {
            return Ok(());
        };
        let found = if self.is_innermost {
            symbols.lookup(address)
        } else {
            symbols.caller(address)
        };
        if let Some(symbol) = found {
            write!(f, " {symbol}")?;
        }
        // A call may be the last instruction of its line.
        #[cfg(feature = "lines")]
        if let Some(place) = symbols.line(address.wrapping_sub(u64::from(!self.is_innermost))) {
            write!(f, " at {place}")?;
        }
        Ok(())
    }
}

/// The memory in which frames may lie: 64 KiB upwards, but never past what is mapped.
fn stack_around(rbp: u64) -> core::ops::Range<u64> {
    const REACH: u64 = 64 * 1024;
    if rbp < 4096 {
        0..0
    } else {
        rbp..rbp
            .saturating_add(REACH)
            .min(toro_arch::paging::mapped_end())
    }
}
