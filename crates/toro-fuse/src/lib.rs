//! A folder of the host as a file system: the FUSE protocol behind `toro_vfs`' calls.
//!
//! ```text
//! file_system.rs   a call: which requests it takes        listing.rs   directories
//!    |
//! walk.rs          a path to a node, links followed inside the share only
//!    |
//! tree.rs          nodes asked for, or remembered: nodes.rs
//!    |
//! session.rs       one request, one answer: numbers match, bounds hold (wire.rs, reply.rs, limits.rs, errno.rs)
//!    |
//! channel.rs       the way to the server
//!    |
//! link.rs          a device: messages in flight (engine.rs), a thread that takes the answers
//! ```
//!
//! The server is not trusted: what it says is parsed with bounds, what it names is counted, what is remembered of it is bounded. If it does
//! not answer, the call ends with [`IoError::Gone`](toro_vfs::IoError::Gone) after a while, and later ones sooner.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod channel;
mod engine;
mod errno;
mod file_system;
mod limits;
mod link;
mod listing;
mod nodes;
mod open_nodes;
mod pool;
mod registry;
mod reply;
mod session;
mod tree;
mod walk;
mod wire;

#[cfg(test)]
mod tests;

pub use channel::Channel;
pub use file_system::{FuseFs, Options};
pub use link::{Link, PATIENCE};
pub use registry::{add, open};
pub use reply::Space;
