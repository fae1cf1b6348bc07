//! Bytes between descriptors and guest memory.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use torov_abi::Errno;
use torov_abi::word::wide;
use torov_memory::Span;

use crate::{check, interruptible, number, pointer};

/// The spans as the kernel takes them: at most 1024 in one call, the rest is a short transfer.
fn vector(spans: &[Span<'_>]) -> (*const libc::iovec, i32) {
    let count = i32::try_from(spans.len().min(1024)).unwrap_or(1024);
    (spans.as_ptr().cast(), count)
}

/// `read`, or `readv` where there are several spans, which costs the kernel half as much again. May block.
///
/// # Errors
/// As the call.
pub fn read(fd: BorrowedFd<'_>, spans: &[Span<'_>]) -> Result<u64, Errno> {
    let fd = number(fd.as_raw_fd());
    if let [span] = spans {
        let args = [fd, pointer(span.as_ptr()), wide(span.len())];
        // SAFETY: a `Span` is writable memory while it is borrowed.
        return unsafe { interruptible(libc::SYS_read, args) };
    }
    let (at, count) = vector(spans);
    // SAFETY: a `Span` is laid out as an `iovec` and names writable memory while it is borrowed.
    unsafe { interruptible(libc::SYS_readv, [fd, pointer(at), number(count)]) }
}

/// `write`, or `writev` where there are several spans. May block.
///
/// # Errors
/// As the call.
pub fn write(fd: BorrowedFd<'_>, spans: &[Span<'_>]) -> Result<u64, Errno> {
    let fd = number(fd.as_raw_fd());
    if let [span] = spans {
        let args = [fd, pointer(span.as_ptr()), wide(span.len())];
        // SAFETY: a `Span` is readable memory while it is borrowed.
        return unsafe { interruptible(libc::SYS_write, args) };
    }
    let (at, count) = vector(spans);
    // SAFETY: a `Span` is laid out as an `iovec` and names readable memory while it is borrowed.
    unsafe { interruptible(libc::SYS_writev, [fd, pointer(at), number(count)]) }
}

/// `preadv`.
///
/// # Errors
/// As the call.
pub fn read_at(fd: BorrowedFd<'_>, spans: &[Span<'_>], offset: i64) -> Result<u64, Errno> {
    let (at, count) = vector(spans);
    // SAFETY: as in `read`.
    check(unsafe { libc::preadv(fd.as_raw_fd(), at, count, offset) })
}

/// `pwritev`.
///
/// # Errors
/// As the call.
pub fn write_at(fd: BorrowedFd<'_>, spans: &[Span<'_>], offset: i64) -> Result<u64, Errno> {
    let (at, count) = vector(spans);
    // SAFETY: as in `write`.
    check(unsafe { libc::pwritev(fd.as_raw_fd(), at, count, offset) })
}

/// `read` into memory of the monitor.
///
/// # Errors
/// As the call.
pub fn read_bytes(fd: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<u64, Errno> {
    let (at, len) = (bytes.as_mut_ptr(), bytes.len());
    // SAFETY: the kernel writes at most `len` bytes into the slice.
    check(unsafe { libc::read(fd.as_raw_fd(), at.cast(), len) })
}

/// `write` of memory of the monitor.
///
/// # Errors
/// As the call.
pub fn write_bytes(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<u64, Errno> {
    let (at, len) = (bytes.as_ptr(), bytes.len());
    // SAFETY: the slice is readable for `len` bytes.
    check(unsafe { libc::write(fd.as_raw_fd(), at.cast(), len) })
}

/// `sendfile`, from `offset` on, or from where `from` stands. May block.
///
/// # Errors
/// As the call.
pub fn send_file(
    to: BorrowedFd<'_>,
    from: BorrowedFd<'_>,
    offset: Option<&mut i64>,
    len: u64,
) -> Result<u64, Errno> {
    let at = offset.map_or(std::ptr::null_mut(), std::ptr::from_mut);
    let args = [
        number(to.as_raw_fd()),
        number(from.as_raw_fd()),
        pointer(at),
        len,
    ];
    // SAFETY: the offset, if there is one, is ours for the call.
    unsafe { interruptible(libc::SYS_sendfile, args) }
}
