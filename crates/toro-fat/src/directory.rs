//! [`Walk`] over the slots of a directory, and the [`Entry`]s that they form.

use alloc::string::String;
use alloc::vec::Vec;

use toro_cache::SECTOR;
use toro_vfs::FileError;

use crate::entry::{FREED, LONG_NAME, Raw, SLOT};
use crate::geometry::Start;
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
}

/// Goes from slot to slot.
#[derive(Debug)]
pub(crate) struct Walk {
    start: Start,
    /// Number of the next slot.
    pub(crate) at: u32,
    /// Cluster of that slot, or of the one before if that was the last of its cluster.
    pub(crate) cluster: u32,
    sector: Option<(u64, [u8; SECTOR])>,
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
            sector: None,
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
        let sector = match self.sector.take() {
            Some((old, bytes)) if same_sector(old, place) => bytes,
            _ => {
                let mut bytes = [0; SECTOR];
                volume.read(place - of_sector, &mut bytes)?;
                bytes
            }
        };
        self.sector = Some((place, sector));
        let start = usize::try_from(of_sector).map_err(|_| FileError::Corrupt)?;
        let raw = core::array::from_fn(|at| sector[start + at]);
        Ok(Some((place, Raw(raw))))
    }

    /// The next file or directory, without `.` and `..`.
    pub(crate) fn next_entry(&mut self, volume: &mut Volume) -> Result<Option<Entry>, FileError> {
        self.next_that(volume, |_, _| true)
    }

    /// The next file or directory that `is_wanted` by its long name, if it has one, and its short entry.
    fn next_that(
        &mut self,
        volume: &mut Volume,
        is_wanted: impl Fn(Option<&[u16]>, &Raw) -> bool,
    ) -> Result<Option<Entry>, FileError> {
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
                let long = self.names.whole(&raw.short_name());
                if is_wanted(long, &raw) {
                    return Ok(Some(self.entry(place, raw)));
                }
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
            places,
            behind: self.at,
        }
    }
}

impl Volume {
    /// The entry of that name, long or short.
    pub(crate) fn find(&mut self, start: Start, name: &str) -> Result<Option<Entry>, FileError> {
        let units: Vec<u16> = name.encode_utf16().map(long_name::fold).collect();
        let exact = short_name::exact(&name.to_ascii_uppercase());
        let is_same = |long: &[u16]| {
            long.len() == units.len()
                && long
                    .iter()
                    .map(|unit| long_name::fold(*unit))
                    .eq(units.iter().copied())
        };
        Walk::new(start).next_that(self, |long, raw| {
            let short = raw.short_name();
            let is_long = long.is_some_and(is_same);
            let is_foreign =
                long.is_none() && short.iter().any(|byte| !(0x20..0x7f).contains(byte));
            is_long
                || exact == Some(short)
                || is_foreign && {
                    let shown: Vec<u16> = short_name::decode(&short, 0).encode_utf16().collect();
                    is_same(&shown)
                }
        })
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
