//! Disks for services: blocking calls for threads, futures for many requests in flight.
//!
//! A disk belongs to one core (`dedicate=blk0:1` says to which). With several queues it is there on other cores too, on each by a queue of its
//! own; handles stay on their core, and [`open`] finds the disks of the running one. Each disk has a thread there that does what the device asks for: it makes new requests known, all that came since its last turn at once, takes those that are
//! done, wakes who waits for them, and gives up those that are overdue.
//!
//! ```text
//! Disk::read ─ submit ─> Engine ──┐ turn: kick, complete, expire, arm
//!      │                          ├─────────────────────────────────> BlockDevice
//!      └─ Pending (a future) <────┘ the thread of the disk
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod disk;
mod engine;
mod pending;
mod registry;

#[cfg(test)]
mod tests;

pub use disk::Disk;
pub use engine::{Outcome, Stats, TIMEOUT};
pub use pending::Pending;
pub use registry::{add, disks, open};
pub use toro_dev::block::{BlockError, BlockInfo, Op, Request, SECTOR};
pub use toro_mem::DmaBuf;
