//! A file system in memory, bounded by a number of bytes.
//!
//! [`RamFs`] keeps files as sparse pages ([`pages`]) and directories as maps ([`node`]); every page, name and node is
//! counted against the limit before it is made ([`space`]), so a full file system is an error of the call and never
//! the end of the heap.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod file_system;
mod node;
mod pages;
mod space;
mod tree;

pub use file_system::RamFs;
