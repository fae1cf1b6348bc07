//! [`Pending`]: a request on its way.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use toro_dev::block::{BlockError, Refused, Request};

use crate::disk::Disk;
use crate::engine::{Outcome, Ticket};

/// A future that ends when its request does, with the buffer and whether it was carried out.
///
/// A request that found room is in flight at once, whether the future is polled or not; it moves when the running thread next waits.
/// Dropping the future does not stop the request.
#[must_use = "whether the request was carried out is known only here"]
pub struct Pending {
    disk: Disk,
    stage: Stage,
}

enum Stage {
    /// There was no room yet.
    Waiting(Request),
    /// It can never be carried out.
    Refused(Request, BlockError),
    InFlight(Ticket),
    Ended,
}

impl Pending {
    pub(crate) fn new(disk: Disk, request: Request) -> Self {
        let stage = Stage::submit(&disk, request);
        Self { disk, stage }
    }
}

impl Stage {
    fn submit(disk: &Disk, request: Request) -> Self {
        match disk.submit_now(request) {
            Ok(ticket) => Self::InFlight(ticket),
            Err(Refused::Full(request)) => Self::Waiting(request),
            Err(Refused::Never(request, error)) => Self::Refused(request, error),
        }
    }
}

impl Future for Pending {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut stage = core::mem::replace(&mut self.stage, Stage::Ended);
        if let Stage::Waiting(request) = stage {
            stage = Stage::submit(&self.disk, request);
        }
        match stage {
            Stage::Waiting(request) => {
                self.disk
                    .with_engine(|engine| engine.await_room(context.waker()));
                self.stage = Stage::Waiting(request);
                Poll::Pending
            }
            Stage::Refused(request, error) => Poll::Ready((request.op.into_buf(), Err(error))),
            Stage::InFlight(ticket) => {
                let polled = self
                    .disk
                    .with_engine(|engine| engine.poll(ticket, context.waker()));
                if polled.is_pending() {
                    self.stage = Stage::InFlight(ticket);
                }
                polled
            }
            Stage::Ended => panic!("a request ends once"),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Stage::InFlight(ticket) = self.stage {
            self.disk.with_engine(|engine| engine.forget(ticket));
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({})", self.disk.name())
    }
}
