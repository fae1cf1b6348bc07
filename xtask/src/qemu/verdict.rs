//! [`Verdict`]: what QEMU's exit status says about the image.

use std::fmt;
use std::process::ExitStatus;

use toro_abi::exit::ExitCode;

/// How a virtual machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The image powered off or reported success.
    Success,
    /// The image reported failure.
    Failure,
    /// QEMU itself failed, with this status.
    Qemu(i32),
    /// A signal ended QEMU.
    Killed,
}

impl Verdict {
    /// Reads the status of QEMU.
    pub(crate) fn from_status(status: ExitStatus) -> Self {
        match status.code() {
            None => Self::Killed,
            Some(code) => match ExitCode::from_status(code) {
                Some(ExitCode::Success) => Self::Success,
                Some(ExitCode::Failure) => Self::Failure,
                None => Self::Qemu(code),
            },
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("the image ended with success"),
            Self::Failure => f.write_str("the image reported a failure"),
            Self::Qemu(status) => write!(f, "QEMU failed with status {status}"),
            Self::Killed => f.write_str("the virtual machine was ended from outside"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::Verdict;

    fn check(wait_status: i32, expected: Verdict) {
        assert_eq!(
            Verdict::from_status(ExitStatus::from_raw(wait_status)),
            expected
        );
    }

    #[test]
    fn statuses_of_the_image_and_of_qemu_are_told_apart() {
        check(0, Verdict::Success);
        check(33 << 8, Verdict::Success);
        check(35 << 8, Verdict::Failure);
        check(1 << 8, Verdict::Qemu(1));
        check(9, Verdict::Killed);
    }
}
