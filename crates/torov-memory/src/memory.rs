//! [`Memory`]: the address space that all threads of a program share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use torov_abi::{Errno, PAGE};

use crate::areas::{Area, Rights};
use crate::copy::Access;
use crate::ram::Ram;
use crate::space::{Layout, Place, Slots, Space};
use crate::tables::{Entry, KERNEL_BASE};

/// Why an access of the program cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryFault {
    /// Nothing is there.
    Unmapped,
    /// Something is there, and the program has not the right.
    NoRight(Rights),
    /// The memory limit is reached.
    OutOfMemory,
}

/// The address space of a program, with the RAM behind it.
///
/// Methods take a lock for a moment and never block on the guest.
pub struct Memory {
    ram: Arc<Ram>,
    space: Mutex<Space>,
}

impl Memory {
    /// An empty address space; `slots` makes its RAM part of the virtual machine.
    ///
    /// # Errors
    /// What the host or `slots` says, such as `ENOMEM`.
    pub fn try_new(layout: Layout, slots: Box<dyn Slots>) -> Result<Self, Errno> {
        let ram = Arc::new(Ram::try_new(layout.ram_len())?);
        let space = Mutex::new(Space::try_new(&ram, layout, slots)?);
        Ok(Self { ram, space })
    }

    /// The RAM. Its first page is the root of the page tables.
    #[must_use]
    pub fn ram(&self) -> &Arc<Ram> {
        &self.ram
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guest-physical address of the root of the page tables.
    #[must_use]
    pub fn root(&self) -> u64 {
        self.lock().root()
    }

    /// How many bytes of memory back the program.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// A page of the monitor at `KERNEL_BASE + offset`, zeroed. Returns its guest-physical address.
    ///
    /// # Errors
    /// `ENOMEM` if the monitor's share of the RAM is used up.
    pub fn add_kernel_page(&self, offset: u64, rights: Rights) -> Result<u64, Errno> {
        let mut space = self.lock();
        let page = space.system_page()?;
        space.set(&self.ram, KERNEL_BASE + offset, Entry::kernel(page, rights))?;
        Ok(page)
    }

    /// Gives the program `count` pages of the monitor's share at `start`; they cannot be unmapped or change their rights.
    /// Returns their guest-physical address: they follow each other.
    ///
    /// # Errors
    /// `EEXIST` if the place is not free, `ENOMEM` if the monitor's share of the RAM is used up.
    pub fn share_pages(&self, start: u64, count: u64, rights: Rights) -> Result<u64, Errno> {
        self.lock().share(&self.ram, start, count, rights)
    }

    /// Makes a new area that reads as zero, and returns where it lies.
    ///
    /// # Errors
    /// As `mmap`: `EINVAL`, `ENOMEM`, `EEXIST`.
    pub fn map(
        &self,
        place: Place,
        len: u64,
        rights: Rights,
        name: &'static str,
    ) -> Result<u64, Errno> {
        self.lock().map(&self.ram, place, len, rights, name)
    }

    /// Takes addresses away from the program.
    ///
    /// # Errors
    /// As `munmap`: `EINVAL`, or `ENOMEM` if there would be too many areas.
    pub fn unmap(&self, start: u64, len: u64) -> Result<(), Errno> {
        self.lock().unmap(&self.ram, start, len)
    }

    /// Changes the rights of addresses.
    ///
    /// # Errors
    /// As `mprotect`: `ENOMEM` if not all of them are the program's.
    pub fn protect(&self, start: u64, len: u64, rights: Rights) -> Result<(), Errno> {
        if !start.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        self.lock().protect(&self.ram, start, len, rights)
    }

    /// Throws away what an area holds: it reads as zero again.
    ///
    /// # Errors
    /// `ENOMEM` if not all addresses are the program's, `EINVAL` if they are no pages.
    pub fn clear(&self, start: u64, len: u64) -> Result<(), Errno> {
        let mut space = self.lock();
        let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
        if !space.areas.covers(start, end) {
            return Err(Errno::ENOMEM);
        }
        let areas: Vec<Area> = space.areas.touching(start, end).copied().collect();
        for area in areas {
            let (from, to) = (area.start.max(start), area.end.min(end));
            let place = Place::Exactly(from);
            space.map(&self.ram, place, to - from, area.rights, area.name)?;
        }
        Ok(())
    }

    /// Says where the heap begins.
    pub fn set_heap(&self, start: u64) {
        self.lock().set_heap(start);
    }

    /// Moves the end of the heap if it can, and returns where it is now.
    pub fn brk(&self, wanted: u64) -> u64 {
        self.lock().brk(&self.ram, wanted)
    }

    /// Decides about a page fault of the program: if this returns `Ok`, the instruction can be tried again.
    ///
    /// # Errors
    /// Why not.
    pub fn fault(&self, address: u64, access: Access) -> Result<(), MemoryFault> {
        let mut space = self.lock();
        let area = *space.areas.find(address).ok_or(MemoryFault::Unmapped)?;
        let allowed = match access {
            Access::Read => area.rights.any(),
            Access::Write => area.rights.write,
            Access::Execute => area.rights.execute,
        };
        if !allowed {
            return Err(MemoryFault::NoRight(area.rights));
        }
        space
            .touch(&self.ram, address)
            .map_err(|_| MemoryFault::OutOfMemory)
    }

    /// The areas, by rising address.
    #[must_use]
    pub fn areas(&self) -> Vec<Area> {
        self.lock().areas.iter().copied().collect()
    }

    /// Whether all of `start..start + len` is the program's.
    #[must_use]
    pub fn covers(&self, start: u64, len: u64) -> bool {
        let end = start.checked_add(len);
        end.is_some_and(|end| self.lock().areas.covers(start, end))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        list.entries(self.areas()).finish()
    }
}
