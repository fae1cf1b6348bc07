//! [`Monitor`]: QEMU's own console, over a socket, for what can only be seen from outside.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// What the monitor says when it waits for a command.
const PROMPT: &[u8] = b"(qemu) ";

/// An answer, or the socket itself, may take so long.
const PATIENCE: Duration = Duration::from_secs(300);

/// A connection to the monitor of a virtual machine that runs.
#[derive(Debug)]
pub(crate) struct Monitor {
    stream: UnixStream,
}

impl Monitor {
    /// What QEMU has to be told so that its monitor listens at `path`.
    pub(crate) fn arguments(path: &Path) -> [String; 2] {
        let socket = format!("unix:{},server=on,wait=off", path.display());
        ["-monitor".to_owned(), socket]
    }

    /// A path for the socket of this process's virtual machine `name`: a short one, since a socket's name has a limit.
    pub(crate) fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("toro-{}-{name}.monitor", std::process::id()))
    }

    /// Connects to the monitor that listens at `path`, or soon will.
    pub(crate) fn connect(path: &Path) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => {
                    return Err(error).with_context(|| format!("no monitor at {}", path.display()));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Self { stream };
        monitor.answer()?;
        Ok(monitor)
    }

    /// Gives a command and waits for all that it prints.
    pub(crate) fn ask(&mut self, command: &str) -> Result<String> {
        self.stream.write_all(format!("{command}\n").as_bytes())?;
        self.answer()
            .with_context(|| format!("the monitor was asked for `{command}`"))
    }

    /// Reads up to the next prompt.
    fn answer(&mut self) -> Result<String> {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        while !bytes.ends_with(PROMPT) {
            match self.stream.read(&mut chunk) {
                Ok(0) => bail!("the monitor has gone"),
                Ok(len) => bytes.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
