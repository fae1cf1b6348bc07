//! The machine: everything that only x86-64 instructions can say.
//!
//! Rooms in the order in which a core enters them at boot: [`cpu`] and [`core_local`] make it a core with an identity,
//! [`gdt`] and [`trap`] give it descriptor tables and a stack for every vector, [`apic`] and [`ioapic`] route
//! interrupts to it, [`tsc`], [`kvmclock`] and [`pit`] tell it the time, [`context`] lets it change threads, [`power`] ends it. [`debug`]
//! and [`uart`] are there for the debugger alone.
//! Nothing here knows what a thread, a device or a log is.
//!
//! Memory is mapped one to one: a physical address below 4 GiB, and of any RAM, is also a pointer.

#![no_std]

extern crate alloc;

pub mod apic;
pub mod context;
pub mod core_local;
pub mod cpu;
pub mod debug;
pub mod gdt;
pub mod ioapic;
pub mod kvmclock;
pub mod memory;
pub mod paging;
pub mod pic;
pub mod pit;
pub mod port;
pub mod power;
pub mod rtc;
pub mod serial;
pub mod stack;
pub mod trap;
pub mod tsc;
pub mod uart;
pub mod watch;

pub use x86_64::{PhysAddr, VirtAddr};
