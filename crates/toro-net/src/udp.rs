//! [`UdpSocket`]: datagrams with the names of `std::net`, over the stack of the running core.
//!
//! A socket belongs to the core that made it. Datagrams longer than the card's packets are refused, and fragments of the
//! peer's are dropped.

use core::cell::Cell;
use core::future;
use core::marker::PhantomData;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use core::time::Duration;

use toro_time::Instant;

use crate::datagram_calls::UdpId;
use crate::error::{BindError, ReceiveError, SendError};
use crate::poll::with_stack;
use crate::tcp::{NOBODY, OnThisCore};

/// A bound UDP port.
///
/// Up to 64 KiB of datagrams wait to be received; what comes beyond is lost and [counted](Self::lost).
#[derive(Debug)]
pub struct UdpSocket {
    id: UdpId,
    read_timeout: Cell<Option<Duration>>,
    nonblocking: Cell<bool>,
    core: OnThisCore,
}

impl UdpSocket {
    /// Binds `address`; the unspecified address stands for each of ours, port 0 for a random one.
    ///
    /// # Errors
    /// Fails if the port is taken, the address is not ours, or this core has no network.
    pub fn bind(address: impl Into<SocketAddr>) -> Result<Self, BindError> {
        let address = address.into();
        let id = with_stack(|stack| stack.udp_bind(address)).ok_or(BindError::NoStack)??;
        Ok(Self {
            id,
            read_timeout: Cell::new(None),
            nonblocking: Cell::new(false),
            core: PhantomData,
        })
    }

    /// Takes datagrams from `peer` alone from now on, and lets [`send`](Self::send) send there.
    pub fn connect(&self, peer: impl Into<SocketAddr>) {
        let peer = peer.into();
        with_stack(|stack| stack.udp_connect(self.id, Some(peer)));
    }

    /// Sends a datagram to `to`. Never waits: it leaves when the station of the next hop is known, or is lost.
    ///
    /// # Errors
    /// Fails if it cannot leave from here; whether it arrives is not known.
    pub fn send_to(&self, bytes: &[u8], to: impl Into<SocketAddr>) -> Result<usize, SendError> {
        self.send_anywhere(bytes, Some(to.into()))
    }

    /// Sends a datagram to the peer that the socket is connected to, as [`send_to`](Self::send_to) does.
    ///
    /// # Errors
    /// Fails if there is no such peer, if it has said that it has no such port, or if the datagram cannot leave.
    pub fn send(&self, bytes: &[u8]) -> Result<usize, SendError> {
        self.send_anywhere(bytes, None)
    }

    fn send_anywhere(&self, bytes: &[u8], to: Option<SocketAddr>) -> Result<usize, SendError> {
        with_stack(|stack| stack.udp_send(Instant::now(), self.id, to, bytes))
            .ok_or(SendError::NoStack)??;
        Ok(bytes.len())
    }

    /// Takes the oldest datagram into `buffer` and says how long it is and where it came from; waits for one. What does
    /// not fit into `buffer` is lost.
    ///
    /// # Errors
    /// Fails if the read timeout has passed, if the socket is [not to wait](Self::set_nonblocking), or if the peer that
    /// it is connected to has said that it has no such port.
    pub fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), ReceiveError> {
        let is_ready = || with_stack(|stack| stack.udp_can_receive(self.id)).unwrap_or(true);
        if self.nonblocking.get() && !is_ready() {
            return Err(ReceiveError::WouldBlock);
        }
        let received = future::poll_fn(|cx| self.poll_recv_from(cx, buffer));
        match self.read_timeout.get() {
            None => toro_sched::block_on_for("network", received),
            Some(timeout) => toro_sched::block_on_until(Instant::now() + timeout, received)
                .unwrap_or(Err(ReceiveError::TimedOut)),
        }
    }

    /// As [`recv_from`](Self::recv_from), without the sender.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    pub fn recv(&self, buffer: &mut [u8]) -> Result<usize, ReceiveError> {
        self.recv_from(buffer).map(|(len, _)| len)
    }

    /// As [`recv_from`](Self::recv_from), for futures.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from), but it always waits.
    pub async fn received_from(
        &self,
        buffer: &mut [u8],
    ) -> Result<(usize, SocketAddr), ReceiveError> {
        future::poll_fn(|cx| self.poll_recv_from(cx, buffer)).await
    }

    /// As [`recv_from`](Self::recv_from), for one poller per socket.
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<(usize, SocketAddr), ReceiveError>> {
        with_stack(|stack| stack.udp_receive(self.id, buffer, cx.waker()))
            .unwrap_or(Poll::Ready(Err(ReceiveError::NoStack)))
    }

    fn state(&self) -> Option<(SocketAddr, Option<SocketAddr>, u64)> {
        with_stack(|stack| stack.udp_state(self.id)).flatten()
    }

    /// The address it is bound to, with the port it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.state().map_or(NOBODY, |(local, _, _)| local)
    }

    /// The peer it is connected to.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.state()?.1
    }

    /// How many datagrams were lost because too many waited already.
    pub fn lost(&self) -> u64 {
        self.state().map_or(0, |(_, _, lost)| lost)
    }

    /// Lets so many bytes wait to be received, with 64 for each datagram besides.
    pub fn set_room(&self, bytes: usize) {
        with_stack(|stack| stack.udp_set_room(self.id, bytes));
    }

    /// Limits how long a receive may wait; `None` for no limit.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) {
        self.read_timeout.set(timeout);
    }

    /// Makes receives fail where they would wait (`true`), or wait. Futures wait in any case.
    ///
    /// The stack takes its turns on a thread of this core: who asks again and again must yield in between.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.set(nonblocking);
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        with_stack(|stack| stack.udp_close(self.id));
    }
}
