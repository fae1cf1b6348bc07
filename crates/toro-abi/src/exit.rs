//! How an image tells the host whether it succeeded.
//!
//! A machine that powers off cleanly ends QEMU with 0. What ACPI cannot say goes to the `isa-debug-exit`
//! device: a value `v` written to its port ends QEMU with `(v << 1) | 1`, which is never 0 and, with the values
//! here, never the 1 that QEMU itself uses for its own errors.

/// The I/O port of the `isa-debug-exit` device, one to four bytes wide.
pub const DEBUG_EXIT_PORT: u16 = 0xf4;

/// The verdict of an image, as it is written to [`DEBUG_EXIT_PORT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The service ended as it should.
    Success = 0x10,
    /// The service failed, a test failed, or the kernel panicked.
    Failure = 0x11,
}

impl ExitCode {
    /// The value to write to [`DEBUG_EXIT_PORT`].
    pub const fn value(self) -> u8 {
        self as u8
    }

    /// The exit status that QEMU ends with after the write.
    pub const fn status(self) -> i32 {
        (self.value() as i32) << 1 | 1
    }

    /// The verdict behind an exit status of QEMU, `None` if the image gave none.
    ///
    /// A clean power-off, status 0, counts as success.
    pub const fn from_status(status: i32) -> Option<Self> {
        match status {
            0 => Some(Self::Success),
            _ if status == Self::Success.status() => Some(Self::Success),
            _ if status == Self::Failure.status() => Some(Self::Failure),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode;

    #[test]
    fn verdicts_survive_the_debug_exit_device() {
        assert_eq!(ExitCode::Success.status(), 33);
        assert_eq!(ExitCode::Failure.status(), 35);
        assert_eq!(ExitCode::from_status(33), Some(ExitCode::Success));
        assert_eq!(ExitCode::from_status(35), Some(ExitCode::Failure));
    }

    #[test]
    fn a_power_off_is_a_success_and_an_error_of_qemu_is_no_verdict() {
        assert_eq!(ExitCode::from_status(0), Some(ExitCode::Success));
        assert_eq!(ExitCode::from_status(1), None);
    }
}
