//! [`StoppedCore`]: leave to look at what another core has for itself.

use core::fmt;

/// A core that stands still as long as this value is there: for a debugger.
pub struct StoppedCore {
    core: usize,
}

impl StoppedCore {
    /// Leave to look at what `core` has for itself.
    ///
    /// # Safety
    /// 1. The core is stopped, or is the running one, and what it was doing does not go on before the value is dropped.
    /// 2. It is lent only to functions that look and change nothing, which is to say those of the kernel that ask for one.
    pub const unsafe fn new(core: usize) -> Self {
        Self { core }
    }

    /// The core's number.
    pub const fn core(&self) -> usize {
        self.core
    }
}

impl fmt::Debug for StoppedCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoppedCore({})", self.core)
    }
}

/// Why a stopped core's value cannot be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookError {
    /// The core has none.
    Missing,
    /// It was stopped in the middle of a change.
    Changing,
}

impl fmt::Display for LookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the core has none",
            Self::Changing => "the core was stopped in the middle of a change",
        })
    }
}

impl core::error::Error for LookError {}
