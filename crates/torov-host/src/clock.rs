//! Clocks.

use std::mem;
use std::time::Duration;

use torov_abi::Errno;

use crate::{check, interruptible, number, pointer};

/// The number of a clock, as in `clock_gettime`.
pub type Clock = i32;

fn duration(time: libc::timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn timespec(time: Duration) -> libc::timespec {
    // SAFETY: all-zero is a value of this structure.
    let mut spec: libc::timespec = unsafe { mem::zeroed() };
    spec.tv_sec = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    spec.tv_nsec = i64::from(time.subsec_nanos());
    spec
}

/// `clock_gettime`.
///
/// # Errors
/// As the call.
pub fn get(clock: Clock) -> Result<Duration, Errno> {
    let mut time = timespec(Duration::ZERO);
    // SAFETY: the structure is ours for the call.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    Ok(duration(time))
}

/// `clock_getres`.
///
/// # Errors
/// As the call.
pub fn resolution(clock: Clock) -> Result<Duration, Errno> {
    let mut time = timespec(Duration::ZERO);
    // SAFETY: the structure is ours for the call.
    check(unsafe { libc::clock_getres(clock, &raw mut time) })?;
    Ok(duration(time))
}

/// The processor time that this process has used, guests' included.
#[must_use]
pub fn cpu_time() -> Duration {
    get(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap_or_default()
}

/// `clock_nanosleep`; if `absolute`, until the clock shows `time`. Blocks.
///
/// # Errors
/// As the call, `EINTR` among them.
pub fn sleep(clock: Clock, time: Duration, absolute: bool) -> Result<u64, Errno> {
    let flags = if absolute { libc::TIMER_ABSTIME } else { 0 };
    let time = timespec(time);
    let args = [number(clock), number(flags), pointer(&raw const time), 0];
    // SAFETY: the structure lives during the call, and no remainder is asked for.
    unsafe { interruptible(libc::SYS_clock_nanosleep, args) }
}
