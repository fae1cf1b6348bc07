//! Ports of the debugger beside serial ones: a console or a socket device that it has for itself.

use alloc::boxed::Box;
use core::task::Waker;

use toro_dev::owner::{Class, DeviceName};
use toro_gdbstub::Port;
use toro_irq::RouteError;
use toro_polled::{Line, OpenError, PolledConsole, PolledSocket};
use toro_sync::SpinLock;
use toro_virtio::{Interrupts, Message};

use crate::places::{self, Place};
use crate::spare::{self, Wanted};

/// The vector of interrupts that cannot be masked.
const NMI: u8 = 2;

/// Interrupts that cannot be masked, to the core that opens the device: they stop an image in whatever it does.
#[derive(Debug)]
struct NmiInterrupts;

impl Interrupts for NmiInterrupts {
    fn message(&mut self) -> Result<Message, RouteError> {
        Ok(Message {
            apic_id: toro_irq::local_apic_id(),
            vector: NMI,
        })
    }

    fn line(&mut self, gsi: u32) -> Result<(), RouteError> {
        toro_irq::route_line_as_nmi(gsi)
    }

    fn bind(&self, _: &Waker) {}

    fn line_released(&self) {}
}

/// A device that one core at a time looks at.
struct Device(SpinLock<Box<dyn Line>>);

// SAFETY: what keeps such a device on one core is the closure that the doorbell of a fake one holds; those of machines are registers. Its
// buffers may be used from any core, and it is never freed.
unsafe impl Send for Device {}
// SAFETY: as above; the lock lets one core in at a time.
unsafe impl Sync for Device {}

impl Device {
    /// Lets `work` have the device. A core that waits for its turn to talk may look at it too, for moments.
    fn with<R>(&self, work: impl FnOnce(&mut dyn Line) -> R) -> R {
        work(&mut **self.0.lock())
    }
}

impl Port for Device {
    fn read(&self) -> Option<u8> {
        self.with(|line| line.read())
    }

    fn has_input(&self) -> bool {
        self.with(|line| line.has_input())
    }

    fn write(&self, bytes: &[u8]) {
        self.with(|line| line.write(bytes));
    }

    fn flush(&self) {
        self.with(|line| line.flush());
    }

    fn set_interrupts(&self, wanted: bool) -> bool {
        self.with(|line| line.set_interrupts(wanted))
    }
}

/// Why a device is no port.
pub(super) enum DeviceError {
    Missing(DeviceName),
    Unusable(OpenError),
}

/// Opens the device that `wanted` names, where `find` says.
pub(super) fn open(
    wanted: Wanted,
    find: &dyn Fn(DeviceName) -> Option<Place>,
) -> Result<&'static dyn Port, DeviceError> {
    let place = find(wanted.name);
    toro_gdbstub::expect();
    let transport = place.and_then(|place| places::open_with(place, || Box::new(NmiInterrupts)));
    let transport = transport.ok_or(DeviceError::Missing(wanted.name))?;
    let line: Result<Box<dyn Line>, OpenError> = match wanted.name.class {
        Class::Console => {
            PolledConsole::open(transport, spare::wait).map(|port| Box::new(port) as _)
        }
        Class::Socket => PolledSocket::open(transport, wanted.port, spare::wait)
            .map(|socket| Box::new(socket) as _),
        _ => Err(OpenError::OtherKind),
    };
    let line = line.map_err(DeviceError::Unusable)?;
    Ok(Box::leak(Box::new(Device(SpinLock::new(line)))))
}
