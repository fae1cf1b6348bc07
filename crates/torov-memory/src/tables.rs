//! The guest's page tables: four levels of 512 entries (Intel SDM 3A, 4.5).

use torov_abi::{Errno, PAGE};

use crate::areas::Rights;
use crate::ram::Ram;

/// Where the monitor's own pages lie in the guest's address space: supervisor pages, out of the program's reach.
pub const KERNEL_BASE: u64 = 0xffff_8000_0000_0000;

const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
/// Set from the start, so that no processor has to set them.
const ACCESSED_DIRTY: u64 = 3 << 5;
/// Ours to use: a page that is there and that the program may not touch now.
const HELD: u64 = 1 << 9;
const NO_EXECUTE: u64 = 1 << 63;
const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// A last-level entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry(pub(crate) u64);

impl Entry {
    /// A page of the program. Without rights the page is held: it keeps its contents.
    pub(crate) fn user(frame: u64, rights: Rights) -> Self {
        if !rights.any() {
            return Self(frame | HELD);
        }
        let write = if rights.write { WRITE } else { 0 };
        let execute = if rights.execute { 0 } else { NO_EXECUTE };
        Self(frame | PRESENT | USER | ACCESSED_DIRTY | write | execute)
    }

    /// A page of the monitor.
    pub(crate) fn kernel(frame: u64, rights: Rights) -> Self {
        Self(Self::user(frame, rights).0 & !USER)
    }

    /// The page, if there is one: present or held.
    pub(crate) fn frame(self) -> Option<u64> {
        (self.0 & (PRESENT | HELD) != 0).then_some(self.0 & FRAME)
    }

    /// The page, if the program may read it.
    pub(crate) fn readable(self) -> Option<u64> {
        (self.0 & (PRESENT | USER) == PRESENT | USER).then_some(self.0 & FRAME)
    }

    /// The page, if the program may write to it.
    pub(crate) fn writable(self) -> Option<u64> {
        self.readable().filter(|_| self.0 & WRITE != 0)
    }

    /// Whether going from here to `next` takes something away.
    pub(crate) fn revokes(self, next: Self) -> bool {
        let lost = self.0 & !next.0 & (PRESENT | WRITE | USER);
        let no_execute = next.0 & !self.0 & NO_EXECUTE;
        self.0 & PRESENT != 0 && (lost != 0 || no_execute != 0)
    }
}

/// Where the entry of `address` lies, or else the first address behind the table that is missing.
pub(crate) fn find(ram: &Ram, root: u64, address: u64) -> Result<u64, u64> {
    let mut table = root;
    for level in [3, 2, 1] {
        let entry = ram.load(slot(table, address, level));
        if entry & PRESENT == 0 {
            let covered = (PAGE << (9 * level)) - 1;
            return Err((address | covered).saturating_add(1));
        }
        table = entry & FRAME;
    }
    Ok(slot(table, address, 0))
}

/// Where the entry of `address` lies; missing tables come from `frame`, zeroed.
///
/// # Errors
/// What `frame` says.
pub(crate) fn make(
    ram: &Ram,
    root: u64,
    address: u64,
    mut frame: impl FnMut() -> Result<u64, Errno>,
) -> Result<u64, Errno> {
    let user = if address < KERNEL_BASE { USER } else { 0 };
    let mut table = root;
    for level in [3, 2, 1] {
        let at = slot(table, address, level);
        let mut entry = ram.load(at);
        if entry & PRESENT == 0 {
            entry = frame()? | PRESENT | WRITE | user | ACCESSED_DIRTY;
            ram.store(at, entry);
        }
        table = entry & FRAME;
    }
    Ok(slot(table, address, 0))
}

fn slot(table: u64, address: u64, level: u32) -> u64 {
    table + (address >> (12 + 9 * level) & 511) * 8
}

#[cfg(test)]
mod tests {
    use super::{Entry, find, make};
    use crate::areas::Rights;
    use crate::ram::Ram;

    #[test]
    fn tables_are_made_once() {
        let ram = Ram::try_new(0x10000).unwrap();
        let mut next = 0x1000;
        let mut frame = || {
            next += 0x1000;
            Ok(next)
        };
        assert_eq!(find(&ram, 0x1000, 0x40_0000), Err(1 << 39));
        let at = make(&ram, 0x1000, 0x40_0000, &mut frame).unwrap();
        assert_eq!(find(&ram, 0x1000, 0x40_0000), Ok(at));
        assert_eq!(find(&ram, 0x1000, 0x60_0000), Err(0x80_0000));
        assert_eq!(make(&ram, 0x1000, 0x40_1000, &mut frame), Ok(at + 8));
        assert_eq!(next, 0x4000);
    }

    #[test]
    fn rights_become_bits() {
        let entry = |rights| Entry::user(0x5000, rights);
        assert_eq!(entry(Rights::READ).readable(), Some(0x5000));
        assert_eq!(entry(Rights::READ).writable(), None);
        assert_eq!(entry(Rights::NONE).readable(), None);
        assert_eq!(entry(Rights::NONE).frame(), Some(0x5000));
        assert_eq!(Entry::kernel(0x5000, Rights::READ_WRITE).readable(), None);
        assert!(entry(Rights::READ_WRITE).revokes(entry(Rights::READ)));
        assert!(entry(Rights::READ_EXECUTE).revokes(entry(Rights::READ)));
        assert!(entry(Rights::READ).revokes(Entry(0)));
        assert!(!entry(Rights::READ).revokes(entry(Rights::READ_WRITE)));
        assert!(!entry(Rights::NONE).revokes(entry(Rights::READ)));
    }
}
