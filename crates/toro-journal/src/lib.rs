//! Records in a row that survive a power cut: appended with a checksum, synced, replayed.
//!
//! ```text
//! Journal   append, sync, read; replays when it is opened and cuts a torn tail
//!   record  a header with number, epoch and sums, then the payload
//! Medium    where the bytes lie: a file of toro_vfs, or a disk without a file system (Raw)
//! ```
//!
//! A record counts when the sync behind it has returned. After a crash the journal holds every record that counted, in order, and
//! perhaps some that did not; the first that is not whole ends it. Each record carries the sum of the one before it and the number of
//! times that the journal was opened ([`record`]), so that nothing behind a torn tail can come back to life when the place is
//! written again.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod journal;
mod medium;
mod record;

pub use journal::{AppendError, Journal};
pub use medium::{Medium, Raw};
pub use record::LONGEST;
