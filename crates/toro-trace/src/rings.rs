//! The rings of all cores, and [`Reader`], which takes events out of them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use toro_abi::trace::{Event, Kind, Source};
use toro_arch::core_local::{self, MAX_CORES};
use toro_arch::tsc;
use toro_queue::{EventRing, Words};

/// How many events a core keeps: 256 KiB of them, which at 10,000 requests a second is a tenth of a second.
pub const EVENTS: usize = 1 << 14;

type Ring = EventRing<EVENTS>;

/// The rings of a core, for its threads and for its sampler. Null until [`prepare`], and never changed afterwards.
static RINGS: [[AtomicPtr<Ring>; 2]; MAX_CORES] =
    [const { [const { AtomicPtr::new(ptr::null_mut()) }; 2] }; MAX_CORES];

/// Gives the running core its rings, unless it has them.
///
/// Returns whether there was memory for them.
pub fn prepare() -> bool {
    let rings = &RINGS[core_local::id()];
    let are_there = rings.iter().all(|place| {
        if !place.load(Ordering::Relaxed).is_null() {
            return true;
        }
        let Some(ring) = Ring::try_new() else {
            return false;
        };
        // Release: pairs with the Acquire in `ring`.
        place.store(Box::into_raw(Box::new(ring)), Ordering::Release);
        true
    });
    let ring = rings[Source::Threads as usize].load(Ordering::Relaxed);
    // SAFETY: 1. only `push` takes it for a ring, which it is, or null.
    unsafe { core_local::set_ring(ring.cast()) };
    are_there
}

fn ring(core: usize, source: Source) -> Option<&'static Ring> {
    // Acquire: pairs with the Release in `prepare`; the core's own reads need none.
    let ring = RINGS.get(core)?[source as usize].load(Ordering::Acquire);
    // SAFETY: it is null, or came from a box that `prepare` has given up for good, and is only shared.
    unsafe { ring.as_ref() }
}

/// Adds an event to the ring of the running core's threads, its only writers, which do not interrupt one another.
#[inline(always)]
pub(crate) fn push(kind: Kind, value: u64) {
    // SAFETY: it is null, or `prepare` has set it to a ring that is there for good.
    if let Some(ring) = unsafe { core_local::ring().cast::<Ring>().as_ref() } {
        ring.push(Event::pack(tsc::read(), kind, value));
    }
}

/// Adds an event to the ring of the running core's sampler: its interrupt is the only writer.
pub(crate) fn push_sample(kind: Kind, value: u64) {
    if let Some(ring) = ring(core_local::id(), Source::Sampler) {
        ring.push(Event::pack(tsc::read(), kind, value));
    }
}

/// Whether the running core has noted that it is idle, and nothing since.
pub fn is_idle() -> bool {
    let last = ring(core_local::id(), Source::Threads)
        .and_then(|ring| ring.get(ring.count().checked_sub(1)?));
    last.and_then(Event::unpack)
        .is_some_and(|event| event.kind == Kind::Idle)
}

/// How many events the threads of `core` have noted ever.
pub fn count(core: usize) -> u64 {
    ring(core, Source::Threads).map_or(0, Ring::count)
}

/// The last events of `core`, at most `most`, the oldest first; what its ring has just overwritten is left out.
///
/// Takes no memory but what `show` takes: also for a core that stands in a debugger.
pub fn latest(core: usize, most: usize, mut show: impl FnMut(Event)) {
    if let Some(ring) = ring(core, Source::Threads) {
        let end = ring.count();
        let last = end.saturating_sub(most as u64)..end;
        let words = last.filter_map(|number| ring.get(number));
        words.filter_map(Event::unpack).for_each(&mut show);
    }
}

/// Where somebody is in the rings of all cores.
#[derive(Debug)]
pub struct Reader {
    next: [[u64; 2]; MAX_CORES],
}

impl Reader {
    /// Somebody who reads what happens from now on.
    pub fn from_now() -> Self {
        let now = |core, source| ring(core, source).map_or(0, Ring::count);
        let mut next = [[0; 2]; MAX_CORES];
        for (core, next) in next.iter_mut().enumerate() {
            *next = [now(core, Source::Threads), now(core, Source::Sampler)];
        }
        Self { next }
    }

    /// Adds events of a core that are new to `out`, `most` of them at most, and returns how many were overwritten before they could be
    /// read.
    pub fn read(&mut self, core: usize, source: Source, most: usize, out: &mut Vec<Words>) -> u64 {
        match (ring(core, source), self.next.get_mut(core)) {
            (Some(ring), Some(next)) => ring.read(&mut next[source as usize], most, out),
            _ => 0,
        }
    }
}
