//! More queue pairs (VIRTIO 1.3, 5.1.2 and 5.1.6.5.5), each for a core of its own.
//!
//! The core that owns the device sets all of them up, with the interrupts that the other cores have named, and has the device
//! use them by a command on the control queue. Then each pair goes to its core, which gives it buffers and runs it as a card:
//!
//! ```text
//! owner: probe_pairs(cores) ──► VirtioNet of pair 0
//!                           └─► Pair 1.. ──► core: Pair::open(interrupts) ──► VirtioNet
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use toro_mem::{DmaBuf, OutOfMemory};
use toro_pci::Registers;
use toro_virtio::{
    Buffer, Chain, DeviceError, DeviceType, Interrupts, Message, ProbeError, Queue, QueueShare,
    Transport, device, probe,
};

use crate::device::VirtioNet;
use crate::probe::{Agreed, Config, agree, filled, first_pair};

/// The device has a control queue.
const CTRL_VQ: u64 = 1 << 17;
/// It has several queue pairs.
const MQ: u64 = 1 << 22;
/// The field with the largest number of pairs.
const MAX_PAIRS: usize = 8;
/// The standard allows no more (5.1.5).
const PAIRS_RANGE: core::ops::RangeInclusive<u16> = 1..=0x7fff;
/// The control queue holds one command at a time.
const CONTROL_SIZE: u16 = 4;
/// `VIRTIO_NET_CTRL_MQ` and `VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET`.
const SET_PAIRS: [u8; 2] = [4, 0];
/// The device has done what it was asked for.
const OK: u8 = 0;

/// The messages by which the queues of one pair interrupt its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairMessages {
    /// Something was received.
    pub receive: Message,
    /// Something was sent.
    pub transmit: Message,
}

/// Why a device did not do what it was asked for on its control queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// There is no memory for the question.
    OutOfMemory(OutOfMemory),
    /// Its queue has no room for a command.
    TooShort,
    /// It has broken a rule of the queue.
    Device(DeviceError),
    /// It has refused, with this answer.
    Refused(u8),
    /// It has used the command and not written an answer.
    NoAnswer,
    /// It does not answer in time.
    Silent,
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory(error) => write!(f, "{error}"),
            Self::TooShort => f.write_str("its control queue has no room for a command"),
            Self::Device(error) => write!(f, "{error}"),
            Self::Refused(answer) => write!(f, "the device refuses ({answer})"),
            Self::NoAnswer => f.write_str("the device returns the command without an answer"),
            Self::Silent => f.write_str("the device does not answer"),
        }
    }
}

impl core::error::Error for ControlError {}

/// A queue pair on its way to its core.
#[derive(Debug)]
pub struct Pair {
    receive: Queue,
    transmit: Queue,
    /// What masks their messages.
    masks: Vec<Registers>,
    agreed: Agreed,
}

impl Pair {
    /// Gives the pair buffers of this core, which is from now on its owner and takes its interrupts by `interrupts`.
    ///
    /// # Errors
    /// Fails if there is no memory for a single receive buffer.
    pub fn open(self, interrupts: Box<dyn Interrupts>) -> Result<VirtioNet, ProbeError> {
        // The link is looked after by the owner of the device.
        let agreed = Agreed {
            has_status: false,
            ..self.agreed
        };
        let mut parts = filled(self.receive, self.transmit, agreed)?;
        parts.receive.notify_if_needed();
        let share = QueueShare::new(DeviceType::NET, interrupts, self.masks);
        Ok(VirtioNet::new(Box::new(share), parts))
    }
}

impl VirtioNet {
    /// As [`probe`](Self::probe), and sets up a further queue pair for each of the other `cores`, as far as the device has pairs
    /// and interrupts for them; none if it has one pair only.
    ///
    /// `is_patient` is asked again and again whether to go on waiting for the device to switch to several pairs. If it does not,
    /// that is said in the log and there is one pair.
    ///
    /// # Errors
    /// As [`probe`](Self::probe).
    pub fn probe_pairs(
        transport: Box<dyn Transport>,
        config: Config,
        cores: &[PairMessages],
        is_patient: &mut dyn FnMut() -> bool,
    ) -> Result<(Self, Vec<Pair>), ProbeError> {
        let start = |transport: &mut dyn Transport| start(transport, config, cores, is_patient);
        let (transport, (parts, pairs)) = probe(transport, DeviceType::NET, start)?;
        Ok((Self::new(transport, parts), pairs))
    }
}

type Started = (crate::device::Parts, Vec<Pair>);

fn start(
    transport: &mut dyn Transport,
    config: Config,
    cores: &[PairMessages],
    is_patient: &mut dyn FnMut() -> bool,
) -> Result<Started, ProbeError> {
    let agreed = agree(transport, CTRL_VQ | MQ, config)?;
    let mut parts = first_pair(transport, agreed, config)?;
    let most = if agreed.features & (CTRL_VQ | MQ) == CTRL_VQ | MQ {
        most_pairs(transport)?
    } else {
        1
    };
    let mut pairs = Vec::new();
    let mut control = None;
    if most > 1 && !cores.is_empty() {
        // Behind the last pair that there could be (5.1.2).
        let queue = Queue::new(transport, 2 * most, CONTROL_SIZE, agreed.features);
        control = Some(queue?);
        for (index, messages) in (1..most).zip(cores) {
            if transport.messages_left() < 2 {
                log::warn!("net: interrupts for {index} of {most} queue pairs only");
                break;
            }
            let mut queue = |number, size, message| {
                Queue::new_for(transport, number, size, agreed.features, message)
            };
            let receive = queue(2 * index, config.rx_buffers, messages.receive)?;
            let transmit = queue(2 * index + 1, config.tx_buffers, messages.transmit)?;
            let masks = [messages.receive, messages.transmit];
            let masks = masks
                .iter()
                .filter_map(|message| transport.message_mask(*message));
            pairs.push(Pair {
                receive,
                transmit,
                masks: masks.collect(),
                agreed,
            });
        }
    }
    device::start(transport);
    parts.receive.notify_if_needed();
    if let Some(control) = &mut control
        && !pairs.is_empty()
    {
        let count = u16::try_from(pairs.len() + 1).expect("at most as many as the device has");
        if let Err(error) = set_pairs(control, count, is_patient) {
            log::warn!("net: one queue pair instead of {count}: {error}");
            pairs.clear();
        }
    }
    // The device knows the control queue for as long as it runs, so its memory is never freed: it is not used again.
    drop(control);
    Ok((parts, pairs))
}

/// How many pairs the device can have; 1 if it says nonsense.
fn most_pairs(transport: &dyn Transport) -> Result<u16, ProbeError> {
    let read = |transport: &dyn Transport| device::field::<u16>(transport, MAX_PAIRS);
    let most = device::consistent(transport, read).ok_or(ProbeError::Config)?;
    if PAIRS_RANGE.contains(&most) {
        return Ok(most);
    }
    log::warn!("net: the device names {most} queue pairs; using one");
    Ok(1)
}

/// Has the device use `count` pairs.
fn set_pairs(
    control: &mut Queue,
    count: u16,
    is_patient: &mut dyn FnMut() -> bool,
) -> Result<(), ControlError> {
    let buffer = |len| DmaBuf::try_new(len).map_err(ControlError::OutOfMemory);
    let (mut command, mut answer) = (buffer(4)?, buffer(1)?);
    command[..2].copy_from_slice(&SET_PAIRS);
    command[2..].copy_from_slice(&count.to_le_bytes());
    answer[0] = !OK;
    let chain = Chain::new(alloc::vec![
        Buffer::readable(command, 0..4),
        Buffer::writable(answer, 0..1),
    ]);
    if control.add(chain).is_err() {
        return Err(ControlError::TooShort);
    }
    control.disable_interrupts();
    control.notify_if_needed();
    loop {
        let Some(used) = control.pop().map_err(ControlError::Device)? else {
            if is_patient() {
                continue;
            }
            return Err(ControlError::Silent);
        };
        let answer = used.chain.into_buffers().pop();
        return match answer.map(|answer| answer.into_buf()[0]) {
            Some(OK) if used.written > 0 => Ok(()),
            Some(answer) if used.written > 0 => Err(ControlError::Refused(answer)),
            _ => Err(ControlError::NoAnswer),
        };
    }
}
