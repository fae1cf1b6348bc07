//! [`Signal`]: what ends a program that does what it must not.

use std::fmt;

/// A signal of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal(u8);

impl Signal {
    /// An instruction that the processor does not know.
    pub const SIGILL: Self = Self(4);
    /// A breakpoint.
    pub const SIGTRAP: Self = Self(5);
    /// The program gave itself up.
    pub const SIGABRT: Self = Self(6);
    /// An address that no memory backs.
    pub const SIGBUS: Self = Self(7);
    /// A division by zero and the like.
    pub const SIGFPE: Self = Self(8);
    /// What nobody can refuse.
    pub const SIGKILL: Self = Self(9);
    /// An address that is not the program's.
    pub const SIGSEGV: Self = Self(11);
    /// A pipe without readers.
    pub const SIGPIPE: Self = Self(13);
    /// A system call that is not allowed.
    pub const SIGSYS: Self = Self(31);

    /// The signal with that number, 1 to 64.
    #[must_use]
    pub fn new(number: i32) -> Option<Self> {
        u8::try_from(number)
            .ok()
            .filter(|number| (1..=64).contains(number))
            .map(Self)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// The exit status by which a shell tells of it.
    #[must_use]
    pub fn status(self) -> u8 {
        128 + self.0
    }
}

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The name, as in `SIGSEGV`.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(usize::from(self.0) - 1) {
            Some(name) => write!(f, "SIG{name}"),
            None => write!(f, "SIGRT{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Signal;

    #[test]
    fn names_and_statuses_are_the_shell_s() {
        assert_eq!(Signal::SIGSEGV.to_string(), "SIGSEGV");
        assert_eq!(Signal::SIGSYS.to_string(), "SIGSYS");
        assert_eq!(Signal::SIGKILL.status(), 137);
        assert_eq!(Signal::new(34).unwrap().to_string(), "SIGRT34");
        assert_eq!(Signal::new(0), None);
        assert_eq!(Signal::new(65), None);
    }
}
