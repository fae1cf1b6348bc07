//! [`PciTransport`]: virtio over PCI (VIRTIO 1.3, 4.1), modern interface only.
//!
//! Vendor capabilities say where in the BARs the register groups lie ([`Group`]). Interrupts are MSI-X messages, one vector
//! per queue as far as the table reaches, with the configuration's on the first; else the INTx line.

mod group;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;

use toro_irq::RouteError;
use toro_pci::{BarError, Function, MapDevice, Msix, Registers};

use crate::interrupt::{Interrupts, Message, acknowledge};
use crate::pci::group::Place;
use crate::rest::{Rest, Stage};
use crate::ring::Layout;
use crate::transport::{Causes, DeviceType, Doorbell, SetQueueError, Transport};

pub use group::Group;

/// The vendor id of every virtio function.
pub const VENDOR: u16 = 0x1af4;

/// No MSI-X entry: what the device answers if it cannot attach one.
const NO_VECTOR: u16 = 0xffff;

/// Registers of the common configuration (4.1.4.3).
mod common {
    pub(super) const LEN: u32 = 0x38;
    pub(super) const OFFERED_SELECT: usize = 0x00;
    pub(super) const OFFERED: usize = 0x04;
    pub(super) const ACCEPTED_SELECT: usize = 0x08;
    pub(super) const ACCEPTED: usize = 0x0c;
    pub(super) const CONFIG_VECTOR: usize = 0x10;
    pub(super) const STATUS: usize = 0x14;
    pub(super) const GENERATION: usize = 0x15;
    pub(super) const QUEUE_SELECT: usize = 0x16;
    pub(super) const QUEUE_SIZE: usize = 0x18;
    pub(super) const QUEUE_VECTOR: usize = 0x1a;
    pub(super) const QUEUE_ENABLE: usize = 0x1c;
    pub(super) const QUEUE_NOTIFY_OFFSET: usize = 0x1e;
    pub(super) const QUEUE_DESCRIPTORS: usize = 0x20;
    pub(super) const QUEUE_AVAILABLE: usize = 0x28;
    pub(super) const QUEUE_USED: usize = 0x30;
}

/// Why a function cannot be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PciError {
    /// It is no virtio function.
    NotVirtio,
    /// It lacks a group of registers; all of them lack on a legacy device.
    Missing(Group),
    /// A group of registers is too short or misaligned.
    Malformed(Group),
    /// A group of registers cannot be reached.
    Bar(BarError),
    /// It has neither messages nor an interrupt line.
    NoInterrupt,
    /// The core has no vector left, or the machine no such line.
    Route(RouteError),
}

impl fmt::Display for PciError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotVirtio => f.write_str("not a virtio function"),
            Self::Missing(Group::Common) => {
                f.write_str("a legacy device (before virtio 1.0), which is not supported")
            }
            Self::Missing(group) => write!(f, "no {group:?} registers"),
            Self::Malformed(group) => write!(f, "malformed {group:?} registers"),
            Self::Bar(error) => write!(f, "{error}"),
            Self::NoInterrupt => f.write_str("no interrupt"),
            Self::Route(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for PciError {}

/// What a function is, or `None` if it is no virtio device.
pub fn device_type(function: &Function<'_>) -> Option<DeviceType> {
    if function.vendor() != VENDOR {
        return None;
    }
    match function.device() {
        // 4.1.2.3: a transitional device says in the subsystem device id what it is.
        0x1000..=0x103f => Some(DeviceType(function.read(0x2c) >> 16)),
        id @ 0x1040..=0x107f => Some(DeviceType(u32::from(id) - 0x1040)),
        _ => None,
    }
}

/// How a function interrupts.
#[derive(Debug)]
enum Signal {
    Messages(Msix),
    Line,
}

/// A virtio device on a PCI bus.
pub struct PciTransport {
    device_type: DeviceType,
    common: Registers,
    notify: Registers,
    notify_multiplier: u32,
    isr: Registers,
    config: Registers,
    signal: Signal,
    interrupts: Box<dyn Interrupts>,
    /// What the MSI-X entries in use send; those of other cores behind our own.
    messages: Vec<Message>,
    /// How many of them are our own.
    own: usize,
    /// Queues that have an interrupt since the last reset; those beyond the table share its last entry.
    attached: u16,
    /// While its interrupts are masked.
    rest: Rest,
}

impl PciTransport {
    /// Maps the registers of `function` and switches it on; the device itself is not touched yet.
    ///
    /// # Errors
    /// Fails if the function is no modern virtio device, its registers make no sense, or it cannot interrupt.
    ///
    /// # Safety
    /// 1. `function` is of the machine's own configuration space.
    /// 2. `map` gives a mapping of the range that it is asked for, and leaves it mapped.
    pub unsafe fn new(
        function: &mut Function<'_>,
        map: MapDevice,
        mut interrupts: Box<dyn Interrupts>,
    ) -> Result<Self, PciError> {
        let device_type = device_type(function).ok_or(PciError::NotVirtio)?;
        let list: Vec<_> = function.capabilities().collect();
        function.stop();
        let mut group = |group, least, align| {
            let place = Place::find(function, &list, group)?;
            // SAFETY: the duties are the same.
            let registers = unsafe { place.map(function, least, align, map) }?;
            Ok((registers, place.multiplier))
        };
        let (common, _) = group(Group::Common, common::LEN, 4)?;
        let (notify, notify_multiplier) = group(Group::Notify, 2, 2)?;
        let (isr, _) = group(Group::Isr, 1, 1)?;
        let config = match group(Group::Device, 1, 4) {
            Ok((config, _)) => config,
            // Not every kind of device has one.
            Err(PciError::Missing(_)) => common.part(0, 0).expect("nothing lies in everything"),
            Err(error) => return Err(error),
        };
        // SAFETY: the duties are the same.
        let msix = unsafe { Msix::find(function, &list, map) };
        function.start(msix.is_err());
        let signal = match msix {
            Ok(msix) => {
                msix.enable(function);
                Signal::Messages(msix)
            }
            Err(error) => {
                let line = function.interrupt_line().ok_or(PciError::NoInterrupt)?;
                log::warn!(
                    "{}: {error}; using interrupt line {line}",
                    function.address()
                );
                interrupts.line(u32::from(line)).map_err(PciError::Route)?;
                Signal::Line
            }
        };
        Ok(Self {
            device_type,
            common,
            notify,
            notify_multiplier,
            isr,
            config,
            signal,
            interrupts,
            messages: Vec::new(),
            own: 0,
            attached: 0,
            rest: Rest::new(),
        })
    }

    /// Takes the MSI-X entry of the next queue: with `foreign` if there is one, else with a message of this core.
    fn take_entry(&mut self, queue: u16, foreign: Option<Message>) -> Result<u16, SetQueueError> {
        let Signal::Messages(msix) = &self.signal else {
            return Err(SetQueueError::NoInterrupt(queue));
        };
        let entry = self.attached.min(msix.entries() - 1);
        if foreign.is_some() && entry != self.attached {
            return Err(SetQueueError::NoInterrupt(queue));
        }
        if usize::from(entry) == self.messages.len() {
            let message = match foreign {
                Some(message) => message,
                None => {
                    let message = self.interrupts.message()?;
                    self.own += 1;
                    message
                }
            };
            self.messages.push(message);
        }
        Ok(entry)
    }

    /// Masks the messages to this core, or lets them come again.
    fn mask(&self, is_masked: bool) {
        let Signal::Messages(msix) = &self.signal else {
            return;
        };
        let set = if is_masked { Msix::mask } else { Msix::unmask };
        // Those that were taken first are our own.
        (0..self.attached)
            .take(self.own)
            .for_each(|entry| set(msix, entry));
    }

    /// Attaches the interrupt of the selected queue, and with the first one that of the configuration.
    fn attach_interrupt(
        &mut self,
        queue: u16,
        foreign: Option<Message>,
    ) -> Result<(), SetQueueError> {
        if matches!(self.signal, Signal::Line) && foreign.is_none() {
            return Ok(());
        }
        let entry = self.take_entry(queue, foreign)?;
        let Signal::Messages(msix) = &self.signal else {
            return Ok(());
        };
        let message = self.messages[usize::from(entry)];
        if !msix.set(entry, message.apic_id, message.vector) {
            return Err(SetQueueError::NoInterrupt(queue));
        }
        let attach = |register| {
            self.common.write(register, entry);
            // 4.1.5.1.2.2: the device answers NO_VECTOR if it cannot.
            self.common.read::<u16>(register) != NO_VECTOR
        };
        let is_first = self.attached == 0;
        if !attach(common::QUEUE_VECTOR) || (is_first && !attach(common::CONFIG_VECTOR)) {
            return Err(SetQueueError::NoInterrupt(queue));
        }
        self.attached += 1;
        Ok(())
    }

    /// The doorbell of the selected queue (4.1.4.4).
    fn doorbell(&self, queue: u16) -> Result<Doorbell, SetQueueError> {
        let row: u16 = self.common.read(common::QUEUE_NOTIFY_OFFSET);
        let offset = u64::from(row) * u64::from(self.notify_multiplier);
        let register = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.notify.part(offset, 2));
        let register = register
            .filter(|_| offset % 2 == 0)
            .ok_or(SetQueueError::Doorbell(queue))?;
        Ok(Doorbell::Half(register, queue))
    }

    /// Sets queue `queue` up, with a message of another core if there is one.
    fn set_up(
        &mut self,
        queue: u16,
        layout: &Layout,
        foreign: Option<Message>,
    ) -> Result<Doorbell, SetQueueError> {
        self.common.write(common::QUEUE_SELECT, queue);
        if self.common.read::<u16>(common::QUEUE_ENABLE) != 0 {
            return Err(SetQueueError::InUse(queue));
        }
        let doorbell = self.doorbell(queue)?;
        self.attach_interrupt(queue, foreign)?;
        self.common.write(common::QUEUE_SIZE, layout.size);
        self.common
            .write_u64(common::QUEUE_DESCRIPTORS, layout.descriptors);
        self.common
            .write_u64(common::QUEUE_AVAILABLE, layout.available);
        self.common.write_u64(common::QUEUE_USED, layout.used);
        self.common.write(common::QUEUE_ENABLE, 1u16);
        Ok(doorbell)
    }
}

impl Transport for PciTransport {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn offered(&mut self) -> u64 {
        let half = |select: u32| {
            self.common.write(common::OFFERED_SELECT, select);
            u64::from(self.common.read::<u32>(common::OFFERED))
        };
        half(0) | half(1) << 32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    fn accept(&mut self, features: u64) {
        for (select, half) in [(0u32, features as u32), (1, (features >> 32) as u32)] {
            self.common.write(common::ACCEPTED_SELECT, select);
            self.common.write(common::ACCEPTED, half);
        }
    }

    fn status(&self) -> u8 {
        self.common.read(common::STATUS)
    }

    fn set_status(&mut self, status: u8) {
        if status == 0 {
            // A reset detaches the interrupts: attach them again from the first entry on.
            self.attached = 0;
            self.messages.truncate(self.own);
        }
        self.common.write(common::STATUS, status);
    }

    fn max_size(&mut self, queue: u16) -> u32 {
        self.common.write(common::QUEUE_SELECT, queue);
        u32::from(self.common.read::<u16>(common::QUEUE_SIZE))
    }

    fn set_queue(&mut self, queue: u16, layout: &Layout) -> Result<Doorbell, SetQueueError> {
        self.set_up(queue, layout, None)
    }

    fn set_queue_for(
        &mut self,
        queue: u16,
        layout: &Layout,
        message: Message,
    ) -> Result<Doorbell, SetQueueError> {
        self.set_up(queue, layout, Some(message))
    }

    fn messages_left(&self) -> u16 {
        match &self.signal {
            Signal::Messages(msix) => msix.entries().saturating_sub(self.attached),
            Signal::Line => 0,
        }
    }

    fn config_generation(&self) -> u32 {
        u32::from(self.common.read::<u8>(common::GENERATION))
    }

    fn config(&self) -> Registers {
        self.config
    }

    fn acknowledge(&mut self) -> Causes {
        if let Signal::Messages(_) = self.signal {
            return Causes {
                queue: true,
                config: true,
            };
        }
        // 4.1.4.5: reading clears the register and takes the line down.
        acknowledge(&*self.interrupts, || u32::from(self.isr.read::<u8>(0)))
    }

    fn arrivals(&self) -> u32 {
        self.interrupts.arrivals()
    }

    fn rest(&mut self, waker: &Waker) -> bool {
        if let Signal::Line = self.signal {
            // The end of the while unmasks the line, whatever becomes of this device.
            let end = self.interrupts.mask_line();
            return end.inspect(|end| self.rest.begin(end)).is_some();
        }
        self.mask(true);
        self.rest.begin(waker);
        true
    }

    fn is_resting(&mut self) -> bool {
        let stage = self.rest.stage();
        if stage == Stage::Over {
            self.mask(false);
        }
        stage == Stage::Going
    }

    fn message_mask(&self, message: Message) -> Option<Registers> {
        let Signal::Messages(msix) = &self.signal else {
            return None;
        };
        let entry = self.messages.iter().position(|known| *known == message)?;
        msix.control(u16::try_from(entry).ok()?)
    }

    fn wake_on_interrupt(&mut self, waker: &Waker) {
        self.interrupts.bind(waker);
    }
}

impl fmt::Debug for PciTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PciTransport({:?})", self.device_type)
    }
}
