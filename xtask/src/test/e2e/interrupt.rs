//! Ctrl-C ends the virtual machine that `run` started, and `run` says so with its status.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::qemu::Forward;
use crate::test::server;

/// The name of the case.
pub(super) const NAME: &str = "e2e: Ctrl-C ends the virtual machine";

/// Building, booting and answering may take so long, and so may ending.
const READY_TIMEOUT: Duration = Duration::from_secs(300);
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts a server with `run`, interrupts it, and looks for what is left.
pub(super) fn ends() -> Result<()> {
    let port = Forward::from_free_port(80)?.host;
    let forward = format!("{port}:80");
    let mut command = Command::new(env::current_exe()?);
    command.args(["run", server::NAME, "--port", &forward]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut run = command.spawn()?;
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let ended = answers(server).and_then(|()| interrupt(&mut run));
    // Whatever went wrong, nothing is left behind.
    drop(run.kill());
    let status = ended?;
    ensure!(status.code() == Some(130), "it ended with {status}");
    ensure!(
        !is_left(&format!("127.0.0.1:{port}-"))?,
        "QEMU is still there"
    );
    Ok(())
}

fn answers(server: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + READY_TIMEOUT;
    while let Err(error) = server::check_answers(server) {
        if Instant::now() > deadline {
            return Err(error);
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn interrupt(run: &mut Child) -> Result<ExitStatus> {
    kill(Pid::from_raw(i32::try_from(run.id())?), Signal::SIGINT)?;
    let deadline = Instant::now() + END_TIMEOUT;
    while Instant::now() < deadline {
        if let Some(status) = run.try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("it did not end within {END_TIMEOUT:?}")
}

/// Whether a process with `text` in its command line runs.
fn is_left(text: &str) -> Result<bool> {
    let processes = fs::read_dir("/proc")
        .context("cannot read /proc")?
        .flatten();
    // One that ends meanwhile has no command line any more.
    let mut lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    Ok(lines.any(|line| String::from_utf8_lossy(&line).contains(text)))
}
