//! [`Process`]: a program, as far as all of its threads share it.

use std::fmt;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use torov_abi::{Call, Errno, Signal};
use torov_memory::Memory;
use torov_policy::{Policy, Subject, Usage};
use torov_vcpu::{Machine, Vcpu};

use crate::clock::Clock;
use crate::debug::Debug;
use crate::descriptors::Descriptors;
use crate::ending::{Ending, Remains};
use crate::frozen::Frozen;
use crate::mounts::Mounts;
use crate::pace::Pace;
use crate::ring::{Ring, RingSettings};
use crate::signals::alarms::Alarms;
use crate::signals::{Info, SI_USER, Signals, To};
use crate::standstill::Standstill;

/// The program's number, for itself: there is no other.
pub(crate) const PID: i32 = 2;

/// Who looks on.
pub trait Observer: Send + Sync {
    /// A call has been answered. `took` is the time it took, if [`wants_calls`](Self::wants_calls).
    fn called(&self, tid: i32, call: &Call, result: u64, took: Duration) {
        let _ = (tid, call, result, took);
    }

    /// Whether calls are of interest: looking at the clock costs.
    fn wants_calls(&self) -> bool {
        false
    }

    /// A call was denied.
    fn denied(&self, number: u64, subject: Subject<'_>) {
        let _ = (number, subject);
    }

    /// A call is not allowed to do what the monitor never does, or is not known to it.
    fn unsupported(&self, number: u64) {
        let _ = number;
    }

    /// The program stands still where it was to be frozen, and ends when this returns.
    ///
    /// # Errors
    /// Why it could not be kept.
    fn frozen(&self, process: &Process, frozen: &Frozen) -> Result<(), String> {
        let _ = (process, frozen);
        Err("nobody keeps it".to_owned())
    }

    /// Whether what threads have in their registers at the end is of interest: [`Process::remains`].
    fn wants_remains(&self) -> bool {
        false
    }

    /// The program has ended. The last thing that happens, once.
    fn ended(&self, process: &Process, ending: &Ending);
}

/// What a program may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open descriptors.
    pub descriptors: u32,
    /// Threads at once.
    pub threads: u32,
    /// Bytes written.
    pub output: u64,
    /// Calls in a second.
    pub calls_per_second: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            descriptors: 64,
            threads: 16,
            output: u64::MAX,
            calls_per_second: None,
        }
    }
}

/// What a process is made of.
pub struct Settings {
    /// Its memory, with the program in it.
    pub memory: Arc<Memory>,
    /// What makes processors for its threads.
    pub machine: Arc<dyn Machine>,
    /// What it may do.
    pub policy: Policy,
    /// What it sees of the host.
    pub mounts: Mounts,
    /// Its limits.
    pub limits: Limits,
    /// The folder it starts in.
    pub cwd: String,
    /// The path of the program, as it sees itself.
    pub executable: String,
    /// Who looks on.
    pub observer: Box<dyn Observer>,
    /// The debugger's view, if there is a debugger.
    pub debug: Option<Arc<Debug>>,
    /// Calls without leaving the virtual machine, if wanted.
    pub ring: Option<RingSettings>,
    /// The clock that it reads without a call, if it may.
    pub clock: Option<Clock>,
    /// Whether to note what is asked for, so that a profile can be made of it.
    pub learn: bool,
    /// Before which call the program is to be frozen, by its number, and the how manyth that is, from 1 on.
    pub freeze_at: Option<(u16, u32)>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

/// A program.
pub struct Process {
    pub(crate) memory: Arc<Memory>,
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) policy: Policy,
    pub(crate) mounts: Mounts,
    pub(crate) limits: Limits,
    pub(crate) cwd: Mutex<String>,
    pub(crate) executable: String,
    pub(crate) descriptors: Descriptors,
    pub(crate) signals: Arc<Signals>,
    pub(crate) alarms: Arc<Alarms>,
    pub(crate) debug: Option<Arc<Debug>>,
    pub(crate) observer: Box<dyn Observer>,
    usage: Option<Mutex<Usage>>,
    pace: Option<Mutex<Pace>>,
    written: AtomicU64,
    pub(crate) next_tid: AtomicI32,
    pub(crate) threads: AtomicUsize,
    pub(crate) spares: Mutex<Vec<Box<dyn Vcpu>>>,
    ended: AtomicBool,
    /// What threads had when the program ended, and when another has told.
    remains: Mutex<Vec<Remains>>,
    told: Condvar,
    /// Rights that new files do not get (umask(2)).
    mask: AtomicU32,
    pub(crate) ring: Option<Ring>,
    pub(crate) clock: Option<Clock>,
    pub(crate) freeze_at: Option<FreezeAt>,
    pub(crate) standstill: Standstill,
}

/// Before which call the program is to be frozen.
#[derive(Debug)]
pub(crate) struct FreezeAt {
    pub(crate) number: u16,
    /// How often the call is still to come, that time included.
    pub(crate) passes: AtomicI64,
}

impl Process {
    /// A program without a thread yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { limits, .. } = settings;
        // Where there is no room near the code, all calls go outside.
        let ring = settings
            .ring
            .and_then(|ring| Ring::try_new(&settings.memory, ring, limits.threads).ok());
        let signals = Arc::new(Signals::default());
        Self {
            memory: settings.memory,
            machine: settings.machine,
            policy: settings.policy,
            mounts: settings.mounts,
            limits,
            cwd: Mutex::new(settings.cwd),
            executable: settings.executable,
            descriptors: Descriptors::new(limits.descriptors),
            alarms: Arc::new(Alarms::new(&signals)),
            signals,
            debug: settings.debug,
            observer: settings.observer,
            usage: settings.learn.then(Mutex::default),
            pace: limits
                .calls_per_second
                .map(|calls| Mutex::new(Pace::new(calls))),
            written: AtomicU64::new(0),
            next_tid: AtomicI32::new(PID),
            threads: AtomicUsize::new(0),
            spares: Mutex::default(),
            ended: AtomicBool::new(false),
            remains: Mutex::default(),
            told: Condvar::new(),
            mask: AtomicU32::new(0o022),
            ring,
            clock: settings.clock,
            freeze_at: settings.freeze_at.map(|(number, count)| FreezeAt {
                number,
                passes: AtomicI64::new(count.into()),
            }),
            standstill: Standstill::default(),
        }
    }

    /// Its memory.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// What it has open.
    #[must_use]
    pub fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// How many calls were answered without leaving the virtual machine.
    #[must_use]
    pub fn answered_by_ring(&self) -> u64 {
        self.ring.as_ref().map_or(0, Ring::answered)
    }

    /// What it has asked for, if that was to be noted.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let usage = self.usage.as_ref()?;
        Some(usage.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// The number of a new thread.
    pub(crate) fn new_tid(&self) -> i32 {
        self.next_tid.fetch_add(1, Ordering::Relaxed)
    }

    /// Changes the rights that new files do not get, and returns those before. The monitor's own mask counts as well.
    pub(crate) fn set_mask(&self, mask: u32) -> u32 {
        self.mask.swap(mask & 0o777, Ordering::Relaxed)
    }

    /// The rights that a new file gets of `mode`.
    pub(crate) fn masked(&self, mode: u32) -> u32 {
        mode & !self.mask.load(Ordering::Relaxed)
    }

    /// Whether a call on `subject` is allowed; nobody is told if it is not.
    pub(crate) fn allows(&self, number: u16, subject: Subject<'_>) -> bool {
        if let Some(usage) = &self.usage {
            let mut usage = usage.lock().unwrap_or_else(PoisonError::into_inner);
            usage.add(number, subject);
        }
        self.policy.allows(number, subject)
    }

    /// Judges a call on `subject`.
    ///
    /// # Errors
    /// What the program gets instead.
    pub(crate) fn permit(&self, number: u16, subject: Subject<'_>) -> Result<(), Errno> {
        if self.allows(number, subject) {
            return Ok(());
        }
        Err(self.deny(number.into(), subject))
    }

    /// Tells of a denied call, and says what the program gets. Where the profile says so, the program ends here.
    pub(crate) fn deny(&self, number: u64, subject: Subject<'_>) -> Errno {
        self.observer.denied(number, subject);
        match self.policy.denial() {
            torov_policy::Denial::Fails(errno) => errno,
            torov_policy::Denial::Kills => {
                let name = torov_abi::name_of(number);
                let name = name.map_or_else(|| format!("call {number}"), str::to_owned);
                self.end(&Ending::Denied(name));
                Errno::EPERM
            }
        }
    }

    /// Whether the program is over: no thread does anything any more.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Ends the program, if no one has yet.
    pub fn end(&self, ending: &Ending) {
        // AcqRel: the first to come is the only one, and whoever sees the flag sees what was done before.
        if !self.ended.swap(true, Ordering::AcqRel) {
            if let Some(debug) = &self.debug {
                debug.end(ending.status());
            }
            self.observer.ended(self, ending);
        }
    }

    /// Keeps what a thread has when it finds that the program is over.
    pub(crate) fn keep_remains(&self, tid: i32, vcpu: &dyn Vcpu) {
        if !self.is_over() || !self.observer.wants_remains() {
            return;
        }
        let remains = Remains {
            tid,
            registers: *vcpu.registers(),
            extended: vcpu.extended().unwrap_or_default(),
            bases: vcpu.bases().unwrap_or_default(),
        };
        let mut all = self.remains.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(remains);
        self.told.notify_all();
    }

    /// A thread has gone that may be waited for.
    pub(crate) fn has_left(&self) {
        let all = self.remains.lock();
        self.told.notify_all();
        drop(all);
    }

    /// What all threads but `but` have in their registers, now that the program has ended: they are stopped, and waited for,
    /// but not for ever. For the observer, on the thread that `but` is.
    #[must_use]
    pub fn remains(&self, but: i32) -> Vec<Remains> {
        const PATIENCE: Duration = Duration::from_secs(10);
        self.signals.raise_all();
        let all = self.remains.lock().unwrap_or_else(PoisonError::into_inner);
        let is_missing = |all: &mut Vec<Remains>| {
            let mut threads = self.signals.threads().into_iter();
            threads.any(|tid| tid != but && all.iter().all(|known| known.tid != tid))
        };
        let waited = self.told.wait_timeout_while(all, PATIENCE, is_missing);
        let (all, _) = waited.unwrap_or_else(PoisonError::into_inner);
        all.clone()
    }

    /// Takes what has come from outside, such as SIGTERM, for the program's.
    pub(crate) fn hear(&self) {
        let arrived = torov_interrupt::arrived();
        for number in (1..=64).filter(|number| arrived >> (number - 1) & 1 == 1) {
            if let Some(signal) = Signal::new(number) {
                let info = Info {
                    signal,
                    code: SI_USER,
                    words: [0; 2],
                };
                // More of them than can wait are one.
                let _ = self.signals.send(To::Process, info);
            }
        }
    }

    /// Counts bytes that are about to be written.
    ///
    /// # Errors
    /// `EFBIG` beyond the limit, where the program ends.
    pub(crate) fn count_output(&self, len: u64) -> Result<(), Errno> {
        let before = self.written.fetch_add(len, Ordering::Relaxed);
        if before.saturating_add(len) > self.limits.output {
            self.end(&Ending::Limit("output", 137));
            return Err(Errno::EFBIG);
        }
        Ok(())
    }

    /// Counts bytes that are about to be written, if that many are within the limit.
    pub(crate) fn has_room_for_output(&self, len: u64) -> bool {
        let more = |before: u64| {
            before
                .checked_add(len)
                .filter(|all| *all <= self.limits.output)
        };
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.written.fetch_update(set, get, more).is_ok()
    }

    /// Counts no longer what was not written after all.
    pub(crate) fn take_back_output(&self, len: u64) {
        self.written.fetch_sub(len, Ordering::Relaxed);
    }

    /// Whether calls may be joined: no one looks at each of them, and nothing counts them.
    pub(crate) fn may_join_calls(&self) -> bool {
        self.pace.is_none() && !self.observer.wants_calls()
    }

    /// Whether a thread that waits is wanted elsewhere: the program is over or stands still, or the debugger stops it.
    pub(crate) fn wants(&self, tid: i32) -> bool {
        let halts = |debug: &Arc<Debug>| debug.halts(tid);
        self.is_over() || self.standstill.is_asked() || self.debug.as_ref().is_some_and(halts)
    }

    /// How long a call has to wait for the limit of calls in a second.
    pub(crate) fn pace(&self) -> Option<Duration> {
        let pace = self.pace.as_ref()?;
        let now = torov_host::clock_get(1).unwrap_or_default();
        let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
        Some(pace.take(now)).filter(|wait| !wait.is_zero())
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("memory", &self.memory)
            .field("descriptors", &self.descriptors)
            .finish_non_exhaustive()
    }
}
