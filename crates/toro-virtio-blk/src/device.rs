//! [`VirtioBlk`]: the disk while it runs.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::task::Waker;

use toro_dev::block::{BlockDevice, BlockError, BlockInfo, Completion, Refused, Request, Token};
use toro_mem::DmaBuf;
use toro_virtio::transport::status;
use toro_virtio::{Buffer, Chain, DeviceError, Queue, Storm, Transport, Used, device};

use crate::probe::read_capacity;
use crate::request::{self, Data};
use crate::together::Together;

/// A virtio disk, by one of its queues.
pub struct VirtioBlk {
    transport: Box<dyn Transport>,
    queue: Queue,
    /// As it was when the disk was started; its size now is in `together`.
    info: BlockInfo,
    /// What is common to all queues of the disk.
    together: Arc<Together>,
    /// Headers and status bytes of requests that are done, for the next ones.
    pool: Vec<(DmaBuf, DmaBuf)>,
    /// Whether the request of each token is in flight.
    in_flight: Box<[bool]>,
    error: Option<DeviceError>,
    waker: Option<Waker>,
    /// Interrupts may come: they are asked for.
    is_armed: bool,
    /// The configuration may have changed since it was read.
    is_config_stale: bool,
    /// Something was completed since the disk was armed.
    was_active: bool,
    storm: Storm,
}

impl VirtioBlk {
    pub(crate) fn new(
        transport: Box<dyn Transport>,
        queue: Queue,
        info: BlockInfo,
        together: Arc<Together>,
    ) -> Self {
        let in_flight = vec![false; usize::from(queue.size())].into_boxed_slice();
        Self {
            transport,
            queue,
            info,
            together,
            pool: Vec::new(),
            in_flight,
            error: None,
            waker: None,
            is_armed: true,
            is_config_stale: false,
            was_active: false,
            storm: Storm::new(),
        }
    }

    /// Why the device was given up, if it was for what it did to this queue.
    pub fn error(&self) -> Option<DeviceError> {
        self.error
    }

    /// Whether the device was given up, by whichever of its queues.
    fn is_given_up(&self) -> bool {
        self.together.is_failed()
    }

    #[cold]
    fn fail(&mut self, error: DeviceError) {
        if self.error.is_none() {
            log::error!("blk: given up: {error}");
            device::fail(&mut *self.transport);
            self.together.fail();
            self.error = Some(error);
        }
    }

    /// A header and a status byte.
    fn take_ends(&mut self) -> Option<(DmaBuf, DmaBuf)> {
        self.pool.pop().or_else(|| {
            let header = DmaBuf::try_new(request::HEADER).ok()?;
            Some((header, DmaBuf::try_new(1).ok()?))
        })
    }

    /// The next request of a device that was given up: it keeps the buffers.
    fn abandon(&mut self) -> Option<Completion> {
        let index = self
            .in_flight
            .iter()
            .position(|is_in_flight| *is_in_flight)?;
        self.in_flight[index] = false;
        Some(Completion {
            token: name(index),
            buf: None,
            result: Err(BlockError::Failed),
        })
    }

    /// Takes a chain apart that the device has used.
    fn finish(&mut self, used: Used) -> Completion {
        let index = used.token.index();
        self.in_flight[index] = false;
        let (ends, buf) = split(used.chain);
        let result = match ends {
            Some((header, status)) => {
                let result = request::result(status[0]);
                self.pool.push((header, status));
                result
            }
            // Every chain has both.
            None => Err(BlockError::Failed),
        };
        Completion {
            token: name(index),
            buf,
            result,
        }
    }

    /// Looks at the configuration, if it may have changed and nothing else was to do.
    ///
    /// A message does not tell why it came, and a look costs an exit: so only one that brought no completion is
    /// suspected.
    fn refresh(&mut self) {
        let was_active = core::mem::take(&mut self.was_active);
        if was_active || !core::mem::take(&mut self.is_config_stale) {
            return;
        }
        if self.transport.status() & status::NEEDS_RESET != 0 {
            self.fail(DeviceError::Reset);
        } else if let Some(sectors) = read_capacity(&*self.transport) {
            self.together.resize(sectors);
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

impl BlockDevice for VirtioBlk {
    fn info(&self) -> BlockInfo {
        BlockInfo {
            sectors: self.together.sectors(),
            ..self.info
        }
    }

    fn submit(&mut self, request: Request) -> Result<Token, Refused> {
        if self.is_given_up() {
            return Err(Refused::Never(request, BlockError::Failed));
        }
        if let Err(error) = self.info().check(&request) {
            return Err(Refused::Never(request, error));
        }
        if self.queue.free() == 0 {
            return Err(Refused::Full(request));
        }
        let Some((mut header, mut status)) = self.take_ends() else {
            return Err(Refused::Never(request, BlockError::OutOfMemory));
        };
        let (len, data) = request::encode(request, &mut header);
        status[0] = request::UNWRITTEN;
        match self.queue.add(chain(header, len, data, status)) {
            Ok(token) => {
                self.in_flight[token.index()] = true;
                Ok(name(token.index()))
            }
            Err(full) => {
                let (ends, buf) = split(full.0);
                let request = ends.and_then(|(header, status)| {
                    let request = request::decode(&header, buf);
                    self.pool.push((header, status));
                    request
                });
                Err(Refused::Full(request.expect("it was just encoded")))
            }
        }
    }

    fn kick(&mut self) {
        self.queue.notify_if_needed();
    }

    fn complete(&mut self) -> Option<Completion> {
        if self.is_given_up() {
            return self.abandon();
        }
        if core::mem::take(&mut self.is_armed) {
            self.queue.disable_interrupts();
        }
        match self.queue.pop() {
            Ok(used) => {
                let used = used?;
                self.was_active = true;
                self.storm.worked();
                Some(self.finish(used))
            }
            Err(error) => {
                self.fail(error);
                self.abandon()
            }
        }
    }

    fn arm(&mut self, waker: &Waker) -> bool {
        self.rebind(waker);
        // Before the ring: a line that is up gives no further edge, and news that came before it was taken down are
        // found in the ring below.
        self.is_config_stale |= self.transport.acknowledge().config;
        self.storm.look("blk", &mut *self.transport, waker);
        self.refresh();
        if self.is_given_up() {
            return !self.in_flight.contains(&true);
        }
        self.is_armed = true;
        !self.queue.enable_interrupts()
    }
}

impl Drop for VirtioBlk {
    fn drop(&mut self) {
        // Without a proof the queue leaks what the device may still write to.
        if let Ok(proof) = device::reset(&mut *self.transport) {
            self.queue.retire(&proof);
        }
    }
}

impl core::fmt::Debug for VirtioBlk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "VirtioBlk({:?})", self.info)
    }
}

fn name(index: usize) -> Token {
    Token(u16::try_from(index).expect("a queue has less than 2^16 descriptors"))
}

/// The chain of a request.
fn chain(header: DmaBuf, len: usize, data: Data, status: DmaBuf) -> Chain {
    let mut buffers = Vec::with_capacity(3);
    buffers.push(Buffer::readable(header, 0..len));
    match data {
        Data::None => {}
        Data::Out(buf) => {
            let all = 0..buf.len();
            buffers.push(Buffer::readable(buf, all));
        }
        Data::In(buf) => {
            let all = 0..buf.len();
            buffers.push(Buffer::writable(buf, all));
        }
    }
    buffers.push(Buffer::writable(status, 0..1));
    Chain::new(buffers)
}

/// Takes a chain apart: header and status byte, and the data if there are any.
fn split(chain: Chain) -> (Option<(DmaBuf, DmaBuf)>, Option<DmaBuf>) {
    let mut buffers = chain.into_buffers().into_iter().map(Buffer::into_buf);
    let ends = buffers.next().zip(buffers.next_back());
    (ends, buffers.next())
}
