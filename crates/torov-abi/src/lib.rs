//! What ToroV and its guest agree on: the numbers of Linux on x86-64.
//!
//! A [`Call`] is what a guest asks, an [`Errno`] why it was not done, a [`Signal`] what ends a program. Nothing here
//! does anything; the crates above share these words.

#![forbid(unsafe_code)]

mod errno;
mod names;
mod signal;
pub mod word;

use std::fmt;

pub use self::errno::Errno;
pub use self::signal::Signal;

/// How many bytes a page has.
pub const PAGE: u64 = 4096;

/// Where user addresses end: what Linux gives programs, one page short of the middle of the address space.
pub const USER_END: u64 = 0x7fff_ffff_f000;

/// The largest number of calls that a profile can speak of, one more than the last number.
pub const CALL_COUNT: usize = 512;

/// A system call, as the guest's registers say it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Which call; any value, for the guest chooses it.
    pub number: u64,
    /// The six arguments.
    pub args: [u64; 6],
}

impl Call {
    /// The name of the call, if Linux has it.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        name_of(self.number)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name}({:x?})", self.args),
            None => write!(f, "syscall_{}({:x?})", self.number, self.args),
        }
    }
}

/// The name of call `number`, if Linux has it.
#[must_use]
pub fn name_of(number: u64) -> Option<&'static str> {
    let number = u16::try_from(number).ok()?;
    let at = names::CALLS
        .binary_search_by_key(&number, |(number, _)| *number)
        .ok()?;
    Some(names::CALLS[at].1)
}

/// The number of the call that Linux calls `name`.
#[must_use]
pub fn number_of(name: &str) -> Option<u16> {
    let found = names::CALLS.iter().find(|(_, known)| *known == name)?;
    Some(found.0)
}

/// Names of calls, all of them.
pub fn names() -> impl Iterator<Item = &'static str> {
    names::CALLS.iter().map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::{CALL_COUNT, name_of, names, number_of};

    #[test]
    fn names_and_numbers_agree() {
        assert_eq!(name_of(1), Some("write"));
        assert_eq!(number_of("openat2"), Some(437));
        assert!(names().all(|name| name_of(number_of(name).unwrap().into()) == Some(name)));
        assert!(names().all(|name| usize::from(number_of(name).unwrap()) < CALL_COUNT));
    }

    #[test]
    fn numbers_that_no_call_has_are_nobody() {
        for number in [340, 511, 512, 65536, u64::MAX, 1 << 63] {
            assert_eq!(name_of(number), None, "{number}");
        }
        assert_eq!(number_of("WriteConsole"), None);
    }
}
