//! Memory that a snapshot keeps, and memory that comes back from one.

use std::io;
use std::os::fd::BorrowedFd;

use torov_abi::word::{size, wide};
use torov_abi::{Errno, PAGE};

use crate::areas::{Area, Rights};
use crate::memory::Memory;
use crate::ram::Ram;
use crate::space::{Place, SHARED, Space};
use crate::tables::Entry;

impl Memory {
    /// The addresses of the pages that are not all zero, rising.
    #[must_use]
    pub fn filled_pages(&self) -> Vec<u64> {
        let mut pages = Vec::new();
        let mut bytes = [0; 4096];
        for area in self.own_areas() {
            for (start, len) in self.backed(area.start, area.end) {
                for address in (start..start + len).step_by(size(PAGE)) {
                    if self.peek(address, &mut bytes) && bytes.iter().any(|byte| *byte != 0) {
                        pages.push(address);
                    }
                }
            }
        }
        pages
    }

    /// The areas that are the program's alone: what the monitor shares with it is not kept.
    #[must_use]
    pub fn own_areas(&self) -> Vec<Area> {
        let mut areas = self.areas();
        areas.retain(|area| area.name != SHARED);
        areas
    }

    /// Where the heap begins, and where its end was last moved to.
    #[must_use]
    pub fn heap(&self) -> (u64, u64) {
        self.lock().heap()
    }

    /// Says where the heap of a program that comes from a snapshot begins and ends.
    ///
    /// # Errors
    /// `EINVAL` if that is no place for one.
    pub fn restore_heap(&self, heap: (u64, u64)) -> Result<(), Errno> {
        if heap.0 > heap.1 || heap.1 > torov_abi::USER_END {
            return Err(Errno::EINVAL);
        }
        self.lock().restore_heap(heap);
        Ok(())
    }

    /// Makes an area with nothing behind it: what a snapshot holds of it comes by [`adopt`](Self::adopt).
    ///
    /// # Errors
    /// `EINVAL` if it is not one that a program may have, `EEXIST` if it meets another.
    pub fn map_empty(
        &self,
        range: (u64, u64),
        rights: Rights,
        name: &'static str,
    ) -> Result<(), Errno> {
        if rights.write && rights.execute {
            return Err(Errno::EINVAL);
        }
        let len = range.1.checked_sub(range.0).ok_or(Errno::EINVAL)?;
        let mut space = self.lock();
        // Without rights nothing is backed at once.
        space.map(self.ram(), Place::IfFree(range.0), len, Rights::NONE, name)?;
        for area in space.areas.remove(range.0, range.1) {
            space.areas.insert(Area {
                rights,
                name,
                ..area
            });
        }
        Ok(())
    }

    /// Backs `pages`, which have areas and nothing behind them, by as many pages of `file` from `offset` on. The file does not
    /// change: what the program writes is its own.
    ///
    /// # Errors
    /// `EINVAL` if a page has no area or is there already, `ENOMEM` at the limit, or what the host says of the file.
    /// The memory is of no use then.
    pub fn adopt(&self, file: BorrowedFd<'_>, offset: u64, pages: &[u64]) -> Result<(), Errno> {
        self.lock().adopt(self.ram(), file, offset, pages)
    }
}

impl Space {
    fn adopt(
        &mut self,
        ram: &Ram,
        file: BorrowedFd<'_>,
        offset: u64,
        pages: &[u64],
    ) -> Result<(), Errno> {
        let mut rest = pages;
        let mut offset = offset;
        while !rest.is_empty() {
            let (frame, len) = self.take(ram, wide(rest.len()) * PAGE)?;
            let here = rest.len().min(size(len / PAGE));
            ram.read_from(frame, len, file, offset)
                .map_err(|error: io::Error| Errno::from(error))?;
            let (now, later) = rest.split_at(here);
            for (address, frame) in now.iter().zip((frame..).step_by(size(PAGE))) {
                let area = *self.areas.find(*address).ok_or(Errno::EINVAL)?;
                if !address.is_multiple_of(PAGE) || self.entry(ram, *address).frame().is_some() {
                    return Err(Errno::EINVAL);
                }
                self.set(ram, *address, Entry::user(frame, area.rights))?;
            }
            rest = later;
            offset += len;
        }
        Ok(())
    }
}
