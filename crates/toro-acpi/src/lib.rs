//! Reads the ACPI tables that a virtual machine needs: MADT, MCFG, FADT, and the few facts of the DSDT.
//!
//! The firmware's tables are hostile input like any other. All reads go through [`PhysMemory`], which says
//! no to addresses that are not mapped; lengths and checksums are verified before a table is looked into;
//! and there is no interpreter of AML. What lives in AML, the sleep type of S5 and the virtio-mmio
//! devices of a microvm, is found by a scan for the exact shapes that firmware emits ([`aml`]).
//!
//! ```text
//! Tables::find ── rsdp ── root table ─┬─ madt()    processors, I/O APICs, ISA overrides
//!                                     ├─ mcfg()    ECAM windows of PCI Express
//!                                     ├─ fadt()    power, reset, PM timer, boot flags ── dsdt
//!                                     ├─ sleep_type()    S5, from DSDT or an SSDT
//!                                     └─ dsdt()    virtio-mmio devices
//! mp::MpTable::find: processors and I/O APICs of a machine without ACPI
//! ```
//!
//! Nothing is allocated: tables are views into memory, lists are iterators.

#![no_std]
#![forbid(unsafe_code)]

pub mod aml;
pub mod fadt;
mod field;
pub mod madt;
pub mod mcfg;
mod memory;
pub mod mp;
mod rsdp;
mod tables;

pub use memory::PhysMemory;
pub use tables::{TableError, Tables};
