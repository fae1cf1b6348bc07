//! Core files: `core=blk1` on the command line has a failure write down what the image held, for gdb to open afterwards.
//!
//! `core=` names a device that nobody else uses: a disk, which takes the file from its first sector on, a console (`core=console1`) or a port of
//! the host (`core=vsock0:1234`). The first report of a panic, an exception or a thread that does not yield writes the file; others that may
//! follow do not, for the first is the cause.
//!
//! What runs then trusts little: nothing is allocated or locked, memory is read page by page as the page tables have it, the other cores stand.
//! The lists of threads are the one thing that is believed; if they lead into a second failure, that writes a file without them.

mod image;

use alloc::boxed::Box;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use log::{error, info};
use toro_arch::debug::Beyond;
use toro_arch::trap::{self, TrapFrame};
use toro_boot::{BootInfo, Ranges};
use toro_core_file::{Scratch, Write, WriteError};
use toro_dev::owner::{Class, DeviceName};
use toro_polled::{OpenError, PolledConsole, PolledDisk, PolledSocket, Sink};

use toro_sync::{SpinLock, SpinLockGuard};

use self::image::Stopped;
use crate::places::{self, Place};
use crate::spare::{self, Wanted};
use crate::stand::Standing;
use crate::{environment, stand};

/// `SIGABRT`, for a panic.
pub(crate) const PANIC: u16 = 6;
/// `SIGXCPU`, for a thread that keeps its core.
#[cfg(feature = "watchdog")]
pub(crate) const STALL: u16 = 24;

/// What a failure needs, made while all is well.
struct State {
    wanted: Wanted,
    sink: Box<dyn Sink>,
    scratch: &'static mut Scratch,
    ram: Ranges,
    /// The registers at the failure, and the signal that says what it was: a second failure takes the place of the first on its stack.
    frame: Option<(TrapFrame, Beyond)>,
    signal: u16,
}

/// Too large for the stack of whoever starts.
static SCRATCH: SpinLock<Scratch> = SpinLock::new(Scratch::new());

/// Null if no core file is wanted. Whoever has begun a report may use it.
static STATE: AtomicPtr<State> = AtomicPtr::new(ptr::null_mut());

/// How far the file has come: see below.
static STAGE: AtomicU8 = AtomicU8::new(NONE);

/// There was no failure.
const NONE: u8 = 0;
/// There was one, and its file was not written.
const FAILED: u8 = 1;
/// A second one writes the file, or has.
const RESCUED: u8 = 2;
/// The file was written, or cannot be.
const DONE: u8 = 3;

/// What the command line asks for.
pub(crate) fn wanted() -> Option<Wanted> {
    Wanted::parse(environment::value("core")?)
}

/// Opens the device, if one is asked for.
pub(crate) fn start(info: &BootInfo, find: &dyn Fn(DeviceName) -> Option<Place>) {
    let Some(text) = environment::value("core") else {
        return;
    };
    let Some(wanted) = wanted() else {
        return error!(
            "core: `{text}` makes no sense; a device of its own, as in core=blk1, core=console1 or core=vsock1:PORT"
        );
    };
    let Some(transport) = find(wanted.name).and_then(places::open) else {
        return error!("core: this machine has no {}; give it one", wanted.name);
    };
    let opened: Result<Box<dyn Sink>, OpenError> = match wanted.name.class {
        Class::Block => PolledDisk::open(transport, spare::wait).map(|disk| Box::new(disk) as _),
        Class::Console => {
            PolledConsole::open(transport, spare::wait).map(|port| Box::new(port) as _)
        }
        Class::Socket => PolledSocket::open(transport, wanted.port, spare::wait)
            .map(|socket| Box::new(socket) as _),
        _ => Err(OpenError::OtherKind),
    };
    match opened {
        Ok(sink) => {
            info!("core: a failure writes a core file to {wanted}");
            let state = Box::new(State {
                wanted,
                sink,
                scratch: SpinLockGuard::leak(SCRATCH.lock()),
                ram: info.ram,
                frame: None,
                signal: 0,
            });
            STATE.store(Box::leak(state), Ordering::Release);
        }
        Err(reason) => error!("core={wanted}: {reason}"),
    }
}

/// The state, for whoever has begun a report.
///
/// # Safety
/// 1. The running core has begun a report, so that no other core comes here.
/// 2. A reference from before is not used any more.
unsafe fn state() -> Option<&'static mut State> {
    // SAFETY: only `start` stores here, what it leaks; duties 1 and 2 make the reference the only one.
    unsafe { STATE.load(Ordering::Acquire).as_mut() }
}

/// Notes where a failure came and what it was, at the beginning of its report.
pub(crate) fn note(frame: &TrapFrame, signal: u16) {
    if STAGE.load(Ordering::Relaxed) != NONE {
        return;
    }
    // SAFETY: 1. the report has begun; 2. each reference ends with the call that takes it.
    if let Some(state) = unsafe { state() } {
        state.frame = Some((*frame, Beyond::read()));
        state.signal = signal;
        STAGE.store(FAILED, Ordering::Relaxed);
    }
}

/// As [`note`], for a failure that no exception has told of: a panic.
pub(crate) fn note_panic() {
    extern "C" fn note_frame(frame: &mut TrapFrame) {
        note(frame, PANIC);
    }
    trap::with_frame(note_frame);
}

/// The signal of Unix for an exception.
pub(crate) fn signal(frame: &TrapFrame) -> u16 {
    match frame.vector {
        0 | 16 | 19 => 8,
        1 | 3 => 5,
        6 => 4,
        17 => 7,
        _ => 11,
    }
}

/// Writes the file of the failure that was noted, if there is none yet.
///
/// # Context
/// The core that has begun a report; interrupts are off.
pub(crate) fn write() {
    if STAGE.load(Ordering::Relaxed) == FAILED {
        write_with(true);
        STAGE.store(DONE, Ordering::Relaxed);
    }
}

/// Writes the file of the first failure when a second one has come while it was reported: it trusts no list any more.
pub(crate) fn rescue() {
    if STAGE.load(Ordering::Relaxed) == FAILED {
        STAGE.store(RESCUED, Ordering::Relaxed);
        write_with(false);
    }
}

fn write_with(trusts_lists: bool) {
    // SAFETY: 1. the context of `write`; 2. a failure in the middle of this does not return to it.
    let Some(state) = (unsafe { state() }) else {
        return;
    };
    let (Some((frame, beyond)), signal) = (state.frame, state.signal) else {
        return;
    };
    let others = stand::stop_others();
    let failed = Standing {
        frame: &frame,
        beyond,
    };
    let mut stopped = Stopped::new(&failed, signal, &others, trusts_lists);
    stopped.find_memory(&state.ram, &mut state.scratch.segments);
    let mut output = Output(&mut *state.sink);
    let written = match output.0.begin() {
        Some(room) => toro_core_file::write(&mut output, &mut stopped, state.scratch, room),
        None => Err(WriteError::Lost),
    };
    let written = match written {
        Ok(_) if !state.sink.finish() => Err(WriteError::Lost),
        written => written,
    };
    drop(others);
    let wanted = state.wanted;
    match written {
        Ok(len) => toro_log::write_emergency(format_args!("core: {len} bytes at {wanted}\n")),
        Err(reason) => {
            toro_log::write_emergency(format_args!("core: no core file at {wanted}: {reason}\n"))
        }
    };
}

struct Output<'a>(&'a mut dyn Sink);

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> bool {
        self.0.write(bytes)
    }
}
