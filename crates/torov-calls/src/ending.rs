//! [`Ending`]: how a program ended.

use std::fmt;

use torov_abi::Signal;
use torov_memory::Area;
use torov_vcpu::Registers;

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It said so, with that status.
    Exit(u8),
    /// It did what it must not.
    Fault(Box<FaultReport>),
    /// A signal that it sent to itself, or that a call brings.
    Signal(Signal),
    /// It made a call that its profile answers with death.
    Denied(String),
    /// It used up what its profile gives it; which limit, and the status for it.
    Limit(&'static str, u8),
    /// The virtual machine failed, which is not the program's fault.
    Machine(String),
}

impl Ending {
    /// The exit status by which a shell tells of it.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Exit(status) | Self::Limit(_, status) => *status,
            Self::Fault(report) => report.signal.status(),
            Self::Signal(signal) => signal.status(),
            Self::Denied(_) => Signal::SIGSYS.status(),
            Self::Machine(_) => 125,
        }
    }
}

/// What is known of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultReport {
    /// The signal that Linux would send.
    pub signal: Signal,
    /// What happened, in words.
    pub what: String,
    /// The thread.
    pub tid: i32,
    /// Its registers.
    pub registers: Registers,
    /// The image of its other registers, as XSAVE has it, as far as it could be had.
    pub extended: Vec<u8>,
    /// The bases of `fs` and `gs`.
    pub bases: [u64; 2],
    /// Return addresses, the innermost first.
    pub frames: Vec<u64>,
    /// The program's memory.
    pub areas: Vec<Area>,
}

/// What a thread had in its registers when the program ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// The thread.
    pub tid: i32,
    /// Its general registers.
    pub registers: Registers,
    /// The image of the others, as XSAVE has it, as far as it could be had.
    pub extended: Vec<u8>,
    /// The bases of `fs` and `gs`.
    pub bases: [u64; 2],
}

impl FaultReport {
    /// What the thread that failed had.
    #[must_use]
    pub fn remains(&self) -> Remains {
        Remains {
            tid: self.tid,
            registers: self.registers,
            extended: self.extended.clone(),
            bases: self.bases,
        }
    }
}

impl fmt::Display for FaultReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} (thread {})", self.signal, self.what, self.tid)?;
        for (at, (name, value)) in self.registers.named().iter().enumerate() {
            let end = if at % 3 == 2 { "\n" } else { "" };
            write!(f, "  {name:>6} {value:016x}{end}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use torov_abi::Signal;

    use super::Ending;

    #[test]
    fn statuses_are_a_shell_s() {
        assert_eq!(Ending::Exit(3).status(), 3);
        assert_eq!(Ending::Signal(Signal::SIGABRT).status(), 134);
        assert_eq!(Ending::Denied(String::new()).status(), 159);
        assert_eq!(Ending::Limit("wall", 124).status(), 124);
        assert_eq!(Ending::Machine(String::new()).status(), 125);
    }
}
