//! The runtime: what turns crates into an image.
//!
//! [`start`] is the boot list, the one place that knows in which order things come to life. Around it: [`machine`] learns from
//! ACPI what the machine is, [`clock`] finds its frequencies, [`drivers`] holds the table of what was linked in, [`fault`]
//! reports what went wrong, and [`exit`] ends the machine. `toro-rt` also supplies what every freestanding Rust program
//! needs: the allocator, the panic handler, and the memory functions that the prebuilt `core` calls.

#![no_std]

extern crate alloc;

#[cfg(feature = "balloon")]
mod balloon;
#[cfg(feature = "pcap")]
mod capture;
mod clock;
mod console;
#[cfg(feature = "console")]
mod consoles;
#[cfg(feature = "core-file")]
mod core_file;
mod cores;
#[cfg(feature = "gdb")]
mod debugger;
#[cfg(feature = "blk")]
mod disks;
#[cfg(feature = "virtio")]
mod drivers;
#[cfg(feature = "dump")]
mod dump;
#[cfg(feature = "random")]
mod entropy;
mod environment;
mod exit;
mod fault;
#[cfg(feature = "initrd")]
mod files;
mod heap;
mod intrinsics;
#[cfg(any(feature = "balloon", feature = "blk", feature = "multiqueue"))]
mod lending;
mod machine;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "mount")]
mod mounts;
#[cfg(feature = "net")]
mod network;
#[cfg(feature = "operator")]
mod operator;
#[cfg(feature = "multiqueue")]
mod pairs;
#[cfg(any(feature = "virtio", feature = "watchdog"))]
mod pci;
mod placement;
#[cfg(feature = "virtio")]
mod places;
#[cfg(feature = "shutdown")]
mod power_button;
mod protection;
#[cfg(feature = "trace")]
mod sampler;
#[cfg(feature = "virtio-fs")]
mod shares;
#[cfg(feature = "shutdown")]
mod shutdown;
#[cfg(feature = "vsock")]
mod sockets;
#[cfg(any(feature = "gdb", feature = "core-file"))]
mod spare;
#[cfg(feature = "dump")]
mod stand;
mod start;
#[cfg(feature = "net")]
mod statistics;
#[cfg(feature = "trace")]
mod trace;
#[cfg(feature = "watchdog")]
mod watchdog;

#[cfg(feature = "virtio")]
pub use drivers::{devices, owner_of};
#[cfg(feature = "dump")]
pub use dump::dump;
pub use environment::args;
pub use exit::exit;
#[cfg(feature = "initrd")]
pub use files::{MountArchiveError, mount_archive};
#[cfg(feature = "mount")]
pub use mounts::{MountError, abandon, mount, unmount};
#[cfg(feature = "shutdown")]
pub use shutdown::{is_requested, requested};
pub use toro_abi::exit::ExitCode;
#[cfg(feature = "watchdog")]
pub use watchdog::{feeds, stalls};
