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

use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::task::Waker;

use toro_sync::SpinLock;

use crate::{RouteError, allocate, bind, route_line};

/// Every line in use. Locked while devices are opened.
static LINES: SpinLock<Vec<Arc<Line>>> = SpinLock::new(Vec::new());

/// One line and who is behind it.
#[derive(Debug)]
struct Line {
    gsi: u32,
    /// A place for each share there has been. Locked for single steps; what is woken under it takes no lock of this crate.
    sharers: SpinLock<Vec<Option<Waker>>>,
}

impl Line {
    const fn new(gsi: u32) -> Self {
        Self {
            gsi,
            sharers: SpinLock::new(Vec::new()),
        }
    }

    fn join(self: &Arc<Self>) -> LineShare {
        let mut sharers = self.sharers.lock();
        sharers.push(None);
        LineShare {
            line: self.clone(),
            index: sharers.len() - 1,
        }
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

impl Wake for Line {
    fn wake(self: Arc<Self>) {
        self.wake_but(None);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_but(None);
    }
}

/// A device's share of an interrupt line.
#[derive(Debug)]
pub struct LineShare {
    line: Arc<Line>,
    index: usize,
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

    /// Tells the others to look: to be called whenever this device has let the line go.
    pub fn wake_others(&self) {
        self.line.wake_but(Some(self.index));
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
