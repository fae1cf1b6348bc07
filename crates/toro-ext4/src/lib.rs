//! ext2, ext3 and ext4, read-only.
//!
//! ```text
//! ExtFs         FileSystem of toro_vfs: one thread at a time
//!   Volume      the cache of the disk, and where things lie (superblock, group descriptors)
//!     inode     what is known of a file           resolve    paths and symbolic links
//!     map       which block holds a part of it    directory  its entries
//! ```
//!
//! Symbolic links are followed; what is neither file nor directory does not appear. A volume that waits for its journal to be played back is
//! refused. What is on the disk is hostile: every number is checked, every walk is bounded, and nothing is taken into memory whole.
//! Checksums are not: what they would find is found where it is used. (Linux, Documentation/filesystems/ext4.)

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bytes;
mod directory;
mod file_system;
mod inode;
mod map;
mod resolve;
mod volume;

pub use file_system::ExtFs;
