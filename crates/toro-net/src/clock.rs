//! Time as smoltcp wants it: microseconds, from nanoseconds since boot.

use core::time::Duration;

use toro_time::Instant;

/// `now` for smoltcp.
pub(crate) fn to_smoltcp(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros(i64::try_from(now.as_nanos() / 1000).unwrap_or(i64::MAX))
}

/// A deadline of smoltcp's.
pub(crate) fn from_smoltcp(deadline: smoltcp::time::Instant) -> Instant {
    let micros = u64::try_from(deadline.total_micros()).unwrap_or(0);
    Instant::from_nanos(micros.saturating_mul(1000))
}

/// An interval for smoltcp.
pub(crate) fn to_smoltcp_duration(interval: Duration) -> smoltcp::time::Duration {
    smoltcp::time::Duration::from_micros(u64::try_from(interval.as_micros()).unwrap_or(u64::MAX))
}
