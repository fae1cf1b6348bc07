//! [`MmioTransport`]: virtio over memory-mapped registers (VIRTIO 1.3, 4.2), version 2 only.
//!
//! Nothing on such a bus can be discovered: each device lies in an [`MmioSlot`] that somebody names.

use alloc::boxed::Box;
use core::fmt;
use core::task::Waker;

use toro_pci::{MapDevice, Registers};

use crate::interrupt::{Interrupts, acknowledge};
use crate::rest::{Rest, Stage};
use crate::ring::Layout;
use crate::slot::MmioSlot;
use crate::transport::{Causes, DeviceType, Doorbell, SetQueueError, Transport};

/// "virt", little endian.
const MAGIC: u32 = 0x7472_6976;

/// Registers (4.2.2).
mod register {
    pub(super) const MAGIC: usize = 0x00;
    pub(super) const VERSION: usize = 0x04;
    pub(super) const DEVICE_ID: usize = 0x08;
    pub(super) const OFFERED: usize = 0x10;
    pub(super) const OFFERED_SELECT: usize = 0x14;
    pub(super) const ACCEPTED: usize = 0x20;
    pub(super) const ACCEPTED_SELECT: usize = 0x24;
    pub(super) const QUEUE_SELECT: usize = 0x30;
    pub(super) const QUEUE_SIZE_MAX: usize = 0x34;
    pub(super) const QUEUE_SIZE: usize = 0x38;
    pub(super) const QUEUE_READY: usize = 0x44;
    pub(super) const QUEUE_NOTIFY: usize = 0x50;
    pub(super) const INTERRUPT_STATUS: usize = 0x60;
    pub(super) const INTERRUPT_ACK: usize = 0x64;
    pub(super) const STATUS: usize = 0x70;
    pub(super) const QUEUE_DESCRIPTORS: usize = 0x80;
    pub(super) const QUEUE_AVAILABLE: usize = 0x90;
    pub(super) const QUEUE_USED: usize = 0xa0;
    pub(super) const GENERATION: usize = 0xfc;
    pub(super) const CONFIG: usize = 0x100;
}

/// Why no device can be driven in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MmioError {
    /// The slot is empty.
    Empty,
    /// There is no virtio device here.
    BadMagic(u32),
    /// The device follows another version of this interface; 1 is the legacy one.
    Version(u32),
    /// The registers are too short, misaligned or not mapped.
    Unmapped,
}

impl fmt::Display for MmioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the slot is empty"),
            Self::BadMagic(magic) => write!(f, "no virtio device here (magic {magic:#x})"),
            Self::Version(1) => f.write_str(
                "a legacy virtio-mmio device; start QEMU with -global virtio-mmio.force-legacy=false",
            ),
            Self::Version(version) => write!(f, "virtio-mmio version {version} is not known"),
            Self::Unmapped => f.write_str("the registers are not mapped"),
        }
    }
}

impl core::error::Error for MmioError {}

/// A virtio device behind memory-mapped registers.
pub struct MmioTransport {
    registers: Registers,
    device_type: DeviceType,
    irq: u32,
    has_line: bool,
    interrupts: Box<dyn Interrupts>,
    /// While its line is masked.
    rest: Rest,
}

impl MmioTransport {
    /// Looks into a slot; the device itself is not touched yet.
    ///
    /// # Errors
    /// Fails if the slot is empty or holds no device of version 2.
    ///
    /// # Safety
    /// 1. `slot` is one that the machine or its user names: registers, and not memory in use.
    /// 2. `map` gives a mapping of the range that it is asked for, and leaves it mapped.
    pub unsafe fn new(
        slot: MmioSlot,
        map: MapDevice,
        interrupts: Box<dyn Interrupts>,
    ) -> Result<Self, MmioError> {
        let len = usize::try_from(slot.len).map_err(|_| MmioError::Unmapped)?;
        if len < register::CONFIG || !slot.base.is_multiple_of(4) {
            return Err(MmioError::Unmapped);
        }
        let base = map(slot.base, len).ok_or(MmioError::Unmapped)?;
        // SAFETY: duty 1 of `Registers::new`: the slot holds registers and is mapped, by duties 1 and 2. Duty 2
        // there: a device moves data only where its driver told it to.
        let registers = unsafe { Registers::new(base, len) };
        let magic = registers.read(register::MAGIC);
        if magic != MAGIC {
            return Err(MmioError::BadMagic(magic));
        }
        // An empty slot may show any version: its device id counts first (4.2.3.1.1).
        let device_type = DeviceType(registers.read(register::DEVICE_ID));
        if device_type.0 == 0 {
            return Err(MmioError::Empty);
        }
        let version = registers.read(register::VERSION);
        if version != 2 {
            return Err(MmioError::Version(version));
        }
        Ok(Self {
            registers,
            device_type,
            irq: slot.irq,
            has_line: false,
            interrupts,
            rest: Rest::new(),
        })
    }
}

impl Transport for MmioTransport {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn offered(&mut self) -> u64 {
        let half = |select: u32| {
            self.registers.write(register::OFFERED_SELECT, select);
            u64::from(self.registers.read::<u32>(register::OFFERED))
        };
        half(0) | half(1) << 32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    fn accept(&mut self, features: u64) {
        for (select, half) in [(0u32, features as u32), (1, (features >> 32) as u32)] {
            self.registers.write(register::ACCEPTED_SELECT, select);
            self.registers.write(register::ACCEPTED, half);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the status has eight bits")]
    fn status(&self) -> u8 {
        self.registers.read::<u32>(register::STATUS) as u8
    }

    fn set_status(&mut self, status: u8) {
        self.registers.write(register::STATUS, u32::from(status));
    }

    fn max_size(&mut self, queue: u16) -> u32 {
        self.registers
            .write(register::QUEUE_SELECT, u32::from(queue));
        self.registers.read(register::QUEUE_SIZE_MAX)
    }

    fn set_queue(&mut self, queue: u16, layout: &Layout) -> Result<Doorbell, SetQueueError> {
        let registers = self.registers;
        registers.write(register::QUEUE_SELECT, u32::from(queue));
        if registers.read::<u32>(register::QUEUE_READY) != 0 {
            return Err(SetQueueError::InUse(queue));
        }
        if !self.has_line {
            self.interrupts.line(self.irq)?;
            self.has_line = true;
        }
        registers.write(register::QUEUE_SIZE, u32::from(layout.size));
        registers.write_u64(register::QUEUE_DESCRIPTORS, layout.descriptors);
        registers.write_u64(register::QUEUE_AVAILABLE, layout.available);
        registers.write_u64(register::QUEUE_USED, layout.used);
        registers.write(register::QUEUE_READY, 1u32);
        let notify = registers.part(register::QUEUE_NOTIFY, 4);
        let notify = notify.ok_or(SetQueueError::Doorbell(queue))?;
        Ok(Doorbell::Word(notify, u32::from(queue)))
    }

    fn config_generation(&self) -> u32 {
        self.registers.read(register::GENERATION)
    }

    fn config(&self) -> Registers {
        let len = self.registers.len() - register::CONFIG;
        self.registers
            .part(register::CONFIG, len)
            .expect("`new` has checked the length")
    }

    fn acknowledge(&mut self) -> Causes {
        // Bits that appear between the read and the write stay, and keep the line up: hence the loop.
        acknowledge(&*self.interrupts, || {
            let status = self.registers.read::<u32>(register::INTERRUPT_STATUS);
            if status != 0 {
                self.registers.write(register::INTERRUPT_ACK, status);
            }
            status
        })
    }

    fn arrivals(&self) -> u32 {
        self.interrupts.arrivals()
    }

    fn rest(&mut self, _: &Waker) -> bool {
        let end = self.interrupts.mask_line();
        end.inspect(|end| self.rest.begin(end)).is_some()
    }

    fn is_resting(&mut self) -> bool {
        self.rest.stage() == Stage::Going
    }

    fn wake_on_interrupt(&mut self, waker: &Waker) {
        self.interrupts.bind(waker);
    }
}

impl fmt::Debug for MmioTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MmioTransport({:?}, irq {})", self.device_type, self.irq)
    }
}
