//! Channels whose ends park: [`toro_queue::channel`] with faces for threads beside those for tasks.
//!
//! ```ignore
//! let (sender, mut receiver) = channel(64);
//! Builder::new().spawn_on(1, move || sender.send(7))?;
//! assert_eq!(receiver.recv(), Some(7));
//! ```

use toro_queue::channel as queue;
pub use toro_queue::channel::{Closed, TryRecvError, TrySendError};

use crate::wait;

/// Makes a channel for `capacity` values, rounded up to a power of two. Either end may be on any core, in a thread or a task.
///
/// Values of one sender arrive in their order. What is sent is moved, not copied: send a `Box` or a buffer to hand it over.
pub fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = queue::channel(capacity);
    (Sender(sender), Receiver(receiver))
}

/// The end that values are put into. Clones send to the same receiver.
#[derive(Debug)]
pub struct Sender<T>(queue::Sender<T>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send> Sender<T> {
    /// Sends `value`, parked until there is room.
    ///
    /// # Errors
    /// Hands `value` back if the receiver is gone.
    pub fn send(&self, value: T) -> Result<(), Closed<T>> {
        wait::block_on_for("channel, to send", self.0.send(value))
    }

    /// Sends `value` if there is room.
    ///
    /// # Errors
    /// Hands `value` back if there is no room, or no receiver any more.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.0.try_send(value)
    }

    /// Sends `value` when there is room: [`send`](Self::send) for tasks.
    ///
    /// # Errors
    /// Hands `value` back if the receiver is gone.
    pub async fn send_async(&self, value: T) -> Result<(), Closed<T>> {
        self.0.send(value).await
    }
}

/// The end that values are taken out of.
#[derive(Debug)]
pub struct Receiver<T>(queue::Receiver<T>);

impl<T: Send> Receiver<T> {
    /// Takes the oldest value, parked until there is one; `None` when all senders are gone and everything was received.
    pub fn recv(&mut self) -> Option<T> {
        wait::block_on_for("channel, to receive", self.0.recv())
    }

    /// Takes the oldest value if there is one.
    ///
    /// # Errors
    /// Fails if nothing is there; [`TryRecvError::Closed`] if nothing can come any more.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.0.try_recv()
    }

    /// Takes the oldest value when there is one: [`recv`](Self::recv) for tasks.
    pub async fn recv_async(&mut self) -> Option<T> {
        self.0.recv().await
    }
}
