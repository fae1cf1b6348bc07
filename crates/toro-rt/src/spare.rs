//! Devices that the rest of the image does not see: the debugger or core files have them for themselves, and look at them without a driver's
//! thread or interrupts.

use core::fmt;

use toro_arch::{cpu, tsc};
use toro_boot::BootInfo;
use toro_dev::owner::{Class, DeviceName};

use crate::places::Place;

/// So many ticks of the counter a device may take for what it was asked: some seconds in which this core runs.
const PATIENCE: u64 = 1 << 34;
/// What passes between two looks at the counter counts as so much at most: the rest of it the host has not run this core.
const LONGEST_LOOK: u64 = 1 << 18;

/// A device as the command line names it: `blk1`, `console1`, `vsock0:1234`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: DeviceName,
    /// The port, which only sockets have.
    pub(crate) port: u32,
}

impl Wanted {
    /// Reads one; `None` if it makes no sense.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (DeviceName::parse(name)?, Some(port.parse().ok()?)),
            None => (DeviceName::parse(text)?, None),
        };
        let has_port = name.class == Class::Socket;
        (has_port == port.is_some()).then_some(Self {
            name,
            port: port.unwrap_or(0),
        })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        match self.port {
            0 => Ok(()),
            port => write!(f, ":{port}"),
        }
    }
}

/// Whether the device is one of these.
pub(crate) fn is_taken(name: DeviceName) -> bool {
    #[cfg(feature = "core-file")]
    if crate::core_file::wanted().is_some_and(|wanted| wanted.name == name) {
        return true;
    }
    #[cfg(feature = "gdb")]
    if crate::debugger::device().is_some_and(|wanted| wanted.name == name) {
        return true;
    }
    false
}

/// Gives them to those who want them; `find` knows where a device is.
pub(crate) fn start(info: &BootInfo, find: &dyn Fn(DeviceName) -> Option<Place>) {
    #[cfg(feature = "gdb")]
    crate::debugger::start_at_device(find);
    #[cfg(feature = "core-file")]
    crate::core_file::start(info, find);
    // Only core files ask for the machine's memory.
    #[cfg(not(feature = "core-file"))]
    let _ = info;
}

/// Waits for a device.
pub(crate) fn wait(done: &mut dyn FnMut() -> bool) -> bool {
    let (mut left, mut last) = (PATIENCE, tsc::read());
    while left > 0 {
        if done() {
            return true;
        }
        cpu::relax();
        let now = tsc::read();
        left = left.saturating_sub(now.wrapping_sub(last).min(LONGEST_LOOK));
        last = now;
    }
    done()
}
