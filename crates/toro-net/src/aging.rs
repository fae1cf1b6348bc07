//! [`Aging`]: a queue of entries that all wait equally long, so that the oldest is always in front.
//!
//! Half-open connections and TIME-WAIT live in these: adding, finding and expiring cost the same whatever the number.

use alloc::collections::VecDeque;

use toro_time::Instant;

use crate::random::low_word;

/// Names an entry.
pub(crate) type AgingId = u32;

/// Entries in the order of their deadlines.
pub(crate) struct Aging<T> {
    entries: VecDeque<(Instant, Option<T>)>,
    /// The name of the entry in front.
    first: AgingId,
    live: usize,
}

impl<T> Aging<T> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            first: 0,
            live: 0,
        }
    }

    /// Entries that were not removed.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Entries including the holes that removed ones have left.
    pub(crate) fn footprint(&self) -> usize {
        self.entries.len()
    }

    /// Adds an entry; `deadline` is not before that of any other.
    pub(crate) fn push(&mut self, deadline: Instant, value: T) -> AgingId {
        let id = self
            .first
            // Caps bound the number.
            .wrapping_add(low_word(self.entries.len() as u64));
        self.entries.push_back((deadline, Some(value)));
        self.live += 1;
        id
    }

    pub(crate) fn get_mut(&mut self, id: AgingId) -> Option<&mut T> {
        self.entries
            .get_mut(id.wrapping_sub(self.first) as usize)?
            .1
            .as_mut()
    }

    pub(crate) fn remove(&mut self, id: AgingId) -> Option<T> {
        let value = self
            .entries
            .get_mut(id.wrapping_sub(self.first) as usize)?
            .1
            .take()?;
        self.live -= 1;
        self.drop_holes();
        Some(value)
    }

    /// The name of the oldest entry.
    pub(crate) fn first_id(&self) -> AgingId {
        self.first
    }

    /// Removes the oldest entry.
    pub(crate) fn pop_oldest(&mut self) -> Option<T> {
        self.drop_holes();
        let value = self.entries.pop_front()?.1;
        self.first = self.first.wrapping_add(1);
        self.live -= 1;
        self.drop_holes();
        value
    }

    /// Removes the oldest entry if its deadline has come.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<T> {
        let deadline = self.next_deadline()?;
        if deadline <= now {
            self.pop_oldest()
        } else {
            None
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.entries.front().map(|entry| entry.0)
    }

    /// Keeps a live entry in front, so that its deadline is the next.
    fn drop_holes(&mut self) {
        while matches!(self.entries.front(), Some((_, None))) {
            self.entries.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn entries_expire_in_order() {
        let mut aging = Aging::new();
        for nanos in [10, 20, 30] {
            aging.push(at(nanos), nanos);
        }
        assert_eq!(aging.pop_expired(at(9)), None);
        assert_eq!(aging.pop_expired(at(25)), Some(10));
        assert_eq!(aging.pop_expired(at(25)), Some(20));
        assert_eq!(aging.pop_expired(at(25)), None);
        assert_eq!(aging.next_deadline(), Some(at(30)));
    }

    #[test]
    fn names_stay_valid_when_others_leave() {
        let mut aging = Aging::new();
        let ids: [AgingId; 4] = core::array::from_fn(|i| aging.push(at(i as u64), i));
        assert_eq!(aging.remove(ids[1]), Some(1));
        assert_eq!(aging.remove(ids[1]), None);
        assert_eq!(aging.remove(ids[0]), Some(0));
        assert_eq!(
            aging.footprint(),
            2,
            "the hole behind the front one went with it"
        );
        assert_eq!(aging.get_mut(ids[2]).copied(), Some(2));
        assert_eq!(aging.remove(ids[3]), Some(3));
        assert_eq!(aging.len(), 1);
        assert_eq!(aging.pop_oldest(), Some(2));
        assert_eq!((aging.len(), aging.footprint()), (0, 0));
    }
}
