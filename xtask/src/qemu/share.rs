//! [`Share`]: a folder of the host that the appliance sees, and [`FileServer`], the program that shows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process;
use crate::setup::{Tool, is_root};

/// The server is ready after so long, on a busy machine.
const READY: Duration = Duration::from_secs(30);

/// A folder, and the socket over which QEMU meets its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) folder: PathBuf,
    pub(crate) socket: PathBuf,
    /// The guest may believe names and attributes for a second, instead of asking each time.
    pub(crate) remembers: bool,
}

/// A server that runs. It ends with this value, or when QEMU does.
#[derive(Debug)]
pub(crate) struct FileServer {
    child: Child,
    socket: PathBuf,
}

impl Share {
    /// The way to the server, for QEMU's `-chardev`.
    pub(super) fn backend(&self, id: &str) -> String {
        // A comma ends an option unless it is doubled.
        let path = self.socket.display().to_string().replace(',', ",,");
        format!("socket,id={id},path={path}")
    }

    /// Finds what virtiofsd would complain about less clearly.
    pub(crate) fn check(folder: &Path) -> Result<()> {
        if !folder.is_dir() {
            bail!(
                "{} should be shared and is no folder; make it, or name another with --share",
                folder.display()
            );
        }
        Ok(())
    }

    /// Starts the server and waits until it listens. It dies with the thread that calls this, even if this program is killed.
    ///
    /// It locks itself into the folder as well as it may.
    pub(crate) fn serve(&self) -> Result<FileServer> {
        let ways: &[&str] = if is_root() {
            &["chroot", "none"]
        } else {
            &["namespace", "none"]
        };
        let mut complaint = String::new();
        for way in ways {
            match self.serve_in(way)? {
                Ok(server) => return Ok(server),
                Err(complaints) => complaint = complaints,
            }
        }
        bail!(
            "virtiofsd cannot share {}:\n{complaint}",
            self.folder.display()
        )
    }

    /// Starts it in that kind of sandbox; what it complains about if it does not run.
    fn serve_in(&self, sandbox: &str) -> Result<Result<FileServer, String>> {
        // What an earlier run left there is no server.
        let _ = fs::remove_file(&self.socket);
        let mut command = process::mortal(Tool::Virtiofsd.path());
        command.arg("--socket-path").arg(&self.socket);
        command.arg("--shared-dir").arg(&self.folder);
        // A file that is open here stays what it is when its name goes: the server keeps it open too, instead of a handle to look it up by.
        command.arg("--inode-file-handles=never");
        command.args(["--sandbox", sandbox, "--log-level", "error"]);
        command.args(["--cache", if self.remembers { "auto" } else { "never" }]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start virtiofsd")?;
        let deadline = Instant::now() + READY;
        while !process::is_listening(&self.socket) {
            if child.try_wait()?.is_some() {
                let complaint = child.wait_with_output()?.stderr;
                return Ok(Err(String::from_utf8_lossy(&complaint).into_owned()));
            }
            if Instant::now() > deadline {
                bail!(
                    "virtiofsd did not listen at {} within {READY:?}",
                    self.socket.display()
                );
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Ok(FileServer {
            child,
            socket: self.socket.clone(),
        }))
    }
}

impl FileServer {
    /// Stops it where it stands, or lets it go on: it lives, and answers nothing meanwhile.
    pub(crate) fn pause(&self, is_paused: bool) -> Result<()> {
        let signal = if is_paused {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        };
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, signal).context("virtiofsd has ended")
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().context("virtiofsd does not end")?;
        Ok(())
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        let _ = self.kill();
        // virtiofsd leaves a file beside its socket.
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_file(self.socket.with_added_extension("pid"));
    }
}
