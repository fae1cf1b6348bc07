//! The memory of a ToroV guest.
//!
//! [`Memory`] is what the monitor's other crates see: areas come and go as a program asks (`mmap`, `munmap`,
//! `mprotect`, `brk`), and every pointer of the guest goes through it. Below it, from the ground up:
//!
//! - [`Ram`]: one reservation of host memory; an offset in it is a guest-physical address.
//! - `frames`: which pages of it are free, and when the virtual machine gets more of it.
//! - `tables`: the guest's page tables. They lie in pages that never become the guest's, behind supervisor entries.
//! - `areas`: which addresses the program has asked for, with which rights.
//!
//! One rule keeps translations true. Granting a right is a write to the page table; revoking one is a write *and* a
//! change of the host's mapping of the page, for a KVM with shadow page tables does not see the write. The host's
//! notifier then drops the translation on every processor.

mod adopt;
mod areas;
mod copy;
mod frames;
mod image;
mod memory;
mod ram;
mod resize;
mod space;
mod span;
mod tables;

pub use self::areas::{Area, Rights};
pub use self::copy::Access;
pub use self::memory::{Memory, MemoryFault};
pub use self::ram::Ram;
pub use self::space::{Layout, Place, Slots};
pub use self::span::{Span, Spans};
pub use self::tables::KERNEL_BASE;
