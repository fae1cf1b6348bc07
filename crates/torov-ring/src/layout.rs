//! What guest and monitor see of a slot: 64 bytes, one cache line.
//!
//! ```text
//!  0  state    4  number   8..56  six arguments; the result in the place of the first   56  where the thread goes on
//! ```
//! Behind each slot is a line with what its thread knows of itself: word 0 is its number.
//! The first two lines of the page are no slot: word 0 says whether the poller sleeps, word 1 how often a thread looks before
//! it goes outside.

/// Nothing is asked.
pub const FREE: u32 = 0;
/// The thread has asked.
pub const POSTED: u32 = 1;
/// The poller has read the call.
pub const TAKEN: u32 = 2;
/// The result is there.
pub const DONE: u32 = 3;
/// The call has to be made outside.
pub const REFUSED: u32 = 4;

/// The length of a slot with the line behind it, and of what is before the first: two lines, which some processors fetch
/// together.
pub const PLACE: u64 = 128;
/// Where the number of the call is.
pub const NUMBER: u64 = 4;
/// Where the arguments are.
pub const ARGUMENTS: u64 = 8;
/// Where the result is.
pub const RESULT: u64 = 8;
/// Where the address is that the thread goes on at, once it has left.
pub const BACK: u64 = 56;
/// Where the number of the thread is.
pub const TID: u64 = 64;
/// Where the poller's sleep is told, from the start of the page.
pub const PARKED: u64 = 0;
/// Where the number of looks is, from the start of the page.
pub const LOOKS: u64 = 4;
