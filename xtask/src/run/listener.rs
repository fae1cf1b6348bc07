//! [`Listener`]: what a verb has to say that boots an appliance as `run` does and reads at a console port of it.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::build::{Extras, Image};

/// QEMU makes its sockets within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody who reads what a unit of an image says.
pub(crate) trait Listener {
    /// The unit, which is the name of its port too.
    fn unit(&self) -> &'static str;

    /// Picks what the image is built with.
    fn pick(&self, extras: &mut Extras);

    /// Further words for the kernel.
    fn words(&self) -> String {
        String::new()
    }

    /// Whether what is read goes to the standard output, so that nothing else may.
    fn takes_output(&self) -> bool;

    /// Begins to read at `socket`, until QEMU ends. Hands out a line about what was read.
    ///
    /// `monitor` is that of the machine, and `image` what it runs.
    fn listen(&self, socket: PathBuf, image: &Image, monitor: &Path) -> Result<Listening>;
}

/// A thread that reads.
pub(crate) type Listening = JoinHandle<Result<String>>;

/// Waits until QEMU has made its socket.
pub(crate) fn connect(socket: &Path) -> Result<UnixStream> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("no socket at {}", socket.display()));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}
