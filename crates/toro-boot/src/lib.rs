//! From the boot protocol to [`BootInfo`].
//!
//! One image, two doors: QEMU, Firecracker, Cloud Hypervisor and Xen enter by the PVH note, GRUB by the multiboot2 header. Both
//! lead through `entry.rs` from 32-bit code to long mode; what the loader left becomes one plain [`BootInfo`], and
//! `toro_start`, the runtime's boot list, is called with it.

#![no_std]

mod command_line;
#[cfg(not(test))]
mod entry;
mod info;
mod multiboot;
#[cfg(not(test))]
mod pvh;
mod ranges;
#[cfg(not(test))]
mod smp;

pub use command_line::CommandLine;
#[cfg(not(test))]
pub use entry::BOOT_STACK;
pub use info::{BootInfo, Loader, Module};
pub use ranges::{Range, Ranges};
#[cfg(not(test))]
pub use smp::{CoreStart, START_PAGE};
