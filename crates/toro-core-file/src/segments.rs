//! [`Segments`]: which memory is worth keeping, as a short list of ranges.

/// The unit in which memory is kept.
pub const PAGE: u64 = PAGE_BYTES as u64;
/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;

/// As many ranges as there can be. If more are found, gaps between them are kept as well, the smallest first.
const MOST: usize = 512;

/// Memory from `start` up to `end`, whole pages, and zeros from there up to `until`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) until: u64,
    /// It is kept before all that is not.
    pub(crate) is_first: bool,
}

impl Segment {
    /// Bytes that are not all zeros.
    pub(crate) fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether `next` can be had by keeping no more than `gap` bytes between.
    fn takes(&self, next: &Self, gap: u64) -> bool {
        match next.len() {
            0 => next.start == self.until,
            _ => self.is_first == next.is_first && next.start - self.end <= gap,
        }
    }

    fn take(&mut self, next: &Self) {
        if next.len() > 0 {
            self.end = next.end;
        }
        self.until = next.until;
    }
}

/// The memory of a core file.
#[derive(Debug)]
pub struct Segments {
    items: [Segment; MOST],
    len: usize,
    /// Gaps of so many bytes are kept rather than remembered.
    gap: u64,
}

impl Segments {
    /// No memory.
    pub const fn new() -> Self {
        let none = Segment {
            start: 0,
            end: 0,
            until: 0,
            is_first: false,
        };
        Self {
            items: [none; MOST],
            len: 0,
            gap: 0,
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        (self.len, self.gap) = (0, 0);
    }

    /// Adds the page at `address`; with `is_first` it is kept before others if there is too little room. Pages come in the order of their
    /// addresses: one that does not is passed over.
    pub fn push(&mut self, address: u64, is_first: bool) {
        self.add(address, PAGE, is_first);
    }

    /// Adds a page that holds nothing but zeros, which takes no room. The order is that of [`push`](Self::push).
    pub fn push_zeros(&mut self, address: u64) {
        self.add(address, 0, false);
    }

    fn add(&mut self, address: u64, len: u64, is_first: bool) {
        let start = address & !(PAGE - 1);
        let Some(until) = start.checked_add(PAGE) else {
            return;
        };
        let page = Segment {
            start,
            end: start + len,
            until,
            is_first,
        };
        let last = self.items[..self.len].last();
        if last.is_some_and(|last| start < last.until) || self.extend(&page) {
            return;
        }
        if self.len == MOST {
            self.shorten();
        }
        if !self.extend(&page) {
            self.items[self.len] = page;
            self.len += 1;
        }
    }

    /// Makes the last segment reach to the end of `page`, if the gap between is small enough.
    fn extend(&mut self, page: &Segment) -> bool {
        let gap = self.gap;
        let last = self.items[..self.len].last_mut();
        let last = last.filter(|last| last.takes(page, gap));
        last.map(|last| last.take(page)).is_some()
    }

    /// Keeps larger gaps, until at most half of the places are taken, or as many as neighbours of both kinds need.
    fn shorten(&mut self) {
        while self.len > MOST / 2 && self.gap < 1 << 62 {
            self.gap = (2 * self.gap).max(PAGE);
            let mut kept = 0;
            for index in 1..self.len {
                let next = self.items[index];
                if self.items[kept].takes(&next, self.gap) {
                    self.items[kept].take(&next);
                } else {
                    kept += 1;
                    self.items[kept] = next;
                }
            }
            self.len = kept + 1;
        }
        // Both kinds by turns, all over memory: what comes last is left out rather than the file.
        self.len = self.len.min(MOST - 1);
    }

    pub(crate) fn all(&self) -> &[Segment] {
        &self.items[..self.len]
    }
}

impl Default for Segments {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::{MOST, PAGE, Segments};

    fn check(pages: &[(u64, bool)], expected: &[(u64, u64, bool)]) {
        let mut segments = Segments::new();
        for &(page, is_first) in pages {
            segments.push(page * PAGE, is_first);
        }
        let found: Vec<_> = segments
            .all()
            .iter()
            .map(|segment| (segment.start / PAGE, segment.end / PAGE, segment.is_first))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn neighbours_of_a_kind_become_one() {
        check(&[], &[]);
        check(
            &[(1, false), (2, false), (4, false)],
            &[(1, 3, false), (4, 5, false)],
        );
        check(
            &[(1, false), (2, true), (3, true)],
            &[(1, 2, false), (2, 4, true)],
        );
    }

    #[test]
    fn zeros_follow_what_is_before_them_and_take_no_room() {
        let mut segments = Segments::new();
        segments.push_zeros(PAGE);
        segments.push(2 * PAGE, false);
        segments.push_zeros(3 * PAGE);
        segments.push_zeros(4 * PAGE);
        segments.push(5 * PAGE, false);
        segments.push_zeros(9 * PAGE);
        let found: Vec<_> = segments
            .all()
            .iter()
            .map(|s| [s.start, s.end, s.until].map(|at| at / PAGE))
            .collect();
        assert_eq!(found, [[1, 1, 2], [2, 3, 5], [5, 6, 6], [9, 9, 10]]);
    }

    #[test]
    fn pages_that_come_late_are_passed_over() {
        check(&[(5, false), (5, true), (3, false)], &[(5, 6, false)]);
        check(&[(u64::MAX / PAGE, false)], &[]);
    }

    #[test]
    fn when_there_are_too_many_small_gaps_are_kept() {
        let mut segments = Segments::new();
        let far = 1 << 30;
        (0..10 * MOST as u64).for_each(|n| segments.push(2 * n * PAGE, false));
        segments.push(far, false);
        let all = segments.all();
        assert!(all.len() < MOST, "{}", all.len());
        // What is far away stays apart, and every page that was added is there.
        assert_eq!(all.last().expect("it is there").start, far);
        let holds = |page: u64| all.iter().any(|s| (s.start..s.end).contains(&page));
        assert!((0..10 * MOST as u64).all(|n| holds(2 * n * PAGE)));
    }

    #[test]
    fn both_kinds_by_turns_fill_the_table_and_no_more() {
        let mut segments = Segments::new();
        (0..10 * MOST as u64).for_each(|n| segments.push(n * PAGE, n % 2 == 0));
        assert!(segments.all().len() <= MOST);
    }
}
