//! `mremap`: an area grows, shrinks or moves, and takes its pages along.

use torov_abi::Errno;

use crate::areas::{Area, Rights};
use crate::memory::Memory;
use crate::ram::Ram;
use crate::space::{Place, Space};
use crate::tables::Entry;

impl Memory {
    /// Gives the pages of `old..old + old_len`, all of one area, `new_len` bytes, and returns where they lie then. Both
    /// lengths are whole pages. Without a `place` they stay; one that is not `Exactly` is where they go only if they must.
    ///
    /// # Errors
    /// As `mremap`: `EFAULT` if they are not of one area, `ENOMEM` if there is no room, `EINVAL` if the place overlaps.
    pub fn resize(
        &self,
        old: u64,
        old_len: u64,
        new_len: u64,
        place: Option<Place>,
    ) -> Result<u64, Errno> {
        let mut space = self.lock();
        let end = old.checked_add(old_len).ok_or(Errno::EFAULT)?;
        let area = *space.areas.find(old).ok_or(Errno::EFAULT)?;
        if area.end < end {
            return Err(Errno::EFAULT);
        }
        space.check_sealed(old, end)?;
        if let Some(Place::Exactly(to)) = place {
            let to_end = to.checked_add(new_len).ok_or(Errno::EINVAL)?;
            if to < end && old < to_end {
                return Err(Errno::EINVAL);
            }
            return space.relocate(
                self.ram(),
                (old, old_len),
                (Place::Exactly(to), new_len),
                area,
            );
        }
        if new_len <= old_len {
            if new_len < old_len {
                space.unmap(self.ram(), old + new_len, old_len - new_len)?;
            }
            return Ok(old);
        }
        let behind = Place::IfFree(end);
        let more = new_len - old_len;
        let grown = space.map(self.ram(), behind, more, area.rights, area.name);
        match (grown, place) {
            (Ok(_), _) => Ok(old),
            (Err(_), None) => Err(Errno::ENOMEM),
            (Err(_), Some(place)) => {
                space.relocate(self.ram(), (old, old_len), (place, new_len), area)
            }
        }
    }
}

impl Space {
    /// Moves the pages of `old` to a new area, and takes the old addresses away.
    fn relocate(
        &mut self,
        ram: &Ram,
        old: (u64, u64),
        (place, new_len): (Place, u64),
        area: Area,
    ) -> Result<u64, Errno> {
        let kept = old.1.min(new_len);
        let mut pages = Vec::new();
        self.each_page(ram, old.0, old.0 + kept, |ram, at, frame, address| {
            pages.push((address, frame, at, ram.load(at)));
        });
        let new = self.reserve(ram, (place, new_len), area, |new| {
            pages.iter().map(move |page| new + (page.0 - old.0))
        })?;
        for (address, frame, at, entry) in pages {
            ram.store(at, 0);
            // Whoever still has the page at its old address loses it; only then is it somewhere else.
            ram.forget_translations(frame, torov_abi::PAGE)?;
            self.set(ram, new + (address - old.0), Entry(entry))?;
        }
        self.unmap(ram, old.0, old.1)?;
        Ok(new)
    }

    /// Makes an area without pages, but with the tables for `addresses` of it, so that nothing fails later.
    fn reserve<I: Iterator<Item = u64>>(
        &mut self,
        ram: &Ram,
        (place, len): (Place, u64),
        area: Area,
        addresses: impl FnOnce(u64) -> I,
    ) -> Result<u64, Errno> {
        let start = self.map(ram, place, len, Rights::NONE, area.name)?;
        let made = addresses(start).try_for_each(|address| self.set(ram, address, Entry(0)));
        if let Err(error) = made.and_then(|()| self.protect(ram, start, len, area.rights)) {
            self.unmap(ram, start, len)?;
            return Err(error);
        }
        Ok(start)
    }
}
