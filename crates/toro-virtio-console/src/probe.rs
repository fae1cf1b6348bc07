//! [`VirtioConsole::probe`]: from a transport to a console that runs.

use alloc::boxed::Box;
use alloc::vec::Vec;

use toro_virtio::feature::{ACCESS_PLATFORM, EVENT_IDX};
use toro_virtio::{DeviceType, ProbeError, Queue, Transport, device, probe};

use crate::control::Control;
use crate::device::VirtioConsole;
use crate::log_port::LogPort;
use crate::port::{Port, Sending};

/// The device has several ports (5.3.3).
const MULTIPORT: u64 = 1 << 1;
/// The most descriptors of a control queue. QEMU drops messages that find no buffer, and tells of all ports at once.
const MESSAGES: u16 = 64;
/// Where the configuration says how many (5.3.4).
const MOST_PORTS: usize = 4;

/// How much of a console is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The most ports: those with higher numbers are left alone.
    pub ports: u16,
    /// The most descriptors of a queue.
    pub queue: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ports: 8,
            queue: 16,
        }
    }
}

/// What a console is made of.
pub(crate) struct Parts {
    pub(crate) ports: Vec<Port>,
    pub(crate) control: Option<Control>,
    pub(crate) log: LogPort,
}

impl VirtioConsole {
    /// Starts the console behind `transport`.
    ///
    /// # Errors
    /// Fails if it is something else, does not follow version 1, or memory runs short. The device is then marked as failed.
    pub fn probe(transport: Box<dyn Transport>, config: Config) -> Result<Self, ProbeError> {
        let start = |transport: &mut dyn Transport| start(transport, config);
        let (transport, parts) = probe(transport, DeviceType::CONSOLE, start)?;
        Ok(Self::new(transport, parts))
    }
}

fn start(transport: &mut dyn Transport, config: Config) -> Result<Parts, ProbeError> {
    let wanted = MULTIPORT | EVENT_IDX | ACCESS_PLATFORM;
    let features = device::negotiate(transport, wanted, 0)?;
    let has_control = features & MULTIPORT != 0;
    let most = match has_control {
        true => most_ports(transport)?.clamp(1, config.ports.max(1)),
        false => 1,
    };
    let mut sized = |index, size| Queue::new(transport, index, size, features);
    // 5.3.2: queues 0 and 1 are port 0's, 2 and 3 for control, and then two a port.
    let (receiving, log) = (sized(0, config.queue)?, sized(1, config.queue)?);
    let control = match has_control {
        true => Some((sized(2, MESSAGES)?, sized(3, MESSAGES)?)),
        false => None,
    };
    let log = LogPort::try_new(log, !has_control)?;
    let mut ports = Vec::new();
    ports.push(Port::new(receiving, Sending::Log(log.gate())));
    for number in 1..most {
        let receiving = sized(2 * number + 2, config.queue)?;
        let sending = sized(2 * number + 3, config.queue)?;
        ports.push(Port::new(receiving, Sending::queue(sending)));
    }
    device::start(transport);
    let control = match control {
        Some((incoming, outgoing)) => {
            let control = Control::try_new(incoming, outgoing)?;
            Some(control)
        }
        None => {
            ports[0].add();
            ports[0].set_host_open(true);
            None
        }
    };
    Ok(Parts {
        ports,
        control,
        log,
    })
}

/// How many ports the device can have, at most `u16::MAX`.
fn most_ports(transport: &mut dyn Transport) -> Result<u16, ProbeError> {
    let read = |transport: &dyn Transport| device::field::<u32>(transport, MOST_PORTS);
    let most = device::consistent(transport, read).ok_or(ProbeError::Config)?;
    Ok(u16::try_from(most).unwrap_or(u16::MAX))
}
