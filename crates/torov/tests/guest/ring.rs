//! Bytes written by the ring while the poller is stopped, short of a processor, or lied to: each is written once.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::harness::{Case, folder, guest, run_into, run_into_below, torov};

pub(crate) const CASES: &[Case] = &[
    (
        "bytes_are_exact_while_a_thread_scribbles",
        bytes_are_exact_while_a_thread_scribbles,
    ),
    (
        "bytes_are_exact_on_one_processor",
        bytes_are_exact_on_one_processor,
    ),
    (
        "bytes_are_exact_while_the_poller_is_stopped",
        bytes_are_exact_while_the_poller_is_stopped,
    ),
    (
        "bytes_are_exact_while_all_threads_are_stopped",
        bytes_are_exact_while_all_threads_are_stopped,
    ),
];

/// What takes long, for `--ignored`.
pub(crate) const LONG: &[Case] = &[
    (
        "a_million_bytes_are_exact_while_a_thread_scribbles",
        a_million_bytes_are_exact_while_a_thread_scribbles,
    ),
    (
        "a_million_bytes_are_exact_while_the_poller_is_stopped",
        a_million_bytes_are_exact_while_the_poller_is_stopped,
    ),
];

/// How many seconds a program may be looked at.
const PATIENCE: &str = "1000";

/// Whether the file holds `count` bytes of the pattern.
#[track_caller]
fn check(file: &Path, count: usize) {
    let bytes = fs::read(file).expect("it was written");
    assert_eq!(bytes.len(), count);
    let wrong = bytes
        .iter()
        .zip(b"abcdefghij".iter().cycle())
        .position(|(byte, expected)| byte != expected);
    assert_eq!(wrong, None, "of {count} bytes");
}

fn scribbles(count: usize) {
    let file = folder("scribbled").join("bytes");
    let words = ["run", "--ring", "on"];
    let args = ["scribble", &count.to_string()];
    let status = run_into(&file, &words, &guest("ring.c"), &args);
    assert_eq!(status, Some(0));
    check(&file, count);
}

fn bytes_are_exact_while_a_thread_scribbles() {
    scribbles(2000);
}

fn a_million_bytes_are_exact_while_a_thread_scribbles() {
    scribbles(1_000_000);
}

fn bytes_are_exact_on_one_processor() {
    let file = folder("one-processor").join("bytes");
    // With one processor `auto` makes no ring: there is no page to scribble on.
    for (mode, what) in [("on", "scribble"), ("on", "write"), ("auto", "write")] {
        let words = ["run", "--ring", mode];
        let args = [what, "1000"];
        let before = ["taskset", "-c", "0"];
        let status = run_into_below(&before, &file, &words, &guest("ring.c"), &args);
        assert_eq!(status, Some(0), "{mode} {what}");
        check(&file, 1000);
    }
}

/// A program that writes until it is told to stop, and what has come of it so far.
struct Running {
    child: Child,
    file: PathBuf,
}

impl Running {
    fn start(name: &str) -> Self {
        let file = folder(name).join("bytes");
        let bytes = File::create(&file).expect("the build folder can be written");
        let child = Command::new(torov())
            .args(["run", "--no-jail", "--ring", "on", "--"])
            .arg(guest("ring.c"))
            .arg("until-told")
            .stdin(Stdio::null())
            .stdout(bytes)
            .stderr(Stdio::piped())
            .spawn()
            .expect("torov can be started");
        Self { child, file }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{name}");
    }

    /// The number of the poller: the second of two threads. What KVM adds has a name of its own.
    fn poller(&mut self) -> String {
        let own = self.child.id().to_string();
        loop {
            let tasks = fs::read_dir(format!("/proc/{own}/task"));
            let names = tasks.into_iter().flatten().flatten();
            let mut names = names.map(|task| task.file_name().display().to_string());
            let name = |task: &str| fs::read_to_string(format!("/proc/{own}/task/{task}/comm"));
            let is_ours = |task: &str| name(task).is_ok_and(|name| name.trim() == "torov");
            if let Some(other) = names.find(|name| *name != own && is_ours(name)) {
                return other;
            }
            let ended = self.child.try_wait().expect("the child is ours");
            assert_eq!(ended, None, "it ended by itself");
            thread::yield_now();
        }
    }

    /// The state of the first thread, as `/proc` has it.
    fn state(&self) -> String {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = fs::read_to_string(path).unwrap_or_default();
        let state = text.rsplit_once(") ").and_then(|(_, rest)| rest.get(..1));
        state.unwrap_or_default().to_owned()
    }

    fn written(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |status| status.len())
    }

    /// Tells it to stop, and checks what it has written.
    fn finish(mut self) {
        let mut errors = self.child.stderr.take().expect("it is a pipe");
        let mut count = String::new();
        errors
            .read_to_string(&mut count)
            .expect("the pipe can be read");
        let status = self.child.wait().expect("the child is ours");
        assert_eq!(status.code(), Some(0), "{count}");
        // Ten more were written at first.
        let more: usize = count.trim().parse().expect("it says how many");
        let bytes = fs::read(&self.file).expect("it was written");
        assert_eq!(bytes.len(), more + 10);
        check(&self.file, more + 10);
    }
}

/// Stops the poller in the middle of calls, before the host makes them and behind: the first thread goes outside meanwhile.
fn stop_the_poller(stops: usize, bytes: u64) {
    if Command::new("strace").arg("--version").output().is_err() {
        println!("no strace here: see cargo xtask setup");
        return;
    }
    let mut running = Running::start("stopped-poller");
    let poller = running.poller();
    // Nothing here waits for a time; that is only for a machine where strace never sees the thread again.
    let mut strace = Command::new("timeout");
    strace
        .args([
            PATIENCE,
            "strace",
            "-o",
            "/dev/stdout",
            "-p",
            &poller,
            "-e",
            "trace=write",
        ])
        .args([
            "-e",
            "inject=write:delay_enter=1500:delay_exit=1500:when=20+40",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut strace = strace.spawn().expect("it was there just now");
    let lines = BufReader::new(strace.stdout.take().expect("it is a pipe")).lines();
    let mut seen = 0;
    let mut is_told = false;
    // To the end: strace stands still where nobody reads.
    for line in lines.map_while(Result::ok) {
        seen += usize::from(line.contains("(DELAYED)"));
        if !is_told && seen >= stops && running.written() >= bytes {
            running.signal("-USR1");
            is_told = true;
        }
    }
    if !is_told {
        running.signal("-USR1");
        // It was not let near the thread, as by a rule of the host, or it was and had enough time.
        assert_eq!(seen, 0, "the poller was stopped too seldom");
        println!("strace may not look at threads here");
    }
    strace.wait().expect("the child is ours");
    running.finish();
}

fn bytes_are_exact_while_the_poller_is_stopped() {
    stop_the_poller(30, 0);
}

fn a_million_bytes_are_exact_while_the_poller_is_stopped() {
    stop_the_poller(300, 1_000_000);
}

fn bytes_are_exact_while_all_threads_are_stopped() {
    let mut running = Running::start("stopped");
    running.poller();
    for _ in 0..30 {
        let before = running.written();
        running.signal("-STOP");
        while running.state() != "T" {
            thread::yield_now();
        }
        running.signal("-CONT");
        while running.written() == before && running.child.try_wait().is_ok_and(|end| end.is_none())
        {
            thread::yield_now();
        }
    }
    running.signal("-USR1");
    running.finish();
}
