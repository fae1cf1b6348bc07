//! The other cores: how many there are, what memory each gets, and how they start.
//!
//! All are started at once: they come through the door of `toro-boot` in any order and are numbered as they come. A core that does
//! not come within [`PATIENCE`] is reported and left out; the memory that was meant for it stays unused. If it comes later, it finds
//! the door closed and halts.

use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use log::{debug, warn};
use toro_arch::core_local::MAX_CORES;
use toro_arch::stack::Stack;
use toro_arch::{apic, core_local, cpu, gdt, trap};
use toro_boot::{BootInfo, CoreStart, Ranges, START_PAGE};
use toro_sync::Once;
use toro_time::Instant;

use crate::{clock, fault, heap, machine, placement};

/// How long a core may take from its startup interrupt to the door, in time that the boot core has run: see [`wait`].
const PATIENCE: Duration = Duration::from_secs(1);
/// After so long the startup interrupts are sent again, as Intel's manual asks for: one that came the first time ignores it.
const SECOND_STARTUP: Duration = Duration::from_millis(20);
/// What passes between two looks at the clock counts as so much at most: the rest of it the host has not run the boot core.
const LONGEST_LOOK: Duration = Duration::from_micros(100);
/// The stack of a core's first thread, which starts the core and then ends; a guard page is below.
const STACK: usize = 16 * 1024;
/// How long after the reset a core is started (Intel SDM volume 3, 8.4.4.1 asks 10 ms of hardware; virtual cores need none).
const AFTER_RESET: Duration = Duration::from_micros(100);

/// The cores that are ready, the boot core among them.
static READY: AtomicUsize = AtomicUsize::new(1);

/// What the cores to come find, by their number less one.
static SHARES: Once<Vec<Share>> = Once::new();

struct Share {
    memory: Ranges,
    /// What its placement is drawn from.
    seed: u64,
    /// The upper end of the core's first stack, and the guard page below.
    stack: u64,
    guard: u64,
}

/// How many cores the image uses: those that the firmware lists as ready, or as many as `cores=` says if that is fewer.
pub(crate) fn count(info: &BootInfo) -> usize {
    let mut listed = 0;
    machine::for_each_processor(info, &mut |_| listed += 1);
    let wanted = info.command_line().value("cores");
    let wanted = wanted.and_then(|count| number("cores", count));
    let most = wanted.map_or(MAX_CORES, |most| usize::try_from(most).unwrap_or(MAX_CORES));
    listed.min(most).clamp(1, MAX_CORES)
}

/// A number of the command line; what is none is told, and counts as not said.
fn number(name: &str, text: &str) -> Option<u64> {
    let number = text.parse().ok();
    if number.is_none() {
        warn!("{name}: `{text}` is not a number");
    }
    number
}

/// The weight of core `core` in the division of memory: `mem-share=2,1,1` gives core 0 half of it.
fn weight(info: &BootInfo, core: usize) -> u64 {
    let weights = info.command_line().value("mem-share").unwrap_or("");
    weights
        .split(',')
        .nth(core)
        .and_then(|weight| weight.parse().ok())
        .unwrap_or(1)
        .clamp(1, 1 << 20)
}

/// Takes the boot core's share out of `free`.
pub(crate) fn first_share(info: &BootInfo, free: &mut Ranges, cores: usize) -> Ranges {
    let words = info.command_line().value("mem-share").into_iter();
    for word in words.flat_map(|words| words.split(',')) {
        // What is none counts as 1.
        number("mem-share", word);
    }
    let sum: u64 = (0..cores).map(|core| weight(info, core)).sum();
    free.take_low(share(free.total(), weight(info, 0), sum))
}

fn share(total: u64, weight: u64, sum: u64) -> u64 {
    u64::try_from(u128::from(total) * u128::from(weight) / u128::from(sum)).unwrap_or(total)
}

/// Starts the other cores, each with its share of `free`; returns when all run or time is up.
pub(crate) fn start(info: &BootInfo, mut free: Ranges, cores: usize) {
    let others = cores - 1;
    if others == 0 {
        return;
    }
    let mut sum: u64 = (1..cores).map(|core| weight(info, core)).sum();
    let mut shares = Vec::new();
    for core in 1..cores {
        let stack = Stack::try_new(STACK).expect("there are a few pages for each core");
        // Never freed: the core's first thread ends on another core than the one that made it.
        let stack = ManuallyDrop::new(stack);
        let memory = free.take_low(share(free.total(), weight(info, core), sum));
        let seed = placement::seed(info.command_line());
        shares.push(Share {
            memory: placement::place(&memory, seed),
            seed,
            stack: stack.top() as u64,
            guard: stack.guard(),
        });
        sum -= weight(info, core);
    }
    let stacks: Vec<u64> = shares.iter().map(|share| share.stack).collect();
    SHARES.call_once(|| shares);
    // SAFETY: 1. the stacks were just allocated, for ever; 2. the tables map all memory, and cores are started once.
    let door = unsafe { CoreStart::open(Vec::leak(stacks), core_main) };
    let begun = Instant::now();
    let targets = targets(info, others);
    targets.iter().for_each(|&id| apic::send_init(id));
    wait(AFTER_RESET, &|| false);
    let is_whole = [SECOND_STARTUP, PATIENCE].into_iter().any(|limit| {
        for &id in &targets {
            apic::send_startup(id, START_PAGE);
        }
        wait(limit, &|| READY.load(Ordering::Acquire) == cores)
    });
    if !is_whole {
        let last = door.close() as usize;
        // Those that came through the door are on their way, however long a host takes to run them.
        while READY.load(Ordering::Acquire) <= last {
            cpu::relax();
        }
        let is_here = |id: u32| (1..=last).any(|core| core_local::apic_id(core) == id);
        for &id in targets.iter().filter(|&&id| !is_here(id)) {
            warn!("the core with APIC id {id} does not answer and is left out");
        }
    }
    toro_sched::set_cores(READY.load(Ordering::Acquire));
    debug!(
        "{} cores after {} us",
        toro_sched::cores(),
        (Instant::now().as_nanos() - begun.as_nanos()) / 1000
    );
}

fn targets(info: &BootInfo, others: usize) -> Vec<u32> {
    let this = core_local::apic_id(core_local::id());
    let mut targets = Vec::with_capacity(others);
    machine::for_each_processor(info, &mut |apic_id| {
        if apic_id != this && targets.len() < others {
            targets.push(apic_id);
        }
    });
    targets
}

/// Waits until `done`, but for `limit` at most; says whether it was done.
///
/// Only time counts in which this core runs. A host that stops the machine, or has more to run than processors, holds the other
/// cores back as it does this one.
pub(crate) fn wait(limit: Duration, done: &dyn Fn() -> bool) -> bool {
    let (mut left, mut last) = (limit, Instant::now());
    while !left.is_zero() && !done() {
        cpu::relax();
        let now = Instant::now();
        left = left.saturating_sub((now - last).min(LONGEST_LOOK));
        last = now;
    }
    done()
}

/// The other cores' boot list: what `start.rs` does, without what is done once.
extern "C" fn core_main(number: usize) -> ! {
    let id = number + 1;
    core_local::init(id);
    heap::init_core(number);
    gdt::init(fault::STACK_BYTES);
    trap::init();
    apic::init();
    toro_irq::init();
    clock::init_core();
    toro_sched::init(
        share_of(number).guard..share_of(number).stack,
        share_of(number).seed,
    );
    #[cfg(feature = "files")]
    toro_vfs::init();
    cpu::enable_interrupts();
    READY.fetch_add(1, Ordering::AcqRel);
    // This thread has done its work; the core runs those that are sent to it.
    toro_sched::end()
}

/// The memory of the core with this number, from 0 for the first that is not the boot core.
pub(crate) fn memory_of(number: usize) -> Ranges {
    share_of(number).memory
}

fn share_of(number: usize) -> &'static Share {
    &SHARES.get().expect("shares are made before cores start")[number]
}
