//! [`Limits`]: what the two sides agree on when a conversation begins (`FUSE_INIT`).

use core::fmt;

use crate::wire::{Args, Reader};

/// The version that is spoken here.
const MAJOR: u32 = 7;
const MINOR: u32 = 31;
/// The oldest that has the number of pages in its answer.
const OLDEST_MINOR: u32 = 28;

/// Features (`FUSE_INIT` flags).
const ASYNC_READ: u32 = 1 << 0;
const BIG_WRITES: u32 = 1 << 5;
const DO_READDIRPLUS: u32 = 1 << 13;
const PARALLEL_DIROPS: u32 = 1 << 18;
const MAX_PAGES: u32 = 1 << 22;

/// What pages are counted in.
const PAGE: usize = 4096;
/// Without a number of pages a request moves so many (`FUSE_DEFAULT_MAX_PAGES_PER_REQ`).
const DEFAULT_PAGES: u16 = 32;
/// More than this one request never moves.
const MOST: usize = 1 << 20;

/// What a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The most bytes of one read.
    pub(crate) read: usize,
    /// The most bytes of one write.
    pub(crate) write: usize,
    /// Listings say what a lookup of each entry would answer.
    pub(crate) has_readdirplus: bool,
}

/// Why the two sides do not understand each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitsError {
    /// The answer is too short.
    Short,
    /// The server speaks this version.
    Version { major: u32, minor: u32 },
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("the server's answer to INIT is too short"),
            Self::Version { major, minor } => write!(
                f,
                "the server speaks version {major}.{minor}, and {MAJOR}.{OLDEST_MINOR} or later is needed"
            ),
        }
    }
}

impl Limits {
    /// Before anything is agreed on.
    pub(crate) const LEAST: Self = Self {
        read: PAGE,
        write: PAGE,
        has_readdirplus: false,
    };

    /// The longest answer, in bytes: later versions may make it longer, but what is behind is not for us.
    pub(crate) const ANSWER: usize = 64;

    /// What is asked for (`fuse_init_in`).
    pub(crate) fn ask() -> Args {
        let features = ASYNC_READ | BIG_WRITES | DO_READDIRPLUS | PARALLEL_DIROPS | MAX_PAGES;
        let read_ahead = u32::try_from(MOST).expect("it is small");
        Args::new()
            .u32(MAJOR)
            .u32(MINOR)
            .u32(read_ahead)
            .u32(features)
    }

    /// Reads the answer (`fuse_init_out`).
    ///
    /// # Errors
    /// Fails if it is cut off, or of another version.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, LimitsError> {
        let mut reader = Reader(body);
        let mut number = || reader.u32().ok_or(LimitsError::Short);
        let (major, minor) = (number()?, number()?);
        if major != MAJOR || minor < OLDEST_MINOR {
            return Err(LimitsError::Version { major, minor });
        }
        let (_read_ahead, features) = (number()?, number()?);
        // How much may run in the background is the kernel's affair, not ours.
        let (_background, max_write) = (number()?, number()?);
        let _granularity = number()?;
        let pages = reader.u16().ok_or(LimitsError::Short)?;
        let pages = match features & MAX_PAGES {
            0 => DEFAULT_PAGES,
            _ => pages.max(1),
        };
        let read = (usize::from(pages) * PAGE).min(MOST);
        Ok(Self {
            read,
            write: (max_write as usize).clamp(PAGE, read),
            has_readdirplus: features & DO_READDIRPLUS != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, LimitsError};
    use crate::wire::Args;

    fn answer(major: u32, minor: u32, features: u32, max_write: u32, pages: u32) -> Args {
        let start = Args::new().u32(major).u32(minor).u32(0).u32(features);
        start.u32(0).u32(max_write).u32(1).u32(pages).zeros(32)
    }

    fn check(args: Args, read: usize, write: usize) {
        let limits = Limits::parse(args.as_bytes()).expect("it is good");
        assert_eq!((limits.read, limits.write), (read, write));
    }

    #[test]
    fn requests_are_as_large_as_both_sides_want() {
        let pages = 1 << 22;
        check(answer(7, 38, pages, 1 << 20, 256), 1 << 20, 1 << 20);
        check(answer(7, 38, pages, u32::MAX, 0xffff), 1 << 20, 1 << 20);
        check(answer(7, 31, 0, 1 << 20, 256), 128 << 10, 128 << 10);
        check(answer(7, 31, pages, 0, 0), 4096, 4096);
    }

    #[test]
    fn other_versions_are_refused() {
        let refused = |major, minor| {
            let parsed = Limits::parse(answer(major, minor, 0, 0, 0).as_bytes());
            assert_eq!(parsed, Err(LimitsError::Version { major, minor }));
        };
        refused(8, 0);
        refused(6, 31);
        refused(7, 27);
        let whole = answer(7, 31, 0, 0, 0);
        for end in 0..30 {
            let cut = Limits::parse(&whole.as_bytes()[..end]);
            assert_eq!(cut, Err(LimitsError::Short));
        }
    }
}
