//! [`Ring`]: a bounded queue that any core puts into and one takes out of, without locks.
//!
//! Each slot has a turn, which says whose it is. Producers count up `tail` to win a position; the consumer alone counts `head`:
//!
//! ```text
//! turn == position                 free, for the producer that wins the position
//! turn == position + 1             filled, for the consumer
//! turn == position + capacity      free again, for the position one round later
//! ```

use alloc::boxed::Box;
use core::mem::MaybeUninit;

use crate::atomic::{AtomicUsize, Ordering, UnsafeCell};

/// A cache line of its own: producers and the consumer do not disturb each other.
#[repr(align(64))]
struct Line<T>(T);

struct Slot<T> {
    turn: AtomicUsize,
    value: UnsafeCell<MaybeUninit<T>>,
}

/// The queue itself, without any waiting.
pub(crate) struct Ring<T> {
    slots: Box<[Slot<T>]>,
    /// The position of the next value to put in.
    tail: Line<AtomicUsize>,
    /// The position of the next value to take out; only the consumer writes it.
    head: Line<AtomicUsize>,
}

// SAFETY: a value moves from the producer that won its slot to the consumer, as the slot's turn says; `T: Send` allows that.
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: as above; no reference to a value is ever given out.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    /// A ring for `capacity` values, rounded up to a power of two, and 2 at least.
    pub(crate) fn new(capacity: usize) -> Self {
        let slot = |position| Slot {
            turn: AtomicUsize::new(position),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        };
        Self {
            slots: (0..capacity.max(2).next_power_of_two()).map(slot).collect(),
            tail: Line(AtomicUsize::new(0)),
            head: Line(AtomicUsize::new(0)),
        }
    }

    fn slot(&self, position: usize) -> &Slot<T> {
        &self.slots[position & (self.slots.len() - 1)]
    }

    /// Puts `value` in; hands it back if there is no room.
    pub(crate) fn push(&self, value: T) -> Result<(), T> {
        let mut position = self.tail.0.load(Ordering::Relaxed);
        let slot = loop {
            let slot = self.slot(position);
            // Acquire: pairs with the Release in `pop`; the value of the last round has been read.
            let turn = slot.turn.load(Ordering::Acquire);
            if turn == position {
                // Relaxed: the position is all that is won; the slot's turn publishes the value.
                match self.tail.0.compare_exchange_weak(
                    position,
                    position.wrapping_add(1),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => break slot,
                    Err(now) => position = now,
                }
            } else if turn.wrapping_sub(position) > usize::MAX / 2 {
                return Err(value);
            } else {
                position = self.tail.0.load(Ordering::Relaxed);
            }
        };
        // SAFETY: the exchange won the position, so the slot is this producer's until it passes the turn on.
        slot.value.with_mut(|place| unsafe {
            (*place).write(value);
        });
        // Release: pairs with the Acquire in `pop`; publishes the value.
        slot.turn.store(position.wrapping_add(1), Ordering::Release);
        Ok(())
    }

    /// Takes the oldest value out. A value whose producer is still writing counts as not there, as do those behind it.
    ///
    /// # Safety
    /// 1. One core at a time takes out, and what one did the next has seen.
    pub(crate) unsafe fn pop(&self) -> Option<T> {
        let position = self.head.0.load(Ordering::Relaxed);
        let slot = self.slot(position);
        // Acquire: pairs with the Release in `push`.
        if slot.turn.load(Ordering::Acquire) != position.wrapping_add(1) {
            return None;
        }
        // SAFETY: the turn says that the value was written and is the consumer's, of which there is one by duty 1.
        let value = slot.value.with(|place| unsafe { place.cast::<T>().read() });
        // Release: pairs with the Acquire in `push`; the value has been read.
        slot.turn
            .store(position.wrapping_add(self.slots.len()), Ordering::Release);
        self.head
            .0
            .store(position.wrapping_add(1), Ordering::Relaxed);
        Some(value)
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        // SAFETY: 1. nobody else has the ring any more.
        while unsafe { self.pop() }.is_some() {}
    }
}
