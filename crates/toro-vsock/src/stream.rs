//! [`VsockStream`]: a connection with the names of `std::net`, over the stack of the running core.
//!
//! A socket belongs to the core that made it. Each call has a sister for futures: `poll_` before its name, or the traits of
//! `embedded-io-async`.

use core::future::{self, Future};
use core::marker::PhantomData;
use core::task::{Context, Poll};
use core::time::Duration;

use toro_dev::socket::VsockAddr;
use toro_stream::{ReadError, Shutdown, Waits, WriteError, implement_io};
use toro_time::Instant;

use crate::calls::ConnectionId;
use crate::error::ConnectError;
use crate::poll::with_stack;

/// A connection.
///
/// Dropping it delivers what was written and ends the stream, without waiting for that.
#[derive(Debug)]
pub struct VsockStream {
    id: ConnectionId,
    waits: Waits,
    /// Keeps it on its core: a raw pointer is neither `Send` nor `Sync`.
    core: PhantomData<*const ()>,
}

impl VsockStream {
    pub(crate) fn new(id: ConnectionId) -> Self {
        Self {
            id,
            waits: Waits::for_ever(),
            core: PhantomData,
        }
    }

    /// Connects to `address`; waits until the peer has answered or the attempt is given up.
    ///
    /// # Errors
    /// Says how the attempt failed.
    pub fn connect(address: VsockAddr) -> Result<Self, ConnectError> {
        let stream = Self::start(address)?;
        toro_sched::block_on(future::poll_fn(|cx| stream.poll_connected(cx)))?;
        Ok(stream)
    }

    /// As [`connect`](Self::connect), but waits for at most `timeout`.
    ///
    /// # Errors
    /// Says how the attempt failed.
    pub fn connect_timeout(address: VsockAddr, timeout: Duration) -> Result<Self, ConnectError> {
        let stream = Self::start(address)?;
        let connected = future::poll_fn(|cx| stream.poll_connected(cx));
        match toro_sched::block_on_until(Instant::now() + timeout, connected) {
            Some(outcome) => outcome.map(|()| stream),
            None => Err(ConnectError::TimedOut),
        }
    }

    /// Begins to connect; [`poll_connected`](Self::poll_connected) tells the outcome.
    ///
    /// # Errors
    /// Fails if there are too many connections, or this core has no socket device.
    pub fn start(address: VsockAddr) -> Result<Self, ConnectError> {
        let id = with_stack(|stack| stack.connect(Instant::now(), address))
            .ok_or(ConnectError::NoStack)??;
        Ok(Self::new(id))
    }

    /// Whether the peer has answered.
    pub fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        with_stack(|stack| stack.poll_connected(self.id, cx.waker()))
            .unwrap_or(Poll::Ready(Err(ConnectError::NoStack)))
    }

    /// Reads what has arrived into `buffer`; waits for at least one byte. 0 means the end of the stream.
    ///
    /// # Errors
    /// Fails if the connection is gone, the read time-out has passed, or the stream is not to wait.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        self.reading(future::poll_fn(|cx| self.poll_read(cx, buffer)))
    }

    /// As [`read`](Self::read), for futures.
    pub fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, ReadError>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        with_stack(|stack| stack.read(self.id, buffer, cx.waker()))
            .unwrap_or(Poll::Ready(Err(ReadError::NoStack)))
    }

    /// Shows `look` all that has arrived, in place and without a copy, and takes as many bytes as it returns; waits for at least one byte.
    /// An empty slice means the end of the stream.
    ///
    /// `look` must not call a socket.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_in_place(&self, look: impl FnOnce(&[u8]) -> usize) -> Result<usize, ReadError> {
        let mut look = Some(look);
        self.reading(future::poll_fn(|cx| {
            let look = |bytes: &[u8]| look.take().map_or(0, |look| look(bytes));
            with_stack(|stack| stack.read_in_place(self.id, cx.waker(), look))
                .unwrap_or(Poll::Ready(Err(ReadError::NoStack)))
        }))
    }

    /// Sends what the peer has room for, and keeps some more; waits until something fits.
    ///
    /// # Errors
    /// Fails if the connection is gone, shut down for writing, the write time-out has passed, or the stream is not to wait.
    pub fn write(&self, bytes: &[u8]) -> Result<usize, WriteError> {
        if self.waits.is_nonblocking() && !self.can_write() {
            return Err(WriteError::WouldBlock);
        }
        let written = future::poll_fn(|cx| self.poll_write(cx, bytes));
        match self.waits.write_deadline() {
            None => toro_sched::block_on_for("host socket", written),
            Some(deadline) => {
                toro_sched::block_on_until(deadline, written).unwrap_or(Err(WriteError::TimedOut))
            }
        }
    }

    /// As [`write`](Self::write), for futures.
    pub fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, WriteError>> {
        with_stack(|stack| stack.write(self.id, bytes, cx.waker()))
            .unwrap_or(Poll::Ready(Err(WriteError::NoStack)))
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// As [`write`](Self::write); how much was written before is not known then.
    pub fn write_all(&self, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            let written = self.write(bytes)?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Whether a read would not wait.
    pub fn can_read(&self) -> bool {
        with_stack(|stack| stack.can_read(self.id)).unwrap_or(true)
    }

    /// Whether a write would not wait.
    pub fn can_write(&self) -> bool {
        with_stack(|stack| stack.can_write(self.id)).unwrap_or(true)
    }

    /// Shuts down one half of the connection, or both. The peer first gets all that was written.
    pub fn shutdown(&self, how: Shutdown) {
        with_stack(|stack| stack.shutdown(self.id, how));
    }

    /// The peer's address; zeroes once the stack has forgotten the connection.
    pub fn peer_addr(&self) -> VsockAddr {
        with_stack(|stack| stack.peer_addr(self.id))
            .flatten()
            .unwrap_or(NOBODY)
    }

    /// Our address; zeroes once the stack has forgotten the connection.
    pub fn local_addr(&self) -> VsockAddr {
        with_stack(|stack| stack.local_addr(self.id))
            .flatten()
            .unwrap_or(NOBODY)
    }

    /// Limits how long a read may wait; `None` for no limit.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) {
        self.waits.set_read(timeout);
    }

    /// Limits how long a write may wait; `None` for no limit.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) {
        self.waits.set_write(timeout);
    }

    /// Makes reads and writes wait, as they do from the start, or not.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.waits.set_nonblocking(nonblocking);
    }

    /// Ends the connection with a reset; what was not yet delivered is lost.
    pub fn abort(self) {
        with_stack(|stack| stack.abort(self.id));
    }

    fn reading(
        &self,
        read: impl Future<Output = Result<usize, ReadError>>,
    ) -> Result<usize, ReadError> {
        if self.waits.is_nonblocking() && !self.can_read() {
            return Err(ReadError::WouldBlock);
        }
        match self.waits.read_deadline() {
            None => toro_sched::block_on_for("host socket", read),
            Some(deadline) => {
                toro_sched::block_on_until(deadline, read).unwrap_or(Err(ReadError::TimedOut))
            }
        }
    }
}

implement_io!(VsockStream);

const NOBODY: VsockAddr = VsockAddr { cid: 0, port: 0 };

impl Drop for VsockStream {
    fn drop(&mut self) {
        with_stack(|stack| stack.close(Instant::now(), self.id));
    }
}
