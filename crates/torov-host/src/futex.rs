//! Futexes in guest memory: the host's kernel waits on the page behind the guest's word.

use std::ptr;
use std::time::Duration;

use torov_abi::Errno;
use torov_memory::Span;

use crate::{check, interruptible, number, pointer};

/// Operations on memory of one process, to which the guest's memory belongs.
const PRIVATE: i32 = libc::FUTEX_PRIVATE_FLAG;

/// The word, if the span is one.
fn word(span: &Span<'_>) -> Result<*mut u8, Errno> {
    let aligned = span.len() == 4 && span.as_ptr().addr().is_multiple_of(4);
    if aligned {
        Ok(span.as_ptr())
    } else {
        Err(Errno::EINVAL)
    }
}

/// Waits while the word holds `value`, with a bit set that a waker may name. Blocks.
///
/// `until` is a time of the monotonic clock, or of the real-time clock if `real_time`.
///
/// # Errors
/// `EAGAIN` if the word holds something else, `ETIMEDOUT`, `EINTR`.
pub fn futex_wait(
    span: &Span<'_>,
    value: u32,
    until: Option<Duration>,
    real_time: bool,
    bits: u32,
) -> Result<u64, Errno> {
    let clock = if real_time {
        libc::FUTEX_CLOCK_REALTIME
    } else {
        0
    };
    let operation = libc::FUTEX_WAIT_BITSET | PRIVATE | clock;
    let until = until.map(|until| {
        let seconds = i64::try_from(until.as_secs()).unwrap_or(i64::MAX);
        [seconds, i64::from(until.subsec_nanos())]
    });
    let at = until.as_ref().map_or(ptr::null(), |until| until.as_ptr());
    let word = word(span)?;
    let args = [
        pointer(word),
        number(operation),
        value.into(),
        pointer(at),
        0,
        bits.into(),
    ];
    // SAFETY: the word is mapped while the span is borrowed; two `i64` are a `timespec`.
    unsafe { interruptible(libc::SYS_futex, args) }
}

/// Wakes up to `count` waiters whose bits meet `bits`, and returns how many.
///
/// # Errors
/// As the call.
pub fn futex_wake(span: &Span<'_>, count: i32, bits: u32) -> Result<u64, Errno> {
    let operation = libc::FUTEX_WAKE_BITSET | PRIVATE;
    let word = word(span)?;
    let none = ptr::null::<u32>();
    // SAFETY: the word is mapped while the span is borrowed; the kernel does not read it.
    check(unsafe { libc::syscall(libc::SYS_futex, word, operation, count, none, none, bits) })
}

/// Wakes up to `wake` waiters and moves up to `moved` others to wait at `to`. `expected` is what the word must hold.
///
/// # Errors
/// As `FUTEX_CMP_REQUEUE`.
pub fn futex_requeue(
    from: &Span<'_>,
    to: &Span<'_>,
    wake: i32,
    moved: u32,
    expected: Option<u32>,
) -> Result<u64, Errno> {
    let operation = match expected {
        Some(_) => libc::FUTEX_CMP_REQUEUE,
        None => libc::FUTEX_REQUEUE,
    };
    let (from, to) = (word(from)?, word(to)?);
    let value = expected.unwrap_or(0);
    // SAFETY: both words are mapped while their spans are borrowed.
    check(unsafe {
        libc::syscall(
            libc::SYS_futex,
            from,
            operation | PRIVATE,
            wake,
            u64::from(moved),
            to,
            value,
        )
    })
}
