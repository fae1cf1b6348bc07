//! [`TcpStream`]: a connection with the names of `std::net`, over the stack of the running core.
//!
//! A socket belongs to the core that made it. Each call has a sister for futures: `poll_` before its name, or the traits
//! of `embedded-io-async`.

use core::cell::Cell;
use core::future::{self, Future};
use core::marker::PhantomData;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::{Context, Poll};
use core::time::Duration;

use toro_stream::{ReadError, Shutdown, Waits, WriteError, implement_io};
use toro_time::Instant;

use crate::calls::ConnectionId;
use crate::error::ConnectError;
use crate::poll::with_stack;

/// Keeps a socket on its core: a raw pointer is neither `Send` nor `Sync`.
pub(crate) type OnThisCore = PhantomData<*const ()>;

/// A TCP connection.
///
/// Dropping it delivers what was written and ends the stream, without waiting for that (but see
/// [`set_linger`](Self::set_linger)).
#[derive(Debug)]
pub struct TcpStream {
    id: ConnectionId,
    waits: Waits,
    linger: Cell<Option<Duration>>,
    error_taken: Cell<bool>,
    core: OnThisCore,
}

impl TcpStream {
    pub(crate) fn new(id: ConnectionId) -> Self {
        Self {
            id,
            waits: Waits::for_ever(),
            linger: Cell::new(None),
            error_taken: Cell::new(false),
            core: PhantomData,
        }
    }

    /// Connects to `address`; waits until the peer has answered or the attempt is given up.
    ///
    /// # Errors
    /// Says how the attempt failed.
    pub fn connect(address: impl Into<SocketAddr>) -> Result<Self, ConnectError> {
        toro_sched::block_on_for("network", Self::connected(address))
    }

    /// As [`connect`](Self::connect), for futures.
    ///
    /// # Errors
    /// Says how the attempt failed.
    pub async fn connected(address: impl Into<SocketAddr>) -> Result<Self, ConnectError> {
        let stream = Self::start(address.into())?;
        future::poll_fn(|cx| stream.poll_connected(cx)).await?;
        Ok(stream)
    }

    /// As [`connect`](Self::connect), but waits for at most `timeout`.
    ///
    /// # Errors
    /// Says how the attempt failed.
    pub fn connect_timeout(
        address: impl Into<SocketAddr>,
        timeout: Duration,
    ) -> Result<Self, ConnectError> {
        toro_sched::block_on_until(Instant::now() + timeout, Self::connected(address))
            .unwrap_or(Err(ConnectError::TimedOut))
    }

    /// Begins to connect; [`poll_connected`](Self::poll_connected) tells the outcome.
    ///
    /// # Errors
    /// Fails if the peer cannot be reached from here.
    pub fn start(address: SocketAddr) -> Result<Self, ConnectError> {
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
    /// Fails if the connection is gone or the read timeout has passed.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        self.reading(future::poll_fn(|cx| self.poll_read(cx, buffer)))
    }

    /// As [`read`](Self::read), for futures.
    pub fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, ReadError>> {
        with_stack(|stack| stack.read(self.id, buffer, cx.waker()))
            .unwrap_or(Poll::Ready(Err(ReadError::NoStack)))
    }

    /// Shows `look` what has arrived, in place and without a copy, and takes as many bytes as it returns; waits for
    /// at least one byte. An empty slice means the end of the stream.
    ///
    /// `look` must not call a socket. It sees the bytes that lie in one piece: there may be more behind them.
    ///
    /// # Errors
    /// Fails if the connection is gone or the read timeout has passed.
    pub fn read_in_place(&self, look: impl FnOnce(&[u8]) -> usize) -> Result<usize, ReadError> {
        let mut look = Some(look);
        self.reading(future::poll_fn(|cx| {
            let look = |bytes: &[u8]| look.take().map_or(0, |look| look(bytes));
            with_stack(|stack| stack.read_in_place(self.id, cx.waker(), look))
                .unwrap_or(Poll::Ready(Err(ReadError::NoStack)))
        }))
    }

    /// Copies what has arrived into `buffer` without taking it; waits for at least one byte.
    ///
    /// # Errors
    /// Fails if the connection is gone or the read timeout has passed.
    pub fn peek(&self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let mut seen = 0;
        self.read_in_place(|bytes| {
            seen = bytes.len().min(buffer.len());
            buffer[..seen].copy_from_slice(&bytes[..seen]);
            0
        })?;
        Ok(seen)
    }

    /// Writes what fits of `bytes` into the send ring and sends it; waits until something fits.
    ///
    /// # Errors
    /// Fails if the connection is gone, shut down for writing, or the write timeout has passed.
    pub fn write(&self, bytes: &[u8]) -> Result<usize, WriteError> {
        if self.waits.is_nonblocking() && !self.can_write() {
            return Err(WriteError::WouldBlock);
        }
        let written = future::poll_fn(|cx| self.poll_write(cx, bytes));
        match self.waits.write_deadline() {
            None => toro_sched::block_on_for("network", written),
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
        with_stack(|stack| stack.write(Instant::now(), self.id, bytes, cx.waker()))
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

    /// Shuts down one half of the connection, or both. The peer first gets all that was written.
    pub fn shutdown(&self, how: Shutdown) {
        with_stack(|stack| stack.shutdown(Instant::now(), self.id, how));
    }

    /// The peer's address; unspecified once the stack has forgotten the connection.
    pub fn peer_addr(&self) -> SocketAddr {
        with_stack(|stack| stack.peer_addr(self.id))
            .flatten()
            .unwrap_or(NOBODY)
    }

    /// Our address; unspecified once the stack has forgotten the connection.
    pub fn local_addr(&self) -> SocketAddr {
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

    /// Sends small writes at once (`true`, as it is from the start) or lets them gather.
    pub fn set_nodelay(&self, nodelay: bool) {
        with_stack(|stack| stack.set_nodelay(self.id, nodelay));
    }

    /// Whether small writes are sent at once.
    pub fn nodelay(&self) -> bool {
        with_stack(|stack| stack.nodelay(self.id)).unwrap_or(true)
    }

    /// Asks a silent peer for a sign of life after each `interval`; `None` for never. 75 s from the start.
    pub fn set_keepalive(&self, interval: Option<Duration>) {
        with_stack(|stack| stack.set_keepalive(self.id, interval));
    }

    /// Makes reads and writes fail where they would wait (`true`), or wait. Futures wait in any case.
    ///
    /// The stack takes its turns on a thread of this core: who asks again and again must yield in between.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.waits.set_nonblocking(nonblocking);
    }

    /// Says what dropping does: by default what was written is delivered afterwards. With a time, dropping waits for the
    /// peer to acknowledge everything, at most so long; with a time of zero the connection is reset and the rest is lost.
    ///
    /// A drop that waits parks its thread: in a task it would hold up all tasks of the core.
    pub fn set_linger(&self, linger: Option<Duration>) {
        self.linger.set(linger);
    }

    /// What dropping waits for, see [`set_linger`](Self::set_linger).
    pub fn linger(&self) -> Option<Duration> {
        self.linger.get()
    }

    /// How the connection has ended, if not by the end of both streams; told once.
    pub fn take_error(&self) -> Option<ReadError> {
        let error = with_stack(|stack| stack.error(self.id)).flatten()?;
        (!self.error_taken.replace(true)).then_some(error)
    }

    /// Whether a read would not wait.
    pub fn can_read(&self) -> bool {
        with_stack(|stack| stack.can_read(self.id)).unwrap_or(true)
    }

    /// Whether a write of a byte would not wait.
    pub fn can_write(&self) -> bool {
        with_stack(|stack| stack.can_write(self.id)).unwrap_or(true)
    }

    /// Ends the connection with a reset; what was not yet delivered is lost.
    pub fn abort(self) {
        with_stack(|stack| stack.abort(Instant::now(), self.id));
    }

    fn reading(
        &self,
        read: impl Future<Output = Result<usize, ReadError>>,
    ) -> Result<usize, ReadError> {
        if self.waits.is_nonblocking() && !self.can_read() {
            return Err(ReadError::WouldBlock);
        }
        match self.waits.read_deadline() {
            None => toro_sched::block_on_for("network", read),
            Some(deadline) => {
                toro_sched::block_on_until(deadline, read).unwrap_or(Err(ReadError::TimedOut))
            }
        }
    }
}

implement_io!(TcpStream);

/// Stands for the address of a socket that the stack has forgotten.
pub(crate) const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Drop for TcpStream {
    fn drop(&mut self) {
        match self.linger.get() {
            None => {}
            Some(Duration::ZERO) => {
                with_stack(|stack| stack.abort(Instant::now(), self.id));
                return;
            }
            Some(patience) => {
                self.shutdown(Shutdown::Write);
                let delivered = future::poll_fn(|cx| {
                    with_stack(|stack| stack.poll_delivered(self.id, cx.waker()))
                        .unwrap_or(Poll::Ready(()))
                });
                // Late or not, the stack goes on by itself from here.
                let _ = toro_sched::block_on_until(Instant::now() + patience, delivered);
            }
        }
        with_stack(|stack| stack.close(Instant::now(), self.id));
    }
}
