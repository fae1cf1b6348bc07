//! A read-only file system in an archive: ustar or cpio.
//!
//! The archive lies in memory for good, as a boot module or embedded in the image, and files are handed out as slices
//! of it. [`Initrd::new`] reads all headers once and builds a sorted index:
//!
//! ```text
//! archive ── entry: one member after the other ─┬─ tar: ustar, GNU long names, pax
//!                                               └─ cpio: newc
//!         ── index: sorted by directory and name, parents added, links resolved
//!         ── Initrd: FileSystem
//! ```
//!
//! Members tell their format by their magic, and zero bytes between them are skipped; so archives may simply be
//! concatenated, and a later file replaces an earlier one of the same path.
//!
//! Not there: sparse files and compression (errors), symbolic links to directories (left out), devices (left out).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod cpio;
mod entry;
mod file_system;
mod index;
mod name;
mod number;
mod tar;

pub use entry::{ArchiveError, Cause};
pub use file_system::Initrd;
pub use index::Index;
