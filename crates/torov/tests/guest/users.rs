//! Monitors that an ordinary user starts.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::{self, Command, Stdio};

use crate::harness::{Case, guest, torov};

pub(crate) const CASES: &[Case] = &[("another_user_runs_programs", another_user_runs_programs)];

/// Makes a folder in memory with monitor, guest and a device that all may open in the place of `/dev/kvm`, in a namespace
/// of mounts of its own, and becomes nobody. 77 says that this machine does not let root do so.
const BECOME: &str = r#"
folder=$1 monitor=$2 program=$3; shift 3
{ mount -t tmpfs none "$folder" && cp -a /dev/kvm "$folder/kvm" && chmod 666 "$folder/kvm" &&
  cp "$monitor" "$folder/torov" && cp "$program" "$folder/program" && chmod 755 "$folder" "$folder/torov" "$folder/program" &&
  mount --bind "$folder/kvm" /dev/kvm && : < /dev/kvm &&
  setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all true; } 2>&1 || exit 77
exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "$folder/torov" "$@" "$folder/program" 0
"#;

/// A user who is not root has shown it by all other cases already.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|status| status.uid() == 0)
}

fn another_user_runs_programs() {
    let may_unshare = || {
        let mut unshare = Command::new("unshare");
        let status = unshare.args(["--mount", "true"]).status();
        status.is_ok_and(|status| status.success())
    };
    if !is_root() || !may_unshare() {
        println!("skipped: only root can become nobody, where it may mount");
        return;
    }
    let folder = std::env::temp_dir().join(format!("torov-user-{}", process::id()));
    fs::create_dir(&folder).expect("there is room for a folder");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", BECOME, "sh"])
        .arg(&folder);
    command.arg(torov()).arg(guest("echo.c"));
    command.args(["run", "-a", "@net-server"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it was there a moment ago");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let mut line = String::new();
    stdout
        .read_line(&mut line)
        .expect("it says something or ends");
    // The monitor runs in the place of what made room for it, and waits for a connection now.
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
    // It may be over already.
    let _ = child.kill();
    let ended = child.wait().expect("it is our child");
    let mut errors = String::new();
    if let Some(pipe) = &mut child.stderr {
        pipe.read_to_string(&mut errors).expect("it is a pipe");
    }
    fs::remove_dir(&folder).expect("what was mounted there was for the child alone");
    if !line.starts_with("listening on") && ended.code() == Some(77) {
        println!("skipped: nobody can be made here: {line}{errors}");
        return;
    }
    assert!(line.starts_with("listening on"), "{line}{errors}");
    let status = status.expect("it runs");
    for (key, value) in [
        ("Uid:", "65534"),
        ("CapEff:", "0000000000000000"),
        ("NoNewPrivs:", "1"),
        ("Seccomp:", "2"),
    ] {
        let mut lines = status.lines();
        let line = lines.find(|line| line.starts_with(key)).unwrap_or_default();
        let found = line.split_whitespace().nth(1);
        assert_eq!(found, Some(value), "{line}");
    }
}
