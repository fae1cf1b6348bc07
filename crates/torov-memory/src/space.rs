//! [`Space`]: areas, page tables and frames changed together.

use torov_abi::word::{page_down, page_up};
use torov_abi::{Errno, PAGE, USER_END};

use crate::areas::{Area, Areas, Rights, USER_START};
use crate::frames::Frames;
use crate::ram::Ram;
use crate::tables::{self, Entry};

/// How much is backed at once: areas up to this size when they are made, larger ones piece by piece as they are touched.
const AT_ONCE: u64 = 256 << 10;

/// The name of areas whose pages are the monitor's.
pub(crate) const SHARED: &str = "torov";

/// Makes RAM part of the virtual machine.
pub trait Slots: Send {
    /// Lets the guest see the `len` bytes at `host` as its physical memory from `gpa` on.
    ///
    /// # Errors
    /// What the virtual machine says.
    fn add(&mut self, gpa: u64, host: u64, len: u64) -> Result<(), Errno>;
}

/// Where things go in the guest's address space.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// How many bytes of memory the program may use.
    pub limit: u64,
    /// `mmap` without an address goes below this one.
    pub mmap_top: u64,
}

impl Layout {
    /// How much of the RAM the monitor keeps for page tables and descriptor tables.
    pub(crate) fn system_len(self) -> u64 {
        let share = (2 << 20) + self.limit / 32;
        share.next_multiple_of(2 << 20)
    }

    /// All of the RAM.
    pub(crate) fn ram_len(self) -> u64 {
        self.system_len() + self.limit
    }
}

/// Where a new area shall lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Wherever there is room, there if it can be.
    Anywhere(u64),
    /// Exactly there, in the place of what was.
    Exactly(u64),
    /// Exactly there if it is free, else nowhere.
    IfFree(u64),
}

/// The address space of the program.
pub(crate) struct Space {
    pub(crate) areas: Areas,
    frames: Frames,
    layout: Layout,
    root: u64,
    /// The next page of the monitor's share.
    system: u64,
    slots: Box<dyn Slots>,
    brk: (u64, u64),
}

impl Space {
    /// An empty address space.
    pub(crate) fn try_new(
        ram: &Ram,
        layout: Layout,
        mut slots: Box<dyn Slots>,
    ) -> Result<Self, Errno> {
        // The first pages of the program come with the monitor's share: each slot costs the host a grace period.
        let frames = Frames::new(layout.system_len(), layout.ram_len());
        slots.add(0, ram.host_address(0), frames.committed())?;
        Ok(Self {
            areas: Areas::default(),
            frames,
            layout,
            root: 0,
            system: PAGE,
            slots,
            brk: (0, 0),
        })
    }

    pub(crate) fn root(&self) -> u64 {
        self.root
    }

    pub(crate) fn used(&self) -> u64 {
        self.frames.used()
    }

    /// A zeroed page of the monitor's share.
    pub(crate) fn system_page(&mut self) -> Result<u64, Errno> {
        let page = self.system;
        if page >= self.layout.system_len() {
            return Err(Errno::ENOMEM);
        }
        self.system += PAGE;
        Ok(page)
    }

    /// Sets the entry of `address`, whose tables are made if need be.
    pub(crate) fn set(&mut self, ram: &Ram, address: u64, entry: Entry) -> Result<(), Errno> {
        let root = self.root;
        let at = tables::make(ram, root, address, || self.system_page())?;
        ram.store(at, entry.0);
        Ok(())
    }

    /// The entry of `address`.
    pub(crate) fn entry(&self, ram: &Ram, address: u64) -> Entry {
        Entry(tables::find(ram, self.root, address).map_or(0, |at| ram.load(at)))
    }

    /// `mmap` of memory that reads as zero. Returns where it lies.
    pub(crate) fn map(
        &mut self,
        ram: &Ram,
        place: Place,
        len: u64,
        rights: Rights,
        name: &'static str,
    ) -> Result<u64, Errno> {
        let len = page_up(len).filter(|len| *len > 0).ok_or(Errno::EINVAL)?;
        if !self.areas.has_room() {
            return Err(Errno::ENOMEM);
        }
        let start = match place {
            Place::Exactly(start) => {
                range(start, len)?;
                self.unmap(ram, start, len)?;
                start
            }
            Place::IfFree(start) => {
                let end = range(start, len)?;
                if self.areas.touching(start, end).next().is_some() {
                    return Err(Errno::EEXIST);
                }
                start
            }
            Place::Anywhere(hint) => self.free_place(hint, len)?,
        };
        let end = start + len;
        self.areas.insert(Area {
            start,
            end,
            rights,
            name,
        });
        if len <= AT_ONCE && rights.any() {
            let backed = self.populate(ram, start, end, rights);
            if backed.is_err() {
                self.unmap(ram, start, len)?;
            }
            backed?;
        }
        Ok(start)
    }

    fn free_place(&self, hint: u64, len: u64) -> Result<u64, Errno> {
        let hint = page_down(hint);
        let free = |start: &u64| {
            range(*start, len).is_ok_and(|end| self.areas.touching(*start, end).next().is_none())
        };
        Some(hint)
            .filter(free)
            .or_else(|| self.areas.gap(len, self.layout.mmap_top))
            .ok_or(Errno::ENOMEM)
    }

    /// Backs every page of `start..end` that has none yet. The range has one set of rights.
    pub(crate) fn populate(
        &mut self,
        ram: &Ram,
        start: u64,
        end: u64,
        rights: Rights,
    ) -> Result<(), Errno> {
        let mut at = start;
        while at < end {
            let entry = self.entry(ram, at);
            if let Some(frame) = entry.frame() {
                let wanted = Entry::user(frame, rights);
                if entry != wanted && !entry.revokes(wanted) {
                    self.set(ram, at, wanted)?;
                }
                at += PAGE;
                continue;
            }
            let (frame, len) = self.take(ram, (end - at).min(AT_ONCE))?;
            at = self.back(ram, (at, end), (frame, len), rights)?;
        }
        Ok(())
    }

    /// Gives the pages from `range.0` on the frames of `run`, until the run ends or a page has one. Returns how far it got.
    fn back(
        &mut self,
        ram: &Ram,
        range: (u64, u64),
        run: (u64, u64),
        rights: Rights,
    ) -> Result<u64, Errno> {
        let (mut at, end) = range;
        let (mut frame, run_end) = (run.0, run.0 + run.1);
        let mut result = Ok(());
        while at < end && frame < run_end && self.entry(ram, at).frame().is_none() {
            result = self.set(ram, at, Entry::user(frame, rights));
            if result.is_err() {
                break;
            }
            at += PAGE;
            frame += PAGE;
        }
        if frame < run_end {
            self.frames.give(frame, run_end - frame);
        }
        result.map(|()| at)
    }

    /// Up to `want` bytes of frames in one piece.
    pub(crate) fn take(&mut self, ram: &Ram, want: u64) -> Result<(u64, u64), Errno> {
        if let Some(run) = self.frames.take(want) {
            return Ok(run);
        }
        let slots = &mut self.slots;
        self.frames
            .grow(PAGE, |gpa, len| slots.add(gpa, ram.host_address(gpa), len))?;
        self.frames.take(want).ok_or(Errno::ENOMEM)
    }

    /// Takes addresses away from the program and gives what backed them to the host.
    pub(crate) fn unmap(&mut self, ram: &Ram, start: u64, len: u64) -> Result<(), Errno> {
        let len = page_up(len).filter(|len| *len > 0).ok_or(Errno::EINVAL)?;
        let end = range(start, len)?;
        if !self.areas.has_room() {
            return Err(Errno::ENOMEM);
        }
        self.check_sealed(start, end)?;
        for area in self.areas.remove(start, end) {
            let mut runs = Runs::default();
            self.each_page(ram, area.start, area.end, |ram, at, frame, _| {
                ram.store(at, 0);
                runs.push(frame);
            });
            for (frame, len) in runs.0 {
                // Throws the contents away and with them every translation; only then may the frame serve again.
                ram.discard(frame, len);
                self.frames.give(frame, len);
            }
        }
        Ok(())
    }

    /// Changes the rights of addresses, all of which must be the program's.
    pub(crate) fn protect(
        &mut self,
        ram: &Ram,
        start: u64,
        len: u64,
        rights: Rights,
    ) -> Result<(), Errno> {
        let len = page_up(len).ok_or(Errno::ENOMEM)?;
        if len == 0 {
            return Ok(());
        }
        let end = range(start, len).map_err(|_| Errno::ENOMEM)?;
        if !self.areas.covers(start, end) || !self.areas.has_room() {
            return Err(Errno::ENOMEM);
        }
        self.check_sealed(start, end)?;
        let pieces = self.areas.remove(start, end);
        for area in pieces {
            self.areas.insert(Area { rights, ..area });
        }
        let mut revoked = Runs::default();
        self.each_page(ram, start, end, |ram, at, frame, _| {
            let (old, new) = (Entry(ram.load(at)), Entry::user(frame, rights));
            ram.store(at, new.0);
            if old.revokes(new) {
                revoked.push(frame);
            }
        });
        for (frame, len) in revoked.0 {
            ram.forget_translations(frame, len)?;
        }
        Ok(())
    }

    /// Pages that program and monitor share stay as they are.
    pub(crate) fn check_sealed(&self, start: u64, end: u64) -> Result<(), Errno> {
        let mut areas = self.areas.touching(start, end);
        if areas.any(|area| area.name == SHARED) {
            Err(Errno::EPERM)
        } else {
            Ok(())
        }
    }

    /// Gives the program `count` pages of the monitor's share at `start`, for ever. Returns where they lie in the RAM.
    pub(crate) fn share(
        &mut self,
        ram: &Ram,
        start: u64,
        count: u64,
        rights: Rights,
    ) -> Result<u64, Errno> {
        let end = range(start, count * PAGE)?;
        if self.areas.touching(start, end).next().is_some() {
            return Err(Errno::EEXIST);
        }
        let first = self.system;
        for at in 0..count {
            let page = self.system_page()?;
            debug_assert_eq!(page, first + at * PAGE);
        }
        for at in 0..count {
            self.set(
                ram,
                start + at * PAGE,
                Entry::user(first + at * PAGE, rights),
            )?;
        }
        let name = SHARED;
        self.areas.insert(Area {
            start,
            end,
            rights,
            name,
        });
        Ok(first)
    }

    /// Calls `visit` with the place of the entry, the frame and the address of every backed page of a range.
    pub(crate) fn each_page(
        &self,
        ram: &Ram,
        start: u64,
        end: u64,
        mut visit: impl FnMut(&Ram, u64, u64, u64),
    ) {
        let mut at = start;
        while at < end {
            let place = match tables::find(ram, self.root, at) {
                Ok(place) => place,
                Err(next) => {
                    at = next;
                    continue;
                }
            };
            if let Some(frame) = Entry(ram.load(place)).frame() {
                visit(ram, place, frame, at);
            }
            at += PAGE;
        }
    }

    /// Says where the heap begins; it is empty.
    pub(crate) fn set_heap(&mut self, start: u64) {
        self.brk = (start, start);
    }

    /// Where the heap begins and ends.
    pub(crate) fn heap(&self) -> (u64, u64) {
        self.brk
    }

    /// Says where a heap that is there begins and ends.
    pub(crate) fn restore_heap(&mut self, heap: (u64, u64)) {
        self.brk = heap;
    }

    /// `brk`: moves the end of the heap if it can, and returns where it is now.
    pub(crate) fn brk(&mut self, ram: &Ram, wanted: u64) -> u64 {
        let (start, end) = self.brk;
        let (Some(new), Some(old)) = (page_up(wanted), page_up(end)) else {
            return end;
        };
        if wanted < start {
            return end;
        }
        let done = if new > old {
            let place = Place::IfFree(old);
            self.map(ram, place, new - old, Rights::READ_WRITE, "heap")
                .map(drop)
        } else if new < old {
            self.unmap(ram, new, old - new)
        } else {
            Ok(())
        };
        if done.is_ok() {
            self.brk.1 = wanted;
        }
        self.brk.1
    }

    /// Backs the page of `address` and its neighbours, if its area has the rights for that.
    pub(crate) fn touch(&mut self, ram: &Ram, address: u64) -> Result<(), Errno> {
        let area = *self.areas.find(address).ok_or(Errno::EFAULT)?;
        if !area.rights.any() {
            return Err(Errno::EFAULT);
        }
        let piece = address & !(AT_ONCE - 1);
        let start = piece.max(area.start);
        let end = (piece + AT_ONCE).min(area.end);
        if self.populate(ram, start, end, area.rights).is_ok() {
            return Ok(());
        }
        let page = page_down(address);
        self.populate(ram, page, page + PAGE, area.rights)
    }
}

/// The end of a range that a program may have.
fn range(start: u64, len: u64) -> Result<u64, Errno> {
    let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
    let aligned = start.is_multiple_of(PAGE);
    if !aligned || start < USER_START || end > USER_END {
        return Err(Errno::EINVAL);
    }
    Ok(end)
}

/// Frames joined to runs where they follow each other.
#[derive(Debug, Default)]
struct Runs(Vec<(u64, u64)>);

impl Runs {
    fn push(&mut self, frame: u64) {
        match self.0.last_mut() {
            Some((start, len)) if *start + *len == frame => *len += PAGE,
            _ => self.0.push((frame, PAGE)),
        }
    }
}
