//! [`struct@Debug`]: threads that stop and go on as a debugger wishes.
//!
//! All of them stop together. A thread stops at the top of its loop, outside of the virtual machine; there its registers
//! can be read and changed. What stops them is an [`Event`], or the debugger itself.

mod watches;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use torov_abi::Signal;
use torov_host as host;
use torov_vcpu::Registers;

use self::watches::{Turns, Watch};
use crate::process::Process;

/// The trap flag: an exception behind the next instruction.
pub(crate) const TRAP: u64 = 0x100;

/// The instruction of a breakpoint.
const INT3: u8 = 0xcc;

/// How long the end of a program waits for the debugger to have been told. It may be gone.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a thread may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Halt,
    /// Run.
    Run,
    /// One instruction, or one call.
    Step,
}

/// Why all threads have stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A thread is where a breakpoint is.
    Breakpoint(i32),
    /// What is watched has been changed by a thread, and where it lies.
    Watchpoint(i32, u64),
    /// A thread is about to die of a signal, has made its step (SIGTRAP), or the debugger wished it (SIGINT).
    Signal(i32, Signal),
    /// The program has ended, with the status that a shell sees.
    Exit(u8),
}

/// What a thread has in its registers, while it has stopped.
#[derive(Clone, Debug, Default)]
pub struct Halted {
    /// The general ones.
    pub registers: Registers,
    /// The image of the others, as XSAVE has it.
    pub extended: Vec<u8>,
    /// The bases of `fs` and `gs`.
    pub bases: [u64; 2],
}

#[derive(Debug)]
struct Member {
    mode: Mode,
    halted: Option<Halted>,
    /// It goes on with the signal that it had stopped for.
    gets_signal: bool,
}

#[derive(Debug, Default)]
struct State {
    threads: BTreeMap<i32, Member>,
    events: VecDeque<Event>,
    /// What was in the place of each breakpoint.
    breakpoints: BTreeMap<u64, u8>,
    watches: Vec<Watch>,
    turns: Turns,
    /// Signals that are not told of before a handler gets them, a bit for each.
    passed_over: u64,
    stops: bool,
    /// The debugger has gone: nothing stops any more.
    is_off: bool,
    told_of_the_end: bool,
}

/// The threads of a program, as a debugger sees them.
#[derive(Debug)]
pub struct Debug {
    state: Mutex<State>,
    changed: Condvar,
    /// Another thread may make its step.
    turned: Condvar,
    /// Readable when there is an event.
    bell: File,
}

impl Debug {
    /// For a program whose first thread stops before its first instruction.
    ///
    /// # Errors
    /// What the host says.
    pub fn try_new() -> io::Result<Self> {
        let bell = host::event_counter(0, 0o4000);
        let bell = bell.map_err(|error| io::Error::from_raw_os_error(error.number().into()))?;
        let state = State {
            stops: true,
            ..State::default()
        };
        Ok(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            turned: Condvar::new(),
            bell: File::from(bell),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes readable when there is an event.
    #[must_use]
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    fn ring(&self) {
        // It counts: should it be full, it is readable already.
        let _ = (&self.bell).write_all(&1_u64.to_le_bytes());
    }

    /// Takes the next event.
    #[must_use]
    pub fn take_event(&self) -> Option<Event> {
        let mut state = self.lock();
        let event = state.events.pop_front();
        // The bell is rung with the state locked: none is lost here.
        if event.is_none() {
            let mut count = [0; 8];
            // Nothing to read is what is wanted.
            let _ = (&self.bell).read(&mut count);
        }
        drop(state);
        event
    }

    /// The threads, by rising number.
    #[must_use]
    pub fn threads(&self) -> Vec<i32> {
        self.lock().threads.keys().copied().collect()
    }

    /// Looks at a thread that has stopped, and changes it.
    pub fn with<T>(&self, tid: i32, look: impl FnOnce(&mut Halted) -> T) -> Option<T> {
        let mut state = self.lock();
        let halted = state.threads.get_mut(&tid)?.halted.as_mut()?;
        Some(look(halted))
    }

    /// Stops every thread, and returns when all have.
    pub fn stop(&self, process: &Process) {
        let mut state = self.lock();
        self.halt_all(&mut state, process);
        let running = |state: &State| {
            let mut threads = state.threads.values();
            !process.is_over() && threads.any(|member| member.halted.is_none())
        };
        while running(&state) {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn halt_all(&self, state: &mut State, process: &Process) {
        state.stops = true;
        for member in state.threads.values_mut() {
            member.mode = Mode::Halt;
        }
        process.signals.raise_all();
    }

    /// Has all threads stop, as if one of them had got SIGINT.
    pub fn interrupt(&self, process: &Process, tid: i32) {
        if let Some(signal) = Signal::new(2) {
            self.tell(process, Event::Signal(tid, signal));
        }
    }

    /// Lets threads go on, each as `mode` says for it, and whether it gets the signal that it has stopped for.
    pub fn resume(&self, mode: impl Fn(i32) -> (Mode, bool)) {
        let mut state = self.lock();
        if !state.events.is_empty() {
            // Another thread has stopped by itself at the same time: that comes first.
            return;
        }
        state.stops = false;
        for (tid, member) in &mut state.threads {
            (member.mode, member.gets_signal) = mode(*tid);
        }
        self.changed.notify_all();
    }

    /// The debugger goes: breakpoints are taken away, and all threads run.
    pub fn detach(&self, process: &Process) {
        let breakpoints = std::mem::take(&mut self.lock().breakpoints);
        for (address, byte) in breakpoints {
            // What is not mapped any more needs nothing.
            let _ = process.memory.load(address, &[byte]);
        }
        let mut state = self.lock();
        state.is_off = true;
        state.stops = false;
        state.events.clear();
        state.watches.clear();
        for member in state.threads.values_mut() {
            member.mode = Mode::Run;
        }
        self.changed.notify_all();
    }

    /// Puts a breakpoint there; all threads have stopped.
    ///
    /// # Errors
    /// `EFAULT` if nothing is there.
    pub fn add_breakpoint(&self, process: &Process, at: u64) -> Result<(), torov_abi::Errno> {
        let mut state = self.lock();
        if state.breakpoints.contains_key(&at) {
            return Ok(());
        }
        let [byte] = process.memory.read_array(at)?;
        process.memory.load(at, &[INT3])?;
        state.breakpoints.insert(at, byte);
        Ok(())
    }

    /// Takes it away.
    ///
    /// # Errors
    /// `EFAULT` if nothing is there any more.
    pub fn remove_breakpoint(&self, process: &Process, at: u64) -> Result<(), torov_abi::Errno> {
        match self.lock().breakpoints.remove(&at) {
            None => Ok(()),
            Some(byte) => process.memory.load(at, &[byte]),
        }
    }

    /// Says that the debugger knows of the program's end.
    pub fn is_told(&self) {
        self.lock().told_of_the_end = true;
        self.changed.notify_all();
    }

    /// The program ends: tells the debugger, and waits until it knows.
    pub(crate) fn end(&self, status: u8) {
        let mut state = self.lock();
        if state.is_off {
            return;
        }
        state.events.push_back(Event::Exit(status));
        self.ring();
        self.changed.notify_all();
        let patience = self
            .changed
            .wait_timeout_while(state, FAREWELL, |state| !state.told_of_the_end);
        // Told or not, the program ends.
        drop(patience);
    }

    /// A thread begins, or is going to.
    pub(crate) fn join(&self, tid: i32) {
        let mut state = self.lock();
        if state.threads.contains_key(&tid) {
            return;
        }
        let is_first = state.threads.is_empty();
        let mode = if state.stops { Mode::Halt } else { Mode::Run };
        let member = Member {
            mode,
            halted: None,
            gets_signal: false,
        };
        state.threads.insert(tid, member);
        if is_first && state.stops {
            state.events.push_back(Event::Signal(tid, Signal::SIGTRAP));
            self.ring();
        }
    }

    /// A thread ends.
    pub(crate) fn leave(&self, tid: i32) {
        self.lock().threads.remove(&tid);
        self.changed.notify_all();
    }

    /// Something has happened: all threads are to stop.
    pub(crate) fn tell(&self, process: &Process, event: Event) {
        let mut state = self.lock();
        if state.is_off {
            return;
        }
        state.events.push_back(event);
        self.halt_all(&mut state, process);
        self.ring();
    }

    /// Whether a breakpoint of the debugger is there.
    pub(crate) fn is_breakpoint(&self, at: u64) -> bool {
        self.lock().breakpoints.contains_key(&at)
    }

    /// Whether the thread is to stop now.
    pub(crate) fn halts(&self, tid: i32) -> bool {
        let state = self.lock();
        state
            .threads
            .get(&tid)
            .is_some_and(|member| member.mode == Mode::Halt)
    }

    /// Stops the calling thread until it may go on; `halted` is what it has in its registers. Returns what it is to have in
    /// them, and whether it makes one step. Blocks.
    pub(crate) fn halt(&self, tid: i32, halted: Halted) -> (Halted, bool) {
        let mut state = self.lock();
        let mut kept = Some(halted);
        loop {
            let Some(member) = state.threads.get_mut(&tid) else {
                return (kept.unwrap_or_default(), false);
            };
            if kept.is_some() {
                member.halted = kept.take();
                self.changed.notify_all();
            }
            if member.mode != Mode::Halt {
                let mut halted = member.halted.take().unwrap_or_default();
                let steps = member.mode == Mode::Step;
                halted.registers.rflags &= !TRAP;
                if steps {
                    halted.registers.rflags |= TRAP;
                }
                return (halted, steps);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
