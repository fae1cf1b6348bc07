//! [`ping`]: whether a machine is there, and how long it takes to answer.

use core::future;
use core::net::IpAddr;
use core::task::Poll;
use core::time::Duration;

use toro_time::Instant;

use crate::datagram_calls::PingId;
use crate::error::PingError;
use crate::poll::with_stack;

/// Asks `address` for a sign of life (RFC 792, echo) and waits for it, at most for `timeout`. Says how long it took.
///
/// The question is sent once, so that a packet that is lost counts as no answer.
///
/// # Errors
/// Fails if the machine cannot be reached or does not answer in time.
pub fn ping(address: impl Into<IpAddr>, timeout: Duration) -> Result<Duration, PingError> {
    toro_sched::block_on_until(Instant::now() + timeout, pinged(address))
        .unwrap_or(Err(PingError::TimedOut))
}

/// As [`ping`], for futures, and without a limit.
///
/// # Errors
/// Fails if the machine cannot be reached.
pub async fn pinged(address: impl Into<IpAddr>) -> Result<Duration, PingError> {
    let address = address.into();
    let asked = with_stack(|stack| stack.ping(Instant::now(), address));
    let asked = Asked(asked.ok_or(PingError::NoStack)??);
    future::poll_fn(|cx| {
        with_stack(|stack| stack.poll_ping(&asked.0, cx.waker()).map(Ok))
            .unwrap_or(Poll::Ready(Err(PingError::NoStack)))
    })
    .await
}

/// An open question, forgotten when nobody waits any more.
struct Asked(PingId);

impl Drop for Asked {
    fn drop(&mut self) {
        with_stack(|stack| stack.end_ping(&self.0));
    }
}
