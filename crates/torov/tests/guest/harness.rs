//! Runs cases, and prints lines as the usual harness does.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{env, fs, panic, process};

/// A name and what it does.
pub(crate) type Case = (&'static str, fn());

/// How long a program may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(300);

/// Whether what takes long is asked for, and nothing else.
pub(crate) fn is_long() -> bool {
    env::args().any(|word| word == "--ignored")
}

/// Runs those `cases` whose name holds one of the words of the command line.
pub(crate) fn main(cases: &[Case]) -> ExitCode {
    let words: Vec<String> = env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    if env::args().any(|word| word == "--list") {
        for (name, _) in cases {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let wanted =
        |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let cases: Vec<&Case> = cases.iter().filter(|(name, _)| wanted(name)).collect();
    println!("running {} tests", cases.len());
    let trouble = if cases.is_empty() { None } else { no_machine() };
    let mut failed = 0;
    for (name, case) in &cases {
        let outcome = match &trouble {
            Some(why) => format!("ignored, {why}"),
            None => match panic::catch_unwind(case) {
                Ok(()) => "ok".to_owned(),
                Err(_) => {
                    failed += 1;
                    "FAILED".to_owned()
                }
            },
        };
        println!("test {name} ... {outcome}");
    }
    let ignored = if trouble.is_some() { cases.len() } else { 0 };
    let passed = cases.len() - failed - ignored;
    println!("test result: {passed} passed; {failed} failed; {ignored} ignored");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(101)
    }
}

/// Why no program can be run here, if so: there is no KVM, or it is not ours to open.
///
/// # Panics
/// Where there is one and the monitor cannot use it: that is a failure of the monitor.
fn no_machine() -> Option<String> {
    let kvm = fs::File::options().read(true).write(true).open("/dev/kvm");
    if let Err(error) = kvm {
        return Some(format!("/dev/kvm: {error}"));
    }
    let output = Command::new(torov())
        .arg("doctor")
        .output()
        .expect("torov is built");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "a /dev/kvm, but no machine: {text}"
    );
    None
}

/// The monitor.
pub(crate) fn torov() -> &'static str {
    env!("CARGO_BIN_EXE_torov")
}

/// The folder of the guests' sources and profiles.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests")
}

/// A folder of this run for `name`, empty.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = scratch().join(name);
    // It may be left from a case that failed before.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the build folder can be written");
    folder
}

/// The folder of this run.
pub(crate) fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guests-{}", process::id()));
        fs::create_dir_all(&folder).expect("the build folder can be written");
        folder
    })
}

/// Compiles the guest `source`, once.
pub(crate) fn guest(source: &str) -> PathBuf {
    let binary = scratch().join(source.replace(['.', '/'], "-"));
    if binary.exists() {
        return binary;
    }
    let path = sources().join(source);
    let mut command = if source.ends_with(".rs") {
        let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args([
            "--edition",
            "2024",
            "-C",
            "opt-level=1",
            "-C",
            "target-feature=+crt-static",
        ]);
        rustc
    } else {
        let mut cc = Command::new("cc");
        cc.args(["-g", "-O1", "-static", "-pthread"]);
        if source.starts_with("bare/") {
            cc.args(["-nostdlib", "-ffreestanding", "-fno-stack-protector"]);
        }
        cc
    };
    let output = command
        .arg("-o")
        .arg(&binary)
        .arg(path)
        .output()
        .expect("there is a compiler");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{source} does not compile: {errors}"
    );
    binary
}

/// Runs `torov` with `words` and then the guest with `args`, to its end.
pub(crate) fn run(words: &[&str], guest: &Path, args: &[&str]) -> Output {
    let mut child = start(words, guest, args);
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = &mut err {
            // What cannot be read any more is not missed: the status decides.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    });
    let guard = Guard::of(&child);
    let mut stdout = Vec::new();
    if let Some(pipe) = &mut out {
        pipe.read_to_end(&mut stdout).expect("the pipe can be read");
    }
    let status = child.wait().expect("the child is ours");
    drop(guard);
    let stderr = reader.join().expect("the reader does not panic");
    Output {
        status,
        stdout,
        stderr,
    }
}

/// Kills a child that hangs, unless this is dropped before.
struct Guard(Option<(Sender<()>, JoinHandle<()>)>);

impl Guard {
    fn of(child: &Child) -> Self {
        let pid = child.id().to_string();
        let (done, over) = mpsc::channel();
        let patience = if is_long() { 12 * PATIENCE } else { PATIENCE };
        let watch = move || {
            if over.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-9", &pid]).status();
            }
        };
        Self(Some((done, thread::spawn(watch))))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((done, watch)) = self.0.take() {
            drop(done);
            watch.join().expect("the guard does not panic");
        }
    }
}

/// Runs the same with `file` as its standard output, and returns its status.
pub(crate) fn run_into(file: &Path, words: &[&str], guest: &Path, args: &[&str]) -> Option<i32> {
    run_into_below(&[], file, words, guest, args)
}

/// The same below another program: `before` is its name and its own arguments.
pub(crate) fn run_into_below(
    before: &[&str],
    file: &Path,
    words: &[&str],
    guest: &Path,
    args: &[&str],
) -> Option<i32> {
    let file = fs::File::create(file).expect("the build folder can be written");
    let plain = command(words, guest, args);
    let mut command = match before {
        [] => plain,
        [program, own @ ..] => {
            let mut command = Command::new(program);
            command
                .args(own)
                .arg(plain.get_program())
                .args(plain.get_args());
            command
        }
    };
    let mut child = command.stdout(file).spawn().expect("torov can be started");
    let _guard = Guard::of(&child);
    child.wait().expect("the child is ours").code()
}

fn command(words: &[&str], guest: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(torov());
    command.args(words).arg("--").arg(guest).args(args);
    command.stdin(Stdio::null());
    command
}

/// Starts the same and leaves it running.
pub(crate) fn start(words: &[&str], guest: &Path, args: &[&str]) -> Child {
    let mut command = command(words, guest, args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("torov can be started")
}

/// The words that run a program under the profile of that name.
pub(crate) fn profile(name: &str) -> String {
    sources().join(name).display().to_string()
}

/// Checks status and output of a run.
#[track_caller]
pub(crate) fn check(output: &Output, status: i32, stdout: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(status),
        "stdout: {text}\nstderr: {errors}"
    );
    assert_eq!(text, stdout, "stderr: {errors}");
}

/// Checks status and a piece of what was said on standard error.
#[track_caller]
pub(crate) fn check_error(output: &Output, status: i32, piece: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{errors}");
    assert!(errors.contains(piece), "`{piece}` is not in: {errors}");
}
