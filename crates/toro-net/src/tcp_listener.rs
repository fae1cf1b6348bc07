//! [`TcpListener`]: a bound port with the names of `std::net`, over the stack of the running core.

use core::cell::Cell;
use core::future::Future;
use core::marker::PhantomData;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::pin::Pin;
use core::task::{Context, Poll};

use toro_stream::AcceptError;
use toro_time::Instant;

use crate::error::BindError;
use crate::poll::with_stack;
use crate::tcp::{OnThisCore, TcpStream};

/// A bound port that takes connections.
///
/// Connections are completed, and their first bytes kept, whether or not somebody is in [`accept`](Self::accept).
#[derive(Debug)]
pub struct TcpListener {
    address: SocketAddrV4,
    ticket: Cell<Option<u64>>,
    nonblocking: Cell<bool>,
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
            nonblocking: Cell::new(false),
            core: PhantomData,
        })
    }

    /// Takes the oldest connection; waits for one.
    ///
    /// # Errors
    /// Fails if the listener is closed, or if it is [not to wait](Self::set_nonblocking) and there is none.
    pub fn accept(&self) -> Result<(TcpStream, SocketAddr), AcceptError> {
        let would_block = self.nonblocking.get()
            && with_stack(|stack| !stack.can_accept(self.address.port())).unwrap_or(false);
        if would_block {
            return Err(AcceptError::WouldBlock);
        }
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
            Poll::Ready(Ok((TcpStream::new(id), peer)))
        });
        accepted.unwrap_or(Poll::Ready(Err(AcceptError::NoStack)))
    }

    /// The address it is bound to, with the port it got.
    pub fn local_addr(&self) -> SocketAddr {
        SocketAddr::V4(self.address)
    }

    /// Makes [`accept`](Self::accept) fail where it would wait (`true`), or wait. Futures wait in any case.
    ///
    /// The stack takes its turns on a thread of this core: who asks again and again must yield in between.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.set(nonblocking);
    }

    /// Lets at most `backlog` requests and connections wait to be accepted. Requests beyond are dropped, and their peers
    /// ask again.
    pub fn set_backlog(&self, backlog: usize) {
        with_stack(|stack| stack.limit(self.address.port(), Some(backlog), None));
    }

    /// Lets at most `most` connections of this listener exist at a time, of those that come from now on; requests beyond
    /// are dropped, and their peers ask again.
    pub fn set_max_connections(&self, most: usize) {
        with_stack(|stack| stack.limit(self.address.port(), None, Some(most)));
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
