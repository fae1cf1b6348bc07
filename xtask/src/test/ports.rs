//! The host's end of console ports: it does what a test image asks for, and reads the log on the console.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use toro_abi::session::PortSession;

use crate::qemu::{CONSOLE, ConsolePort};

/// A session may stand still for so long.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The host's end of the ports of a machine that runs.
#[derive(Debug)]
pub(super) struct Players {
    ports: Vec<ConsolePort>,
    /// What the console has shown so far, at its end.
    console: Option<JoinHandle<String>>,
    sessions: Vec<(String, JoinHandle<Result<()>>)>,
}

impl Players {
    /// Reads the console of a machine that was just started, if it has one.
    pub(super) fn start(ports: &[ConsolePort]) -> Self {
        let console = ports.iter().find(|port| port.name == CONSOLE);
        let path = console.and_then(|port| port.path.clone());
        Self {
            ports: ports.to_vec(),
            console: path.map(|path| thread::spawn(move || follow(&path))),
            sessions: Vec::new(),
        }
    }

    /// Starts a session if `line` asks for one.
    pub(super) fn hear(&mut self, line: &str) {
        let Some(PortSession { name, len }) = PortSession::parse(line) else {
            return;
        };
        let port = self.ports.iter().find(|port| port.name == name);
        let path: Option<PathBuf> = port.and_then(|port| port.path.clone());
        let number = self.sessions.len() + 1;
        let name = format!("session {number}: {len} bytes through port {name}");
        let session = move || play(&path.context("there is no such port")?, len);
        self.sessions.push((name, thread::spawn(session)));
    }

    /// A case for each session, and one for the log. The machine has ended.
    pub(super) fn finish(self) -> Vec<(String, Result<(), String>)> {
        let mut cases = Vec::new();
        let asked = !self.sessions.is_empty();
        for (name, session) in self.sessions {
            let result = session.join().unwrap_or_else(|_| Err(anyhow!("panicked")));
            cases.push((name, result.map_err(|error| format!("{error:#}"))));
        }
        if let Some(console) = self.console.filter(|_| asked) {
            let shown = console.join().unwrap_or_default();
            let has_line = shown.lines().any(|line| PortSession::parse(line).is_some());
            let result = has_line
                .then_some(())
                .ok_or(format!("it shows only: {shown}"));
            cases.push(("the console shows the log".to_owned(), result));
        }
        cases
    }
}

/// Sends bytes, expects them back, and closes the port.
fn play(path: &Path, len: usize) -> Result<()> {
    let mut stream = connect(path)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let bytes: Vec<u8> = (0..len)
        .map(|index| (index.wrapping_mul(0x9e37_79b1) >> 13).to_le_bytes()[0])
        .collect();
    let mut other = stream.try_clone()?;
    let mut echo = vec![0; len];
    thread::scope(|scope| {
        let sender = scope.spawn(|| other.write_all(&bytes));
        stream
            .read_exact(&mut echo)
            .context("the bytes do not come back")?;
        let sent = sender.join().map_err(|_| anyhow!("panicked"))?;
        sent.context("the bytes cannot be sent")
    })?;
    ensure!(echo == bytes, "other bytes come back");
    Ok(())
}

/// Reads the console to its end.
fn follow(path: &Path) -> String {
    let mut shown = Vec::new();
    if let Ok(mut stream) = connect(path) {
        // The end comes as an error, too.
        let _ = stream.read_to_end(&mut shown);
    }
    String::from_utf8_lossy(&shown).into_owned()
}

/// Connects to a socket that QEMU is about to make.
fn connect(path: &Path) -> Result<UnixStream> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("cannot connect to {}", path.display()));
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}
