//! [`Engine`]: the messages in flight on one device, and who waits for them. Blocks nobody.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::{Poll, Waker};

use toro_dev::fuse::{Completion, FuseDevice, FuseError, FuseInfo, Message, Refused, Token};

/// How a message ended: with how many bytes of its answer written.
pub(crate) type Outcome = Result<(Message, usize), FuseError>;

/// A message on its way, for whoever waits for its answer.
pub(crate) struct Call {
    token: Token,
    stage: RefCell<Stage>,
}

enum Stage {
    Waiting(Option<Waker>),
    Done(Outcome),
    Taken,
}

/// The messages in flight on one device.
pub(crate) struct Engine {
    device: Box<dyn FuseDevice>,
    /// By token; `None` if nobody waits.
    calls: Vec<Option<Rc<Call>>>,
    /// Who waits for room.
    queue: Vec<Waker>,
    /// Someone has waited in vain, and nothing was answered since.
    is_silent: bool,
}

/// What became of a message that was to be sent.
pub(crate) enum Submitted {
    /// It is on its way.
    Call(Rc<Call>),
    /// It is on its way, and nobody waits for it.
    Cast,
    /// There is no room now.
    Full(Message),
    /// It cannot be sent.
    Never(FuseError),
}

impl Engine {
    /// Nothing in flight on `device`.
    pub(crate) fn new(device: Box<dyn FuseDevice>) -> Self {
        Self {
            device,
            calls: Vec::new(),
            queue: Vec::new(),
            is_silent: false,
        }
    }

    /// What the device is.
    pub(crate) fn info(&self) -> &FuseInfo {
        self.device.info()
    }

    /// Whether the device has not answered in time and not since.
    pub(crate) fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// Sends a message; `awaited` if someone waits for its answer.
    pub(crate) fn submit(&mut self, message: Message, awaited: bool) -> Submitted {
        let token = match self.device.submit(message) {
            Ok(token) => token,
            // Nothing comes back: there will be no room.
            Err(Refused::Full(_)) if self.is_silent => {
                return Submitted::Never(FuseError::TimedOut);
            }
            Err(Refused::Full(message)) => return Submitted::Full(message),
            Err(Refused::Never(_, error)) => return Submitted::Never(error),
        };
        self.device.kick();
        let Some(token) = token.filter(|_| awaited) else {
            return Submitted::Cast;
        };
        let call = Rc::new(Call {
            token,
            stage: RefCell::new(Stage::Waiting(None)),
        });
        let index = usize::from(token.0);
        if self.calls.len() <= index {
            self.calls.resize(index + 1, None);
        }
        self.calls[index] = Some(call.clone());
        Submitted::Call(call)
    }

    /// Gives up waiting for an answer: the device is silent. Returns who waits for room, to be told.
    pub(crate) fn give_up(&mut self, call: &Rc<Call>) -> Vec<Waker> {
        let place = self.calls.get_mut(usize::from(call.token.0));
        if let Some(place) = place
            && place.as_ref().is_some_and(|known| Rc::ptr_eq(known, call))
        {
            *place = None;
        }
        self.is_silent = true;
        core::mem::take(&mut self.queue)
    }

    /// Has `waker` woken when there may be room for another message.
    pub(crate) fn await_room(&mut self, waker: &Waker) {
        if !self.queue.iter().any(|known| known.will_wake(waker)) {
            self.queue.push(waker.clone());
        }
    }

    /// Takes what the device is done with, and asks for `waker` to be woken when there is more. Returns `false` if there is more already.
    ///
    /// Whoever is to be woken is put into `woken`: wake them once the engine is no longer borrowed.
    pub(crate) fn turn(&mut self, waker: &Waker, woken: &mut Vec<Waker>) -> bool {
        let mut has_room = false;
        while let Some(completion) = self.device.complete() {
            has_room = true;
            self.finish(completion, woken);
        }
        if has_room {
            woken.append(&mut self.queue);
        }
        self.device.arm(waker)
    }

    fn finish(&mut self, completion: Completion, woken: &mut Vec<Waker>) {
        self.is_silent &= completion.result.is_err();
        let index = completion.token.map(|token| usize::from(token.0));
        let call = index.and_then(|index| self.calls.get_mut(index));
        if let Some(call) = call.and_then(Option::take) {
            let stage = call.stage.replace(Stage::Done(completion.result));
            if let Stage::Waiting(Some(waker)) = stage {
                woken.push(waker);
            }
        }
    }
}

impl Call {
    /// Takes the outcome, or has `waker` woken when there is one. An outcome is taken once.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Outcome> {
        let mut stage = self.stage.borrow_mut();
        match &mut *stage {
            Stage::Waiting(known) => {
                match known {
                    Some(known) => known.clone_from(waker),
                    none => *none = Some(waker.clone()),
                }
                Poll::Pending
            }
            _ => match core::mem::replace(&mut *stage, Stage::Taken) {
                Stage::Done(outcome) => Poll::Ready(outcome),
                _ => Poll::Ready(Err(FuseError::Failed)),
            },
        }
    }
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let waiting = self.calls.iter().flatten().count();
        write!(f, "Engine({waiting} in flight)")
    }
}
