//! [`Backend`]: the process that joins the sockets of a virtual machine to UNIX sockets of this host.
//!
//! `vhost-device-vsock` is told a path, say `vm.vsock`. A program of this host that connects there, writes `CONNECT PORT` and a line end, and
//! has read `OK ...`, is connected to that port of the machine. The machine's connections to port 7 of the host arrive at `vm.vsock_7`.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{fmt, fs};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process;
use crate::setup::Tool;

/// How long the process may take to listen, on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(5);
/// The longest path of a UNIX socket, with some room for a port behind it.
const LONGEST_PATH: usize = 107 - 12;

/// The two sockets of a back end.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    cid: u32,
    /// Where QEMU finds it.
    pub(crate) device: PathBuf,
    /// Where programs of this host find the virtual machine.
    pub(crate) host: PathBuf,
}

impl Sockets {
    /// Places them in `folder`.
    pub(crate) fn new(cid: u32, folder: &Path, name: &str) -> Result<Self> {
        ensure!(
            (3..u32::MAX).contains(&cid),
            "{cid} is no context id for a guest: say 3 or more, as in --vsock 3"
        );
        let host = folder.join(format!("{name}.vsock"));
        let len = host.as_os_str().len();
        ensure!(
            len <= LONGEST_PATH,
            "the path {} of a socket has {len} bytes, and {LONGEST_PATH} is the most; work in a folder with a shorter name",
            host.display()
        );
        Ok(Self {
            cid,
            device: folder.join(format!("{name}.vhost")),
            host,
        })
    }

    /// The command that starts the back end.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(Tool::VhostDeviceVsock.path());
        command.args(["--guest-cid", &self.cid.to_string(), "--socket"]);
        command.arg(&self.device).arg("--uds-path").arg(&self.host);
        command
    }

    /// Connects to a port of the virtual machine; fails at once if nobody listens there.
    pub(crate) fn connect(&self, port: u32, timeout: Duration) -> Result<UnixStream> {
        let path = self.host.display();
        let mut stream =
            UnixStream::connect(&self.host).with_context(|| format!("cannot connect to {path}"))?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        stream.write_all(format!("CONNECT {port}\n").as_bytes())?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while stream.read(&mut byte).context("no answer")? == 1 && byte != *b"\n" {
            answer.extend(byte);
        }
        let answer = String::from_utf8_lossy(&answer);
        ensure!(answer.starts_with("OK "), "port {port} refuses: `{answer}`");
        Ok(stream)
    }

    /// Listens where the virtual machine's connections to a port of the host arrive.
    pub(crate) fn listen(&self, port: u32) -> Result<UnixListener> {
        let mut path = self.host.clone().into_os_string();
        path.push(format!("_{port}"));
        // What an earlier run left there.
        let _ = fs::remove_file(&path);
        UnixListener::bind(&path).with_context(|| format!("cannot listen at {}", path.display()))
    }
}

/// How a program of this host connects.
impl fmt::Display for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.host.display();
        write!(
            f,
            "its port 7 is at the socket {path}, for who writes `CONNECT 7` and a line end there first; \
             what it connects to at port 7 of the host is the socket {path}_7"
        )
    }
}

/// A back end that runs. It ends with this value.
#[derive(Debug)]
pub(crate) struct Backend(Child);

impl Backend {
    /// Starts it, and waits until QEMU can connect. It dies with the thread that calls this, even if this program is killed.
    pub(crate) fn start(sockets: &Sockets) -> Result<Self> {
        for path in [&sockets.device, &sockets.host] {
            // What an earlier run left there.
            let _ = fs::remove_file(path);
        }
        let program = sockets.command();
        let mut command = process::mortal(program.get_program());
        command.args(program.get_args());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        // Its complaints about clients that are gone belong to nobody.
        command.stderr(Stdio::null());
        let child = command
            .spawn()
            .context("cannot start vhost-device-vsock; `cargo xtask setup` installs it")?;
        let mut backend = Self(child);
        let deadline = Instant::now() + READY_TIMEOUT;
        while !(process::is_listening(&sockets.device) && process::is_listening(&sockets.host)) {
            if let Some(status) = backend.0.try_wait()? {
                let shown = process::shown(&program);
                bail!("vhost-device-vsock ended with {status}; try it by hand: {shown}");
            }
            ensure!(
                Instant::now() < deadline,
                "vhost-device-vsock does not listen within {READY_TIMEOUT:?}"
            );
            thread::sleep(POLL);
        }
        Ok(backend)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Sockets;

    #[test]
    fn context_ids_of_others_are_refused() {
        for cid in [0, 1, 2, u32::MAX] {
            assert!(Sockets::new(cid, Path::new("/run"), "vm").is_err());
        }
        let sockets = Sockets::new(3, Path::new("/run"), "vm").unwrap();
        assert_eq!(sockets.host, Path::new("/run/vm.vsock"));
        assert!(Sockets::new(3, Path::new(&"/run/".repeat(20)), "vm").is_err());
    }
}
