//! [`channel`]: a bounded queue between cores whose ends can wait.
//!
//! Values go through a [`Ring`]; nobody locks, and nobody waits unless it is full or empty. Waiting is announced before a last
//! look, and a value (or room) is made before a look for those who wait. Between the two steps each side has a fence,
//! so at least one of them sees the other:
//!
//! ```text
//! receiver                                   sender
//! 1. receiver_waits = true                   1. push
//!    fence                                      fence
//! 2. pop: there? done                        2. receiver_waits? wake it
//! ```
//!
//! The same holds for senders that wait for room, with their [`Waiter`]s in a mailbox in place of the flag. Room wakes all of
//! them: the first to come has it, the others wait again. A send has one waiter for all its polls, so the mailbox holds no
//! more of them than there are sends that wait. Each poll puts its waker into the waiter and then posts that:
//!
//! ```text
//! sender                                     who wakes senders
//! 1. put the waker into the cell             1. take the waiter out of the mailbox, release its link
//! 2. post; it is in the mailbox? leave it    2. wake what is in the cell
//! ```
//!
//! A post in vain came before the release, and so did the waker: the wake-up finds it.

use alloc::sync::Arc;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use crate::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use crate::ring::Ring;
use crate::waker_cell::WakerCell;
use crate::{Link, Linked, Mailbox};

/// What both ends share.
struct Shared<T> {
    ring: Ring<T>,
    receiver: WakerCell,
    receiver_waits: AtomicBool,
    /// Senders that found no room.
    waiters: Mailbox<Arc<Waiter>>,
    senders: AtomicUsize,
    /// Whether the receiver is gone.
    is_closed: AtomicBool,
}

/// A sender that waits for room.
struct Waiter {
    waker: WakerCell,
    link: Link<Waiter>,
}

// SAFETY: 1. the link is a field of the waiter.
unsafe impl Linked for Waiter {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

/// Makes a channel for `capacity` values, rounded up to a power of two: both ends may be on any core.
pub fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        ring: Ring::new(capacity),
        receiver: WakerCell::new(),
        receiver_waits: AtomicBool::new(false),
        waiters: Mailbox::new(),
        senders: AtomicUsize::new(1),
        is_closed: AtomicBool::new(false),
    });
    let sender = Sender {
        shared: Arc::clone(&shared),
    };
    let receiver = Receiver {
        shared,
        waits: false,
    };
    (sender, receiver)
}

impl<T> Shared<T> {
    fn push(&self, value: T) -> Result<(), TrySendError<T>> {
        // Relaxed: a value that is sent while the receiver goes away is dropped with the channel.
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(TrySendError::Closed(value));
        }
        self.ring.push(value).map_err(TrySendError::Full)?;
        fence(Ordering::SeqCst);
        if self.receiver_waits.load(Ordering::Relaxed) {
            self.receiver.wake();
        }
        Ok(())
    }

    /// # Safety
    /// 1. The caller has the receiver to itself.
    unsafe fn pop(&self) -> Option<T> {
        // SAFETY: 1. the receiver is in one place.
        let value = unsafe { self.ring.pop() }?;
        fence(Ordering::SeqCst);
        self.wake_senders();
        Some(value)
    }

    fn wake_senders(&self) {
        if !self.waiters.is_empty() {
            self.waiters
                .take_all()
                .for_each(|waiter| waiter.waker.wake());
        }
    }
}

/// The end that values are put into. Clones send to the same receiver.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T: Send> Sender<T> {
    /// Sends `value` if there is room. Never waits.
    ///
    /// # Errors
    /// Hands `value` back if there is no room, or no receiver any more.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.shared.push(value)
    }

    /// Sends `value` when there is room. Fails with the value if the receiver is gone.
    pub fn send(&self, value: T) -> Sending<'_, T> {
        Sending {
            shared: &self.shared,
            value: Some(value),
            waiter: None,
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        // Relaxed: this sender keeps the number above 0.
        self.shared.senders.fetch_add(1, Ordering::Relaxed);
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `try_recv`; what was sent is visible to whoever sees that nobody is left.
        if self.shared.senders.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::SeqCst);
            self.shared.receiver.wake();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

/// The end that values are taken out of.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// Whether it has said that it waits.
    waits: bool,
}

impl<T: Send> Receiver<T> {
    /// Takes the oldest value, if one is there. Never waits.
    ///
    /// # Errors
    /// Fails if nothing is there; [`TryRecvError::Closed`] if nothing can come any more.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        // Acquire: pairs with the Release in the drop of the last sender; looked at first, so that nothing it sent is missed.
        let is_last = self.shared.senders.load(Ordering::Acquire) == 0;
        // SAFETY: 1. the receiver is borrowed as the only one.
        match unsafe { self.shared.pop() } {
            Some(value) => Ok(value),
            None if is_last => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Waits for the oldest value; `None` when all senders are gone and everything was received.
    pub fn recv(&mut self) -> impl Future<Output = Option<T>> + use<'_, T> {
        core::future::poll_fn(|context| self.poll_recv(context))
    }

    /// Takes the oldest value, or has the waker woken when there is one.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.set_waits(false);
        if let Some(ended) = self.look() {
            return Poll::Ready(ended);
        }
        self.shared.receiver.register(context.waker());
        self.set_waits(true);
        fence(Ordering::SeqCst);
        self.look().map_or(Poll::Pending, Poll::Ready)
    }

    fn set_waits(&mut self, waits: bool) {
        if self.waits != waits {
            self.waits = waits;
            self.shared.receiver_waits.store(waits, Ordering::Relaxed);
        }
    }

    /// `None` if there is nothing yet.
    fn look(&mut self) -> Option<Option<T>> {
        match self.try_recv() {
            Ok(value) => Some(Some(value)),
            Err(TryRecvError::Closed) => Some(None),
            Err(TryRecvError::Empty) => None,
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.shared.wake_senders();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}

/// The future of [`Sender::send`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Sending<'a, T> {
    shared: &'a Shared<T>,
    /// `None` once it was sent.
    value: Option<T>,
    /// `None` until there was no room.
    waiter: Option<Arc<Waiter>>,
}

impl<T> Unpin for Sending<'_, T> {}

impl<T> Sending<'_, T> {
    /// `None` if there is no room.
    fn attempt(&mut self) -> Option<Result<(), Closed<T>>> {
        let value = self.value.take()?;
        match self.shared.push(value) {
            Ok(()) => Some(Ok(())),
            Err(TrySendError::Closed(value)) => Some(Err(Closed(value))),
            Err(TrySendError::Full(value)) => {
                self.value = Some(value);
                None
            }
        }
    }

    /// Joins those who wait, or stays among them, to be woken by `waker`.
    fn wait(&mut self, waker: &Waker) {
        let waiter = self.waiter.get_or_insert_with(|| {
            Arc::new(Waiter {
                waker: WakerCell::new(),
                link: Link::new(),
            })
        });
        waiter.waker.register(waker);
        // Refused while it is still there: then the wake-up is still to come, and finds the waker. If it had come before,
        // `register` would have seen that, and with it that the link was released.
        let _ = self.shared.waiters.post(Arc::clone(waiter));
    }
}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), Closed<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(ended) = self.attempt() {
            return Poll::Ready(ended);
        }
        self.wait(context.waker());
        fence(Ordering::SeqCst);
        self.attempt().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        // One that gives up does not stay in the mailbox, which would grow; the others just wait again.
        if self
            .waiter
            .as_ref()
            .is_some_and(|waiter| waiter.link.is_linked())
        {
            self.shared.wake_senders();
        }
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sending")
    }
}

/// Why a value was not sent. It comes back inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no room.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

/// The receiver is gone. The value comes back inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed<T>(pub T);

/// Why nothing was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// Nothing is there yet.
    Empty,
    /// All senders are gone, and everything was received.
    Closed,
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the channel has no room"),
            Self::Closed(_) => f.write_str("the receiver is gone"),
        }
    }
}

impl<T> fmt::Display for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the receiver is gone")
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the channel is empty"),
            Self::Closed => f.write_str("all senders are gone"),
        }
    }
}

impl<T: fmt::Debug> core::error::Error for TrySendError<T> {}
impl<T: fmt::Debug> core::error::Error for Closed<T> {}
impl core::error::Error for TryRecvError {}
