//! [`Pings`]: questions for a sign of life (RFC 792, echo), and who waits for their answers.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::task::{Poll, Waker};
use core::time::Duration;

use toro_time::Instant;

use crate::datagrams::wake;
use crate::stats::DropReason;

/// Questions that may be open at a time.
const MOST: usize = 64;
/// Bytes behind the header: what only we and the asked one know.
pub(crate) const SECRET_LEN: usize = 16;

/// A question.
#[derive(Debug)]
struct Ping {
    target: IpAddr,
    /// Identifier, sequence number, and the secret: an answer repeats them (RFC 792).
    words: [u8; 4 + SECRET_LEN],
    sent: Instant,
    answered: Option<Instant>,
    waiter: Option<Waker>,
}

/// The open questions.
#[derive(Debug)]
pub(crate) struct Pings(Vec<Ping>);

impl Pings {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Notes a question; `false` if there are too many.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        target: IpAddr,
        words: [u8; 4 + SECRET_LEN],
    ) -> bool {
        let has_room = self.0.len() < MOST;
        if has_room {
            self.0.push(Ping {
                target,
                words,
                sent: now,
                answered: None,
                waiter: None,
            });
        }
        has_room
    }

    /// Takes an answer from `source`, from its identifier on.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        source: IpAddr,
        words: &[u8],
    ) -> Result<(), DropReason> {
        let is_meant = |ping: &&mut Ping| ping.target == source && ping.words == words;
        let ping = self.0.iter_mut().find(is_meant);
        let ping = ping.ok_or(DropReason::NoSocket)?;
        ping.answered.get_or_insert(now);
        wake(&mut ping.waiter);
        Ok(())
    }

    /// How long the answer to the question with `words` took, or keeps `waker` until it comes.
    pub(crate) fn poll(&mut self, words: &[u8], waker: &Waker) -> Poll<Duration> {
        let Some(ping) = self.0.iter_mut().find(|ping| ping.words == words) else {
            return Poll::Pending;
        };
        match ping.answered {
            Some(at) => Poll::Ready(at - ping.sent),
            None => {
                ping.waiter = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    /// Forgets a question.
    pub(crate) fn remove(&mut self, words: &[u8]) {
        self.0.retain(|ping| ping.words != words);
    }
}
