//! PCI: finding functions, mapping their registers, steering their interrupts.
//!
//! A [`ConfigSpace`] is read through I/O ports on machine `pc` ([`PortConfig`]) or through the memory window that
//! the ACPI table MCFG names on `q35` ([`EcamConfig`]). [`scan`] walks the buses and yields a [`Function`] for each
//! device function that answers. A `Function` knows its capabilities and BARs, hands out their registers as a
//! bounds-checked [`Registers`], and programs MSI-X through [`Msix`].
//!
//! Whatever a device says is checked before use: a BAR index is below 6, a range lies inside its BAR, and a
//! capability list ends after as many entries as fit into configuration space. Firmware has assigned the
//! BARs; one that it left out is an error here, for we assign none.

#![no_std]

extern crate alloc;

mod bar;
mod capability;
mod config;
mod function;
mod msix;
mod registers;
mod scan;

#[cfg(test)]
mod fake;

pub use bar::BarError;
pub use capability::{Capabilities, Capability};
pub use config::{Address, ConfigSpace, EcamConfig, Part, PortConfig};
pub use function::Function;
pub use msix::{Msix, MsixError};
pub use registers::{MapDevice, Register, Registers, map_device, map_low};
pub use scan::scan;
