//! Breakpoints and watchpoints, as the packets `Z` and `z` name them.

/// What stops a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointKind {
    /// A breakpoint instruction in place of the code.
    Software,
    /// A debug register that watches the code.
    Hardware,
    /// One that watches for writes.
    Write,
    /// One that watches for reads.
    Read,
    /// One that watches for both.
    Access,
}

impl PointKind {
    /// The kind that a packet calls `digit`.
    pub(crate) fn parse(digit: u8) -> Option<Self> {
        Some(match digit {
            b'0' => Self::Software,
            b'1' => Self::Hardware,
            b'2' => Self::Write,
            b'3' => Self::Read,
            b'4' => Self::Access,
            _ => return None,
        })
    }

    /// The digit that [`parse`](Self::parse) takes.
    pub(crate) fn digit(self) -> u8 {
        match self {
            Self::Software => b'0',
            Self::Hardware => b'1',
            Self::Write => b'2',
            Self::Read => b'3',
            Self::Access => b'4',
        }
    }

    /// What a stop at such a point is called.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Software => "swbreak",
            Self::Hardware => "hwbreak",
            Self::Write => "watch",
            Self::Read => "rwatch",
            Self::Access => "awatch",
        }
    }
}

/// A place that stops a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// How.
    pub kind: PointKind,
    /// The address of the instruction, or of the first byte that is watched.
    pub addr: u64,
    /// How many bytes are watched; 1 for breakpoints.
    pub len: u64,
}
