//! [`VirtioVsock`]: the device while it runs.

use alloc::boxed::Box;
use core::task::Waker;

use toro_dev::socket::{Header, Packet, SocketDevice};
use toro_virtio::transport::status;
use toro_virtio::{DeviceError, Storm, Transport, device};

use crate::probe::{self, Config};
use crate::queues::Queues;

/// A virtio socket device.
pub struct VirtioVsock {
    transport: Box<dyn Transport>,
    config: Config,
    /// `None` once the device was given up.
    queues: Option<Queues>,
    cid: u32,
    payload: usize,
    has_lost: bool,
    waker: Option<Waker>,
    storm: Storm,
}

impl VirtioVsock {
    pub(crate) fn new(
        transport: Box<dyn Transport>,
        config: Config,
        mut queues: Queues,
        cid: u32,
    ) -> Self {
        queues.flush();
        Self {
            transport,
            config,
            cid,
            payload: queues.payload(),
            queues: Some(queues),
            has_lost: false,
            waker: None,
            storm: Storm::new(),
        }
    }

    /// Has the queues do something, and gives the device up if it breaks a rule.
    #[inline]
    fn with<R>(&mut self, f: impl FnOnce(&mut Queues) -> Result<R, DeviceError>) -> Option<R> {
        match f(self.queues.as_mut()?) {
            Ok(result) => Some(result),
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    #[cold]
    fn fail(&mut self, error: DeviceError) {
        log::error!("vsock: given up: {error}");
        device::fail(&mut *self.transport);
        self.end();
    }

    /// Lets go of the queues; without a proof of reset they leak what the device may still write to.
    fn end(&mut self) {
        if let Some(mut queues) = self.queues.take() {
            self.has_lost = true;
            if let Ok(proof) = device::reset(&mut *self.transport) {
                queues.retire(&proof);
            }
        }
    }
}

impl SocketDevice for VirtioVsock {
    fn cid(&self) -> u32 {
        self.cid
    }

    fn payload(&self) -> usize {
        self.payload
    }

    fn receive(&mut self) -> Option<(Header, Packet)> {
        let received = self.with(Queues::receive)?;
        if received.is_some() {
            self.storm.worked();
        }
        received
    }

    fn recycle(&mut self, packet: Packet) {
        if let Some(queues) = &mut self.queues {
            queues.recycle(packet.into_buf());
        }
    }

    fn allocate(&mut self) -> Option<Packet> {
        let packet = self.with(Queues::allocate)?;
        if packet.is_some() {
            self.storm.worked();
        }
        packet
    }

    fn transmit(&mut self, header: &Header, packet: Packet) {
        if let Some(queues) = &mut self.queues {
            queues.transmit(header, packet);
        }
    }

    fn flush(&mut self) {
        if let Some(queues) = &mut self.queues {
            queues.flush();
        }
    }

    fn outstanding(&mut self) -> usize {
        self.with(Queues::outstanding).unwrap_or(0)
    }

    fn take_loss(&mut self) -> bool {
        if self.with(Queues::has_lost) == Some(true) {
            // 5.10.6.7: the machine may have another context id from now on.
            match probe::cid(&*self.transport) {
                Ok(cid) => self.cid = cid,
                Err(error) => log::error!("vsock: {error}"),
            }
            self.has_lost = true;
        }
        core::mem::take(&mut self.has_lost)
    }

    fn is_failed(&self) -> bool {
        self.queues.is_none()
    }

    fn revive(&mut self) -> bool {
        self.end();
        match probe::start(&mut *self.transport, self.config) {
            Ok((mut queues, cid)) => {
                queues.flush();
                self.cid = cid;
                self.queues = Some(queues);
                true
            }
            Err(error) => {
                log::error!("vsock: it does not start again: {error}");
                device::fail(&mut *self.transport);
                false
            }
        }
    }

    fn malformed(&self) -> u64 {
        self.queues.as_ref().map_or(0, Queues::malformed)
    }

    fn arm(&mut self, waker: &Waker) -> bool {
        let bound = self.waker.as_ref();
        if !bound.is_some_and(|bound| bound.will_wake(waker)) {
            self.transport.wake_on_interrupt(waker);
            self.waker = Some(waker.clone());
        }
        // Before the rings: a line that is up gives no further edge.
        let causes = self.transport.acknowledge();
        self.storm.look("vsock", &mut *self.transport, waker);
        if self.queues.is_some()
            && causes.config
            && self.transport.status() & status::NEEDS_RESET != 0
        {
            self.fail(DeviceError::Reset);
        }
        if self.has_lost {
            return false;
        }
        self.queues.as_mut().is_none_or(|queues| !queues.arm())
    }
}

impl Drop for VirtioVsock {
    fn drop(&mut self) {
        self.end();
    }
}

impl core::fmt::Debug for VirtioVsock {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "VirtioVsock(cid {})", self.cid)
    }
}
