//! [`Port`]: a named byte stream.

use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;

use toro_dev::console::{ConsoleError, Read};
use toro_sched::{block_on_for, block_on_until};
use toro_time::Instant;

use crate::console::{Console, State};

/// So long [`Port::open`] waits for a name: the host tells the names of its ports once it knows that we listen.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Why a port was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// No console of this core has a port of that name.
    NoSuchPort,
    /// Somebody has it open.
    InUse,
    /// The device refuses.
    Device(ConsoleError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPort => f.write_str("no console of this core has such a port"),
            Self::InUse => f.write_str("the port is open already"),
            Self::Device(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for OpenError {}

/// A port of a console of the running core, open until this is dropped. Only one handle has it.
pub struct Port {
    console: Console,
    number: usize,
    /// Of the port that was opened: the host may replace it by another.
    generation: u32,
}

impl Port {
    /// Opens the port that the host calls `name`. Blocks for [`PATIENCE`] at most.
    ///
    /// # Errors
    /// Fails if there is no such port on this core, or it is open already.
    pub fn open(name: &str) -> Result<Self, OpenError> {
        let deadline = Instant::now() + PATIENCE;
        let consoles = Console::all();
        let opened = poll_fn(|context| {
            let waker = context.waker();
            let mut found = consoles
                .iter()
                .filter_map(|console| Self::find(console, name, waker));
            found.next().map_or(Poll::Pending, Poll::Ready)
        });
        match consoles.is_empty() {
            true => Err(OpenError::NoSuchPort),
            false => block_on_until(deadline, opened).unwrap_or(Err(OpenError::NoSuchPort)),
        }
    }

    /// Opens the port of `console` that is called `name`, or has `waker` woken when ports have come.
    pub(crate) fn find(
        console: &Console,
        name: &str,
        waker: &Waker,
    ) -> Option<Result<Self, OpenError>> {
        let opened = console.with(|state| {
            let number = (0..state.device.ports()).find(|number| {
                let port = state.device.port(*number);
                port.is_some_and(|port| port.name == name)
            });
            let Some(number) = number else {
                state.wait(waker);
                return None;
            };
            Some(claim(state, number))
        })?;
        console.poke();
        Some(opened.map(|(number, generation)| Self {
            console: console.clone(),
            number,
            generation,
        }))
    }

    /// Reads some bytes: at least one, or none once the host has closed the port; later reads wait for it to open the port again. Blocks.
    ///
    /// # Errors
    /// Fails once the port or its device is gone.
    pub fn read(&self, bytes: &mut [u8]) -> Result<usize, ConsoleError> {
        block_on_for(
            "console port",
            poll_fn(|context| self.poll_read(bytes, context.waker())),
        )
    }

    /// Writes some bytes, and says how many: at least one. Blocks while the host takes none.
    ///
    /// # Errors
    /// Fails if nobody on the host has the port open; see [`wait_for_host`](Self::wait_for_host).
    pub fn write(&self, bytes: &[u8]) -> Result<usize, ConsoleError> {
        block_on_for(
            "console port",
            poll_fn(|context| self.poll_write(bytes, context.waker())),
        )
    }

    /// Writes all bytes. Blocks.
    ///
    /// # Errors
    /// As [`write`](Self::write); how much has left is then not known.
    pub fn write_all(&self, bytes: &[u8]) -> Result<(), ConsoleError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[self.write(rest)?..];
        }
        Ok(())
    }

    /// Waits until somebody on the host has the port open.
    ///
    /// # Errors
    /// Fails once the port or its device is gone.
    pub fn wait_for_host(&self) -> Result<(), ConsoleError> {
        block_on_for(
            "console port",
            poll_fn(|context| {
                self.step(|state, number| match state.device.port(number) {
                    Some(port) if port.is_host_open => Poll::Ready(Ok(())),
                    Some(_) => {
                        state.wait(context.waker());
                        Poll::Pending
                    }
                    None => Poll::Ready(Err(ConsoleError::NoSuchPort)),
                })
            }),
        )
    }

    /// As [`read`](Self::read), but has `waker` woken instead of blocking.
    pub fn poll_read(&self, bytes: &mut [u8], waker: &Waker) -> Poll<Result<usize, ConsoleError>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let polled = self.step(|state, number| match state.device.read(number, bytes) {
            Ok(Read::Bytes(len)) => Poll::Ready(Ok(len)),
            Ok(Read::End) => Poll::Ready(Ok(0)),
            Ok(Read::Nothing) => {
                state.wait(waker);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        });
        if matches!(polled, Poll::Ready(Ok(1..))) {
            // The device may have a buffer back.
            self.console.poke();
        }
        polled
    }

    /// As [`write`](Self::write), but has `waker` woken instead of blocking.
    pub fn poll_write(&self, bytes: &[u8], waker: &Waker) -> Poll<Result<usize, ConsoleError>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let polled = self.step(|state, number| match state.device.write(number, bytes) {
            Ok(0) => {
                state.wait(waker);
                Poll::Pending
            }
            other => Poll::Ready(other),
        });
        if matches!(polled, Poll::Ready(Ok(_))) {
            self.console.poke();
        }
        polled
    }

    /// Does something with the port, if it is still the one that was opened.
    fn step<T>(
        &self,
        f: impl FnOnce(&mut State, usize) -> Poll<Result<T, ConsoleError>>,
    ) -> Poll<Result<T, ConsoleError>> {
        self.console.with(|state| match self.is_same(state) {
            true => f(state, self.number),
            false => Poll::Ready(Err(ConsoleError::NoSuchPort)),
        })
    }

    fn is_same(&self, state: &State) -> bool {
        let port = state.device.port(self.number);
        port.is_some_and(|port| port.generation == self.generation)
    }
}

/// Takes a port for a handle.
fn claim(state: &mut State, number: usize) -> Result<(usize, u32), OpenError> {
    if state.taken[number] {
        return Err(OpenError::InUse);
    }
    state.device.open(number).map_err(OpenError::Device)?;
    state.taken[number] = true;
    let generation = state.device.port(number).map_or(0, |port| port.generation);
    Ok((number, generation))
}

impl Drop for Port {
    fn drop(&mut self) {
        self.console.with(|state| {
            state.taken[self.number] = false;
            if self.is_same(state) {
                state.device.close(self.number);
            }
        });
        self.console.poke();
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({})", self.number)
    }
}
