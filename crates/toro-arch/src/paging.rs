//! Page tables: the one-to-one map that the entry code built, what is added to it, and what each page allows.
//!
//! The entry code maps the first 4 GiB with 2 MiB pages, and up to 512 GiB with 1 GiB pages where the processor has them, all of
//! them writable and executable. [`map`] extends that to RAM and devices above, [`forbid_execution`] and [`protect`] take rights away, [`withhold`] makes a guard page. All cores share the tables;
//! a core's translations of pages that it does not use may be stale, which is why rights are only ever taken from pages that one
//! core owns, or before the other cores start. Rights that are given need no flush: what is not present is not cached.
//!
//! Pages of two cores may lie in one large page, so an entry that points to a table is only ever written by an exchange.

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::VirtAddr;
use x86_64::instructions::tlb;
use x86_64::registers::control::Cr3;
use x86_64::structures::paging::PageTable;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const UNCACHED: u64 = 1 << 4 | 1 << 3;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;
const ENTRIES: u64 = 512;
const TABLE: Layout = Layout::new::<PageTable>();
/// The size of the pages that [`protect`] deals with.
pub const PAGE: u64 = 4096;
/// The size of the pages that [`map`] deals with.
pub const LARGE_PAGE: u64 = 2 << 20;

/// What the entry code maps on every processor.
const LOW_END: u64 = 4 << 30;
/// The size of the pages that the entry code maps above that, on processors that have them.
const HUGE_PAGE: u64 = 1 << 30;

/// Where the entry code's one-to-one map ends.
pub fn mapped_end() -> u64 {
    if crate::cpu::Features::detect().huge_pages {
        512 * HUGE_PAGE
    } else {
        LOW_END
    }
}

/// There is no memory for another page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfTables;

/// How a range is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Memory.
    Ram,
    /// Registers of a device: neither cached nor combined.
    Device,
}

/// What a page allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Every access faults.
    Nothing,
    /// Constants.
    Read,
    /// Data: never executable.
    ReadWrite,
    /// Code: never writable.
    ReadExecute,
}

impl Rights {
    const fn bits(self, no_execute: bool) -> u64 {
        let never = if no_execute { NO_EXECUTE } else { 0 };
        match self {
            Self::Nothing => 0,
            Self::Read => PRESENT | never,
            Self::ReadWrite => PRESENT | WRITABLE | never,
            Self::ReadExecute => PRESENT,
        }
    }
}

/// Whether this processor has no-execute pages, and [`crate::cpu::init`] has switched them on.
fn has_no_execute() -> bool {
    crate::cpu::Features::detect().nx
}

/// Maps `len` bytes from `address` one to one, in whole 2 MiB pages; what is mapped already stays as it is.
///
/// # Errors
/// Fails if there is no memory for a page table.
pub fn map(address: u64, len: u64, usage: Use) -> Result<(), OutOfTables> {
    let end = address.saturating_add(len).next_multiple_of(LARGE_PAGE);
    let rights = Rights::ReadWrite.bits(has_no_execute());
    let cache = if usage == Use::Device { UNCACHED } else { 0 };
    let mut page = address & !(LARGE_PAGE - 1);
    while page < end {
        let entry = directory_entry(page)?;
        // SAFETY: `entry` points into a live page table, which only this core changes.
        let value = unsafe { entry.read() };
        // Device registers that the entry code mapped with pages of 1 GiB, as memory, get their kind now.
        if value == 0 || (usage == Use::Device && page >= LOW_END) {
            // SAFETY: as above. Nobody has used the range yet, and no rights are taken away.
            unsafe { entry.write(page | rights | LARGE | cache) };
            tlb::flush(VirtAddr::new_truncate(page));
        }
        page += LARGE_PAGE;
    }
    Ok(())
}

/// Makes every page that the entry code has mapped data: writable, not executable. The image's text is to be given back at once.
///
/// # Errors
/// Fails if there is no memory for a page table.
///
/// # Safety
/// The running code's page must have been split and given its rights by [`protect`] before.
pub unsafe fn forbid_execution() -> Result<(), OutOfTables> {
    if !has_no_execute() {
        return Ok(());
    }
    let gigabytes = next(slot(root(), 0))?;
    for index in 0..mapped_end() / HUGE_PAGE {
        let entry = slot(gigabytes, index);
        // SAFETY: `entry` points into a live page table.
        if unsafe { entry.read() } & LARGE != 0 {
            // SAFETY: there is no code so high, by the caller's duty.
            unsafe { forbid_execution_at(entry) };
            continue;
        }
        let pages = next(entry)?;
        for index in 0..ENTRIES {
            // SAFETY: the entry is in a live page table; the caller answers for what it maps.
            unsafe { forbid_execution_at(slot(pages, index)) };
        }
    }
    tlb::flush_all();
    Ok(())
}

/// Takes the right to execute from the large page of `entry`, if it is one.
///
/// # Safety
/// 1. `entry` points into a live page table that no other core uses yet.
/// 2. The page holds no code.
unsafe fn forbid_execution_at(entry: *mut u64) {
    // SAFETY: duty 1.
    let value = unsafe { entry.read() };
    if value & (PRESENT | LARGE) == PRESENT | LARGE {
        // SAFETY: duties 1 and 2.
        unsafe { entry.write(value | NO_EXECUTE) };
    }
}

/// Sets what the pages of `range` allow. The ends are rounded outwards to whole pages.
///
/// # Errors
/// Fails if there is no memory for a page table; the pages before that have their new rights.
///
/// # Safety
/// Nobody may be relying on a right that is taken away: no thread on the stack, no reference into the pages, no code.
pub unsafe fn protect(range: Range<u64>, rights: Rights) -> Result<(), OutOfTables> {
    /// From so many pages on, forgetting all translations is cheaper than one at a time.
    const MANY: u64 = 16;
    let bits = rights.bits(has_no_execute());
    let mut page = range.start & !(PAGE - 1);
    let one_at_a_time = range.end.saturating_sub(page) < MANY * PAGE;
    while page < range.end {
        let first = page_entry(page)?;
        let left = (ENTRIES - (page / PAGE) % ENTRIES).min((range.end - page).div_ceil(PAGE));
        for index in 0..left {
            let address = page + index * PAGE;
            // SAFETY: `first` points into a live page table that has `left` entries from there on; the caller answers for the
            // rights.
            unsafe { slot(first as u64 & !(PAGE - 1), page / PAGE + index).write(address | bits) };
            if one_at_a_time {
                tlb::flush(VirtAddr::new_truncate(address));
            }
        }
        page += left * PAGE;
    }
    if !one_at_a_time {
        tlb::flush_all();
    }
    Ok(())
}

/// Takes the page at `address` away: every access to it faults, until [`restore`].
///
/// # Errors
/// Fails if there is no memory for a page table.
///
/// # Safety
/// 1. The page is memory of the running core's that nobody reads or writes until it is restored.
pub unsafe fn withhold(address: u64) -> Result<(), OutOfTables> {
    let entry = page_entry(address)?;
    // SAFETY: `entry` points into a live page table; the page is this core's, so no other core writes its entry.
    let value = unsafe { entry.read() };
    // SAFETY: as above; nobody uses the page by duty 1.
    unsafe { entry.write(value & !PRESENT) };
    tlb::flush(VirtAddr::new_truncate(address));
    Ok(())
}

/// Gives a page back that [`withhold`] has taken, with the rights that it had.
///
/// # Safety
/// 1. The page was withheld by the running core, and not restored since.
pub unsafe fn restore(address: u64) {
    if let Ok(entry) = page_entry(address) {
        // SAFETY: `entry` points into a live page table; `withhold` has split the large page, so this is the page's own.
        let value = unsafe { entry.read() };
        // SAFETY: as above; the rest of the entry is as it was.
        unsafe { entry.write(value | PRESENT) };
    }
}

/// What the page tables say of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The address behind the page.
    pub end: u64,
    /// Whether it can be written to.
    pub is_writable: bool,
}

/// Looks the page of `address` up in the page tables without touching it; `None` if an access would fault.
///
/// # Context
/// Any, an exception in the middle of a change of the tables too: an entry is written whole.
pub fn lookup(address: u64) -> Option<Mapping> {
    VirtAddr::try_new(address).ok()?;
    let mut table = root();
    let mut is_writable = true;
    for shift in [39, 30, 21, 12] {
        // SAFETY: `table` is a live page table: the root, or what a present entry of one above points to.
        let value = unsafe { slot(table, address >> shift).read_volatile() };
        if value & PRESENT == 0 {
            return None;
        }
        is_writable &= value & WRITABLE != 0;
        if shift == 12 || (shift < 39 && value & LARGE != 0) {
            let end = (address | ((1 << shift) - 1)).saturating_add(1);
            return Some(Mapping { end, is_writable });
        }
        table = value & ADDRESS;
    }
    None
}

fn slot(table: u64, index: u64) -> *mut u64 {
    (table + index % ENTRIES * 8) as *mut u64
}

fn root() -> u64 {
    Cr3::read().0.start_address().as_u64()
}

/// The entry of the 2 MiB page at `address`, with the tables above it made if need be.
fn directory_entry(address: u64) -> Result<*mut u64, OutOfTables> {
    let third = next(slot(root(), address >> 39))?;
    let second = next(slot(third, address >> 30))?;
    Ok(slot(second, address >> 21))
}

/// The entry of the 4 KiB page at `address`; a 2 MiB page around it is split into pages with the same rights.
fn page_entry(address: u64) -> Result<*mut u64, OutOfTables> {
    let entry = directory_entry(address)?;
    Ok(slot(split(entry, PAGE)?, address >> 12))
}

/// The table of the next level that `entry` points to, of tables or 2 MiB pages; made if there is none.
fn next(entry: *mut u64) -> Result<u64, OutOfTables> {
    split(entry, LARGE_PAGE)
}

/// The table that `entry` points to. If the entry is a page, it is split into a table of pages of `size` with the same rights; if
/// it is empty, it gets an empty table.
fn split(entry: *mut u64, size: u64) -> Result<u64, OutOfTables> {
    loop {
        // SAFETY: `entry` points into a live page table: the root, or one that an entry pointed to.
        let value = unsafe { AtomicU64::from_ptr(entry) }.load(Ordering::Acquire);
        if value & (PRESENT | LARGE) == PRESENT {
            return Ok(value & ADDRESS);
        }
        let table = new_table()?;
        if value & PRESENT != 0 {
            // Bit 7 makes a page large above the last level, and means something else there.
            let large = if size == PAGE { LARGE } else { 0 };
            let flags = value & !(ADDRESS | large);
            for index in 0..ENTRIES {
                // SAFETY: the new table is nobody else's yet.
                unsafe { slot(table, index).write(((value & ADDRESS) + index * size) | flags) };
            }
        }
        // The new table says the same as the entry did, so stale translations are right too.
        publish(entry, value, table);
    }
}

/// Makes `entry` point to `table`, unless another core (or the processor, which notes accesses) has changed it: then the table
/// is freed, and the caller has to look again.
fn publish(entry: *mut u64, value: u64, table: u64) {
    // SAFETY: `entry` points into a live page table.
    let entry = unsafe { AtomicU64::from_ptr(entry) };
    // Release: pairs with the Acquire of whoever finds the table; its entries are there.
    let exchange = entry.compare_exchange(
        value,
        table | PRESENT | WRITABLE,
        Ordering::Release,
        Ordering::Relaxed,
    );
    if exchange.is_err() {
        // SAFETY: `new_table` made it with this layout, and nobody else knows of it.
        unsafe { dealloc(table as *mut u8, TABLE) };
    }
}

fn new_table() -> Result<u64, OutOfTables> {
    // SAFETY: the layout has a size above 0.
    match unsafe { alloc_zeroed(TABLE) } as u64 {
        0 => Err(OutOfTables),
        table => Ok(table),
    }
}
