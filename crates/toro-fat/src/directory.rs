//! [`Walk`] over the slots of a directory, and the [`Entry`]s that they form.

use alloc::string::String;
use alloc::vec::Vec;

use toro_cache::SECTOR;
use toro_vfs::FileError;

use crate::entry::{FREED, LONG_NAME, Raw, SLOT};
use crate::geometry::Start;
use crate::index::{self, Index};
use crate::long_name::{self, Collector};
use crate::short_name;
use crate::volume::{Volume, same_sector};

/// Most slots of a directory; a chain of more is a circle.
pub(crate) const MOST_SLOTS: u32 = 65_536;

/// A file or directory, as its directory has it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) raw: Raw,
    /// The directory that it lies in.
    pub(crate) directory: Start,
    /// Places of its slots; the last one is that of the short entry.
    pub(crate) places: Vec<u64>,
    /// Number of the slot behind it.
    pub(crate) behind: u32,
}

impl Entry {
    /// Place of the short entry, by which it is known.
    pub(crate) fn place(&self) -> u64 {
        self.places.last().copied().unwrap_or(0)
    }

    /// Number of its first slot.
    fn slot(&self) -> u32 {
        first_slot(self.behind, self.places.len())
    }
}

/// Goes from slot to slot.
#[derive(Debug)]
pub(crate) struct Walk {
    start: Start,
    /// Number of the next slot.
    pub(crate) at: u32,
    /// Cluster of that slot, or of the one before if that was the last of its cluster.
    pub(crate) cluster: u32,
    /// The sector that was read last, and where it lies.
    sector: [u8; SECTOR],
    sector_at: Option<u64>,
    names: Collector,
    /// Places of the parts of a long name.
    parts: Vec<u64>,
}

impl Walk {
    pub(crate) fn new(start: Start) -> Self {
        let cluster = match start {
            Start::Fixed => 0,
            Start::Cluster(cluster) => cluster,
        };
        Self {
            start,
            at: 0,
            cluster,
            sector: [0; SECTOR],
            sector_at: None,
            names: Collector::default(),
            parts: Vec::new(),
        }
    }

    /// A walk that goes on with slot `at`.
    pub(crate) fn from(volume: &mut Volume, start: Start, at: u32) -> Result<Self, FileError> {
        let mut walk = Self::new(start);
        let per_cluster = volume.geometry.slots();
        // Entered so that the step over the border of a cluster is done by `place`.
        while walk.at < at {
            if start != Start::Fixed && walk.at > 0 {
                match volume.next(walk.cluster)? {
                    Some(next) => walk.cluster = next,
                    None => break,
                }
            }
            walk.at = at.min(walk.at + per_cluster);
        }
        Ok(walk)
    }

    /// The place of the next slot, or `None` where the directory has no more room.
    pub(crate) fn place(&mut self, volume: &mut Volume) -> Result<Option<u64>, FileError> {
        if self.at >= MOST_SLOTS {
            return Ok(None);
        }
        let slot = SLOT as u64;
        if self.start == Start::Fixed {
            let (place, slots) = volume.geometry.fixed;
            return Ok((self.at < slots).then(|| place + u64::from(self.at) * slot));
        }
        let of_cluster = self.at % volume.geometry.slots();
        if of_cluster == 0 && self.at > 0 {
            match volume.next(self.cluster)? {
                Some(next) => self.cluster = next,
                None => return Ok(None),
            }
        }
        let place = volume.geometry.place(self.cluster) + u64::from(of_cluster) * slot;
        Ok(Some(place))
    }

    /// Goes to the next slot, which was looked at.
    pub(crate) fn step(&mut self) {
        self.at += 1;
    }

    /// The next slot and its place.
    pub(crate) fn next(&mut self, volume: &mut Volume) -> Result<Option<(u64, Raw)>, FileError> {
        let Some(place) = self.place(volume)? else {
            return Ok(None);
        };
        self.step();
        let of_sector = place % SECTOR as u64;
        if !self.sector_at.is_some_and(|at| same_sector(at, place)) {
            self.sector_at = None;
            volume.read(place - of_sector, &mut self.sector)?;
            self.sector_at = Some(place);
        }
        let start = usize::try_from(of_sector).map_err(|_| FileError::Corrupt)?;
        let raw = core::array::from_fn(|at| self.sector[start + at]);
        Ok(Some((place, Raw(raw))))
    }

    /// The next file or directory, without `.` and `..`.
    pub(crate) fn next_entry(&mut self, volume: &mut Volume) -> Result<Option<Entry>, FileError> {
        let node = self.next_node(volume)?;
        Ok(node.map(|(place, raw)| self.entry(place, raw)))
    }

    /// The short entry of the next file or directory, and its place; what belongs to its long name is collected then.
    fn next_node(&mut self, volume: &mut Volume) -> Result<Option<(u64, Raw)>, FileError> {
        self.forget();
        while let Some((place, raw)) = self.next(volume)? {
            let is_part = raw.attributes() & 0x3f == LONG_NAME;
            if raw.0[0] == 0 {
                return Ok(None);
            }
            if is_part && raw.0[0] != FREED {
                self.names.take(&raw);
                self.parts.push(place);
                continue;
            }
            if raw.is_node() && !raw.is_dot() {
                return Ok(Some((place, raw)));
            }
            self.forget();
        }
        Ok(None)
    }

    /// What was collected of a long name belongs to nothing.
    fn forget(&mut self) {
        self.names.clear();
        self.parts.clear();
    }

    fn entry(&self, place: u64, raw: Raw) -> Entry {
        let short = raw.short_name();
        let long = self.names.whole(&short);
        // In front of the parts of this name may lie some of another.
        let parts = long.map_or(0, long_name::slots_for);
        let mut places = self.parts[self.parts.len().saturating_sub(parts)..].to_vec();
        places.push(place);
        Entry {
            name: match long {
                Some(units) => String::from_utf16_lossy(units),
                None => short_name::decode(&short, raw.0[12]),
            },
            raw,
            directory: self.start,
            places,
            behind: self.at,
        }
    }
}

/// A name that is looked for, in each form that an entry may have it in.
struct Wanted {
    units: Vec<u16>,
    short: Option<[u8; 11]>,
}

impl Wanted {
    fn new(name: &str) -> Self {
        Self {
            units: name.encode_utf16().map(long_name::fold).collect(),
            short: short_name::exact(&name.to_ascii_uppercase()),
        }
    }

    /// Whether a node has that name; `walk` has just come by it.
    fn is(&self, walk: &Walk, raw: &Raw) -> bool {
        let short = raw.short_name();
        let long = walk.names.whole(&short);
        let is_long = long.is_some_and(|long| self.is_same(long));
        let is_foreign = long.is_none() && is_foreign(&short);
        is_long || self.short == Some(short) || is_foreign && self.is_same(&shown(&short))
    }

    fn is_same(&self, name: &[u16]) -> bool {
        let folded = name.iter().map(|unit| long_name::fold(*unit));
        name.len() == self.units.len() && folded.eq(self.units.iter().copied())
    }
}

/// Whether a short name has letters of a code page.
fn is_foreign(short: &[u8; 11]) -> bool {
    short.iter().any(|byte| !(0x20..0x7f).contains(byte))
}

/// A short name as it is shown.
fn shown(short: &[u8; 11]) -> Vec<u16> {
    short_name::decode(short, 0).encode_utf16().collect()
}

/// Number of the first of `slots` slots that end before `behind`.
fn first_slot(behind: u32, slots: usize) -> u32 {
    behind.saturating_sub(u32::try_from(slots).unwrap_or(behind))
}

impl Volume {
    /// The entry of that name, long or short.
    pub(crate) fn find(&mut self, start: Start, name: &str) -> Result<Option<Entry>, FileError> {
        let wanted = Wanted::new(name);
        let index = self.indexes.get(start);
        if let Some(slots) = index.map(|index| index.slots(&wanted.units, wanted.short)) {
            for slot in slots {
                let mut walk = Walk::from(self, start, slot)?;
                if let Some((place, raw)) = walk.next_node(self)?
                    && wanted.is(&walk, &raw)
                {
                    return Ok(Some(walk.entry(place, raw)));
                }
            }
            return Ok(None);
        }
        let mut walk = Walk::new(start);
        let mut found = None;
        while let Some((place, raw)) = walk.next_node(self)? {
            if wanted.is(&walk, &raw) {
                found = Some(walk.entry(place, raw));
                break;
            }
        }
        if (index::WORTH..index::MOST).contains(&walk.at) {
            self.index(start)?;
        }
        Ok(found)
    }

    /// Makes an index of the directory, if it is not too large for one.
    fn index(&mut self, start: Start) -> Result<(), FileError> {
        let (mut walk, mut index) = (Walk::new(start), Index::new(start));
        while let Some((_, raw)) = walk.next_node(self)? {
            let short = raw.short_name();
            let long = walk.names.whole(&short);
            let slots = 1 + long.map_or(0, long_name::slots_for);
            let slot = first_slot(walk.at, slots);
            match long {
                Some(name) => index.add(name, short, slot),
                None => index.add(&shown(&short), short, slot),
            }
            if walk.at > index::MOST {
                return Ok(());
            }
        }
        self.indexes.keep(index);
        Ok(())
    }

    /// Frees the slots of an entry.
    pub(crate) fn free_entry(&mut self, entry: &Entry) -> Result<(), FileError> {
        self.free_slots(&entry.places)?;
        if let Some(index) = self.indexes.get(entry.directory) {
            let name: Vec<u16> = entry.name.encode_utf16().collect();
            index.remove(&name, entry.raw.short_name(), entry.slot());
        }
        Ok(())
    }

    pub(crate) fn is_empty(&mut self, start: Start) -> Result<bool, FileError> {
        Ok(Walk::new(start).next_entry(self)?.is_none())
    }

    /// Where the directory of that entry begins.
    pub(crate) fn start_of(&self, raw: &Raw) -> Result<Start, FileError> {
        if !raw.is_directory() {
            return Err(FileError::NotADirectory);
        }
        self.geometry.start(raw.first(self.geometry.kind))
    }
}
