//! [`Comm`]: a rank's ends of the channels to all others, and messages from one rank to another.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use toro_queue::channel::{Receiver, Sender, TryRecvError, channel};

use crate::element::Element;
use crate::element::message::Message;

/// How many messages a rank can be ahead of another before it waits.
///
/// No collective sends more than two between the same ranks, so ranks that are in the same one never wait for room.
const DEPTH: usize = 8;

/// How often a thread looks for a message before it parks: some hundreds of microseconds, which large slices take to copy.
const LOOKS: usize = 10_000;

/// A rank's place in its group: it talks to the others through this.
pub struct Comm {
    rank: usize,
    /// By the number of the other rank.
    collective: Vec<Lane>,
    direct: Vec<Lane>,
    /// What to do while a message is looked for; `None` to wait at once.
    pub(crate) pause: Option<fn()>,
}

/// The channels to and from one other rank.
struct Lane {
    to: Sender<Message>,
    from: Receiver<Message>,
}

/// Why a message did not come or go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommError {
    /// The group has no such rank.
    NoSuchRank(usize),
    /// The other side means a slice of another length.
    Length {
        /// What was asked for.
        expected: usize,
        /// What came, or was given.
        found: usize,
    },
    /// The other side means other numbers, or is in another collective.
    Type,
    /// This rank has ended.
    Gone(usize),
}

impl fmt::Display for CommError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchRank(rank) => write!(f, "there is no rank {rank}"),
            Self::Length { expected, found } => write!(f, "{found} numbers instead of {expected}"),
            Self::Type => f.write_str("a message of another kind was due"),
            Self::Gone(rank) => write!(f, "rank {rank} has ended"),
        }
    }
}

impl core::error::Error for CommError {}

/// Makes a group of `size` ranks, joined two by two. Each may go to any core.
pub fn group(size: usize) -> Vec<Comm> {
    let (collective, direct) = (lanes(size), lanes(size));
    let pairs = collective.into_iter().zip(direct).enumerate();
    pairs
        .map(|(rank, (collective, direct))| Comm {
            rank,
            collective,
            direct,
            pause: None,
        })
        .collect()
}

/// The lanes of each rank.
fn lanes(size: usize) -> Vec<Vec<Lane>> {
    let mut senders: Vec<Vec<Sender<Message>>> = Vec::new();
    let mut receivers: Vec<Vec<Receiver<Message>>> = (0..size).map(|_| Vec::new()).collect();
    for _ in 0..size {
        let (to, from): (Vec<_>, Vec<_>) = (0..size).map(|_| channel(DEPTH)).unzip();
        senders.push(to);
        for (other, from) in receivers.iter_mut().zip(from) {
            other.push(from);
        }
    }
    let ranks = senders.into_iter().zip(receivers);
    ranks
        .map(|(senders, receivers)| {
            let ends = senders.into_iter().zip(receivers);
            ends.map(|(to, from)| Lane { to, from }).collect()
        })
        .collect()
}

impl Comm {
    /// Which rank this is.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many ranks the group has.
    pub fn size(&self) -> usize {
        self.direct.len()
    }

    /// Sends numbers to rank `to`, when there is room for another message.
    ///
    /// # Errors
    /// Fails if there is no such rank, or not any more.
    pub async fn send_async<T: Element>(
        &mut self,
        to: usize,
        numbers: &[T],
    ) -> Result<(), CommError> {
        let lane = lane(&mut self.direct, to)?;
        put(lane, to, T::pack(Arc::from(numbers))).await
    }

    /// Receives the next message of rank `from`, which must be as long as `numbers`.
    ///
    /// # Errors
    /// Fails if there is no such rank, or not any more, or if the message is another one.
    pub async fn recv_async<T: Element>(
        &mut self,
        from: usize,
        numbers: &mut [T],
    ) -> Result<(), CommError> {
        let pause = self.pause;
        let lane = lane(&mut self.direct, from)?;
        let message = next(lane, from, pause).await?;
        numbers.copy_from_slice(&open(message, numbers.len())?);
        Ok(())
    }

    /// Sends a message of a collective.
    pub(crate) async fn pass(&mut self, to: usize, message: Message) -> Result<(), CommError> {
        put(lane(&mut self.collective, to)?, to, message).await
    }

    /// Receives a message of a collective.
    pub(crate) async fn take(&mut self, from: usize) -> Result<Message, CommError> {
        let pause = self.pause;
        next(lane(&mut self.collective, from)?, from, pause).await
    }

    /// Receives `len` numbers of a collective.
    pub(crate) async fn take_numbers<T: Element>(
        &mut self,
        from: usize,
        len: usize,
    ) -> Result<Arc<[T]>, CommError> {
        open(self.take(from).await?, len)
    }
}

fn lane(lanes: &mut [Lane], rank: usize) -> Result<&mut Lane, CommError> {
    lanes.get_mut(rank).ok_or(CommError::NoSuchRank(rank))
}

async fn put(lane: &Lane, to: usize, message: Message) -> Result<(), CommError> {
    let sent = lane.to.send(message).await;
    sent.map_err(|_| CommError::Gone(to))
}

/// The next message: looked for a while if there is a way to pause, then waited for.
async fn next(lane: &mut Lane, from: usize, pause: Option<fn()>) -> Result<Message, CommError> {
    if let Some(pause) = pause {
        for _ in 0..LOOKS {
            match lane.from.try_recv() {
                Ok(message) => return Ok(message),
                Err(TryRecvError::Closed) => return Err(CommError::Gone(from)),
                Err(TryRecvError::Empty) => pause(),
            }
        }
    }
    lane.from.recv().await.ok_or(CommError::Gone(from))
}

/// The numbers of a message that should have `len`.
fn open<T: Element>(message: Message, len: usize) -> Result<Arc<[T]>, CommError> {
    let numbers = T::unpack(message).ok_or(CommError::Type)?;
    expect_length(len, numbers.len())?;
    Ok(numbers)
}

pub(crate) fn expect_length(expected: usize, found: usize) -> Result<(), CommError> {
    if expected == found {
        Ok(())
    } else {
        Err(CommError::Length { expected, found })
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Comm(rank {} of {})", self.rank, self.size())
    }
}
