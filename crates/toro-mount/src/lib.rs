//! File systems for every core: served by the core that owns them, and files closed when their thread has panicked.
//!
//! A file system and its device belong to one core. There it is used directly; every other core mounts a [`Remote`] in its
//! place, whose calls travel by message to threads of the owner ([`serve`]):
//!
//! ```text
//! core 1: File ── Guarded ── Remote ──┐  jobs, with the buffers they own
//! core 0: File ── Guarded ── FatFs ───┴─ workers
//! ```
//!
//! [`Guarded`] remembers which thread opened what. A thread that ends has dropped its files; one that panics has not, so what it
//! had open is closed for it.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod guarded;
mod remote;
mod server;

pub use guarded::Guarded;
pub use remote::Remote;
pub use server::{Port, serve};
