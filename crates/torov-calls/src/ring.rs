//! [`Ring`]: calls that are answered while the program waits inside of the virtual machine.
//!
//! A call site that traps for the second time is patched to jump to the shim (`torov_vcpu::shim`), which posts the call
//! in its thread's slot. The poller, a thread of the monitor, answers calls that cannot block; it is woken when calls come
//! fast, and goes back to sleep when they stop. Everything else leaves the virtual machine as before. Who answers is decided
//! by `torov_ring::Ticket`, exactly once; what is allowed is decided by the same policy on both ways.

mod effort;
mod quick;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use torov_abi::word::wide;
use torov_abi::{Call, Errno, PAGE, USER_END, word};
use torov_host as host;
use torov_memory::{Memory, Rights};
use torov_ring::layout::{ARGUMENTS, BACK, FREE, LOOKS, NUMBER, PARKED, PLACE, RESULT, TID};
use torov_ring::{Reclaimed, Ticket};
use torov_vcpu::Registers;
use torov_vcpu::shim::sites::{self, Site, Way};
use torov_vcpu::shim::{self, Stage};

pub(crate) use self::effort::Burst;
use self::effort::Trust;
use self::quick::Quick;
pub(crate) use self::quick::may_be_quick;
use crate::batch;
use crate::dispatch::{self, Table};
use crate::families::identity::USER;
use crate::process::{PID, Process};

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
    /// How many of them were ever taken: the poller looks at no more.
    used: AtomicUsize,
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
        let pages = ((count + 1) * PLACE).div_ceil(PAGE);
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
            used: AtomicUsize::new(0),
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
            .store(effort::looks(), Ordering::Relaxed);
        Ok(ring)
    }

    /// How many calls the poller has answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// A slot for a new thread: its index, and where the program sees it.
    pub(crate) fn sit(&self, memory: &Memory, tid: i32) -> Option<(usize, u64)> {
        let index = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()?;
        self.seats[index].tid.store(tid, Ordering::Relaxed);
        let own = memory.ram().shared_word(self.slot(index) + TID);
        own.store(tid.cast_unsigned(), Ordering::Relaxed);
        // Release: a poller that looks at the slot finds whose it is.
        self.used.fetch_max(index + 1, Ordering::Release);
        Some((index, self.shim + PAGE + PLACE * (wide(index) + 1)))
    }

    /// Takes the slot of a thread back.
    pub(crate) fn leave(&self, index: usize) {
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(index);
    }

    fn slot(&self, index: usize) -> u64 {
        self.slots_gpa + PLACE * (wide(index) + 1)
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

    /// Brings a thread that was interrupted in the shim to where a signal can be delivered: before the call or behind it, or
    /// else to the shim's way out, and it is false.
    pub(crate) fn settle(&self, memory: &Memory, index: usize, registers: &mut Registers) -> bool {
        /// What `sahf` sets.
        const BY_SAHF: u64 = 0xd5;
        let offset = registers.rip.wrapping_sub(self.shim);
        if offset >= PAGE {
            return true;
        }
        let (ram, slot) = (memory.ram(), self.slot(index));
        let place = match shim::stage(offset) {
            Stage::Outside => return true,
            Stage::Entering => {
                let number = ram.shared_word(slot + NUMBER).load(Ordering::Relaxed);
                registers.rax = number.into();
                self.shim
            }
            Stage::Asking => {
                registers.rip = self.shim + shim::LEAVE;
                return false;
            }
            Stage::Leaving => return false,
            Stage::Restoring { flags } => {
                if flags {
                    let kept = registers.rax >> 8 & BY_SAHF;
                    registers.rflags = registers.rflags & !BY_SAHF | kept;
                }
                registers.rax = ram.load(slot + RESULT);
                ram.shared_word(slot).store(FREE, Ordering::Release);
                registers.rcx
            }
            Stage::Answered => {
                ram.shared_word(slot).store(FREE, Ordering::Release);
                registers.rcx
            }
            Stage::Left => ram.load(slot + BACK),
        };
        // The guest may have written anything there; what is no address of its own stays its own trouble.
        if place < USER_END {
            registers.rip = place;
        }
        true
    }

    /// Patches the site of a quick call when it traps for the second time. The caller is the program's only thread.
    pub(crate) fn notice(&self, process: &Process, rip: u64, number: u64) {
        let mut known = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        if known.patched >= sites::MOST || known.seen.len() > 4096 {
            return;
        }
        let seen = known.seen.entry(rip).or_default();
        *seen += 1;
        if *seen != 2 {
            return;
        }
        let memory = &process.memory;
        let mut bytes = [0; Site::LEN];
        // Where code begins there is less of it.
        let site = [Site::LEN, 8].into_iter().find_map(|len| {
            let bytes = &mut bytes[..len];
            memory.read(rip.wrapping_sub(wide(len)), bytes).ok()?;
            Site::read(rip, bytes, number)
        });
        let way = way(process, number);
        let patch = site.and_then(|site| {
            let patch = site.patch(way, self.shim, known.patched)?;
            Some((site.place(), patch))
        });
        if let Some((place, patch)) = patch {
            memory
                .ram()
                .write(self.shim_gpa + patch.offset, &patch.code);
            if memory.load(place, &patch.jump).is_ok() {
                known.patched += 1;
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
    fn serve(&self, process: &Process, poller: &mut Poller, index: usize) -> bool {
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
        match self.answer(process, poller, seat, &call) {
            None => seat.ticket.refuse(state),
            Some((result, count)) => {
                ram.store(slot + RESULT, result);
                self.answered.fetch_add(count, Ordering::Relaxed);
                seat.ticket.answer(state, result);
            }
        }
        true
    }

    /// The result of a call that cannot block, and how many calls it was; others are refused.
    fn answer(
        &self,
        process: &Process,
        poller: &mut Poller,
        seat: &Seat,
        call: &Call,
    ) -> Option<(u64, u64)> {
        if process.is_over() {
            return None;
        }
        let tid = seat.tid.load(Ordering::Relaxed);
        let Poller { table, quick } = poller;
        if call.number == batch::NUMBER {
            let willing = |call: &Call| quick.is_quick(process, call);
            let made = batch::make(process, tid, table, call, willing)?;
            return Some((register(made), made.unwrap_or(0)));
        }
        let held = quick.is_quick(process, call)?;
        let made = dispatch::make(process, tid, table, call, held);
        Some((register(made), 1))
    }
}

fn register(answer: Result<u64, Errno>) -> u64 {
    answer.unwrap_or_else(Errno::to_register)
}

/// How a call can be answered where it is made: those whose answer never changes without asking, if nobody wants to see them.
fn way(process: &Process, number: u64) -> Way {
    let is_free = process.policy.knows(number) && !process.observer.wants_calls();
    match torov_abi::name_of(number) {
        Some("getpid") if is_free => Way::Always(PID.cast_unsigned()),
        Some("getppid") if is_free => Way::Always(1),
        Some("getuid" | "geteuid" | "getgid" | "getegid") if is_free => {
            Way::Always(word::low(USER))
        }
        Some("gettid") if is_free => Way::Word(word::low(TID)),
        _ => Way::Ring,
    }
}

/// What the poller works with.
struct Poller {
    table: Table,
    quick: Quick,
}

/// The poller.
fn poll(process: &Arc<Process>) {
    let Some(ring) = &process.ring else {
        return;
    };
    torov_interrupt::shut();
    let mut poller = Poller {
        table: Table::default(),
        quick: Quick::new(),
    };
    let mut last = crate::thread::now();
    let mut idle = 0_u32;
    while !process.is_over() {
        let mut busy = false;
        // Acquire: pairs with the Release in `sit`.
        for index in 0..ring.used.load(Ordering::Acquire) {
            busy |= ring.serve(process, &mut poller, index);
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
                ring.serve(process, &mut poller, index);
            }
            thread::park();
            ring.set_parked(&process.memory, false);
            idle = 0;
        }
    }
}
