//! A bounded cache of blocks, with read-ahead and ordered write-back.
//!
//! A file system on a disk reads and writes bytes through a [`Cache`]; the cache talks to a [`BlockStore`] in sectors.
//! What is written stays in memory until [`Cache::sync`], or until the cache is full. Then it leaves in two steps:
//!
//! ```text
//! Order::First   data, tables that only allocate    written
//!                                                   flush
//! Order::Second  directories: what points to them   written
//!                                                   flush     only now sync returns
//! ```
//!
//! so that a power cut at any moment never leaves something on the disk that points to what is not there. Orders are
//! kept per sector, which is what a disk writes whole.
//!
//! A write or flush that failed stays an error until the file system is mounted anew: nobody can tell what is on the disk
//! then. A store without flush makes every sync an error.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod block;
mod cache;
mod exclusive;
mod memory;
mod read_only;
mod store;
mod window;
mod write_back;

pub use block::BLOCK;
pub use cache::{Cache, Order};
pub use exclusive::Exclusive;
pub use memory::MemoryStore;
pub use read_only::ReadOnly;
pub use store::{BlockStore, SECTOR, StoreError};
pub use window::Window;
