//! [`Transport`]: what a driver sees of a device, whatever bus it sits on.

use alloc::boxed::Box;
use core::fmt;
use core::task::Waker;

use toro_irq::RouteError;
use toro_mem::OutOfMemory;
use toro_pci::Registers;

use crate::interrupt::Message;
use crate::ring::Layout;

/// What a device is, by its number (VIRTIO 1.3, 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceType(pub u32);

impl DeviceType {
    /// A network card.
    pub const NET: Self = Self(1);
    /// A block device.
    pub const BLOCK: Self = Self(2);
    /// A console.
    pub const CONSOLE: Self = Self(3);
    /// A source of entropy.
    pub const ENTROPY: Self = Self(4);
    /// A memory balloon.
    pub const BALLOON: Self = Self(5);
    /// A socket to the host.
    pub const SOCKET: Self = Self(19);
    /// A shared folder.
    pub const FILE_SYSTEM: Self = Self(26);
}

/// Bits of the device status register (VIRTIO 1.3, 2.1).
pub mod status {
    /// We have seen the device.
    pub const ACKNOWLEDGE: u8 = 1;
    /// We know how to drive it.
    pub const DRIVER: u8 = 2;
    /// It is in use.
    pub const DRIVER_OK: u8 = 4;
    /// The features are agreed on.
    pub const FEATURES_OK: u8 = 8;
    /// The device has an error that only a reset ends.
    pub const NEEDS_RESET: u8 = 64;
    /// We have given the device up.
    pub const FAILED: u8 = 128;
}

/// Why a device has interrupted; both `true` where that cannot be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Causes {
    /// A queue has news.
    pub queue: bool,
    /// The configuration has changed.
    pub config: bool,
}

/// Why a queue could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetQueueError {
    /// The device has no such queue.
    NoSuchQueue(u16),
    /// It is in use already.
    InUse(u16),
    /// The device names a doorbell outside its registers.
    Doorbell(u16),
    /// The device cannot attach its interrupt.
    NoInterrupt(u16),
    /// The core has no vector or line for it.
    Route(RouteError),
    /// There is no memory for the rings.
    OutOfMemory(OutOfMemory),
}

impl fmt::Display for SetQueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchQueue(queue) => write!(f, "the device has no queue {queue}"),
            Self::InUse(queue) => write!(f, "queue {queue} is in use already"),
            Self::Doorbell(queue) => write!(f, "the doorbell of queue {queue} lies outside"),
            Self::NoInterrupt(queue) => write!(f, "queue {queue} cannot interrupt"),
            Self::Route(error) => write!(f, "{error}"),
            Self::OutOfMemory(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for SetQueueError {}

impl From<RouteError> for SetQueueError {
    fn from(error: RouteError) -> Self {
        Self::Route(error)
    }
}

/// What tells a device that a queue has news for it.
pub enum Doorbell {
    /// PCI: a 16-bit register at the start of the range takes the number of the queue.
    Half(Registers, u16),
    /// MMIO: the same with 32 bits.
    Word(Registers, u32),
    /// A fake device's.
    Call(Box<dyn Fn() + Send>),
}

impl Doorbell {
    /// Tells the device: one write, that is one exit to the hypervisor.
    pub fn ring(&self) {
        match self {
            Self::Half(register, queue) => register.write(0, *queue),
            Self::Word(register, queue) => register.write(0, *queue),
            Self::Call(call) => call(),
        }
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Doorbell")
    }
}

/// A virtio device on its bus.
///
/// A driver holds it as `Box<dyn Transport>`: nothing here is called per packet.
pub trait Transport {
    /// What the device is.
    fn device_type(&self) -> DeviceType;

    /// The features that the device offers.
    fn offered(&mut self) -> u64;

    /// Writes the features that the driver accepts.
    fn accept(&mut self, features: u64);

    /// The device status register.
    fn status(&self) -> u8;

    /// Writes the device status register; 0 asks for a reset.
    fn set_status(&mut self, status: u8);

    /// The largest size of queue `queue` that the device takes; 0 if it has no such queue.
    fn max_size(&mut self, queue: u16) -> u32;

    /// Tells the device where the rings of queue `queue` are, attaches its interrupt and enables it.
    ///
    /// # Errors
    /// Fails if the queue does not exist or is in use, or if its doorbell or interrupt cannot be had.
    fn set_queue(&mut self, queue: u16, layout: &Layout) -> Result<Doorbell, SetQueueError>;

    /// As [`set_queue`](Self::set_queue), but the queue is for another core, to which its interrupts go as `message`.
    ///
    /// # Errors
    /// Also fails if the device has no message of its own left for the queue, or interrupts by a line.
    fn set_queue_for(
        &mut self,
        queue: u16,
        layout: &Layout,
        message: Message,
    ) -> Result<Doorbell, SetQueueError> {
        let _ = (layout, message);
        Err(SetQueueError::NoInterrupt(queue))
    }

    /// How many more queues can have messages of their own; 0 where interrupts are no messages.
    fn messages_left(&self) -> u16 {
        0
    }

    /// Changes when the configuration does.
    fn config_generation(&self) -> u32;

    /// The configuration of the device; empty if it has none.
    fn config(&self) -> Registers;

    /// Acknowledges interrupts until the device is silent, and tells what they were for.
    ///
    /// An interrupt line works by its edges: a driver must call this before it looks at its rings and before it
    /// parks, or the line stays up and no edge ever comes again. Costs nothing where interrupts are messages.
    fn acknowledge(&mut self) -> Causes;

    /// How many interrupts of the device have come to this core ever; wraps. Of a line those that were this device's, or nobody's.
    fn arrivals(&self) -> u32 {
        0
    }

    /// Masks the interrupts of the device for a while, after which `waker` is woken; `false` if that cannot be done. A line is masked for all
    /// who share it, and all of them are woken at the end.
    fn rest(&mut self, waker: &Waker) -> bool {
        let _ = waker;
        false
    }

    /// Whether that while is not over; once it is, the interrupts come again.
    fn is_resting(&mut self) -> bool {
        false
    }

    /// The register by which the core of a foreign `message` masks it ([`Msix`](toro_pci::Msix)); `None` where there is none.
    fn message_mask(&self, message: Message) -> Option<Registers> {
        let _ = message;
        None
    }

    /// Makes every interrupt of the device wake `waker`, in place of the one before.
    fn wake_on_interrupt(&mut self, waker: &Waker);
}
