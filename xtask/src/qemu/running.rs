//! [`Running`]: a virtual machine whose console is watched. It ends with this value, at the latest.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Verdict;
use crate::process;

/// How many lines of the console a complaint quotes.
const QUOTED: usize = 12;

/// How long a line that must come may take, on a busy machine: an image that waits for several devices at boot waits as long as each may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A virtual machine that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    console: Arc<Console>,
}

/// What came out of the serial line and of QEMU itself.
#[derive(Debug, Default)]
struct Console {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    /// How many of the two outputs have ended.
    closed: usize,
}

impl Running {
    /// Starts QEMU. It dies with the thread that calls this, even if this program is killed.
    pub(crate) fn start(qemu: &Command) -> Result<Self> {
        let mut command = process::mortal(qemu.get_program());
        command
            .args(qemu.get_args())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start QEMU")?;
        let console = Arc::new(Console::default());
        let output = child.stdout.take().expect("standard output is a pipe");
        let complaints = child.stderr.take().expect("standard error is a pipe");
        let (first, second) = (Arc::clone(&console), Arc::clone(&console));
        thread::spawn(move || first.follow(output));
        thread::spawn(move || second.follow(complaints));
        Ok(Self { child, console })
    }

    /// The line number `index`, as soon as it is there; `None` if it does not come before `deadline`.
    pub(crate) fn line(&self, index: usize, deadline: Instant) -> Option<String> {
        let mut state = self.console.state();
        loop {
            if let Some(line) = state.lines.get(index) {
                return Some(line.clone());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            if state.closed == 2 {
                return None;
            }
            let waited = self.console.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the next line that holds `text`, from line number `from` on, and returns the number of the line behind it.
    pub(crate) fn wait_for(&self, from: usize, text: &str) -> Result<usize> {
        let deadline = Instant::now() + PATIENCE;
        let mut number = from;
        while let Some(line) = self.line(number, deadline) {
            number += 1;
            if line.contains(text) {
                return Ok(number);
            }
        }
        bail!("`{text}` does not come\n{}", self.tail())
    }

    /// Waits for the end of the virtual machine.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Result<Verdict> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait()? {
                // The rest of the console is still in the pipes.
                while self.line(usize::MAX, deadline).is_some() {}
                return Ok(Verdict::from_status(status));
            }
            if Instant::now() > deadline {
                bail!(
                    "the virtual machine did not end within {timeout:?}\n{}",
                    self.tail()
                );
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Fails if the virtual machine has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                bail!(
                    "the virtual machine ended: {}\n{}",
                    Verdict::from_status(status),
                    self.tail()
                )
            }
        }
    }

    /// All that was printed so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.console.state().lines.clone()
    }

    /// The last lines, for a complaint.
    pub(crate) fn tail(&self) -> String {
        let lines = self.lines();
        let from = lines.len().saturating_sub(QUOTED);
        lines[from..]
            .iter()
            .map(|line| format!("    | {line}"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Console {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, output: impl Read) {
        let mut reader = BufReader::new(output);
        let mut bytes = Vec::new();
        while reader
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|len| len > 0)
        {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            self.state().lines.push(line);
            self.changed.notify_all();
            bytes.clear();
        }
        self.state().closed += 1;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::{Running, Verdict};

    fn shell(script: &str) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Running::start(&command).expect("a shell")
    }

    #[test]
    fn the_console_and_the_verdict_arrive_whole() {
        let mut running = shell("echo one; echo two >&2; exit 33");
        assert_eq!(
            running.wait(Duration::from_secs(20)).unwrap(),
            Verdict::Success
        );
        let mut lines = running.lines();
        lines.sort();
        assert_eq!(lines, ["one", "two"]);
        assert!(running.check_alive().is_err());
    }

    #[test]
    fn lines_are_waited_for_until_there_can_be_no_more() {
        let running = shell("echo one");
        let deadline = Instant::now() + Duration::from_secs(20);
        assert_eq!(running.line(0, deadline).as_deref(), Some("one"));
        assert_eq!(running.line(1, deadline), None);
        assert!(running.tail().contains("| one"));
        assert_eq!(running.wait_for(0, "ne").unwrap(), 1);
        assert!(running.wait_for(1, "ne").is_err());
    }

    #[test]
    fn a_machine_that_hangs_is_given_up() {
        let mut running = shell("exec cat /dev/zero > /dev/null");
        running.check_alive().unwrap();
        assert!(running.wait(Duration::from_millis(1)).is_err());
    }
}
