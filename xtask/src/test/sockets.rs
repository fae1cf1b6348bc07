//! The host's end of a machine's sockets: it serves the machine's connections, and connects when a test image asks for it.
//!
//! `vhost-device-vsock` 0.3 ends when a client goes away before it has read to the end, and stands still when a client has more to send
//! than the machine has room for while it does not read what comes back: the clients here do neither.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use toro_abi::session::SocketSession;

use crate::vsock::{Backend, Sockets};

/// A session may stand still for so long.
const TIMEOUT: Duration = Duration::from_secs(50);
/// How long a slow reader lets the other side wait.
const SLOW: Duration = Duration::from_millis(200);
/// The most bytes that are on their way when they come back: less than the machine has room for.
const WINDOW: usize = 16 << 10;

/// The host's end of the sockets of a machine that runs.
#[derive(Debug)]
pub(super) struct Host {
    sockets: Option<Sockets>,
    backend: Option<Backend>,
    sessions: Vec<(String, JoinHandle<Result<()>>)>,
}

impl Host {
    /// Starts the back end of a machine that is about to be started, if it wants one, and serves its connections.
    pub(super) fn start(sockets: Option<&Sockets>) -> Result<Self> {
        let backend = sockets.map(Backend::start).transpose()?;
        if let Some(sockets) = sockets {
            let listener = sockets.listen(SocketSession::HOST_PORT)?;
            // It ends with this program.
            thread::spawn(move || serve(&listener));
        }
        Ok(Self {
            sockets: sockets.cloned(),
            backend,
            sessions: Vec::new(),
        })
    }

    /// Does what `line` asks for.
    pub(super) fn hear(&mut self, line: &str) {
        let Some(session) = SocketSession::parse(line) else {
            return;
        };
        if session == SocketSession::Kill {
            self.backend = None;
            return;
        }
        let Some(sockets) = self.sockets.clone() else {
            return;
        };
        let name = format!("session {}: {session}", self.sessions.len() + 1);
        let body = move || play(&sockets, session);
        self.sessions.push((name, thread::spawn(body)));
    }

    /// A case for all sessions together: there are many. The machine has ended.
    pub(super) fn finish(self) -> Option<(String, Result<(), String>)> {
        drop(self.backend);
        self.sockets?;
        let mut result = Ok(());
        for (name, session) in self.sessions {
            let ended = session.join().unwrap_or_else(|_| Err(anyhow!("panicked")));
            result = result.and(ended.map_err(|error| format!("{name}: {error:#}")));
        }
        Some(("the host's sessions".to_owned(), result))
    }
}

fn bytes(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(SocketSession::byte).collect()
}

/// Plays the client.
fn play(sockets: &Sockets, session: SocketSession) -> Result<()> {
    match session {
        SocketSession::Echo { port, len } => {
            let mut stream = sockets.connect(port, TIMEOUT)?;
            for from in (0..len).step_by(WINDOW) {
                let sent = bytes(from, WINDOW.min(len - from));
                stream.write_all(&sent)?;
                let mut back = vec![0; sent.len()];
                stream
                    .read_exact(&mut back)
                    .with_context(|| format!("behind {from} bytes nothing comes back"))?;
                ensure!(back == sent, "behind {from} bytes others come back");
            }
            end(&mut stream)
        }
        SocketSession::Send { port, len } => {
            let mut stream = sockets.connect(port, TIMEOUT)?;
            send(&mut stream, len)?;
            end(&mut stream)
        }
        SocketSession::Receive { port, len } => {
            let mut stream = sockets.connect(port, TIMEOUT)?;
            thread::sleep(SLOW);
            receive(&mut stream, len)?;
            end(&mut stream)
        }
        SocketSession::Kill => Ok(()),
    }
}

/// Serves the machine's connections.
fn serve(listener: &UnixListener) {
    for stream in listener.incoming().flatten() {
        // What goes wrong is seen by the machine.
        thread::spawn(move || answer(stream));
    }
}

/// Does what the machine asks for, and ends the connection.
fn answer(mut stream: UnixStream) -> Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut request = [0; 9];
    stream.read_exact(&mut request)?;
    let [what, len @ ..] = request;
    let len = usize::try_from(u64::from_le_bytes(len))?;
    match what {
        b'e' => {
            let mut left = len;
            let mut bytes = vec![0; WINDOW];
            while left > 0 {
                let read = stream.read(&mut bytes)?;
                ensure!(read > 0 && read <= left, "{read} bytes of {left}");
                stream.write_all(&bytes[..read])?;
                left -= read;
            }
        }
        b'r' => {
            thread::sleep(SLOW);
            receive(&mut stream, len)?;
            stream.write_all(b".")?;
        }
        b's' => send(&mut stream, len)?,
        _ => bail!("{what} is no request"),
    }
    stream.shutdown(Shutdown::Write)?;
    end(&mut stream)
}

fn send(stream: &mut UnixStream, len: usize) -> Result<()> {
    for from in (0..len).step_by(WINDOW) {
        stream
            .write_all(&bytes(from, WINDOW.min(len - from)))
            .with_context(|| format!("behind {from} bytes no more is taken"))?;
    }
    Ok(())
}

fn receive(stream: &mut UnixStream, len: usize) -> Result<()> {
    let mut part = vec![0; WINDOW];
    let mut done = 0;
    while done < len {
        let most = part.len().min(len - done);
        let read = stream
            .read(&mut part[..most])
            .with_context(|| format!("behind {done} bytes no more comes"))?;
        ensure!(read > 0, "it ends after {done} bytes of {len}");
        ensure!(
            part[..read] == bytes(done, read),
            "others come behind {done} bytes"
        );
        done += read;
    }
    Ok(())
}

/// Reads to the end, which must come at once.
fn end(stream: &mut UnixStream) -> Result<()> {
    let read = stream.read(&mut [0]).context("the end does not come")?;
    ensure!(read == 0, "more bytes come than were sent");
    Ok(())
}
