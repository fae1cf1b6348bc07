//! Waiting for descriptors, randomness, processors.

use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::Duration;
use std::{mem, ptr};

use torov_abi::Errno;

use crate::{check, interruptible, pointer};

/// A descriptor to wait for.
#[derive(Clone, Copy, Debug)]
pub struct Polled<'fd> {
    /// Which, or `None` for an entry that is passed over.
    pub fd: Option<BorrowedFd<'fd>>,
    /// What for, as in `poll`.
    pub events: i16,
    /// What has happened.
    pub found: i16,
}

/// `ppoll`, without a mask of signals. Blocks up to `timeout`.
///
/// # Errors
/// As the call.
pub fn poll(entries: &mut [Polled<'_>], timeout: Option<Duration>) -> Result<u64, Errno> {
    let mut list: Vec<libc::pollfd> = entries
        .iter()
        .map(|entry| libc::pollfd {
            fd: entry.fd.map_or(-1, |fd| fd.as_raw_fd()),
            events: entry.events,
            revents: 0,
        })
        .collect();
    // The kernel leaves there what is left of it.
    let mut timeout = timeout.map(|time| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        [seconds, i64::from(time.subsec_nanos())]
    });
    let at = timeout
        .as_mut()
        .map_or(ptr::null_mut(), |time| time.as_mut_ptr());
    let count = u64::try_from(list.len()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the list has `count` entries and is ours; two `i64` are a `timespec`; no mask is passed.
    let ready = unsafe {
        interruptible(
            libc::SYS_ppoll,
            [pointer(list.as_mut_ptr()), count, pointer(at)],
        )
    }?;
    for (entry, polled) in entries.iter_mut().zip(&list) {
        entry.found = polled.revents;
    }
    Ok(ready)
}

/// `getrandom` into `bytes`, whole.
///
/// # Errors
/// As the call.
pub fn random(bytes: &mut [u8]) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (at, len) = (rest.as_mut_ptr(), rest.len());
        // Not by `getrandom`: std's weak reference makes it null where all is linked statically with musl.
        // SAFETY: the kernel writes at most `len` bytes into the slice.
        let got = check(unsafe { libc::syscall(libc::SYS_getrandom, at, len, 0) })?;
        rest = &mut rest[torov_abi::word::size(got)..];
    }
    Ok(())
}

/// How many processors this process may run on.
#[must_use]
pub fn processors() -> usize {
    // SAFETY: all-zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    let len = mem::size_of_val(&set);
    // SAFETY: the set is ours, and `len` bytes long.
    let got = unsafe { libc::sched_getaffinity(0, len, &raw mut set) };
    if got != 0 {
        return 1;
    }
    // SAFETY: the set was filled by the kernel.
    let count = unsafe { libc::CPU_COUNT(&set) };
    usize::try_from(count).unwrap_or(1).max(1)
}

/// `sched_yield`.
pub fn yield_now() {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::sched_yield() };
}

/// `membarrier`. The processors that run the guest's threads belong to this process, so it reaches them.
///
/// # Errors
/// As the call.
pub fn memory_barrier(command: i32) -> Result<u64, Errno> {
    // SAFETY: no pointer is passed.
    check(unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) })
}
