//! Sets of descriptors to wait for.

use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::{mem, ptr};

use torov_abi::Errno;

use crate::files::owned;
use crate::{check, interruptible, number, pointer};

/// `epoll_create1`.
///
/// # Errors
/// As the call.
pub fn epoll_create() -> Result<OwnedFd, Errno> {
    // SAFETY: no pointer is passed.
    owned(check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }))
}

/// `epoll_ctl`: `events` and the word that comes back with them, without either to remove.
///
/// # Errors
/// As the call.
pub fn epoll_control(
    set: BorrowedFd<'_>,
    operation: i32,
    fd: BorrowedFd<'_>,
    event: Option<(u32, u64)>,
) -> Result<u64, Errno> {
    let mut event = event.map(|(events, u64)| libc::epoll_event { events, u64 });
    let at = event.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    // SAFETY: the structure lives during the call.
    check(unsafe { libc::epoll_ctl(set.as_raw_fd(), operation, fd.as_raw_fd(), at) })
}

/// `epoll_wait` for up to `most` events, or `timeout_ms` milliseconds if that is not negative. Blocks.
///
/// # Errors
/// As the call.
pub fn epoll_wait(
    set: BorrowedFd<'_>,
    most: usize,
    timeout_ms: i32,
) -> Result<Vec<(u32, u64)>, Errno> {
    // SAFETY: all-zero is a value of this structure.
    let empty: libc::epoll_event = unsafe { mem::zeroed() };
    let mut events = vec![empty; most.clamp(1, 256)];
    let room = i32::try_from(events.len()).unwrap_or(1);
    // SAFETY: the kernel writes at most `room` events into the list.
    let got = unsafe {
        interruptible(
            libc::SYS_epoll_wait,
            [
                number(set.as_raw_fd()),
                pointer(events.as_mut_ptr()),
                number(room),
                number(timeout_ms),
            ],
        )
    }?;
    events.truncate(torov_abi::word::size(got));
    Ok(events
        .iter()
        .map(|event| (event.events, event.u64))
        .collect())
}
