//! A deadlock is seen from outside: Ctrl-\ at `run --dump` shows what every thread of every core waits for.

use std::env;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The name of the case.
pub(super) const NAME: &str = "e2e: Ctrl-\\ shows the threads of a deadlock";

/// Building and booting, and each answer, may take so long.
const TIMEOUT: Duration = Duration::from_secs(300);

/// What an answer shows, in this order.
const ANSWER: &[&str] = &[
    "threads of core 0:",
    "(left) waits: mutex",
    "test_watchdog::take_both+",
    "1 (boot) waits: join",
    "threads of core 1:",
    "(right) waits: mutex",
    "test_watchdog::take_both+",
];

/// Starts an image whose threads wait for each other, and asks it twice: it goes on.
pub(super) fn is_seen() -> Result<()> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["run", "test-watchdog", "--dump", "--cores", "2"]);
    command.args(["--", "deadlock-for-ever"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut run = command.spawn()?;
    let output = run.stdout.take().expect("standard output is a pipe");
    let seen = session(&run, &follow(output));
    // Whatever went wrong, nothing is left behind: QEMU ends with `run`, which ends it when it is interrupted.
    let ended = send(&run, Signal::SIGINT).and_then(|()| Ok(run.wait()?));
    seen?;
    let status = ended?;
    // Nobody in the image waits for the power button, so it ends at once, and in order.
    ensure!(status.code() == Some(0), "it ended with {status}");
    Ok(())
}

fn session(run: &Child, lines: &Receiver<String>) -> Result<()> {
    until(lines, "test-watchdog: both wait")?;
    for _ in 0..2 {
        send(run, Signal::SIGQUIT)?;
        ANSWER.iter().try_for_each(|text| until(lines, text))?;
    }
    Ok(())
}

/// Takes lines up to one with `text`.
fn until(lines: &Receiver<String>, text: &str) -> Result<()> {
    let mut line = String::new();
    while !line.contains(text) {
        let next = lines.recv_timeout(TIMEOUT);
        line = next.with_context(|| format!("no `{text}`, and the last line is `{line}`"))?;
    }
    Ok(())
}

fn follow(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        // Nobody listens any more when the case is over.
        lines.for_each(|line| drop(sender.send(line)));
    });
    lines
}

fn send(run: &Child, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(i32::try_from(run.id())?), signal).context("it has ended")
}
