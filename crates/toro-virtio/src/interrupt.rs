//! [`Interrupts`]: where the interrupts of one device go.

use alloc::vec::Vec;
use core::task::Waker;

use toro_irq::{LineShare, RouteError, Vector};

use crate::transport::Causes;

/// How often the interrupt status is read until it must be zero.
const ACKNOWLEDGE_TRIES: u32 = 16;

/// A message that a device sends as its interrupt: to which core, and which vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The core's APIC id.
    pub apic_id: u32,
    /// The vector's number.
    pub vector: u8,
}

/// The interrupts of one device.
pub trait Interrupts {
    /// Takes another vector, for a message.
    ///
    /// # Errors
    /// Fails if the core has none left.
    fn message(&mut self) -> Result<Message, RouteError>;

    /// Takes a share of interrupt line `gsi`.
    ///
    /// # Errors
    /// Fails if the core has no vector left or the machine has no such line.
    fn line(&mut self, gsi: u32) -> Result<(), RouteError>;

    /// How many interrupts have come ever, of those that were taken here: messages, and of a line those that were this device's or
    /// nobody's; wraps.
    fn arrivals(&self) -> u32 {
        0
    }

    /// Masks the line, for all who share it, until what is returned is woken; `None` without a line.
    fn mask_line(&self) -> Option<Waker> {
        None
    }

    /// Makes every vector and line taken here wake `waker`, in place of the one before.
    fn bind(&self, waker: &Waker);

    /// Says that the device has let its line go, if it has one: others may hold it up still.
    fn line_released(&self);
}

/// The interrupts of a device that belongs to the running core.
#[derive(Debug, Default)]
pub struct CoreInterrupts {
    vectors: Vec<Vector>,
    line: Option<LineShare>,
}

impl CoreInterrupts {
    /// A device without interrupts so far.
    pub const fn new() -> Self {
        Self {
            vectors: Vec::new(),
            line: None,
        }
    }

    fn allocate(&mut self) -> Result<Vector, RouteError> {
        let vector = toro_irq::allocate()?;
        self.vectors.push(vector);
        Ok(vector)
    }
}

impl Interrupts for CoreInterrupts {
    fn message(&mut self) -> Result<Message, RouteError> {
        let vector = self.allocate()?.number();
        Ok(Message {
            apic_id: toro_irq::local_apic_id(),
            vector,
        })
    }

    fn line(&mut self, gsi: u32) -> Result<(), RouteError> {
        self.line = Some(toro_irq::share_line(gsi)?);
        Ok(())
    }

    fn arrivals(&self) -> u32 {
        let arrivals = self.vectors.iter().copied().map(toro_irq::arrivals);
        let of_line = self.line.as_ref().map_or(0, LineShare::arrivals);
        arrivals.fold(of_line, u32::wrapping_add)
    }

    fn mask_line(&self) -> Option<Waker> {
        self.line.as_ref().map(LineShare::mask)
    }

    fn bind(&self, waker: &Waker) {
        for vector in &self.vectors {
            toro_irq::bind(*vector, waker);
        }
        if let Some(line) = &self.line {
            line.bind(waker);
        }
    }

    fn line_released(&self) {
        if let Some(line) = &self.line {
            line.wake_others();
        }
    }
}

/// Reads and clears an interrupt status until it is zero, or the device shows that it will never be; then tells those who share the line.
pub(crate) fn acknowledge(
    interrupts: &dyn Interrupts,
    mut take_status: impl FnMut() -> u32,
) -> Causes {
    let mut seen = 0;
    for _ in 0..ACKNOWLEDGE_TRIES {
        let status = take_status();
        if status & 0b11 == 0 {
            break;
        }
        seen |= status;
    }
    if seen != 0 {
        interrupts.line_released();
    }
    Causes {
        queue: seen & 1 != 0,
        config: seen & 2 != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledging_ends_at_silence_and_after_a_storm() {
        let mut statuses = [1, 2, 0, 1].into_iter();
        let interrupts = CoreInterrupts::new();
        let causes = acknowledge(&interrupts, || statuses.next().expect("stops at zero"));
        assert_eq!(
            causes,
            Causes {
                queue: true,
                config: true
            }
        );
        assert_eq!(
            acknowledge(&interrupts, || 1),
            Causes {
                queue: true,
                config: false
            }
        );
        assert_eq!(acknowledge(&interrupts, || 0), Causes::default());
    }
}
