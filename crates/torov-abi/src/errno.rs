//! [`Errno`]: why a call was not done.

use std::fmt;
use std::io;

/// An error number of Linux, 1 to 4095.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(u16);

/// Declares the constants and the table of their names: `(EPERM = 1, "Operation not permitted")` becomes
/// `pub const EPERM: Errno = Errno(1)` and a row.
macro_rules! numbers {
    ($(($name:ident = $number:literal, $text:literal),)*) => {
        impl Errno {
            $(#[doc = $text] pub const $name: Self = Self($number);)*
        }
        const NAMES: &[(u16, &str)] = &[$(($number, stringify!($name)),)*];
    };
}

numbers! {
    (EPERM = 1, "Operation not permitted"),
    (ENOENT = 2, "No such file or directory"),
    (ESRCH = 3, "No such process"),
    (EINTR = 4, "Interrupted system call"),
    (EIO = 5, "Input/output error"),
    (ENXIO = 6, "No such device or address"),
    (E2BIG = 7, "Argument list too long"),
    (EBADF = 9, "Bad file descriptor"),
    (ECHILD = 10, "No child processes"),
    (EAGAIN = 11, "Resource temporarily unavailable"),
    (ENOMEM = 12, "Cannot allocate memory"),
    (EACCES = 13, "Permission denied"),
    (EFAULT = 14, "Bad address"),
    (EBUSY = 16, "Device or resource busy"),
    (EEXIST = 17, "File exists"),
    (EXDEV = 18, "Invalid cross-device link"),
    (ENODEV = 19, "No such device"),
    (ENOTDIR = 20, "Not a directory"),
    (EISDIR = 21, "Is a directory"),
    (EINVAL = 22, "Invalid argument"),
    (EMFILE = 24, "Too many open files"),
    (ENOTTY = 25, "Inappropriate ioctl for device"),
    (EFBIG = 27, "File too large"),
    (ENOSPC = 28, "No space left on device"),
    (ESPIPE = 29, "Illegal seek"),
    (EROFS = 30, "Read-only file system"),
    (EPIPE = 32, "Broken pipe"),
    (ERANGE = 34, "Numerical result out of range"),
    (EDEADLK = 35, "Resource deadlock avoided"),
    (ENAMETOOLONG = 36, "File name too long"),
    (ENOSYS = 38, "Function not implemented"),
    (ENOTEMPTY = 39, "Directory not empty"),
    (ELOOP = 40, "Too many levels of symbolic links"),
    (ENODATA = 61, "No data available"),
    (EOVERFLOW = 75, "Value too large for defined data type"),
    (ENOTSOCK = 88, "Socket operation on non-socket"),
    (EDESTADDRREQ = 89, "Destination address required"),
    (EMSGSIZE = 90, "Message too long"),
    (EPROTOTYPE = 91, "Protocol wrong type for socket"),
    (ENOPROTOOPT = 92, "Protocol not available"),
    (EPROTONOSUPPORT = 93, "Protocol not supported"),
    (EOPNOTSUPP = 95, "Operation not supported"),
    (EAFNOSUPPORT = 97, "Address family not supported by protocol"),
    (EADDRINUSE = 98, "Address already in use"),
    (EADDRNOTAVAIL = 99, "Cannot assign requested address"),
    (ENETUNREACH = 101, "Network is unreachable"),
    (ECONNABORTED = 103, "Software caused connection abort"),
    (ECONNRESET = 104, "Connection reset by peer"),
    (ENOBUFS = 105, "No buffer space available"),
    (EISCONN = 106, "Transport endpoint is already connected"),
    (ENOTCONN = 107, "Transport endpoint is not connected"),
    (ETIMEDOUT = 110, "Connection timed out"),
    (ECONNREFUSED = 111, "Connection refused"),
    (EHOSTUNREACH = 113, "No route to host"),
    (EALREADY = 114, "Operation already in progress"),
    (EINPROGRESS = 115, "Operation now in progress"),
    (ERESTARTSYS = 512, "The call was not made and will be: no program sees this"),
}

impl Errno {
    /// The error with that number. What is no number of an error becomes `EIO`.
    #[must_use]
    pub fn new(number: i32) -> Self {
        match u16::try_from(number) {
            Ok(number @ 1..=4095) => Self(number),
            _ => Self::EIO,
        }
    }

    /// What the guest finds in its register: minus the number.
    #[must_use]
    pub fn to_register(self) -> u64 {
        (-i64::from(self.0)).cast_unsigned()
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        Self::new(error.raw_os_error().unwrap_or(5))
    }
}

/// The name, as in `ENOENT`.
impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use std::io;

    use super::Errno;

    #[test]
    fn the_guest_finds_minus_the_number() {
        assert_eq!(Errno::ENOSYS.to_register(), (-38_i64).cast_unsigned());
        assert_eq!(Errno::new(2), Errno::ENOENT);
        assert_eq!(Errno::new(2).to_string(), "ENOENT");
    }

    #[test]
    fn what_is_no_error_is_not_taken_for_success() {
        for odd in [0, -1, 4096, i32::MIN] {
            assert_eq!(Errno::new(odd), Errno::EIO, "{odd}");
        }
        assert_eq!(Errno::from(io::Error::other("x")), Errno::EIO);
    }
}
