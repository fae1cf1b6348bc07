//! [`VirtioFs`]: the device while it runs.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::task::Waker;

use toro_dev::fuse::{Completion, FuseDevice, FuseError, FuseInfo, Message, Refused, Token};
use toro_virtio::transport::status;
use toro_virtio::{Buffer, Chain, DeviceError, Queue, Storm, Transport, Used, device};

/// A virtio file system device.
pub struct VirtioFs {
    transport: Box<dyn Transport>,
    high_priority: Queue,
    requests: Queue,
    info: FuseInfo,
    /// The lengths of the request of each token in flight: sent, and room for its answer.
    in_flight: Box<[Option<(usize, usize)>]>,
    error: Option<DeviceError>,
    waker: Option<Waker>,
    /// Interrupts may come: they are asked for.
    is_armed: bool,
    /// The configuration may have changed since it was read.
    is_config_stale: bool,
    /// Something was completed since the device was armed.
    was_active: bool,
    storm: Storm,
}

impl VirtioFs {
    pub(crate) fn new(
        transport: Box<dyn Transport>,
        high_priority: Queue,
        requests: Queue,
        info: FuseInfo,
    ) -> Self {
        let in_flight = vec![None; usize::from(requests.size())].into_boxed_slice();
        Self {
            transport,
            high_priority,
            requests,
            info,
            in_flight,
            error: None,
            waker: None,
            is_armed: true,
            is_config_stale: false,
            was_active: false,
            storm: Storm::new(),
        }
    }

    /// Why the device was given up, if it was.
    pub fn error(&self) -> Option<DeviceError> {
        self.error
    }

    #[cold]
    fn fail(&mut self, error: DeviceError) {
        if self.error.is_none() {
            log::error!("fs: the device `{}` was given up: {error}", self.info.tag);
            device::fail(&mut *self.transport);
            self.error = Some(error);
        }
    }

    /// The next request of a device that was given up: it keeps the buffers.
    fn abandon(&mut self) -> Option<Completion> {
        let index = self.in_flight.iter().position(Option::is_some)?;
        self.in_flight[index] = None;
        Some(Completion {
            token: Some(name(index)),
            result: Err(FuseError::Failed),
        })
    }

    fn submit_request(&mut self, message: Message) -> Result<Option<Token>, Refused> {
        if self.requests.free() == 0 {
            return Err(Refused::Full(message));
        }
        let lens = lengths(&message);
        match self.requests.add(chain(message)) {
            Ok(token) => {
                self.in_flight[token.index()] = Some(lens);
                Ok(Some(name(token.index())))
            }
            Err(full) => Err(Refused::Full(unchain(full.0, lens))),
        }
    }

    fn submit_high_priority(&mut self, message: Message) -> Result<Option<Token>, Refused> {
        if self.high_priority.free() == 0 {
            return Err(Refused::Full(message));
        }
        let lens = lengths(&message);
        match self.high_priority.add(chain(message)) {
            Ok(_) => Ok(None),
            Err(full) => Err(Refused::Full(unchain(full.0, lens))),
        }
    }

    fn pop(&mut self) -> Result<Option<Completion>, DeviceError> {
        if let Some(used) = self.requests.pop()? {
            self.was_active = true;
            self.storm.worked();
            return Ok(Some(self.finish(used)));
        }
        // The length of what was sent is not kept: who takes it wants the buffer.
        let used = self.high_priority.pop()?;
        Ok(used.map(|used| Completion {
            token: None,
            result: Ok((unchain(used.chain, (0, 0)), 0)),
        }))
    }

    /// Takes a chain apart that the device has used.
    fn finish(&mut self, used: Used) -> Completion {
        let index = used.token.index();
        let lens = self.in_flight[index].take().unwrap_or_default();
        let message = unchain(used.chain, lens);
        Completion {
            token: Some(name(index)),
            // The queue has checked it against the room.
            result: Ok((message, used.written as usize)),
        }
    }

    /// Asks for the device's state, if it may have changed and nothing else was to do.
    ///
    /// A message does not tell why it came, and a look costs an exit: so only one that brought no completion is suspected.
    fn refresh(&mut self) {
        let was_active = core::mem::take(&mut self.was_active);
        if was_active || !core::mem::take(&mut self.is_config_stale) {
            return;
        }
        if self.transport.status() & status::NEEDS_RESET != 0 {
            self.fail(DeviceError::Reset);
        }
    }

    fn rebind(&mut self, waker: &Waker) {
        let bound = self.waker.as_ref();
        if !bound.is_some_and(|bound| bound.will_wake(waker)) {
            self.transport.wake_on_interrupt(waker);
            self.waker = Some(waker.clone());
        }
    }
}

impl FuseDevice for VirtioFs {
    fn info(&self) -> &FuseInfo {
        &self.info
    }

    fn submit(&mut self, message: Message) -> Result<Option<Token>, Refused> {
        if self.error.is_some() {
            return Err(Refused::Never(message, FuseError::Failed));
        }
        match message.answer {
            Some(_) => self.submit_request(message),
            None => self.submit_high_priority(message),
        }
    }

    fn kick(&mut self) {
        self.high_priority.notify_if_needed();
        self.requests.notify_if_needed();
    }

    fn complete(&mut self) -> Option<Completion> {
        if self.error.is_some() {
            return self.abandon();
        }
        if core::mem::take(&mut self.is_armed) {
            self.requests.disable_interrupts();
            self.high_priority.disable_interrupts();
        }
        self.pop().unwrap_or_else(|error| {
            self.fail(error);
            self.abandon()
        })
    }

    fn arm(&mut self, waker: &Waker) -> bool {
        self.rebind(waker);
        // Before the ring: a line that is up gives no further edge, and news that came before it was taken down are
        // found in the ring below.
        self.is_config_stale |= self.transport.acknowledge().config;
        self.storm.look("fs", &mut *self.transport, waker);
        self.refresh();
        if self.error.is_some() {
            return self.in_flight.iter().all(Option::is_none);
        }
        self.is_armed = true;
        let has_answers = self.requests.enable_interrupts();
        let has_room = self.high_priority.enable_interrupts();
        !(has_answers || has_room)
    }
}

impl Drop for VirtioFs {
    fn drop(&mut self) {
        // Without a proof the queues leak what the device may still write to.
        if let Ok(proof) = device::reset(&mut *self.transport) {
            self.high_priority.retire(&proof);
            self.requests.retire(&proof);
        }
    }
}

impl core::fmt::Debug for VirtioFs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "VirtioFs({:?})", self.info)
    }
}

fn name(index: usize) -> Token {
    Token(u16::try_from(index).expect("a queue has less than 2^16 descriptors"))
}

fn lengths(message: &Message) -> (usize, usize) {
    (
        message.len,
        message.answer.as_ref().map_or(0, |(_, room)| *room),
    )
}

/// The chain of a message.
fn chain(message: Message) -> Chain {
    let sent = Buffer::readable(message.sent, 0..message.len);
    let Some((answer, room)) = message.answer else {
        return Chain::from(sent);
    };
    Chain::new(Vec::from([sent, Buffer::writable(answer, 0..room)]))
}

/// The message of a chain, given its lengths.
fn unchain(chain: Chain, (len, room): (usize, usize)) -> Message {
    let mut buffers = chain.into_buffers().into_iter().map(Buffer::into_buf);
    Message {
        sent: buffers.next().expect("a chain has a buffer"),
        len,
        answer: buffers.next().map(|buf| (buf, room)),
    }
}
