//! [`EventRing`]: the last events of a core, written by that core and read by any, without either waiting.
//!
//! The writer never looks whether somebody reads: it overwrites the oldest event, and whoever reads learns from the count of
//! events written how many it has missed. An event in the middle of being overwritten is told from a whole one as with a
//! sequence lock: the count is read again after the copy, and what the writer may have touched meanwhile is thrown away.
//!
//! ```text
//! writer   fence(Release)            reader   count (Acquire)
//!          the event's words                  the event's words
//!          count + 1 (Release)                fence(Acquire)
//!                                             count again
//! ```
//!
//! If the copy holds a word of event `n`, the second look at the count finds `n` at least: the writer has stored that count
//! before its fence, and the fences pair by that word. So an event that is not among the last `N - 1` before that count is thrown away.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::atomic::{AtomicU64, Ordering, fence};

/// Two words.
pub type Words = [u64; 2];

/// The last `N - 1` events, and how many there have been.
#[derive(Debug)]
pub struct EventRing<const N: usize> {
    slots: Box<[[AtomicU64; 2]; N]>,
    /// How many events were written ever.
    count: AtomicU64,
}

impl<const N: usize> EventRing<N> {
    /// A ring without events; `None` if there is no memory for it.
    pub fn try_new() -> Option<Self> {
        const { assert!(N.is_power_of_two() && N > 1) };
        let mut slots = Vec::new();
        slots.try_reserve_exact(N).ok()?;
        slots.extend((0..N).map(|_| [AtomicU64::new(0), AtomicU64::new(0)]));
        Some(Self {
            slots: slots.into_boxed_slice().try_into().ok()?,
            count: AtomicU64::new(0),
        })
    }

    /// Adds an event, in place of the oldest if the ring is full.
    ///
    /// To be called by one writer; if there are two, events are lost or mixed.
    #[inline]
    pub fn push(&self, words: Words) {
        let count = self.count.load(Ordering::Relaxed);
        let slot = &self.slots[index::<N>(count)];
        // Release: pairs with the Acquire fence in `read`; who sees one of these words sees this count too.
        fence(Ordering::Release);
        slot[0].store(words[0], Ordering::Relaxed);
        slot[1].store(words[1], Ordering::Relaxed);
        // Release: pairs with the Acquire in `read`; publishes the words.
        self.count.store(count.wrapping_add(1), Ordering::Release);
    }

    /// How many events were written ever.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The event of this number; `None` if it was not written yet or is overwritten.
    #[inline]
    pub fn get(&self, number: u64) -> Option<Words> {
        // Acquire: pairs with the Release in `push`.
        if number >= self.count.load(Ordering::Acquire) {
            return None;
        }
        let slot = &self.slots[index::<N>(number)];
        let words = [
            slot[0].load(Ordering::Relaxed),
            slot[1].load(Ordering::Relaxed),
        ];
        // Acquire: pairs with the Release fence in `push`.
        fence(Ordering::Acquire);
        let written = self.count.load(Ordering::Relaxed);
        (written - number < N as u64).then_some(words)
    }

    /// Adds events from number `next` on to `out`, `most` of them at most, makes `next` the number of the one behind them, and returns
    /// how many were overwritten before they could be read.
    pub fn read(&self, next: &mut u64, most: usize, out: &mut Vec<Words>) -> u64 {
        let count = self.count();
        let oldest = count.saturating_sub(N as u64 - 1).max(*next);
        let end = count.min(oldest.saturating_add(most as u64));
        let wanted = oldest..end;
        let before = out.len();
        out.extend(wanted.filter_map(|number| self.get(number)));
        let lost = end - *next - (out.len() - before) as u64;
        *next = end;
        lost
    }
}

/// The slot of an event.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "it is below N")]
const fn index<const N: usize>(number: u64) -> usize {
    (number % N as u64) as usize
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn read<const N: usize>(ring: &EventRing<N>, next: &mut u64) -> (Vec<u64>, u64) {
        let mut out = Vec::new();
        let lost = ring.read(next, N, &mut out);
        (out.into_iter().map(|[first, _]| first).collect(), lost)
    }

    #[test]
    fn events_are_read_once_and_in_order() {
        let (ring, mut next) = (EventRing::<8>::try_new().unwrap(), 0);
        assert_eq!(read(&ring, &mut next), ([].into(), 0));
        (0..5).for_each(|number| ring.push([number, 0]));
        assert_eq!(read(&ring, &mut next), ([0, 1, 2, 3, 4].into(), 0));
        ring.push([5, 0]);
        assert_eq!(read(&ring, &mut next), ([5].into(), 0));
        assert_eq!((next, ring.count()), (6, 6));
    }

    #[test]
    fn what_was_overwritten_is_counted() {
        let (ring, mut next) = (EventRing::<4>::try_new().unwrap(), 0);
        (0..10).for_each(|number| ring.push([number, 0]));
        assert_eq!(read(&ring, &mut next), ([7, 8, 9].into(), 7));
        (10..13).for_each(|number| ring.push([number, 0]));
        assert_eq!(read(&ring, &mut next), ([10, 11, 12].into(), 0));
        let (mut few, mut out) = (0, Vec::new());
        assert_eq!(ring.read(&mut few, 1, &mut out), 10);
        assert_eq!((few, out), (11, [[10, 0]].into()));
        let mut late = 11;
        assert_eq!(read(&ring, &mut late), ([11, 12].into(), 0));
    }
}
