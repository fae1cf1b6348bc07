//! [`Ranges`]: a short list of address ranges, and taking one list away from another.

/// Addresses from `start` up to, but not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Range {
    /// The first address.
    pub start: u64,
    /// The first address after it.
    pub end: u64,
}

impl Range {
    /// `len` bytes from `start`, cut off at the end of the address space.
    pub const fn sized(start: u64, len: u64) -> Self {
        Self {
            start,
            end: start.saturating_add(len),
        }
    }

    /// How many bytes it holds.
    pub const fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

const CAPACITY: usize = 64;

/// At most 64 ranges. A list that is full forgets what is added: an image with that many holes loses some memory, no more.
#[derive(Clone, Copy, Debug)]
pub struct Ranges {
    items: [Range; CAPACITY],
    len: usize,
}

impl Default for Ranges {
    fn default() -> Self {
        Self::new()
    }
}

impl Ranges {
    /// No range.
    pub const fn new() -> Self {
        Self {
            items: [Range { start: 0, end: 0 }; CAPACITY],
            len: 0,
        }
    }

    /// Adds `range`, unless it is empty: firmware lists may hold empty entries.
    pub fn push(&mut self, range: Range) {
        if !range.is_empty() && self.len < CAPACITY {
            self.items[self.len] = range;
            self.len += 1;
        }
    }

    /// The ranges, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = Range> + '_ {
        self.items[..self.len].iter().copied()
    }

    /// The bytes of all ranges together.
    pub fn total(&self) -> u64 {
        self.iter().map(Range::len).sum()
    }

    /// What is left of these ranges without `taken`, in whole pages of 4 KiB.
    #[must_use]
    pub fn without(&self, taken: &Self) -> Self {
        let mut left = *self;
        for hole in taken.iter() {
            let hole = Range {
                start: hole.start & !4095,
                end: hole.end.saturating_add(4095) & !4095,
            };
            let mut next = Self::new();
            for range in left.iter() {
                next.push(Range {
                    start: range.start,
                    end: range.end.min(hole.start),
                });
                next.push(Range {
                    start: range.start.max(hole.end),
                    end: range.end,
                });
            }
            left = next;
        }
        let mut pages = Self::new();
        for range in left.iter() {
            pages.push(Range {
                start: range.start.saturating_add(4095) & !4095,
                end: range.end & !4095,
            });
        }
        pages
    }
}

impl Ranges {
    /// Sorts by address: by insertion, since the list is short and nearly sorted, and this is much less code than a quicksort.
    fn sort(&mut self) {
        for end in 1..self.len {
            let mut at = end;
            while at > 0 && self.items[at - 1].start > self.items[at].start {
                self.items.swap(at - 1, at);
                at -= 1;
            }
        }
    }

    /// Takes `bytes` (rounded down to whole pages) from the low end, as far as there are as many, and leaves the rest.
    ///
    /// What is taken lies below what is left, so that several takers never interleave.
    #[must_use]
    pub fn take_low(&mut self, bytes: u64) -> Self {
        self.sort();
        let (mut taken, mut left) = (Self::new(), Self::new());
        let mut missing = bytes & !4095;
        for range in self.iter() {
            let middle = range.start + missing.min(range.len());
            missing -= middle - range.start;
            taken.push(Range {
                start: range.start,
                end: middle,
            });
            left.push(Range {
                start: middle,
                end: range.end,
            });
        }
        *self = left;
        taken
    }

    /// The longest range; an empty one if there is none.
    pub fn longest(&self) -> Range {
        let longest = self.iter().max_by_key(|range| range.len());
        longest.unwrap_or_default()
    }

    /// The same memory in another order: first the longest range from `offset` on, then the others, then what lies before `offset`.
    #[must_use]
    pub fn starting_at(&self, offset: u64) -> Self {
        let longest = self.longest();
        let cut = longest.start + offset.min(longest.len()) / 4096 * 4096;
        let mut ordered = Self::new();
        ordered.push(Range {
            start: cut,
            end: longest.end,
        });
        let others = self.iter().filter(|range| *range != longest);
        others.for_each(|range| ordered.push(range));
        ordered.push(Range {
            start: longest.start,
            end: cut,
        });
        ordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(ranges: &[(u64, u64)]) -> Ranges {
        let mut list = Ranges::new();
        ranges
            .iter()
            .for_each(|&(start, end)| list.push(Range { start, end }));
        list
    }

    fn check(from: &[(u64, u64)], taken: &[(u64, u64)], expected: &[(u64, u64)]) {
        let left = list(from).without(&list(taken));
        assert!(
            left.iter().eq(list(expected).iter()),
            "{from:x?} - {taken:x?} = {left:x?}"
        );
    }

    #[test]
    fn takes_ranges_away() {
        check(&[(0, 0x10000)], &[], &[(0, 0x10000)]);
        check(
            &[(0, 0x10000)],
            &[(0x4000, 0x5000)],
            &[(0, 0x4000), (0x5000, 0x10000)],
        );
        check(
            &[(0, 0x10000)],
            &[(0, 0x2000), (0xF000, 0x20000)],
            &[(0x2000, 0xF000)],
        );
        check(&[(0, 0x10000)], &[(0, 0x10000)], &[]);
        check(
            &[(0, 0x4000), (0x8000, 0xA000)],
            &[(0x3000, 0x9000)],
            &[(0, 0x3000), (0x9000, 0xA000)],
        );
    }

    #[test]
    fn gives_the_low_end_away_first() {
        let mut ranges = list(&[(0x10000, 0x14000), (0x1000, 0x3000)]);
        let first = ranges.take_low(0x3FFF);
        assert!(first.iter().eq([
            Range {
                start: 0x1000,
                end: 0x3000
            },
            Range {
                start: 0x10000,
                end: 0x11000
            }
        ]));
        assert!(ranges.iter().eq([Range {
            start: 0x11000,
            end: 0x14000
        }]));
        assert_eq!(ranges.take_low(u64::MAX).total(), 0x3000);
        assert_eq!(ranges.total(), 0);
    }

    #[test]
    fn another_order_is_the_same_memory() {
        let ranges = list(&[(0x1000, 0x3000), (0x10000, 0x20000), (0x30000, 0x31000)]);
        let expected = list(&[
            (0x12000, 0x20000),
            (0x1000, 0x3000),
            (0x30000, 0x31000),
            (0x10000, 0x12000),
        ]);
        assert!(ranges.starting_at(0x2FFF).iter().eq(expected.iter()));
        assert_eq!(ranges.starting_at(0).total(), ranges.total());
        assert_eq!(ranges.starting_at(u64::MAX).total(), ranges.total());
        assert_eq!(Ranges::new().starting_at(0x5000).total(), 0);
    }

    #[test]
    fn keeps_whole_pages() {
        check(
            &[(0x10, 0x4FFF)],
            &[(0x2100, 0x2101)],
            &[(0x1000, 0x2000), (0x3000, 0x4000)],
        );
    }

    #[test]
    fn skips_empty_and_backward_entries() {
        assert_eq!(list(&[(0, 0), (5, 5), (9, 4)]).iter().count(), 0);
    }
}
