//! [`Extension`]: parts of a stack that come with the first socket that needs them.
//!
//! TCP over IPv4 is always there. What else there is hangs on the stack behind a trait object that only its own sockets
//! make, so that an image without such sockets has none of its code, and no packet of TCP passes by it.

use alloc::boxed::Box;
use core::any::Any;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use toro_time::Instant;

use crate::stack::Stack;
use crate::stats::DropReason;

/// A part of a stack, which is lent the rest of it for each call.
pub(crate) trait Extension: Any {
    /// Looks at a frame that TCP over IPv4 has dropped for `reason`; `trusted` says that the device vouches for its
    /// transport checksum.
    ///
    /// # Errors
    /// Says why nobody takes it: `reason`, if this part knows no better.
    fn take(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        frame: Dropped<'_>,
    ) -> Result<(), DropReason>;

    /// Does what is due, and sends what waited.
    fn advance(&mut self, stack: &mut Stack, now: Instant);

    /// When [`advance`](Self::advance) is to be called, if nothing is received before.
    fn next_deadline(&self) -> Option<Instant>;

    /// The sockets that are not TCP's.
    fn sockets(&mut self) -> &mut dyn Any;

    /// The two addresses of IPv4, ours first, that stand for those of a connection to `remote`; `None` if it cannot be reached.
    fn stand_in(
        &mut self,
        _: &mut Stack,
        _: Instant,
        _remote: Ipv6Addr,
    ) -> Option<(Ipv4Addr, Ipv4Addr)> {
        None
    }

    /// The addresses, that of the peer first, that the peer's address `_stand_in` stands for, if it is no true one.
    fn meant(&self, _stand_in: Ipv4Addr) -> Option<(Ipv6Addr, Ipv6Addr)> {
        None
    }
}

/// A frame that TCP over IPv4 did not want.
#[derive(Clone, Copy)]
pub(crate) struct Dropped<'a> {
    pub(crate) bytes: &'a [u8],
    /// The device vouches for its transport checksum.
    pub(crate) trusted: bool,
    pub(crate) reason: DropReason,
}

impl Stack {
    /// Offers a frame that was dropped to whoever else there is.
    pub(crate) fn offer(&mut self, now: Instant, frame: Dropped<'_>) -> Result<(), DropReason> {
        let Some(mut extension) = self.extension.take() else {
            return Err(frame.reason);
        };
        let taken = extension.take(self, now, frame);
        self.extension = Some(extension);
        taken
    }

    /// Lets the extensions do what is due.
    pub(crate) fn advance_extensions(&mut self, now: Instant) {
        if let Some(mut extension) = self.extension.take() {
            extension.advance(self, now);
            self.extension = Some(extension);
        }
    }

    /// Calls `f` with the extension `E`, which is made if it is not there yet.
    pub(crate) fn with_extension<E: Extension, R>(
        &mut self,
        make: impl FnOnce(&Self) -> E,
        f: impl FnOnce(&mut E, &mut Self) -> R,
    ) -> R {
        let mut extension = match self.extension.take() {
            Some(extension) => extension,
            None => Box::new(make(self)),
        };
        let any = extension.sockets();
        let extended = any.downcast_mut().expect("there is one kind of sockets");
        let result = f(extended, self);
        self.extension = Some(extension);
        result
    }

    /// The two addresses that stand for those of a connection to `remote`; `None` if it cannot be reached.
    pub(crate) fn stand_in(
        &mut self,
        now: Instant,
        remote: Ipv6Addr,
    ) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let mut extension = self.extension.take()?;
        let stand_in = extension.stand_in(self, now, remote);
        self.extension = Some(extension);
        stand_in
    }

    /// The true ends, the peer's first, of a connection that has these to the stack.
    pub fn meant(&self, peer: SocketAddrV4, local: SocketAddrV4) -> (SocketAddr, SocketAddr) {
        let extension = self.extension.as_ref();
        match extension.and_then(|extension| extension.meant(*peer.ip())) {
            Some((remote, own)) => ((remote, peer.port()).into(), (own, local.port()).into()),
            None => (peer.into(), local.into()),
        }
    }
}
