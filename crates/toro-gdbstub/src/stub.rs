//! The talk: from an exception to gdb and back.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use toro_arch::core_local::{self, MAX_CORES};
use toro_arch::trap::TrapFrame;
use toro_arch::{apic, cpu, debug};
use toro_sync::{Once, SpinLock, StoppedCore};

use crate::kernel::{self, Kernel};
use crate::machine::{Stop, StopKind};
use crate::packet::{Event, Receiver};
use crate::points::PointKind;
use crate::port::Port;
use crate::resume::{Action, Resume};
use crate::session::{Next, Session};
use crate::{breakpoints, stop};

/// Answers a command of `monitor`: writes what it has to say. May look at cores that are stopped, each at the place of its number, and
/// lends them only to functions of the kernel that ask for one.
pub type Monitor = fn(command: &str, cores: &[Option<StoppedCore>], out: &mut dyn fmt::Write);

/// The vector of interrupts that cannot be masked.
const NMI: u64 = 2;

const SIGINT: u8 = 2;
const SIGILL: u8 = 4;
const SIGTRAP: u8 = 5;
const SIGBUS: u8 = 7;
const SIGFPE: u8 = 8;
const SIGSEGV: u8 = 11;

/// What does not change once the debugger has started.
struct Settings {
    port: &'static dyn Port,
    monitor: Monitor,
    kill: fn() -> !,
    waits_at_failure: bool,
}

static SETTINGS: Once<Settings> = Once::new();

/// Whether a port is being opened whose interrupts may come already.
static IS_OPENING: AtomicBool = AtomicBool::new(false);

/// What lasts from stop to stop. Locked by the core that talks, hence never contended.
struct Talk {
    receiver: Receiver,
    session: Session,
    /// gdb waits for a thread to stop.
    is_awaited: bool,
}

static TALK: SpinLock<Talk> = SpinLock::new(Talk {
    receiver: Receiver::new(),
    session: Session::new(),
    is_awaited: false,
});

/// Whether gdb is attached.
static IS_ATTACHED: AtomicBool = AtomicBool::new(false);

/// The signal that the image's own breakpoint instruction on a core stands for; 0 for that of a breakpoint.
static SIGNALS: [AtomicU8; MAX_CORES] = [const { AtomicU8::new(0) }; MAX_CORES];

/// The range that each core steps through, its start and its end.
static RANGES: [[AtomicU64; 2]; MAX_CORES] =
    [const { [const { AtomicU64::new(0) }; 2] }; MAX_CORES];

/// Notes that a port is being opened: from now on its interrupts are the debugger's, which has nothing to say to them before it is
/// [started](start).
pub fn expect() {
    IS_OPENING.store(true, Ordering::Relaxed);
}

/// Starts the debugger at `port`: from now on gdb can attach there. Once.
///
/// `kill` ends the machine when gdb asks for it. With `waits_at_failure` a failure waits for gdb if it is not attached.
///
/// # Context
/// The core to which the port's interrupts go, when its interrupts have started.
pub fn start(port: &'static dyn Port, waits_at_failure: bool, monitor: Monitor, kill: fn() -> !) {
    SETTINGS.call_once(|| Settings {
        port,
        monitor,
        kill,
        waits_at_failure,
    });
    if port.set_interrupts(true) {
        // Somebody was quicker, and no interrupt tells of that.
        apic::send_nmi(core_local::id());
    }
}

/// Stops here, as a breakpoint does, until gdb lets the image go on; waits for gdb to attach if need be.
///
/// `signal` is what gdb shows: 0 for a breakpoint, 6 for a failure. Does nothing before [`start`].
pub fn stop_here(signal: u8) {
    if SETTINGS.get().is_some() {
        SIGNALS[core_local::id()].store(signal, Ordering::Relaxed);
        debug::breakpoint();
    }
}

/// Whether gdb is attached.
pub fn is_attached() -> bool {
    IS_ATTACHED.load(Ordering::Relaxed)
}

/// Whether gdb wants to see a failure: it is attached, or the failure shall wait for it.
pub fn is_wanted_at_failure() -> bool {
    SETTINGS
        .get()
        .is_some_and(|settings| settings.waits_at_failure || is_attached())
}

/// What an exception is to the debugger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// An interrupt that cannot be masked: another core wants to talk, or a byte has come.
    Call,
    /// A breakpoint instruction.
    Instruction,
    /// A step or a debug register, with the bits of DR6.
    Debug(u64),
    /// A mistake of the image.
    Failure(u8),
}

impl Cause {
    fn of(frame: &TrapFrame, status: u64) -> Self {
        match frame.vector {
            1 => Self::Debug(status),
            NMI => Self::Call,
            3 => Self::Instruction,
            0 | 16 | 19 => Self::Failure(SIGFPE),
            6 => Self::Failure(SIGILL),
            17 => Self::Failure(SIGBUS),
            _ => Self::Failure(SIGSEGV),
        }
    }
}

/// Takes an exception to gdb. Returns whether that is all: if not, it is to be reported as without a debugger.
///
/// # Context
/// The exception handler of any core.
pub fn enter(frame: &mut TrapFrame) -> bool {
    let is_call = frame.vector == NMI;
    let Some(settings) = SETTINGS.get() else {
        return is_call && IS_OPENING.load(Ordering::Relaxed);
    };
    if !stop::come_in() {
        if is_call {
            stop::note_call();
        }
        // All but a call would be a mistake of the debugger's own.
        return is_call;
    }
    let status = debug::take_status();
    let is_done = handle(frame, Cause::of(frame, status), settings);
    breakpoints::load();
    stop::go_out();
    // A call that came meanwhile was not heard.
    while (stop::is_owned() || stop::was_called()) && stop::come_in() {
        handle(frame, Cause::Call, settings);
        breakpoints::load();
        stop::go_out();
    }
    if is_call {
        frame.leave_halt();
    }
    is_done
}

fn handle(frame: &mut TrapFrame, cause: Cause, settings: &Settings) -> bool {
    if matches!(cause, Cause::Failure(_)) && !is_wanted_at_failure() {
        return false;
    }
    if is_inside_range(frame, cause) {
        return true;
    }
    stop::with_beyond(|| stand(frame, cause, settings))
}

/// Talks, or waits for who does, until this core may go on. Returns as [`enter`].
fn stand(frame: &mut TrapFrame, cause: Cause, settings: &Settings) -> bool {
    let has_input = || settings.port.has_input();
    let mut cause = cause;
    while !stop::own(frame) {
        if !stop::wait(frame, has_input) {
            cause = Cause::Call;
            continue;
        }
        match cause {
            Cause::Call => return true,
            Cause::Instruction if breakpoints::is_planted(frame.rip.wrapping_sub(1)) => {
                // It is met again, if it is still there.
                frame.rip = frame.rip.wrapping_sub(1);
                return true;
            }
            _ => {}
        }
    }
    loop {
        let next = TALK.lock().hold(frame, cause, settings);
        stop::disown();
        // Another core may be the only one that goes on.
        if !stop::is_held() || stop::wait(frame, has_input) {
            // A failure is met again if it was not mended, and reported once gdb has gone.
            return !(matches!(cause, Cause::Failure(_)) && next == After::Alone);
        }
        cause = Cause::Call;
        while !stop::own(frame) {
            if stop::wait(frame, has_input) {
                return true;
            }
        }
    }
}

/// Whether a step ended inside of the range that gdb wants to be stepped through: then it goes on, and nobody else need know.
fn is_inside_range(frame: &TrapFrame, cause: Cause) -> bool {
    let Cause::Debug(status) = cause else {
        return false;
    };
    let [start, end] = RANGES[core_local::id()]
        .each_ref()
        .map(|word| word.load(Ordering::Relaxed));
    let is_step = status & debug::STEPPED != 0 && breakpoints::hit(status).is_none();
    is_step && (start..end).contains(&frame.rip) && frame.rflags & debug::TRAP != 0
}

/// How the image goes on after a talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// As before: there was nothing to tell.
    Unchanged,
    /// As gdb says, which waits for the next stop.
    Watched,
    /// Without gdb.
    Alone,
}

impl Talk {
    /// Stops the other cores and talks, until gdb says who goes on.
    fn hold(&mut self, frame: &mut TrapFrame, cause: Cause, settings: &Settings) -> After {
        let port = settings.port;
        port.set_interrupts(false);
        let after = self.hold_quietly(frame, cause, settings);
        if port.set_interrupts(true) {
            // It has come since it was last looked, and no interrupt tells of it.
            stop::note_call();
        }
        after
    }

    fn hold_quietly(&mut self, frame: &mut TrapFrame, cause: Cause, settings: &Settings) -> After {
        if cause == Cause::Call && !self.is_called(settings.port) {
            return After::Unchanged;
        }
        stop::stop_others();
        breakpoints::lift();
        let stop = Stop {
            thread: kernel::thread_on(core_local::id()),
            kind: self.kind(frame, cause),
        };
        self.session.stopped(stop);
        if core::mem::take(&mut self.is_awaited) {
            self.send(settings.port);
        }
        let mut kernel = Kernel {
            monitor: settings.monitor,
        };
        let (resume, after) = match self.talk(settings.port, &mut kernel) {
            Next::Resume(resume) => {
                self.is_awaited = true;
                (resume, After::Watched)
            }
            Next::Kill => (settings.kill)(),
            Next::Detach | Next::Answer => {
                breakpoints::clear();
                IS_ATTACHED.store(false, Ordering::Relaxed);
                (Resume::all(), After::Alone)
            }
        };
        breakpoints::plant();
        (0..toro_sched::cores()).for_each(|core| prepare(core, &resume));
        after
    }

    /// Whether the bytes that have come call for a stop: Ctrl-C, or the start of a packet. Leaves that byte in the receiver.
    fn is_called(&mut self, port: &dyn Port) -> bool {
        while let Some(byte) = port.read() {
            match (self.receiver.feed(byte), byte) {
                (Some(Event::Interrupt), _) => return true,
                (_, b'$') => {
                    // Whoever sends a packet now does not wait for a stop, but asks anew.
                    self.is_awaited = false;
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    /// Why the machine stands still. A breakpoint instruction of ours is behind the instruction pointer, which goes back to it.
    fn kind(&self, frame: &mut TrapFrame, cause: Cause) -> StopKind {
        let point = |kind, addr| crate::points::Point { kind, addr, len: 1 };
        match cause {
            Cause::Call => StopKind::Signal(if self.is_awaited { SIGINT } else { SIGTRAP }),
            Cause::Failure(signal) => StopKind::Signal(signal),
            Cause::Debug(status) => match breakpoints::hit(status) {
                Some(point) => StopKind::Point(point),
                None => StopKind::Signal(SIGTRAP),
            },
            Cause::Instruction => {
                let addr = frame.rip.wrapping_sub(1);
                if breakpoints::is_planted(addr) {
                    frame.rip = addr;
                    return StopKind::Point(point(PointKind::Software, addr));
                }
                let signal = SIGNALS[core_local::id()].swap(0, Ordering::Relaxed);
                StopKind::Signal(if signal == 0 { SIGTRAP } else { signal })
            }
        }
    }

    /// Answers packets until one lets threads go.
    fn talk(&mut self, port: &dyn Port, kernel: &mut Kernel) -> Next {
        loop {
            let byte = loop {
                match port.read() {
                    Some(byte) => break byte,
                    None => cpu::relax(),
                }
            };
            let next = match self.receiver.feed(byte) {
                Some(Event::Packet(text)) => {
                    IS_ATTACHED.store(true, Ordering::Relaxed);
                    // A gdb that comes anew does not know what was agreed on with the one before.
                    if self.session.acks() || text.starts_with(b"qSupported") {
                        port.write(b"+");
                        port.flush();
                    }
                    self.session.handle(text, kernel)
                }
                Some(Event::Damaged) => {
                    if self.session.acks() {
                        port.write(b"-");
                        port.flush();
                    }
                    continue;
                }
                Some(Event::Again) => Next::Answer,
                Some(Event::Interrupt) | None => continue,
            };
            match next {
                Next::Answer => self.send(port),
                Next::Detach => {
                    self.send(port);
                    return next;
                }
                Next::Resume(_) | Next::Kill => return next,
            }
        }
    }

    fn send(&self, port: &dyn Port) {
        self.session.reply().send(|byte| port.write(&[byte]));
        port.flush();
    }
}

/// Makes a core that is stopped go on, or stay, as `resume` wants it.
fn prepare(core: usize, resume: &Resume) {
    let Some(frame) = stop::frame_of(core) else {
        return stop::hold(core, false);
    };
    frame.rflags &= !debug::TRAP;
    let [start, end] = &RANGES[core];
    let action = resume.action(kernel::thread_on(core));
    stop::hold(core, action.is_none());
    let range = match action {
        Some(Action::Step(range)) => {
            frame.rflags |= debug::TRAP;
            range.clone()
        }
        _ => 0..0,
    };
    start.store(range.start, Ordering::Relaxed);
    end.store(range.end, Ordering::Relaxed);
    if breakpoints::is_watched_code(frame.rip) {
        frame.rflags |= debug::RESUME;
    }
}
