//! ext2, ext3 and ext4, read-only.
//!
//! The crate `ext4-view` reads the format; [`ExtFs`] makes it a file system of `toro_vfs`, and lets it read the disk through a
//! [`toro_cache::Cache`]. Symbolic links are followed; what is neither file nor directory does not appear. A journal that
//! was not played back is read along with the rest.
//!
//! The library checks what it reads, but believes two numbers and takes as much memory as they say: the size of the volume
//! (checked in [`superblock`] before) and the length of a symbolic link ([`resolve`] follows them itself).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod error;
mod file_system;
mod nodes;
mod reader;
mod resolve;
mod superblock;

pub use file_system::ExtFs;
