//! [`Frozen`]: a program that stands still, as plain values; its memory goes beside it.
//!
//! A program is frozen before a call of one of its threads, while the others stand still ([`crate::standstill`]), and all make
//! their calls when it runs again. What cannot be written down, such as a connection, is refused. What comes back may have
//! been written by anyone: a frozen program gets nothing that the policy of its new monitor would not give it.

mod open;

use std::ffi::c_int;
use std::sync::atomic::Ordering;

use torov_abi::{Signal, USER_END, number_of};
use torov_policy::Subject;
use torov_vcpu::Registers;

pub(crate) use self::open::write_down;
use crate::descriptors::{Class, Descriptor};
use crate::process::{PID, Process};
use crate::signals::alarms::{KeptTimer, REAL};

/// A program without its memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frozen {
    /// The parts that the images of registers have, as in XCR0.
    pub states: u64,
    /// Its threads; the first is the one that makes the call before which it was frozen.
    pub threads: Vec<Still>,
    /// The number that the next thread gets.
    pub next_tid: i32,
    /// What it wants done with the signals from 1 on, as the kernel's `struct sigaction` has it.
    pub actions: Vec<[u64; 4]>,
    /// Signals that wait: for which thread, or 0 for the program, then number, code, and the two words of a `siginfo_t`.
    pub waiting: Vec<[u64; 5]>,
    /// Timers that send signals.
    pub timers: Vec<KeptTimer>,
    /// Where the pages of its vDSO begin, if it has one.
    pub vdso: Option<u64>,
    /// The rights that its new files do not get.
    pub umask: u32,
    /// Its current folder.
    pub cwd: String,
    /// Its own path.
    pub executable: String,
    /// What its pipes hold.
    pub pipes: Vec<Vec<u8>>,
    /// What it has open.
    pub open: Vec<Open>,
}

/// A thread that stands still.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Still {
    /// Its number.
    pub tid: i32,
    /// Its general registers.
    pub registers: Registers,
    /// The image of the others, as XSAVE has it.
    pub extended: Vec<u8>,
    /// The base of `fs`.
    pub fs_base: u64,
    /// Where to write 0 when the thread ends, and the list of the locks that it holds.
    pub at_end: [u64; 2],
    /// The signals that it blocks.
    pub mask: u64,
    /// Its stack for handlers: where it begins, its length, and whether it is taken away while it is used.
    pub stack: (u64, u64, bool),
    /// What it is called, with zeros behind it.
    pub name: [u8; 16],
}

/// An open descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The number.
    pub number: u64,
    /// The flag `FD_CLOEXEC`.
    pub on_exec: bool,
    /// What it is.
    pub what: What,
}

/// What a descriptor stands for. Flags are those that `fcntl` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The same as an earlier number.
    Same(u64),
    /// Standard input, output or error, by its number.
    Stream(u64),
    /// A file or a folder: its path, the flags of `open`, and where it stands.
    File(String, c_int, u64),
    /// A socket that waits for connections: its address as `struct sockaddr`, and its flags.
    Listener(Vec<u8>, c_int),
    /// An end of a pipe: which of them, whether it is the one to write to, and its flags.
    Pipe(u64, bool, c_int),
    /// A counter: its value, whether reading takes one from it, and its flags.
    Counter(u64, bool, c_int),
    /// A timer: its clock, its interval and what is left, as `struct itimerspec`, and its flags.
    Timer(c_int, [u64; 4], c_int),
    /// Signals that can be read: which, and its flags.
    Signals(u64, c_int),
    /// A set of descriptors: of each the number, what it is waited for, and the program's own word.
    Set(Vec<(u64, u32, u64)>),
}

/// How the names of standard streams are told from paths.
const STREAMS: [&str; 3] = ["stdin", "stdout", "stderr"];

impl Descriptor {
    /// Standard input, output or error of the monitor, which is `fd`.
    #[must_use]
    pub fn stream(fd: std::os::fd::OwnedFd, number: u64) -> Self {
        let name = STREAMS.get(torov_abi::word::size(number));
        Self::new(fd, Class::Stdio, (*name.unwrap_or(&"")).to_owned())
    }
}

impl Process {
    /// Gives the program what `frozen` says it had, as far as its policy lets it. It has no thread yet, and its standard
    /// streams are open.
    ///
    /// # Errors
    /// A sentence that says what it may not have, or what the host has no longer.
    pub fn thaw(&self, frozen: &Frozen) -> Result<(), String> {
        check(frozen)?;
        if frozen.threads.len() > torov_abi::word::size(self.limits.threads.into()) {
            return Err(format!(
                "it has {} threads, which is beyond the limit `threads`",
                frozen.threads.len()
            ));
        }
        if frozen.threads.len() > 1 {
            self.may(&["clone", "clone3"], Subject::Nothing)?;
        }
        for timer in &frozen.timers {
            let calls: &[&str] = match timer.number {
                REAL => &["setitimer", "alarm"],
                ..REAL => &["setitimer"],
                _ => &["timer_create"],
            };
            self.may(calls, Subject::Nothing)?;
        }
        for (number, action) in (1..=64).zip(&frozen.actions) {
            // SIGKILL and SIGSTOP cannot be changed, and need not be.
            if let Some(signal) = Signal::new(number) {
                let _ = self.signals.set_action(signal, *action);
            }
        }
        self.set_mask(frozen.umask);
        self.next_tid.store(frozen.next_tid, Ordering::Relaxed);
        self.open_again(frozen)
    }

    /// Whether the policy allows one of `calls` on `subject`.
    fn may(&self, calls: &[&str], subject: Subject<'_>) -> Result<(), String> {
        let allowed =
            |name: &&str| number_of(name).is_some_and(|number| self.policy.allows(number, subject));
        if calls.iter().any(allowed) {
            return Ok(());
        }
        let name = calls.first().unwrap_or(&"");
        Err(match subject {
            Subject::Nothing => format!("the profile allows no `{name}`"),
            subject => format!("the profile allows no `{name}` with {subject}"),
        })
    }
}

/// Whether a program can be like that.
fn check(frozen: &Frozen) -> Result<(), String> {
    let mut last = PID - 1;
    let mut tids: Vec<i32> = frozen.threads.iter().map(|still| still.tid).collect();
    tids.sort_unstable();
    let are_numbers = tids.iter().all(|tid| {
        let rises = *tid > last && *tid < frozen.next_tid;
        last = *tid;
        rises
    });
    let is_sane = |still: &Still| still.registers.rip < USER_END && still.fs_base < USER_END;
    let sane = !tids.is_empty()
        && are_numbers
        && frozen.threads.iter().all(is_sane)
        && frozen.cwd.starts_with('/');
    match sane {
        true => Ok(()),
        false => Err("it holds registers or numbers that no program has".to_owned()),
    }
}
