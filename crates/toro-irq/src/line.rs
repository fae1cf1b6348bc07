//! [`LineShare`]: interrupt lines, which devices may share.
//!
//! A line works by its edges: its vector goes to the core of the first device that asks for the line, and an edge wakes every sharer, on
//! whatever core. That is not enough, for a line that one device holds up gives no edge when another joins in:
//!
//! ```text
//!  A asserts   edge, A and B are woken
//!              B looks, finds nothing, parks
//!  B asserts   no edge: A still holds the line up
//!              A looks and lets go; B still holds the line up, and nobody tells it
//! ```
//! So whoever has found something and let go wakes the others ([`LineShare::wake_others`]); they look once more, and the chain ends with
//! the one that finds nothing. A device that asserts thus always has a wake-up to come: the edge's, or that of the sharer that held
//! the line up before it.
//!
//! A line that storms can be [masked](LineShare::mask), for all who share it: at the end all of them are woken, for edges were lost.

use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::Waker;

use toro_sync::SpinLock;

use crate::{RouteError, allocate, bind, mask_line, route_line};

/// So many edges in a row that no device says were its own are nothing: one may come late for what was found before.
const STRAY: u32 = 64;

/// Every line in use. Locked while devices are opened and lines masked: the registers of an I/O APIC are used two at a time.
static LINES: SpinLock<Vec<Arc<Line>>> = SpinLock::new(Vec::new());

/// One line and who is behind it.
#[derive(Debug)]
struct Line {
    gsi: u32,
    /// How many edges have come since a device last said that one was its own.
    unclaimed: AtomicU32,
    /// How many too many of those there were ever; wraps.
    strays: AtomicU32,
    /// Changed while `LINES` is locked, as the I/O APIC is.
    is_masked: AtomicBool,
    /// A place for each share there has been. Locked for single steps; what is woken under it takes no lock of this crate.
    sharers: SpinLock<Vec<Option<Waker>>>,
}

impl Line {
    const fn new(gsi: u32) -> Self {
        Self {
            gsi,
            unclaimed: AtomicU32::new(0),
            strays: AtomicU32::new(0),
            is_masked: AtomicBool::new(false),
            sharers: SpinLock::new(Vec::new()),
        }
    }

    fn join(self: &Arc<Self>) -> LineShare {
        let mut sharers = self.sharers.lock();
        sharers.push(None);
        LineShare {
            line: self.clone(),
            index: sharers.len() - 1,
            claims: Cell::new(0),
        }
    }

    #[cold]
    fn set_mask(&self, is_masked: bool) {
        let _lines = LINES.lock();
        // Relaxed: the lock orders the changes, and who looks without it takes the lock before it changes anything.
        self.is_masked.store(is_masked, Ordering::Relaxed);
        mask_line(self.gsi, is_masked);
    }

    fn wake_but(&self, index: Option<usize>) {
        let sharers = self.sharers.lock();
        for (number, waker) in sharers.iter().enumerate() {
            if let Some(waker) = waker.as_ref().filter(|_| Some(number) != index) {
                waker.wake_by_ref();
            }
        }
    }
}

/// What an edge does, and the end of a mask: it wakes all who share the line.
impl Wake for Line {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_masked.load(Ordering::Relaxed) {
            self.set_mask(false);
        } else if self.unclaimed.fetch_add(1, Ordering::Relaxed) >= STRAY {
            self.strays.fetch_add(1, Ordering::Relaxed);
        }
        self.wake_but(None);
    }
}

/// A device's share of an interrupt line.
#[derive(Debug)]
pub struct LineShare {
    line: Arc<Line>,
    index: usize,
    /// How often this device said that an interrupt was its own; wraps.
    claims: Cell<u32>,
}

/// Takes a share of line `gsi`. The first one brings its interrupts to the running core.
///
/// # Errors
/// Fails if no I/O APIC has the line, or this core has no vector left for it.
pub fn share_line(gsi: u32) -> Result<LineShare, RouteError> {
    let mut lines = LINES.lock();
    if let Some(line) = lines.iter().find(|line| line.gsi == gsi) {
        return Ok(line.join());
    }
    let line = Arc::new(Line::new(gsi));
    let vector = allocate()?;
    bind(vector, &line.clone().into());
    route_line(gsi, vector, false)?;
    lines.push(line.clone());
    Ok(line.join())
}

impl LineShare {
    /// Makes each edge of the line wake `waker`, in place of the one before.
    pub fn bind(&self, waker: &Waker) {
        let old = self.line.sharers.lock()[self.index].replace(waker.clone());
        // Dropped with nothing locked: it may be the last owner of a thread.
        drop(old);
    }

    /// Tells the others to look: to be called whenever this device had interrupted and has let the line go.
    pub fn wake_others(&self) {
        self.claims.set(self.claims.get().wrapping_add(1));
        self.line.unclaimed.store(0, Ordering::Relaxed);
        self.line.wake_but(Some(self.index));
    }

    /// How many interrupts were this device's, and how many more than a few in a row were nobody's; wraps.
    pub fn arrivals(&self) -> u32 {
        let strays = self.line.strays.load(Ordering::Relaxed);
        self.claims.get().wrapping_add(strays)
    }

    /// Masks the line for all who share it, until what is returned is woken: then they all look.
    pub fn mask(&self) -> Waker {
        self.line.set_mask(true);
        self.line.clone().into()
    }
}

impl Drop for LineShare {
    fn drop(&mut self) {
        let old = self.line.sharers.lock()[self.index].take();
        drop(old);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    struct Counter(AtomicU32);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn sharer(line: &Arc<Line>) -> (LineShare, Arc<Counter>) {
        let counter = Arc::new(Counter(AtomicU32::new(0)));
        let share = line.join();
        share.bind(&counter.clone().into());
        (share, counter)
    }

    fn count(counter: &Counter) -> u32 {
        counter.0.load(Ordering::Relaxed)
    }

    #[test]
    fn an_edge_wakes_all_who_share_the_line() {
        let line = Arc::new(Line::new(10));
        let sharers: Vec<_> = (0..3).map(|_| sharer(&line)).collect();
        Waker::from(line.clone()).wake_by_ref();
        assert!(sharers.iter().all(|(_, counter)| count(counter) == 1));
    }

    #[test]
    fn whoever_lets_go_wakes_the_others_only() {
        let line = Arc::new(Line::new(10));
        let (first, own) = sharer(&line);
        let (_second, other) = sharer(&line);
        first.wake_others();
        assert_eq!((count(&own), count(&other)), (0, 1));
    }

    #[test]
    fn the_end_of_a_mask_wakes_all() {
        let line = Arc::new(Line::new(10));
        let (first, own) = sharer(&line);
        let (second, other) = sharer(&line);
        let is_masked = || line.is_masked.load(Ordering::Relaxed);
        let (one, two) = (first.mask(), second.mask());
        assert!(is_masked());
        one.wake();
        assert!(!is_masked(), "a line that storms on is masked anew");
        assert_eq!((count(&own), count(&other)), (1, 1));
        two.wake();
        assert!(!is_masked());
        assert_eq!((count(&own), count(&other)), (2, 2));
    }

    #[test]
    fn arrivals_are_what_a_device_claims_and_what_nobody_does() {
        let line = Arc::new(Line::new(10));
        let (busy, _) = sharer(&line);
        let (quiet, _) = sharer(&line);
        let edge = Waker::from(line.clone());
        for _ in 0..500 {
            edge.wake_by_ref();
            busy.wake_others();
        }
        assert_eq!((busy.arrivals(), quiet.arrivals()), (500, 0));
        for _ in 0..STRAY + 30 {
            edge.wake_by_ref();
        }
        assert_eq!((busy.arrivals(), quiet.arrivals()), (530, 30));
    }

    #[test]
    fn a_share_that_is_gone_is_not_woken() {
        let line = Arc::new(Line::new(10));
        let (first, own) = sharer(&line);
        let (_second, other) = sharer(&line);
        drop(first);
        Waker::from(line.clone()).wake_by_ref();
        assert_eq!((count(&own), count(&other)), (0, 1));
        assert_eq!(Arc::strong_count(&own), 1, "its waker is dropped");
    }
}
