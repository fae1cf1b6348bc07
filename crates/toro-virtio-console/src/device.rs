//! [`VirtioConsole`]: the console while it runs.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::task::Waker;

use toro_dev::console::{ConsoleDevice, ConsoleError, PortInfo, Read};
use toro_virtio::transport::status;
use toro_virtio::{DeviceError, Storm, Transport, device};

use crate::control::{Control, Message, event};
use crate::log_port::LogPort;
use crate::port::Port;
use crate::probe::Parts;

/// A virtio console with its ports.
pub struct VirtioConsole {
    transport: Box<dyn Transport>,
    ports: Vec<Port>,
    /// `None` for a console of one port.
    control: Option<Control>,
    log: Option<LogPort>,
    error: Option<DeviceError>,
    waker: Option<Waker>,
    storm: Storm,
}

impl VirtioConsole {
    pub(crate) fn new(transport: Box<dyn Transport>, parts: Parts) -> Self {
        let mut console = Self {
            transport,
            ports: parts.ports,
            control: parts.control,
            log: Some(parts.log),
            error: None,
            waker: None,
            storm: Storm::new(),
        };
        console.turn();
        console
    }

    /// What writes to port 0, once.
    pub fn take_log(&mut self) -> Option<LogPort> {
        self.log.take()
    }

    /// Why the device was given up, if it was.
    pub fn error(&self) -> Option<DeviceError> {
        self.error
    }

    #[cold]
    fn fail(&mut self, error: DeviceError) {
        if self.error.is_none() {
            log::error!("console: given up: {error}");
            device::fail(&mut *self.transport);
            self.error = Some(error);
            self.ports.iter_mut().for_each(Port::remove);
        }
    }

    fn find(&mut self, number: usize) -> Result<&mut Port, ConsoleError> {
        if self.error.is_some() {
            return Err(ConsoleError::Failed);
        }
        let port = self.ports.get_mut(number).filter(|port| port.is_there());
        port.ok_or(ConsoleError::NoSuchPort)
    }

    fn say(&mut self, number: usize, event: u16, value: u16) {
        let Ok(number) = u32::try_from(number) else {
            return;
        };
        let control = self.control.as_mut();
        if control.is_some_and(|control| !control.say(number, event, value)) {
            log::error!("console: the device does not listen");
            self.fail(DeviceError::Reset);
        }
    }

    /// Does what is to do, and says whether there was anything.
    fn work(&mut self) -> Result<bool, DeviceError> {
        let mut has_news = false;
        for port in &mut self.ports {
            port.kick();
            has_news |= port.take()?;
        }
        while let Some(control) = &mut self.control
            && let Some(message) = control.next()?
        {
            self.hear(&message);
            has_news = true;
        }
        if let Some(control) = &mut self.control {
            control.kick()?;
        }
        Ok(has_news)
    }

    /// Follows a message of the device. What makes no sense is passed over.
    fn hear(&mut self, message: &Message) {
        let Some(number) = usize::try_from(message.port)
            .ok()
            .filter(|number| *number < self.ports.len())
        else {
            log::warn!("console: port {} is out of range", message.port);
            return;
        };
        let port = &mut self.ports[number];
        match message.event {
            event::PORT_ADD => self.welcome(number),
            event::PORT_REMOVE => port.remove(),
            event::PORT_OPEN if port.is_there() => port.set_host_open(message.value != 0),
            event::PORT_NAME if port.is_there() => port.set_name(&message.rest),
            _ => {}
        }
    }

    /// Answers a port that has come.
    fn welcome(&mut self, number: usize) {
        if !self.ports[number].add() {
            return;
        }
        self.say(number, event::PORT_READY, 1);
        if number == 0 {
            // The log has no need of anyone who opens it.
            self.say(number, event::PORT_OPEN, 1);
        }
    }
}

impl ConsoleDevice for VirtioConsole {
    fn ports(&self) -> usize {
        self.ports.len()
    }

    fn port(&self, number: usize) -> Option<PortInfo<'_>> {
        self.ports.get(number)?.info()
    }

    fn open(&mut self, number: usize) -> Result<(), ConsoleError> {
        let port = self.find(number)?;
        let was_open = port.is_open();
        port.open()?;
        if !was_open && number != 0 {
            self.say(number, event::PORT_OPEN, 1);
        }
        Ok(())
    }

    fn close(&mut self, number: usize) {
        if let Ok(port) = self.find(number)
            && port.is_open()
        {
            port.close();
            if number != 0 {
                self.say(number, event::PORT_OPEN, 0);
            }
        }
    }

    fn read(&mut self, number: usize, bytes: &mut [u8]) -> Result<Read, ConsoleError> {
        Ok(self.find(number)?.read(bytes))
    }

    fn write(&mut self, number: usize, bytes: &[u8]) -> Result<usize, ConsoleError> {
        self.find(number)?.write(bytes)
    }

    fn turn(&mut self) -> bool {
        if self.error.is_some() {
            return false;
        }
        let has_news = self.work().unwrap_or_else(|error| {
            self.fail(error);
            true
        });
        if has_news {
            self.storm.worked();
        }
        has_news
    }

    fn arm(&mut self, waker: &Waker) -> bool {
        let bound = self.waker.as_ref();
        if !bound.is_some_and(|bound| bound.will_wake(waker)) {
            self.transport.wake_on_interrupt(waker);
            self.waker = Some(waker.clone());
        }
        // Before the rings: a line that is up gives no further edge.
        let causes = self.transport.acknowledge();
        self.storm.look("console", &mut *self.transport, waker);
        if self.error.is_some() {
            return true;
        }
        if causes.config && self.transport.status() & status::NEEDS_RESET != 0 {
            self.fail(DeviceError::Reset);
            return false;
        }
        let mut has_news = false;
        for port in &mut self.ports {
            has_news |= port.arm();
        }
        if let Some(control) = &mut self.control {
            has_news |= control.arm();
        }
        !has_news
    }
}

impl Drop for VirtioConsole {
    fn drop(&mut self) {
        // Without a proof the queues leak what the device may still write to.
        if let Ok(proof) = device::reset(&mut *self.transport) {
            let control = self.control.iter_mut().flat_map(Control::queues);
            let queues = self.ports.iter_mut().flat_map(Port::queues);
            let log = self.log.iter_mut().map(LogPort::queue);
            let all = queues.chain(control).chain(log);
            all.for_each(|queue| queue.retire(&proof));
        }
    }
}

impl core::fmt::Debug for VirtioConsole {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "VirtioConsole({} ports)", self.ports.len())
    }
}
