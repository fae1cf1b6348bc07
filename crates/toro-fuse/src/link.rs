//! [`Link`]: a device of this core as the way to its server.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;

use toro_dev::fuse::{FuseDevice, FuseError, Message};
use toro_dev::owner::DeviceName;
use toro_sched::{block_on_until, park, yield_now};
use toro_time::Instant;

use crate::channel::Channel;
use crate::engine::{Call, Engine, Outcome, Submitted};

/// A server that takes longer does not answer. Hosts stall for seconds when they are busy.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long a server is tried that did not answer the last time.
const TRY: Duration = Duration::from_secs(1);

/// A shared folder of this core: its device, and whoever waits for answers.
pub struct Link {
    name: DeviceName,
    tag: String,
    patience: Duration,
    /// Borrowed for single steps, never while a waker runs.
    engine: RefCell<Engine>,
}

impl Link {
    pub(crate) fn new(name: DeviceName, device: Box<dyn FuseDevice>, patience: Duration) -> Self {
        Self {
            name,
            tag: device.info().tag.clone(),
            patience,
            engine: RefCell::new(Engine::new(device)),
        }
    }

    /// Its name: `fs0` is the first shared folder of the machine.
    pub fn name(&self) -> DeviceName {
        self.name
    }

    /// As the host calls it.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// How many messages that are answered can be in flight.
    pub fn depth(&self) -> u16 {
        self.engine.borrow().info().depth
    }

    /// Sends a message when there is room, but not later than `deadline`; `None` if nobody waits for its answer.
    fn submit(
        &self,
        message: Message,
        awaited: bool,
        deadline: Instant,
    ) -> Result<Option<Rc<Call>>, FuseError> {
        let mut waiting = Some(message);
        let submitted = poll_fn(|context| {
            let message = waiting.take().expect("it is put back while it waits");
            let mut engine = self.engine.borrow_mut();
            match engine.submit(message, awaited) {
                Submitted::Call(call) => Poll::Ready(Ok(Some(call))),
                Submitted::Cast => Poll::Ready(Ok(None)),
                Submitted::Never(error) => Poll::Ready(Err(error)),
                Submitted::Full(message) => {
                    waiting = Some(message);
                    engine.await_room(context.waker());
                    Poll::Pending
                }
            }
        });
        block_on_until(deadline, submitted).unwrap_or(Err(FuseError::TimedOut))
    }

    fn deadline(&self) -> Instant {
        let silent = self.engine.borrow().is_silent();
        Instant::now() + if silent { TRY } else { self.patience }
    }

    /// Takes the answers, for ever: the body of the device's thread.
    pub(crate) fn work(&self) -> ! {
        let waker = toro_sched::current().waker();
        let mut woken = Vec::new();
        loop {
            let is_idle = self.engine.borrow_mut().turn(&waker, &mut woken);
            woken.drain(..).for_each(Waker::wake);
            match is_idle {
                true => park(),
                false => yield_now(),
            }
        }
    }
}

impl Channel for Link {
    fn call(&self, message: Message) -> Outcome {
        let deadline = self.deadline();
        let Some(call) = self.submit(message, true, deadline)? else {
            return Err(FuseError::Failed);
        };
        let answered = poll_fn(|context| call.poll(context.waker()));
        block_on_until(deadline, answered).unwrap_or_else(|| {
            if !self.engine.borrow().is_silent() {
                log::error!("{}: the host does not answer", self.name);
            }
            let woken = self.engine.borrow_mut().give_up(&call);
            woken.into_iter().for_each(Waker::wake);
            Err(FuseError::TimedOut)
        })
    }

    fn cast(&self, message: Message) {
        if let Err(error) = self.submit(message, false, self.deadline()) {
            log::debug!("{}: a message was dropped: {error}", self.name);
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({}, {})", self.name, self.tag)
    }
}
