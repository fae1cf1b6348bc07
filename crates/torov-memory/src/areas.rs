//! [`Areas`]: which addresses a program has asked for, with which rights.

use std::collections::BTreeMap;
use std::fmt;

use torov_abi::{PAGE, USER_END};

/// What a program may do with a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// It may read. Whoever may write or execute may read as well: the processor knows no less.
    pub read: bool,
    /// It may write.
    pub write: bool,
    /// It may execute.
    pub execute: bool,
}

impl Rights {
    /// Read only.
    pub const READ: Self = Self {
        read: true,
        write: false,
        execute: false,
    };
    /// Read and write.
    pub const READ_WRITE: Self = Self {
        read: true,
        write: true,
        execute: false,
    };
    /// Read and execute.
    pub const READ_EXECUTE: Self = Self {
        read: true,
        write: false,
        execute: true,
    };
    /// Nothing.
    pub const NONE: Self = Self {
        read: false,
        write: false,
        execute: false,
    };

    /// Whether there are any.
    #[must_use]
    pub fn any(self) -> bool {
        self.read || self.write || self.execute
    }
}

/// As in `/proc/self/maps`: `r-x`.
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |has, letter| if has { letter } else { '-' };
        let (read, write) = (letter(self.read, 'r'), letter(self.write, 'w'));
        write!(f, "{read}{write}{}", letter(self.execute, 'x'))
    }
}

/// A range of addresses with one set of rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// The first address.
    pub start: u64,
    /// The first address behind it.
    pub end: u64,
    /// What the program may do there.
    pub rights: Rights,
    /// What it is for, as a report shows it.
    pub name: &'static str,
}

/// The areas by their first address; no two overlap.
#[derive(Debug, Default)]
pub(crate) struct Areas(BTreeMap<u64, Area>);

/// The lowest address that a program may ask for: page 0 and its neighbours stay empty, so that null pointers fault.
pub(crate) const USER_START: u64 = 0x1_0000;

/// How many areas a program may have, as Linux's `vm.max_map_count`.
const MOST: usize = 65_530;

impl Areas {
    /// The area that holds `address`.
    pub(crate) fn find(&self, address: u64) -> Option<&Area> {
        let (_, area) = self.0.range(..=address).next_back()?;
        (address < area.end).then_some(area)
    }

    /// The areas that touch `start..end`, by rising address.
    pub(crate) fn touching(&self, start: u64, end: u64) -> impl Iterator<Item = &Area> {
        let first = self.find(start).map_or(start, |area| area.start);
        self.0.range(first..end.max(first)).map(|(_, area)| area)
    }

    /// All areas, by rising address.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Area> {
        self.0.values()
    }

    /// Whether there is room for another two.
    pub(crate) fn has_room(&self) -> bool {
        self.0.len() + 2 < MOST
    }

    /// Whether all of `start..end` has been asked for.
    pub(crate) fn covers(&self, start: u64, end: u64) -> bool {
        let mut at = start;
        for area in self.touching(start, end) {
            if area.start > at {
                return false;
            }
            at = area.end;
        }
        at >= end
    }

    /// Adds an area; its addresses must be free. It becomes part of a neighbour that is alike.
    pub(crate) fn insert(&mut self, mut area: Area) {
        let alike = |other: &Area| other.rights == area.rights && other.name == area.name;
        if let Some((&start, before)) = self.0.range(..area.start).next_back()
            && before.end == area.start
            && alike(before)
        {
            area.start = start;
        }
        if let Some(&after) = self.0.get(&area.end)
            && alike(&after)
        {
            self.0.remove(&after.start);
            area.end = after.end;
        }
        self.0.insert(area.start, area);
    }

    /// Takes `start..end` out and returns the pieces that lay there.
    pub(crate) fn remove(&mut self, start: u64, end: u64) -> Vec<Area> {
        let touched: Vec<Area> = self.touching(start, end).copied().collect();
        let mut pieces = Vec::with_capacity(touched.len());
        for area in touched {
            self.0.remove(&area.start);
            if area.start < start {
                self.0.insert(area.start, Area { end: start, ..area });
            }
            if area.end > end {
                self.0.insert(end, Area { start: end, ..area });
            }
            pieces.push(Area {
                start: area.start.max(start),
                end: area.end.min(end),
                ..area
            });
        }
        pieces
    }

    /// The highest free range of `len` bytes that ends at or below `below`, with a free page on either side.
    pub(crate) fn gap(&self, len: u64, below: u64) -> Option<u64> {
        let mut top = below.min(USER_END);
        let whole = len.checked_add(2 * PAGE)?;
        for area in self.0.range(..top).rev().map(|(_, area)| area) {
            if area.end <= top && top - area.end >= whole {
                break;
            }
            top = top.min(area.start);
        }
        let start = top.checked_sub(len + PAGE)?;
        (start >= USER_START + PAGE).then_some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::{Area, Areas, Rights};

    fn area(start: u64, end: u64, rights: Rights) -> Area {
        let name = "test";
        Area {
            start,
            end,
            rights,
            name,
        }
    }

    fn ranges(areas: &Areas) -> Vec<(u64, u64)> {
        areas.iter().map(|area| (area.start, area.end)).collect()
    }

    #[test]
    fn neighbours_that_are_alike_become_one() {
        let mut areas = Areas::default();
        areas.insert(area(0x10000, 0x12000, Rights::READ));
        areas.insert(area(0x14000, 0x15000, Rights::READ));
        areas.insert(area(0x15000, 0x16000, Rights::READ_WRITE));
        areas.insert(area(0x12000, 0x14000, Rights::READ));
        assert_eq!(ranges(&areas), [(0x10000, 0x15000), (0x15000, 0x16000)]);
        assert!(areas.covers(0x10000, 0x16000));
        assert!(!areas.covers(0x10000, 0x16001));
    }

    #[test]
    fn a_hole_splits() {
        let mut areas = Areas::default();
        areas.insert(area(0x10000, 0x20000, Rights::READ));
        let gone = areas.remove(0x12000, 0x13000);
        assert_eq!(gone, [area(0x12000, 0x13000, Rights::READ)]);
        assert_eq!(ranges(&areas), [(0x10000, 0x12000), (0x13000, 0x20000)]);
        assert!(areas.find(0x12fff).is_none());
        assert!(areas.find(0x13000).is_some());
        assert_eq!(areas.remove(0, u64::MAX).len(), 2);
    }

    #[test]
    fn gaps_are_found_from_above_with_guard_pages() {
        let mut areas = Areas::default();
        assert_eq!(areas.gap(0x1000, 0x50000), Some(0x4e000));
        areas.insert(area(0x40000, 0x4e000, Rights::READ));
        assert_eq!(areas.gap(0x1000, 0x50000), Some(0x3e000));
        areas.insert(area(0x13000, 0x3f000, Rights::READ));
        assert_eq!(areas.gap(0x1000, 0x50000), Some(0x11000));
        assert_eq!(areas.gap(0x2000, 0x50000), None);
        assert_eq!(areas.gap(u64::MAX, 0x50000), None);
    }
}
