//! The heap: the memory that the loader left, handed to `toro-mem`.

use toro_arch::{core_local, paging};
use toro_boot::{BootInfo, Range, Ranges};
use toro_mem::KernelHeap;

use crate::{cores, placement};

#[global_allocator]
static HEAP: KernelHeap = KernelHeap;

/// Below this an image does not even get to its main function.
const LEAST: u64 = 64 * 1024;

/// Gives the boot core's heap its share of the free memory that the entry code has mapped; returns the rest, which is for `cores - 1` others.
pub(crate) fn init(info: &BootInfo, cores: usize) -> Ranges {
    let mut reserved = info.reserved;
    let symbols = toro_backtrace::image_table();
    reserved.push(Range {
        start: symbols.start,
        end: symbols.end,
    });
    reserved.push(Range {
        start: paging::mapped_end(),
        end: u64::MAX,
    });
    let mut free = info.ram.without(&reserved);
    if free.total() < LEAST * cores as u64 {
        too_little(free.total(), cores);
    }
    let share = cores::first_share(info, &mut free, cores);
    let seed = placement::seed(info.command_line());
    give(&placement::place(&share, seed));
    free
}

/// Gives a core that is not the boot core its heap.
pub(crate) fn init_core(number: usize) {
    give(&cores::memory_of(number));
}

fn give(share: &Ranges) {
    let first = share.iter().next().unwrap_or_default();
    let core = core_local::id();
    log::debug!("heap of core {core}: from {:#x}", first.start);
    let pieces = share.iter().map(|range| (range.start, range.end));
    // SAFETY: 1. the loader says that this is RAM, what is in use was taken out of it, and it is mapped; nobody else
    // learns of it. 2. Shares are taken from the low end one after the other.
    unsafe { toro_mem::init(pieces) };
}

fn too_little(bytes: u64, cores: usize) -> ! {
    log::error!(
        "too little memory: {} KiB are free beside the image, at least {} KiB are needed for {cores} cores; give the machine more (-m)",
        bytes / 1024,
        LEAST * cores as u64 / 1024
    );
    crate::exit::fail_early()
}
