//! [`Stats`]: what a core's memory is used for.

use core::fmt;

/// Figures of one core's memory, in bytes where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// All memory that the heap can hand out.
    pub total: usize,
    /// Objects in use, each with its size rounded up to its class or to pages.
    pub in_use: usize,
    /// Pages that nobody uses; the rest is in use or part of slabs that have room.
    pub free: usize,
    /// The most memory that was not free at one time.
    pub high_water: usize,
    /// How many objects have been handed out since the boot.
    pub allocations: u64,
    /// How many objects have come back since the boot.
    pub frees: u64,
}

/// In a line, for people.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} bytes in use, {} at most; {} allocations, {} frees",
            self.in_use, self.total, self.high_water, self.allocations, self.frees
        )
    }
}
