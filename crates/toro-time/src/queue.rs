//! [`TimerQueue`]: what is to happen when, earliest first.
//!
//! A heap of moments with four children to a node (half the depth of a binary one, and the children share a cache line or
//! two), beside a table of slots that holds the values. A heap entry names its slot and the slot knows the entry's place, so
//! that a timer in the middle can be cancelled. Each timer has a number of its own that is never used again: it orders
//! timers of one moment, and a key that outlives its timer is recognised by it.

use alloc::vec::Vec;
use core::fmt;

use crate::instant::Instant;

const CHILDREN: usize = 4;
/// An empty queue that once held more than this gives its memory back.
const KEEP: usize = 1024;
/// The end of the list of free slots.
const NO_SLOT: usize = usize::MAX;

/// Names one timer, for [`TimerQueue::cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerKey {
    slot: usize,
    number: u64,
}

/// When a timer is due, and which of several at that moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    deadline: Instant,
    number: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    due: Due,
    slot: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    /// The timer that uses the slot, or the last one that did.
    number: u64,
    /// The entry's place in the heap; in a free slot the next free one.
    place: usize,
}

/// The order, for values of every type.
struct Order {
    heap: Vec<Entry>,
    slots: Vec<Slot>,
    free: usize,
    next_number: u64,
}

/// Values that become due, in the order of their moments and, within one, of their insertion.
pub struct TimerQueue<T> {
    order: Order,
    /// By slot.
    values: Vec<Option<T>>,
}

impl<T> TimerQueue<T> {
    /// An empty queue, which has no memory yet.
    pub const fn new() -> Self {
        let order = Order {
            heap: Vec::new(),
            slots: Vec::new(),
            free: NO_SLOT,
            next_number: 0,
        };
        Self {
            order,
            values: Vec::new(),
        }
    }

    /// How many timers have neither fired nor been cancelled.
    pub fn len(&self) -> usize {
        self.order.heap.len()
    }

    /// Whether nothing is to happen any more.
    pub fn is_empty(&self) -> bool {
        self.order.heap.is_empty()
    }

    /// The moment of the earliest timer.
    #[inline]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.order.heap.first().map(|entry| entry.due.deadline)
    }

    /// Adds a timer for `deadline`, in O(log n).
    pub fn insert(&mut self, deadline: Instant, value: T) -> TimerKey {
        let key = self.order.insert(deadline);
        match self.values.get_mut(key.slot) {
            Some(place) => *place = Some(value),
            None => self.values.push(Some(value)),
        }
        key
    }

    /// Takes a timer out, in O(log n); `None` if it has fired or was cancelled already.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let slot = self.order.slots.get(key.slot)?;
        if slot.number != key.number || self.values.get(key.slot)?.is_none() {
            return None;
        }
        let place = slot.place;
        self.remove(place)
    }

    /// Takes the earliest timer out if it is due at `now`.
    pub fn pop_expired(&mut self, now: Instant) -> Option<T> {
        if self.next_deadline()? > now {
            return None;
        }
        self.remove(0)
    }

    /// Takes the entry at `place` out of the order, and the value out of its slot.
    fn remove(&mut self, place: usize) -> Option<T> {
        let slot = self.order.remove(place);
        let value = self.values[slot].take();
        if self.order.slots.is_empty() {
            self.values = Vec::new();
        }
        value
    }
}

impl Order {
    fn insert(&mut self, deadline: Instant) -> TimerKey {
        let number = self.next_number;
        self.next_number += 1;
        let slot = self.fill_slot(number);
        let due = Due { deadline, number };
        self.heap.push(Entry { due, slot });
        self.rise(self.heap.len() - 1);
        TimerKey { slot, number }
    }

    fn fill_slot(&mut self, number: u64) -> usize {
        let filled = Slot { number, place: 0 };
        let index = self.free;
        match self.slots.get_mut(index) {
            Some(slot) => {
                self.free = slot.place;
                *slot = filled;
                index
            }
            None => {
                self.slots.push(filled);
                self.slots.len() - 1
            }
        }
    }

    /// Takes the entry at `place` out of the heap, and frees its slot, whose number it returns.
    fn remove(&mut self, place: usize) -> usize {
        let removed = self.heap.swap_remove(place);
        if place < self.heap.len() {
            // The entry that came from the end belongs above or below, never both.
            self.rise(place);
            self.sink(place);
        }
        self.slots[removed.slot].place = self.free;
        self.free = removed.slot;
        if self.heap.is_empty() && self.slots.len() > KEEP {
            self.release();
        }
        removed.slot
    }

    /// Gives the memory of an empty queue back. Numbers go on, so old keys stay stale.
    #[cold]
    fn release(&mut self) {
        self.heap = Vec::new();
        self.slots = Vec::new();
        self.free = NO_SLOT;
    }

    /// Moves the entry at `place` up until its parent is due before it.
    fn rise(&mut self, mut place: usize) {
        let entry = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            if self.heap[parent].due < entry.due {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, entry);
    }

    /// Moves the entry at `place` down until it is due before all its children.
    fn sink(&mut self, mut place: usize) {
        let entry = self.heap[place];
        while let Some(child) = self.earliest_child(place) {
            if entry.due < self.heap[child].due {
                break;
            }
            self.put(place, self.heap[child]);
            place = child;
        }
        self.put(place, entry);
    }

    fn earliest_child(&self, place: usize) -> Option<usize> {
        let first = place * CHILDREN + 1;
        let end = self.heap.len().min(first + CHILDREN);
        (first..end).min_by_key(|&child| self.heap[child].due)
    }

    fn put(&mut self, place: usize, entry: Entry) {
        self.heap[place] = entry;
        self.slots[entry.slot].place = place;
    }
}

impl<T> Default for TimerQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for TimerQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimerQueue({} timers)", self.len())
    }
}

#[cfg(test)]
mod tests;
