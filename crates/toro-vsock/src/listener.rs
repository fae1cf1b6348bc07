//! [`VsockListener`]: a bound port.

use core::cell::Cell;
use core::future::poll_fn;
use core::marker::PhantomData;
use core::task::{Context, Poll, Waker};

use toro_dev::socket::VsockAddr;
use toro_stream::AcceptError;

use crate::error::BindError;
use crate::poll::with_stack;
use crate::stream::VsockStream;

/// A bound port that takes connections.
///
/// Connections are completed, and what they send is kept, whether or not somebody is in [`accept`](Self::accept).
#[derive(Debug)]
pub struct VsockListener {
    port: u32,
    is_nonblocking: Cell<bool>,
    /// Keeps it on its core: a raw pointer is neither `Send` nor `Sync`.
    core: PhantomData<*const ()>,
}

impl VsockListener {
    /// Binds `port`; 0 stands for a free one.
    ///
    /// # Errors
    /// Fails if the port is taken, or this core has no socket device.
    pub fn bind(port: u32) -> Result<Self, BindError> {
        let port = with_stack(|stack| stack.bind(port)).ok_or(BindError::NoStack)??;
        Ok(Self {
            port,
            is_nonblocking: Cell::new(false),
            core: PhantomData,
        })
    }

    /// Takes the oldest connection; waits for one.
    ///
    /// # Errors
    /// Fails if the listener is closed, or it is not to wait and nobody is there.
    pub fn accept(&self) -> Result<(VsockStream, VsockAddr), AcceptError> {
        if !self.is_nonblocking.get() {
            return toro_sched::block_on(self.accepted());
        }
        match self.poll_accept(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(accepted) => accepted,
            Poll::Pending => Err(AcceptError::WouldBlock),
        }
    }

    /// As [`accept`](Self::accept), for futures.
    ///
    /// # Errors
    /// Fails if the listener is closed.
    pub async fn accepted(&self) -> Result<(VsockStream, VsockAddr), AcceptError> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// As [`accepted`](Self::accepted), one step of it.
    pub fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(VsockStream, VsockAddr), AcceptError>> {
        let accepted = with_stack(|stack| {
            let id = core::task::ready!(stack.accept(self.port, cx.waker()))?;
            let peer = stack.peer_addr(id).ok_or(AcceptError::Closed)?;
            Poll::Ready(Ok((VsockStream::new(id), peer)))
        });
        accepted.unwrap_or(Poll::Ready(Err(AcceptError::NoStack)))
    }

    /// Makes [`accept`](Self::accept) wait, as it does from the start, or not.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.is_nonblocking.set(nonblocking);
    }

    /// The address it is bound to, with the port it got.
    pub fn local_addr(&self) -> VsockAddr {
        VsockAddr {
            cid: with_stack(|stack| stack.cid()).unwrap_or(0),
            port: self.port,
        }
    }
}

impl Drop for VsockListener {
    fn drop(&mut self) {
        with_stack(|stack| stack.unbind(self.port));
    }
}
