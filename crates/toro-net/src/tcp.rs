//! Blocking sockets with the names of `std::net`, over the stack of the running core.
//!
//! A socket belongs to the core that made it. Each call has a `poll_` sister for futures.

use core::cell::Cell;
use core::future::{self, Future};
use core::marker::PhantomData;
use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use toro_time::Instant;

use crate::calls::{ConnectionId, Shutdown};
use crate::error::{AcceptError, BindError, ConnectError, ReadError, WriteError};
use crate::poll::with_stack;

/// Keeps a socket on its core: a raw pointer is neither `Send` nor `Sync`.
type OnThisCore = PhantomData<*const ()>;

/// A bound port that takes connections.
///
/// Connections are completed, and their first bytes kept, whether or not somebody is in [`accept`](Self::accept).
#[derive(Debug)]
pub struct TcpListener {
    address: SocketAddrV4,
    ticket: Cell<Option<u64>>,
    core: OnThisCore,
}

impl TcpListener {
    /// Binds `address`; the unspecified address stands for each of ours, port 0 for a free one.
    ///
    /// # Errors
    /// Fails if the port is taken, the address is not ours, or this core has no network.
    pub fn bind(address: impl Into<SocketAddr>) -> Result<Self, BindError> {
        let address = match address.into() {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(address) if address.ip().is_unspecified() => {
                SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, address.port())
            }
            SocketAddr::V6(_) => return Err(BindError::NotOurAddress),
        };
        let bound = with_stack(|stack| stack.bind(address)).ok_or(BindError::NoStack)??;
        Ok(Self {
            address: bound,
            ticket: Cell::new(None),
            core: PhantomData,
        })
    }

    /// Takes the oldest connection; waits for one.
    ///
    /// # Errors
    /// Fails if the listener is closed.
    pub fn accept(&self) -> Result<(TcpStream, SocketAddr), AcceptError> {
        toro_sched::block_on_for("network", self.accepted())
    }

    /// As [`accept`](Self::accept), for futures.
    pub fn accepted(&self) -> Accept<'_> {
        Accept {
            listener: self,
            ticket: None,
        }
    }

    /// As [`accept`](Self::accept), for one poller per listener.
    pub fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(TcpStream, SocketAddr), AcceptError>> {
        let mut ticket = self.ticket.get();
        let polled = self.poll_with(&mut ticket, cx);
        self.ticket.set(ticket);
        polled
    }

    fn poll_with(
        &self,
        ticket: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(TcpStream, SocketAddr), AcceptError>> {
        let accepted = with_stack(|stack| {
            let id = core::task::ready!(stack.accept(self.address.port(), ticket, cx.waker()))?;
            let peer = stack.peer_addr(id).ok_or(AcceptError::Closed)?;
            Poll::Ready(Ok((TcpStream::new(id), SocketAddr::V4(peer))))
        });
        accepted.unwrap_or(Poll::Ready(Err(AcceptError::NoStack)))
    }

    /// The address it is bound to, with the port it got.
    pub fn local_addr(&self) -> SocketAddr {
        SocketAddr::V4(self.address)
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        with_stack(|stack| stack.unbind(Instant::now(), self.address.port()));
    }
}

/// The next connection of a listener; dropping it gives up the place in the line.
#[derive(Debug)]
pub struct Accept<'a> {
    listener: &'a TcpListener,
    ticket: Option<u64>,
}

impl Future for Accept<'_> {
    type Output = Result<(TcpStream, SocketAddr), AcceptError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let listener = self.listener;
        listener.poll_with(&mut self.ticket, cx)
    }
}

impl Drop for Accept<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            with_stack(|stack| stack.leave_line(self.listener.address.port(), ticket));
        }
    }
}

/// A TCP connection.
///
/// Dropping it delivers what was written and ends the stream, without waiting for that.
#[derive(Debug)]
pub struct TcpStream {
    id: ConnectionId,
    read_timeout: Cell<Option<Duration>>,
    write_timeout: Cell<Option<Duration>>,
    core: OnThisCore,
}

impl TcpStream {
    fn new(id: ConnectionId) -> Self {
        Self {
            id,
            read_timeout: Cell::new(None),
            write_timeout: Cell::new(None),
            core: PhantomData,
        }
    }

    /// Connects to `address`; waits until the peer has answered or the attempt is given up.
    ///
    /// # Errors
    /// Says how the attempt failed.
    pub fn connect(address: impl Into<SocketAddr>) -> Result<Self, ConnectError> {
        let stream = Self::start(address.into())?;
        toro_sched::block_on_for("network", future::poll_fn(|cx| stream.poll_connected(cx)))?;
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
        let stream = Self::start(address.into())?;
        let connected = future::poll_fn(|cx| stream.poll_connected(cx));
        let deadline = Instant::now() + timeout;
        match toro_sched::block_on_until(deadline, connected) {
            Some(outcome) => outcome.map(|()| stream),
            None => Err(ConnectError::TimedOut),
        }
    }

    /// Begins to connect; [`poll_connected`](Self::poll_connected) tells the outcome.
    ///
    /// # Errors
    /// Fails if the peer cannot be reached from here.
    pub fn start(address: SocketAddr) -> Result<Self, ConnectError> {
        let SocketAddr::V4(address) = address else {
            return Err(ConnectError::Unreachable);
        };
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
        let written = future::poll_fn(|cx| self.poll_write(cx, bytes));
        match self.write_timeout.get() {
            None => toro_sched::block_on_for("network", written),
            Some(timeout) => toro_sched::block_on_until(Instant::now() + timeout, written)
                .unwrap_or(Err(WriteError::TimedOut)),
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
            .map_or(NOBODY, SocketAddr::V4)
    }

    /// Our address; unspecified once the stack has forgotten the connection.
    pub fn local_addr(&self) -> SocketAddr {
        with_stack(|stack| stack.local_addr(self.id))
            .flatten()
            .map_or(NOBODY, SocketAddr::V4)
    }

    /// Limits how long a read may wait; `None` for no limit.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) {
        self.read_timeout.set(timeout);
    }

    /// Limits how long a write may wait; `None` for no limit.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) {
        self.write_timeout.set(timeout);
    }

    /// Sends small writes at once (`true`, as it is from the start) or lets them gather.
    pub fn set_nodelay(&self, nodelay: bool) {
        with_stack(|stack| stack.set_nodelay(self.id, nodelay));
    }

    /// Ends the connection with a reset; what was not yet delivered is lost.
    pub fn abort(self) {
        with_stack(|stack| stack.abort(Instant::now(), self.id));
    }

    fn reading(
        &self,
        read: impl Future<Output = Result<usize, ReadError>>,
    ) -> Result<usize, ReadError> {
        match self.read_timeout.get() {
            None => toro_sched::block_on_for("network", read),
            Some(timeout) => toro_sched::block_on_until(Instant::now() + timeout, read)
                .unwrap_or(Err(ReadError::TimedOut)),
        }
    }
}

const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Drop for TcpStream {
    fn drop(&mut self) {
        with_stack(|stack| stack.close(Instant::now(), self.id));
    }
}
