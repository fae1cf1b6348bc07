//! [`Failure`]: why nothing was run, and the exit status that says so.

use std::fmt;

/// A sentence for the person who typed the command.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    /// 125 for the monitor's own trouble, 126 for a file that cannot be run, 127 for one that is not there.
    pub(crate) status: u8,
}

impl Failure {
    /// The monitor cannot do its part.
    pub(crate) fn own(message: impl Into<String>) -> Self {
        let (message, status) = (message.into(), 125);
        Self { message, status }
    }

    /// The program cannot be run.
    pub(crate) fn program(message: impl Into<String>) -> Self {
        let (message, status) = (message.into(), 126);
        Self { message, status }
    }

    /// The program is not there.
    pub(crate) fn missing(message: impl Into<String>) -> Self {
        let (message, status) = (message.into(), 127);
        Self { message, status }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
