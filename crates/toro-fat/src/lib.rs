//! FAT12, FAT16 and FAT32 with long names, safe from power cuts.
//!
//! ```text
//! FatFs        FileSystem of toro_vfs: one thread at a time
//!   Volume     state: cache, free clusters, open nodes, what waits to be freed
//!     names    create, remove, rename        content  read, write, set_len
//!     directory, entry, long_name            table    links of clusters, allocation
//!                                            geometry where everything lies
//!     index    names of large directories
//!     recover  what a power cut left behind, repaired when mounted
//! ```
//!
//! FAT has no journal, so the order of writes is all that keeps it whole ([`toro_cache::Order`]):
//!
//! - bytes and tables that allocate go first, directory entries second: an entry never points to what is not there;
//! - clusters become free only when no entry on the disk points to them any more: what was removed waits in
//!   [`volume::Volume::pending`] until directories were flushed;
//! - a chain that continues in another sector of the table is complete on the disk before it is linked;
//! - a renamed entry is on the disk under its new name before the old one goes.
//!
//! What a power cut can leave are clusters that nobody owns, a chain longer than its file, and a file with two names. The
//! volume is marked while it is in use, and [`recover`] repairs these when a marked volume is mounted.
//!
//! What is on the disk is hostile: every number is checked, every walk is bounded.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod chain;
mod content;
mod directory;
mod entry;
mod file_system;
mod geometry;
mod index;
mod insert;
mod long_name;
mod names;
mod nodes;
mod recover;
mod rename;
mod short_name;
mod table;
mod time;
mod volume;

pub use file_system::{FatFs, Options};
