//! How an entry gets into a directory: a short name that is free, and slots in a row.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use toro_cache::Order;
use toro_vfs::FileError;

use crate::directory::{MOST_SLOTS, Walk};
use crate::entry::{FREED, LONG_NAME, Raw};
use crate::geometry::Start;
use crate::long_name;
use crate::short_name::{self, TRIES};
use crate::volume::Volume;

/// What one pass over a directory finds for a new entry.
struct Room {
    /// Places of free slots in a row, as many as are needed, or those at the end of the directory.
    places: Vec<u64>,
    /// Number of the first of them.
    first: u32,
    /// One bit for each short name that was tried and is taken.
    taken: u64,
}

impl Volume {
    /// Gives `raw` the name in the directory, where it is free, and returns the places of its slots.
    pub(crate) fn insert(
        &mut self,
        start: Start,
        name: &str,
        mut raw: Raw,
    ) -> Result<Vec<u64>, FileError> {
        let units = long_name::units(name)?;
        let exact = short_name::exact(name);
        let needed = 1 + exact.map_or(long_name::slots_for(&units), |_| 0);
        for round in 0..16 {
            let names: Vec<_> = match exact {
                Some(short) => Vec::from([short]),
                None => (0..TRIES)
                    .map(|nth| short_name::candidate(name, round, nth))
                    .collect(),
            };
            // Backwards: of two names that are the same, the first counts.
            let tried = names.iter().enumerate().rev();
            let tried: BTreeMap<_, _> = tried.map(|(nth, name)| (*name, nth)).collect();
            let room = self.room(start, needed, &tried)?;
            let free = (0..names.len()).find(|nth| room.taken & 1 << nth == 0);
            let Some(free) = free else { continue };
            raw.set_short_name(names[free]);
            let slot = room.first;
            let places = self.complete(start, room, needed)?;
            if exact.is_none() {
                let parts = long_name::slots(&units, &names[free]);
                for (place, part) in places.iter().zip(parts) {
                    self.set_raw(*place, &part)?;
                }
            }
            self.set_raw(places[needed - 1], &raw)?;
            if let Some(index) = self.indexes.get(start) {
                index.take(slot, needed);
                index.add(&units, names[free], slot);
                self.indexes.shrink();
            }
            return Ok(places);
        }
        Err(FileError::NoSpace)
    }

    fn room(
        &mut self,
        start: Start,
        needed: usize,
        names: &BTreeMap<[u8; 11], usize>,
    ) -> Result<Room, FileError> {
        let mut room = Room {
            places: Vec::new(),
            first: 0,
            taken: 0,
        };
        let index = self.indexes.get(start);
        let known = index.map(|index| {
            let taken = names.iter().filter(|(name, _)| index.has_short(name));
            let taken = taken.fold(0, |bits, (_, nth)| bits | 1 << nth);
            (index.room(needed), taken)
        });
        let mut walk = match known {
            Some((from, taken)) => {
                room.taken = taken;
                Walk::from(self, start, from)?
            }
            None => Walk::new(start),
        };
        room.first = walk.at;
        while let Some((place, raw)) = walk.next(self)? {
            let is_enough = room.places.len() >= needed;
            if raw.0[0] == 0 {
                if !is_enough {
                    room.places.push(place);
                    self.fill(&mut walk, &mut room, needed)?;
                }
                break;
            }
            if is_enough && known.is_some() {
                break;
            }
            if raw.0[0] == FREED {
                if !is_enough {
                    room.places.push(place);
                }
                continue;
            }
            if !is_enough {
                room.places.clear();
                room.first = walk.at;
            }
            if raw.attributes() & 0x3f != LONG_NAME
                && let Some(nth) = names.get(&raw.short_name())
            {
                room.taken |= 1 << nth;
            }
        }
        Ok(room)
    }

    /// Takes slots behind the end mark.
    fn fill(&mut self, walk: &mut Walk, room: &mut Room, needed: usize) -> Result<(), FileError> {
        while room.places.len() < needed {
            let Some(place) = walk.place(self)? else {
                return Ok(());
            };
            room.places.push(place);
            walk.step();
        }
        // What lies behind the end mark may be anything; it moves.
        if let Some(place) = walk.place(self)? {
            self.write(place, &[0], Order::Second)?;
        }
        Ok(())
    }

    /// The places, after the directory was made longer if they do not suffice.
    fn complete(&mut self, start: Start, room: Room, needed: usize) -> Result<Vec<u64>, FileError> {
        let mut places = room.places;
        let Start::Cluster(first) = start else {
            return if places.len() < needed {
                Err(FileError::NoSpace)
            } else {
                Ok(places)
            };
        };
        if places.len() >= needed {
            return Ok(places);
        }
        let (mut last, mut clusters) = (first, 1);
        while let Some(next) = self.next(last)? {
            last = next;
            clusters += 1;
            if clusters > MOST_SLOTS {
                return Err(FileError::Corrupt);
            }
        }
        let per_cluster = self.geometry.slots();
        let missing = u32::try_from(needed - places.len()).map_err(|_| FileError::NoSpace)?;
        let more = missing.div_ceil(per_cluster);
        if (clusters + more) * per_cluster > MOST_SLOTS {
            return Err(FileError::NoSpace);
        }
        let chain = self.allocate(more, last + 1)?;
        for cluster in &chain {
            self.clear(*cluster)?;
        }
        // A directory has no length: what is linked must be empty on the disk.
        self.barrier()?;
        self.join(last, &chain)?;
        for cluster in chain {
            let place = self.geometry.place(cluster);
            let slots = (0..per_cluster).map(|slot| place + u64::from(slot) * 32);
            places.extend(slots);
        }
        places.truncate(needed);
        Ok(places)
    }

    /// Fills a cluster with zeros.
    pub(crate) fn clear(&mut self, cluster: u32) -> Result<(), FileError> {
        let place = self.geometry.place(cluster);
        for at in (0..self.geometry.cluster).step_by(512) {
            self.write(place + u64::from(at), &[0; 512], Order::First)?;
        }
        Ok(())
    }
}
