//! [`Channel`]: how messages get to a server and answers back.

use toro_dev::fuse::{FuseError, Message};

/// The way to a FUSE server: a device with its thread ([`Link`](crate::Link)), or a test.
pub trait Channel {
    /// Sends a message that is answered, and waits for that: parked, not longer than the channel is patient.
    ///
    /// Returns the message, and how many bytes of its answer were written: not more than it has room for.
    ///
    /// # Errors
    /// Fails if the server does not answer. Its buffers are then lost: the server may still write to them.
    fn call(&self, message: Message) -> Result<(Message, usize), FuseError>;

    /// Sends a message whose answer nobody waits for, or that has none. May park until there is room for it.
    ///
    /// It is dropped if the server does not answer any more.
    fn cast(&self, message: Message);
}
