//! [`Ring`]: calls that are answered while the program waits inside of the virtual machine.
//!
//! A call site that traps for the second time is patched to jump to the shim (`torov_vcpu::shim`), which posts the call
//! in its thread's slot. The poller, a thread of the monitor, answers calls that cannot block; it is woken when calls come
//! fast, and goes back to sleep when they stop. Everything else leaves the virtual machine as before. Who answers is decided
//! by `torov_ring::Ticket`, exactly once; what is allowed is decided by the same policy on both ways.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use torov_abi::word::wide;
use torov_abi::{Call, Errno, PAGE, USER_END, word};
use torov_host as host;
use torov_memory::{Memory, Rights};
use torov_ring::layout::{ARGUMENTS, BACK, FREE, LOOKS, NUMBER, PARKED, RESULT, SLOT};
use torov_ring::{Reclaimed, Ticket};
use torov_vcpu::Registers;
use torov_vcpu::shim::{self, Site, Stage};

use crate::context::Context;
use crate::dispatch::{self, Table};
use crate::process::Process;

/// Calls that the poller may answer: none waits for anything but a disk.
const QUICK: [&str; 22] = [
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "preadv",
    "pwritev",
    "lseek",
    "fstat",
    "clock_gettime",
    "gettimeofday",
    "time",
    "getpid",
    "gettid",
    "getppid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getrandom",
    "times",
];
/// Those of them that are quick only on some descriptors.
const BY_DESCRIPTOR: [&str; 8] = [
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev",
];

/// How long a thread looks for its answer before it goes outside: about what that costs.
const PATIENCE: Duration = Duration::from_micros(60);
/// Exits that follow each other this fast count as a burst; so many wake the poller.
const BURST_GAP: Duration = Duration::from_micros(400);
const BURST: u32 = 4;

/// How the ring behaves.
#[derive(Clone, Copy, Debug)]
pub struct RingSettings {
    /// The shim and the slots go below this address, near to the code.
    pub below: u64,
    /// How long the poller looks for calls after the last one.
    pub park: Duration,
    /// Whether it rests when threads wait for it in vain, as on a machine with too much to do.
    pub rests: bool,
}

/// The ring of a program.
#[derive(Debug)]
pub(crate) struct Ring {
    /// Where the program sees the shim.
    shim: u64,
    shim_gpa: u64,
    /// Where the page of the slots lies in the RAM.
    slots_gpa: u64,
    seats: Vec<Seat>,
    free: Mutex<Vec<usize>>,
    sites: Mutex<Sites>,
    poller: OnceLock<thread::Thread>,
    starting: AtomicBool,
    park: Duration,
    answered: AtomicU64,
    trust: Option<Mutex<Trust>>,
}

/// What belongs to a slot and is the monitor's alone.
#[derive(Debug, Default)]
struct Seat {
    ticket: Ticket,
    tid: AtomicI32,
}

#[derive(Debug, Default)]
struct Sites {
    /// How often a site has trapped.
    seen: HashMap<u64, u32>,
    patched: u64,
}

impl Ring {
    /// Puts shim and slots into the program's memory, with a slot for each of `threads`.
    pub(crate) fn try_new(
        memory: &Memory,
        settings: RingSettings,
        threads: u32,
    ) -> Result<Self, Errno> {
        let count = u64::from(threads) + 1;
        let pages = ((count + 1) * SLOT).div_ceil(PAGE);
        let shim = settings
            .below
            .checked_sub((pages + 2) * PAGE)
            .ok_or(Errno::ENOMEM)?;
        let shim_gpa = memory.share_pages(shim, 1, Rights::READ_EXECUTE)?;
        let slots_gpa = memory.share_pages(shim + PAGE, pages, Rights::READ_WRITE)?;
        memory.ram().write(shim_gpa, shim::code());
        let ring = Self {
            shim,
            shim_gpa,
            slots_gpa,
            seats: (0..count).map(|_| Seat::default()).collect(),
            free: Mutex::new((0..word::size(count)).rev().collect()),
            sites: Mutex::default(),
            poller: OnceLock::new(),
            starting: AtomicBool::new(false),
            park: settings.park,
            answered: AtomicU64::new(0),
            trust: settings.rests.then(Mutex::default),
        };
        ring.set_parked(memory, true);
        memory
            .ram()
            .shared_word(slots_gpa + LOOKS)
            .store(looks(), Ordering::Relaxed);
        Ok(ring)
    }

    /// How many calls the poller has answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// A slot for a new thread: its index, and where the program sees it.
    pub(crate) fn sit(&self, tid: i32) -> Option<(usize, u64)> {
        let index = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()?;
        self.seats[index].tid.store(tid, Ordering::Relaxed);
        Some((index, self.shim + PAGE + SLOT * (wide(index) + 1)))
    }

    /// Takes the slot of a thread back.
    pub(crate) fn leave(&self, index: usize) {
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(index);
    }

    fn slot(&self, index: usize) -> u64 {
        self.slots_gpa + SLOT * (wide(index) + 1)
    }

    fn set_parked(&self, memory: &Memory, parked: bool) {
        let word = memory.ram().shared_word(self.slots_gpa + PARKED);
        word.store(u32::from(parked), Ordering::SeqCst);
    }

    /// Whether a thread that traps with `rip` comes from the shim.
    pub(crate) fn is_exit(&self, rip: u64) -> bool {
        rip == self.shim + shim::EXIT
    }

    /// A thread has come outside: `Some` if the poller has answered its call already.
    pub(crate) fn reclaim(&self, memory: &Memory, index: usize) -> Option<u64> {
        let state = memory.ram().shared_word(self.slot(index));
        match self.seats[index].ticket.reclaim(state, host::yield_now) {
            Reclaimed::Mine => None,
            Reclaimed::Answered(result) => Some(result),
        }
    }

    /// Brings a thread that was interrupted in the shim to where a signal can be delivered: behind the call if that is
    /// done, else to the shim's way out, and it is false.
    pub(crate) fn settle(&self, memory: &Memory, index: usize, registers: &mut Registers) -> bool {
        let offset = registers.rip.wrapping_sub(self.shim);
        if offset >= PAGE {
            return true;
        }
        let (ram, slot) = (memory.ram(), self.slot(index));
        let place = match shim::stage(offset) {
            Stage::Left => ram.load(slot + BACK),
            Stage::Answered => {
                ram.shared_word(slot).store(FREE, Ordering::Release);
                registers.rcx
            }
            Stage::Asking => {
                registers.rip = self.shim + shim::LEAVE;
                return false;
            }
            Stage::Site(at) => {
                let mut code = [0; 17];
                ram.read(self.shim_gpa + at, &mut code);
                let (number, back) = shim::read_trampoline(self.shim + at, code);
                (registers.rax, registers.rcx) = (number, back);
                registers.rip = self.shim + shim::LEAVE;
                return false;
            }
        };
        // The guest may have written anything there; what is no address of its own stays its own trouble.
        if place < USER_END {
            registers.rip = place;
        }
        true
    }

    /// Patches the site of a quick call when it traps for the second time. The caller is the program's only thread.
    pub(crate) fn notice(&self, memory: &Memory, rip: u64, number: u64) {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        if sites.patched >= shim::MOST_SITES || sites.seen.len() > 4096 {
            return;
        }
        let seen = sites.seen.entry(rip).or_default();
        *seen += 1;
        if *seen != 2 {
            return;
        }
        let start = rip.wrapping_sub(Site::LEN);
        let site = memory
            .read_array(start)
            .ok()
            .and_then(|bytes| Site::read(rip, bytes, number));
        let patch = site.and_then(|site| Some((site, site.patch(self.shim, sites.patched)?)));
        if let Some((site, (patch, offset, trampoline))) = patch {
            memory.ram().write(self.shim_gpa + offset, &trampoline);
            if memory.load(site.place(), &patch).is_ok() {
                sites.patched += 1;
            }
        }
    }

    /// A thread has come outside at `now`: wakes the poller if many do, and lets it rest if it was awake and of no use.
    pub(crate) fn came_outside(&self, process: &Arc<Process>, burst: &mut Burst, now: Duration) {
        let parked = process.memory.ram().shared_word(self.slots_gpa + PARKED);
        let was_awake = parked.load(Ordering::Relaxed) == 0;
        let mut may_wake = true;
        if let Some(trust) = &self.trust {
            let mut trust = trust.lock().unwrap_or_else(PoisonError::into_inner);
            if was_awake && trust.late(self.answered(), now) {
                self.set_parked(&process.memory, true);
            }
            may_wake = trust.is_good(now);
        }
        if burst.add(now) && may_wake {
            self.wake(process);
        }
    }

    /// Wakes the poller, or starts it.
    fn wake(&self, process: &Arc<Process>) {
        if let Some(poller) = self.poller.get() {
            self.set_parked(&process.memory, false);
            poller.unpark();
            return;
        }
        if self.starting.swap(true, Ordering::Relaxed) {
            return;
        }
        let shared = Arc::clone(process);
        let builder = thread::Builder::new().stack_size(256 << 10);
        // Without a poller all calls go outside, which is right if slow.
        if let Ok(handle) = builder.spawn(move || poll(&shared)) {
            let _ = self.poller.set(handle.thread().clone());
            self.set_parked(&process.memory, false);
        }
    }

    /// Answers the call in a slot, if there is one.
    fn serve(&self, process: &Process, table: &mut Table, index: usize) -> bool {
        let seat = &self.seats[index];
        let ram = process.memory.ram();
        let slot = self.slot(index);
        let state = ram.shared_word(slot);
        if !seat.ticket.claim(state) {
            return false;
        }
        // The arguments are read once; what the guest writes from now on is not looked at.
        let number = ram.shared_word(slot + NUMBER).load(Ordering::Relaxed);
        let args = [0, 1, 2, 3, 4, 5].map(|at| ram.load(slot + ARGUMENTS + 8 * at));
        let call = Call {
            number: number.into(),
            args,
        };
        match self.answer(process, table, seat, &call) {
            None => seat.ticket.refuse(state),
            Some(result) => {
                ram.store(slot + RESULT, result);
                self.answered.fetch_add(1, Ordering::Relaxed);
                seat.ticket.answer(state, result);
            }
        }
        true
    }

    /// The result of a call that cannot block; others are refused.
    fn answer(
        &self,
        process: &Process,
        table: &mut Table,
        seat: &Seat,
        call: &Call,
    ) -> Option<u64> {
        if process.is_over() || !is_quick(process, call) {
            return None;
        }
        let start = process.observer.wants_calls().then(crate::thread::now);
        let tid = seat.tid.load(Ordering::Relaxed);
        let answer = dispatch::admit(process, call).and_then(|number| {
            let context = Context {
                process,
                number,
                tid,
            };
            dispatch::answer(table.find(number), &context, call)
        });
        let result = answer.unwrap_or_else(Errno::to_register);
        if let Some(start) = start {
            let took = crate::thread::now().saturating_sub(start);
            process.observer.called(tid, call, result, took);
        }
        Some(result)
    }
}

/// Whether a call belongs to those that the poller may answer, by its number.
pub(crate) fn may_be_quick(number: u64) -> bool {
    torov_abi::name_of(number).is_some_and(|name| QUICK.contains(&name))
}

fn is_quick(process: &Process, call: &Call) -> bool {
    let name = torov_abi::name_of(call.number).unwrap_or_default();
    if !BY_DESCRIPTOR.contains(&name) {
        return QUICK.contains(&name);
    }
    let descriptor = process.descriptors.get(call.args[0]);
    descriptor.map_or(true, |descriptor| descriptor.never_waits())
}

/// The poller.
fn poll(process: &Arc<Process>) {
    let Some(ring) = &process.ring else {
        return;
    };
    torov_interrupt::shut();
    let mut table = Table::default();
    let mut last = crate::thread::now();
    let mut idle = 0_u32;
    while !process.is_over() {
        let mut busy = false;
        for index in 0..ring.seats.len() {
            busy |= ring.serve(process, &mut table, index);
        }
        if busy {
            idle = 0;
            continue;
        }
        std::hint::spin_loop();
        idle += 1;
        if idle == 1 {
            last = crate::thread::now();
        } else if idle.is_multiple_of(64) && crate::thread::now().saturating_sub(last) > ring.park {
            ring.set_parked(&process.memory, true);
            // Whoever posted before it saw the word is not made to wait.
            for index in 0..ring.seats.len() {
                ring.serve(process, &mut table, index);
            }
            thread::park();
            ring.set_parked(&process.memory, false);
            idle = 0;
        }
    }
}

/// How many looks of the shim take as long as its patience.
fn looks() -> u32 {
    const SAMPLE: u32 = 64;
    let start = crate::thread::now();
    for _ in 0..SAMPLE {
        std::hint::spin_loop();
    }
    let took = crate::thread::now()
        .saturating_sub(start)
        .max(Duration::from_nanos(1));
    let looks = PATIENCE.as_nanos() * u128::from(SAMPLE) / took.as_nanos();
    u32::try_from(looks).unwrap_or(u32::MAX).clamp(100, 20_000)
}

/// Whether the poller is worth waiting for.
#[derive(Clone, Copy, Debug, Default)]
struct Trust {
    late: u32,
    answered: u64,
    /// Until when it rests, and for how long it did.
    until: Duration,
    rest: Duration,
}

impl Trust {
    /// After so many calls that came too late it is decided.
    const WINDOW: u32 = 8;
    /// So many answers make up for one of them: an exit costs so much more.
    const WORTH: u64 = 4;
    const REST: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(640));

    /// A call was not answered in time. Whether the poller rests from now on.
    fn late(&mut self, answered: u64, now: Duration) -> bool {
        self.late += 1;
        if self.late < Self::WINDOW {
            return false;
        }
        let gained = answered.saturating_sub(self.answered);
        self.late = 0;
        self.answered = answered;
        if gained >= u64::from(Self::WINDOW) * Self::WORTH {
            self.rest = Duration::ZERO;
            return false;
        }
        let (shortest, longest) = Self::REST;
        self.rest = (self.rest * 2).clamp(shortest, longest);
        self.until = now + self.rest;
        true
    }

    fn is_good(&self, now: Duration) -> bool {
        now >= self.until
    }
}

/// Notices bursts of calls of one thread.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Burst {
    last: Duration,
    len: u32,
}

impl Burst {
    /// A call has come outside at `now`; whether it is one of many.
    pub(crate) fn add(&mut self, now: Duration) -> bool {
        let is_near = now.saturating_sub(self.last) < BURST_GAP;
        self.len = if is_near { self.len + 1 } else { 0 };
        self.last = now;
        self.len >= BURST
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Burst, Trust, looks, may_be_quick};

    #[test]
    fn a_burst_is_many_calls_in_a_short_time() {
        let mut burst = Burst::default();
        let mut now = Duration::from_secs(1);
        let mut add = |micros| {
            now += Duration::from_micros(micros);
            burst.add(now)
        };
        assert!(!add(100) && !add(100) && !add(100) && !add(100));
        assert!(add(100) && add(100));
        assert!(!add(1000) && !add(100));
    }

    #[test]
    fn a_poller_of_no_use_rests_ever_longer() {
        let mut trust = Trust::default();
        let now = Duration::from_secs(1);
        let late = |trust: &mut Trust, answered| (0..8).any(|_| trust.late(answered, now));
        assert!(!late(&mut trust, 1000), "it answers most calls");
        assert!(trust.is_good(now));
        assert!(late(&mut trust, 1010));
        assert!(!trust.is_good(now + Duration::from_millis(4)));
        assert!(trust.is_good(now + Duration::from_millis(5)));
        assert!(late(&mut trust, 1010));
        assert!(!trust.is_good(now + Duration::from_millis(9)));
        assert!(!late(&mut trust, 2000), "it is of use again");
        assert!(late(&mut trust, 2000));
        assert!(trust.is_good(now + Duration::from_millis(5)));
    }

    #[test]
    fn what_may_block_is_never_quick() {
        for name in [
            "futex",
            "poll",
            "accept4",
            "recvfrom",
            "nanosleep",
            "connect",
            "clone",
            "mmap",
            "exit",
        ] {
            assert!(
                !may_be_quick(torov_abi::number_of(name).unwrap().into()),
                "{name}"
            );
        }
        assert!(may_be_quick(1));
        assert!(!may_be_quick(u64::MAX));
        assert!((100..=20_000).contains(&looks()));
    }
}
