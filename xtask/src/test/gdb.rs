//! [`Gdb`]: the real gdb, told one command at a time.

use std::io::{self, Read, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process;

/// A command may take so long, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(300);

/// What gdb is made to say at the end of each command, followed by a number.
const MARK: &str = "@@end-of-command-";

/// A gdb that waits for commands. It ends with this value.
pub(super) struct Gdb {
    child: Child,
    input: ChildStdin,
    output: Arc<Output>,
    /// How many commands were given.
    given: usize,
    /// How much of what it said has been looked at.
    seen: usize,
}

/// Everything that it has said.
#[derive(Default)]
struct Output {
    text: Mutex<Vec<u8>>,
    changed: Condvar,
}

impl Gdb {
    /// Starts it and waits for the end of what its arguments make it do. Returns it with what it said.
    pub(super) fn start(gdb: &Command) -> Result<(Self, String)> {
        let mut command = process::mortal(gdb.get_program());
        command.args(["-nx", "-ex", "set width 0", "-ex", "set pagination off"]);
        command.args(gdb.get_args());
        // One pipe, so that what it complains about comes in its place.
        let (said, into) = io::pipe()?;
        command.stdin(Stdio::piped()).stdout(into.try_clone()?);
        command.stderr(into);
        let mut child = command.spawn().context("cannot start gdb")?;
        // The other ends of the pipe.
        drop(command);
        let input = child.stdin.take().expect("standard input is a pipe");
        let output = Arc::new(Output::default());
        let follower = Arc::clone(&output);
        thread::spawn(move || follower.follow(said));
        let mut gdb = Self {
            child,
            input,
            output,
            given: 0,
            seen: 0,
        };
        let said = gdb.run("echo connected\\n")?;
        Ok((gdb, said))
    }

    /// Gives a command and waits for its end; returns what was said.
    pub(super) fn run(&mut self, command: &str) -> Result<String> {
        self.begin(command)?;
        self.end(command)
    }

    /// Gives a command and fails unless all of `expected` is in what it says.
    pub(super) fn check(&mut self, command: &str, expected: &[&str]) -> Result<String> {
        let said = self.run(command)?;
        for text in expected {
            ensure!(
                said.contains(text),
                "`{text}` is not in what gdb says to `{command}`:\n{said}"
            );
        }
        Ok(said)
    }

    /// Gives a command, such as one that lets the image go.
    pub(super) fn begin(&mut self, command: &str) -> Result<()> {
        self.given += 1;
        let mark = format!("{MARK}{}", self.given);
        writeln!(self.input, "{command}\necho {mark}\\n")?;
        self.input.flush().context("gdb has ended")
    }

    /// Waits for the end of the command that was given last.
    pub(super) fn end(&mut self, command: &str) -> Result<String> {
        let mark = format!("{MARK}{}\n", self.given);
        let deadline = Instant::now() + TIMEOUT;
        let mut text = self.output.text();
        loop {
            let all = String::from_utf8_lossy(&text);
            if let Some((said, _)) = all.get(self.seen..).unwrap_or("").split_once(&mark) {
                let said = said.to_owned();
                self.seen += said.len() + mark.len();
                return Ok(said);
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                bail!("gdb does not end `{command}`:\n{all}");
            };
            let waited = self.output.changed.wait_timeout(text, left);
            text = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ctrl-C.
    pub(super) fn interrupt(&self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, Signal::SIGINT).context("gdb has ended")
    }
}

impl Output {
    fn text(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, mut from: impl Read) {
        let mut room = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut room) {
            self.text().extend_from_slice(&room[..len]);
            self.changed.notify_all();
        }
    }
}

impl Drop for Gdb {
    fn drop(&mut self) {
        // A failure means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
