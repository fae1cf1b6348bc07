//! [`Indexes`]: where the names of large directories lie, so that nobody has to look through one for each.
//!
//! A directory gets its index when a search has gone far into it. The index only says where to look: each slot that it names is read and
//! compared, and each slot that it believes to be free is looked at, so one that is wrong, on a disk that lies, costs a search and
//! breaks nothing. All of them together have a bound ([`MOST`]), and the one that was used last stays.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::geometry::Start;
use crate::long_name;

/// From this many slots on, a search makes an index.
pub(crate) const WORTH: u32 = 128;

/// Most slots of all directories with an index; less than a megabyte of memory.
pub(crate) const MOST: u32 = 16_384;

/// Most slots that an entry takes, and one.
const SIZES: u32 = 22;

/// The index of one directory.
#[derive(Debug)]
pub(crate) struct Index {
    start: Start,
    /// Hashes of names, and the first slots of their entries.
    names: BTreeSet<(u32, u32)>,
    /// The first slots of the entries by short names.
    shorts: BTreeMap<[u8; 11], u32>,
    /// No room for so many slots begins before this one.
    rooms: [u32; SIZES as usize],
}

impl Index {
    pub(crate) fn new(start: Start) -> Self {
        Self {
            start,
            names: BTreeSet::new(),
            shorts: BTreeMap::new(),
            rooms: [0; SIZES as usize],
        }
    }

    /// Notes an entry whose first slot is `slot`.
    pub(crate) fn add(&mut self, name: &[u16], short: [u8; 11], slot: u32) {
        self.names.insert((hash(name), slot));
        self.shorts.entry(short).or_insert(slot);
    }

    /// Where entries of that name may begin, in the order of the directory.
    pub(crate) fn slots(&self, name: &[u16], short: Option<[u8; 11]>) -> Vec<u32> {
        let hash = hash(name);
        let range = self.names.range((hash, 0)..=(hash, u32::MAX));
        let mut slots: Vec<u32> = range.map(|(_, slot)| *slot).collect();
        slots.extend(short.and_then(|short| self.shorts.get(&short)));
        slots.sort_unstable();
        slots
    }

    pub(crate) fn has_short(&self, short: &[u8; 11]) -> bool {
        self.shorts.contains_key(short)
    }

    /// Where the search for `needed` slots in a row begins.
    pub(crate) fn room(&self, needed: usize) -> u32 {
        self.rooms.get(needed).copied().unwrap_or(0)
    }

    /// The first `needed` slots in a row were found, and taken, from `slot` on.
    pub(crate) fn take(&mut self, slot: u32, needed: usize) {
        let behind = slot.saturating_add(u32::try_from(needed).unwrap_or(0));
        for room in self.rooms.iter_mut().skip(needed) {
            *room = behind.max(*room);
        }
    }

    /// The entry at `slot` is gone.
    pub(crate) fn remove(&mut self, name: &[u16], short: [u8; 11], slot: u32) {
        self.names.remove(&(hash(name), slot));
        if self.shorts.get(&short) == Some(&slot) {
            self.shorts.remove(&short);
        }
        // With free slots before it, it may be room for any entry.
        let earliest = slot.saturating_sub(SIZES);
        for room in &mut self.rooms {
            *room = earliest.min(*room);
        }
    }

    fn len(&self) -> usize {
        self.names.len().max(self.shorts.len())
    }
}

/// The indexes of a volume, the one that was used last at the end.
#[derive(Debug, Default)]
pub(crate) struct Indexes(Vec<Index>);

impl Indexes {
    /// The index of the directory that begins at `start`.
    pub(crate) fn get(&mut self, start: Start) -> Option<&mut Index> {
        let at = self.0.iter().position(|index| index.start == start)?;
        self.0[at..].rotate_left(1);
        self.0.last_mut()
    }

    /// Keeps an index, and lets go of those that were used longest ago.
    pub(crate) fn keep(&mut self, index: Index) {
        self.forget(index.start);
        self.0.push(index);
        self.shrink();
    }

    /// Lets go of what is more than the bound.
    pub(crate) fn shrink(&mut self) {
        while self.0.iter().map(Index::len).sum::<usize>() > MOST as usize {
            self.0.remove(0);
        }
    }

    /// That directory is gone, or another now.
    pub(crate) fn forget(&mut self, start: Start) {
        self.0.retain(|index| index.start != start);
    }
}

/// A hash of a name that does not see the case of letters (FNV-1a).
fn hash(name: &[u16]) -> u32 {
    name.iter().fold(0x811c_9dc5, |hash, unit| {
        let unit = u32::from(long_name::fold(*unit));
        (hash ^ unit).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::{Index, Indexes, MOST};
    use crate::geometry::Start;

    fn index(cluster: u32, names: u32) -> Index {
        let mut index = Index::new(Start::Cluster(cluster));
        for number in 0..names {
            let [one, two, three, four] = number.to_le_bytes();
            let short = [one, two, three, four, 0, 0, 0, 0, 0, 0, 0];
            index.add(&[u16::from(one), u16::from(two)], short, number);
        }
        index
    }

    #[test]
    fn a_name_is_found_whatever_its_case() {
        let mut index = Index::new(Start::Fixed);
        let name = |text: &str| text.encode_utf16().collect::<alloc::vec::Vec<_>>();
        index.add(&name("Name"), *b"NAME       ", 3);
        index.add(&name("nAME"), *b"NAME~1     ", 9);
        assert_eq!(index.slots(&name("name"), None), [3, 9]);
        assert_eq!(index.slots(&name("none"), Some(*b"NAME~1     ")), [9]);
        index.remove(&name("NAME"), *b"NAME       ", 3);
        assert_eq!(index.slots(&name("name"), None), [9]);
        assert!(!index.has_short(b"NAME       "));
    }

    #[test]
    fn rooms_are_not_looked_for_where_none_are() {
        let mut index = Index::new(Start::Fixed);
        index.take(100, 3);
        assert_eq!([2, 3, 4].map(|needed| index.room(needed)), [0, 103, 103]);
        index.remove(&[], [0; 11], 50);
        assert_eq!([2, 3, 4].map(|needed| index.room(needed)), [0, 28, 28]);
    }

    #[test]
    fn all_together_have_a_bound() {
        let mut indexes = Indexes::default();
        for cluster in 0..3 {
            indexes.keep(index(cluster, MOST / 2));
            assert!(indexes.get(Start::Cluster(0)).is_some() == (cluster < 2));
            assert!(indexes.get(Start::Cluster(cluster)).is_some());
        }
        indexes.keep(index(9, MOST + 1));
        assert!(indexes.get(Start::Cluster(9)).is_none());
    }
}
