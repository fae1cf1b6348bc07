//! Memory of a core: pages, heap, buffers for devices.
//!
//! Each core has memory of its own and hands it out without locks or atomics: [`PageAllocator`] whole pages, [`CoreHeap`]
//! above it objects of any size. [`KernelHeap`] is what `Box` and `Vec` reach: the heap of the running core. A core may free
//! an object of another: the address tells whose it is, since no two cores' memory interleaves, and the object travels to
//! its owner through [`RemoteFrees`].
//!
//! [`DmaBuf`] is memory that a device may write to while nobody else can touch it.

#![no_std]

extern crate alloc;

mod class;
mod dma;
#[cfg(test)]
mod fixture;
mod free_list;
#[cfg(not(loom))]
mod global;
mod heap;
mod lend;
mod pages;
mod region;
mod remote;
mod run_cache;
mod slab;
mod stats;

pub use dma::{DmaBuf, OutOfMemory};
#[cfg(not(loom))]
pub use global::{KernelHeap, collect, init, lend, stats, stats_on, trace};
pub use heap::CoreHeap;
pub use pages::PageAllocator;
pub use region::PAGE;
pub use remote::{RemoteFrees, Taken};
pub use stats::Stats;
