//! [`Port`]: what the debugger talks over. [`SerialPort`] is the one that every PC has.

use core::fmt;

use toro_arch::uart::Uart;
use toro_irq::RouteError;

/// A stream of bytes to gdb. It is looked at while all cores stand still, from whichever of them talks, and by those that wait.
pub trait Port: Sync {
    /// The next byte that has come in.
    fn read(&self) -> Option<u8>;

    /// Whether a byte has come in.
    fn has_input(&self) -> bool;

    /// Sends bytes, or keeps them until the next [`flush`](Self::flush). Gives up on a port that does not take them.
    fn write(&self, bytes: &[u8]);

    /// Sends what was kept.
    fn flush(&self);

    /// Has what comes in raise an interrupt that cannot be masked, or not. Returns whether there is something already of which no interrupt
    /// will tell.
    fn set_interrupts(&self, wanted: bool) -> bool;
}

/// Why there is no such port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SerialError {
    /// There is no serial port of this number.
    NoPort(usize),
    /// The port's interrupt line leads nowhere.
    NoLine(RouteError),
}

impl fmt::Display for SerialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPort(number) => write!(
                f,
                "this machine has no serial port ttyS{number}; give it one (a second -serial), or name another"
            ),
            Self::NoLine(reason) => write!(f, "no Ctrl-C from its port: {reason}"),
        }
    }
}

impl core::error::Error for SerialError {}

/// A serial port.
#[derive(Clone, Copy, Debug)]
pub struct SerialPort(Uart);

impl SerialPort {
    /// The port `ttyS` and `number`; its interrupts go to the running core.
    ///
    /// # Errors
    /// Fails if there is no such port.
    pub fn open(number: usize) -> Result<Self, SerialError> {
        let port = Uart::open(number).ok_or(SerialError::NoPort(number))?;
        toro_irq::route_line_as_nmi(port.line()).map_err(SerialError::NoLine)?;
        Ok(Self(port))
    }
}

impl Port for SerialPort {
    fn read(&self) -> Option<u8> {
        self.0.read()
    }

    fn has_input(&self) -> bool {
        self.0.has_input()
    }

    fn write(&self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0.write(byte));
    }

    fn flush(&self) {}

    fn set_interrupts(&self, wanted: bool) -> bool {
        self.0.set_interrupts(wanted);
        // If a byte is there, the line rises with this.
        false
    }
}
