//! [`QueueShare`]: some queues of a device on a core that does not own it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;
use core::task::Waker;

use toro_pci::{Msix, Registers};

use crate::interrupt::Interrupts;
use crate::rest::{Rest, Stage};
use crate::ring::Layout;
use crate::transport::{Causes, DeviceType, Doorbell, SetQueueError, Transport, status};

/// A transport that has the interrupts of some queues and nothing else.
///
/// The owner of the device has set the queues up ([`Queue::new_for`](crate::Queue::new_for)). Here the device seems to run
/// well for ever, has no configuration and no further queues, and a reset of it is never proved: what was given to the queues
/// stays theirs.
pub struct QueueShare {
    device_type: DeviceType,
    interrupts: Box<dyn Interrupts>,
    /// What masks its messages.
    masks: Vec<Registers>,
    rest: Rest,
}

impl QueueShare {
    /// The share of a device of this type whose queues interrupt by `interrupts`, which are this core's, and are masked by `masks`, as
    /// [`message_mask`](Transport::message_mask) names them.
    pub fn new(
        device_type: DeviceType,
        interrupts: Box<dyn Interrupts>,
        masks: Vec<Registers>,
    ) -> Self {
        Self {
            device_type,
            interrupts,
            masks,
            rest: Rest::new(),
        }
    }

    fn mask(&self, value: u32) {
        self.masks.iter().for_each(|mask| mask.write(0, value));
    }
}

impl Transport for QueueShare {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn offered(&mut self) -> u64 {
        0
    }

    fn accept(&mut self, _: u64) {}

    fn status(&self) -> u8 {
        status::DRIVER_OK
    }

    fn set_status(&mut self, _: u8) {}

    fn max_size(&mut self, _: u16) -> u32 {
        0
    }

    fn set_queue(&mut self, queue: u16, _: &Layout) -> Result<Doorbell, SetQueueError> {
        Err(SetQueueError::NoSuchQueue(queue))
    }

    fn config_generation(&self) -> u32 {
        0
    }

    fn config(&self) -> Registers {
        // SAFETY: 1. and 2. there is no byte in it to be read or written.
        unsafe { Registers::new(NonNull::dangling(), 0) }
    }

    fn acknowledge(&mut self) -> Causes {
        Causes {
            queue: true,
            config: false,
        }
    }

    fn arrivals(&self) -> u32 {
        self.interrupts.arrivals()
    }

    fn rest(&mut self, waker: &Waker) -> bool {
        if self.masks.is_empty() {
            return false;
        }
        self.mask(Msix::MASKED);
        self.rest.begin(waker);
        true
    }

    fn is_resting(&mut self) -> bool {
        let stage = self.rest.stage();
        if stage == Stage::Over {
            self.mask(0);
        }
        stage == Stage::Going
    }

    fn wake_on_interrupt(&mut self, waker: &Waker) {
        self.interrupts.bind(waker);
    }
}

impl fmt::Debug for QueueShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueueShare({:?})", self.device_type)
    }
}
