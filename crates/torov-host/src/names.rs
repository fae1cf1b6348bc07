//! Changes to directories. The directory is open already, and the name is one component: nothing leads elsewhere.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use torov_abi::Errno;
use torov_abi::word::size;

use crate::check;

/// Whether `name` is one component and stays in its directory. A slash may follow it: these calls follow no link there.
fn single(name: &CStr) -> Result<(), Errno> {
    let bytes = name.to_bytes();
    let bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
    let leaves = bytes.contains(&b'/') || bytes == b".." || bytes.is_empty();
    if leaves { Err(Errno::EINVAL) } else { Ok(()) }
}

/// `unlinkat`.
///
/// # Errors
/// As the call; `EINVAL` if `name` is no single name.
pub fn remove(directory: BorrowedFd<'_>, name: &CStr, is_directory: bool) -> Result<u64, Errno> {
    single(name)?;
    let flags = if is_directory { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: the name lives during the call.
    check(unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), flags) })
}

/// `mkdirat`.
///
/// # Errors
/// As the call; `EINVAL` if `name` is no single name.
pub fn make_directory(directory: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<u64, Errno> {
    single(name)?;
    // SAFETY: the name lives during the call.
    check(unsafe { libc::mkdirat(directory.as_raw_fd(), name.as_ptr(), mode & 0o7777) })
}

/// `renameat2`.
///
/// # Errors
/// As the call; `EINVAL` if a name is no single name.
pub fn rename(
    from: (BorrowedFd<'_>, &CStr),
    to: (BorrowedFd<'_>, &CStr),
    flags: u32,
) -> Result<u64, Errno> {
    single(from.1)?;
    single(to.1)?;
    // By number: without flags the library makes another call.
    // SAFETY: both names live during the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            from.0.as_raw_fd(),
            from.1.as_ptr(),
            to.0.as_raw_fd(),
            to.1.as_ptr(),
            flags,
        )
    })
}

/// `readlinkat` of a link that is open itself.
///
/// # Errors
/// As the call.
pub fn link_target(link: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let mut target = vec![0; 4096];
    let (at, len) = (target.as_mut_ptr(), target.len());
    // SAFETY: the empty path is a text of C, and the kernel writes at most `len` bytes.
    let read = check(unsafe { libc::readlinkat(link.as_raw_fd(), c"".as_ptr(), at.cast(), len) })?;
    target.truncate(size(read));
    Ok(target)
}
