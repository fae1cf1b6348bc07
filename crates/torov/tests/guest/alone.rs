//! Each call that the monitor has a handler for, under a profile that allows it alone.
//!
//! The filter leaves the monitor those calls of the host that the profile implies. With everything allowed one call could
//! live on what another implies; here it cannot.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::harness::{Case, folder, guest, torov};

pub(crate) const CASES: &[Case] = &[(
    "each_call_works_under_the_filter_of_its_own",
    each_call_works_under_the_filter_of_its_own,
)];

/// What has to be called before, and what the program ends with if not with 0. The rest needs nothing but its end.
const MORE: &[(&str, &[&str], i32)] = &[
    ("getdents64", &["openat"], 0),
    ("signalfd", BY_SIGNALS, 0),
    ("signalfd4", BY_SIGNALS, 0),
    ("fchdir", &["openat"], 0),
    ("fchmod", &["openat"], 0),
    ("mmap", &["openat"], 0),
    ("timerfd_settime", &["timerfd_create"], 0),
    ("timerfd_gettime", &["timerfd_create"], 0),
    ("epoll_ctl", &["epoll_create1"], 0),
    ("epoll_wait", &["epoll_create1"], 0),
    ("epoll_pwait", &["epoll_create1"], 0),
    ("bind", &["socket"], 0),
    ("connect", &["socket"], 0),
    ("listen", &["socket"], 0),
    ("accept", ACCEPTING, 0),
    ("accept4", ACCEPTING, 0),
    ("shutdown", &["socketpair"], 0),
    ("getsockname", &["socket"], 0),
    ("getpeername", &["socketpair"], 0),
    ("sendto", &["socketpair"], 0),
    ("recvfrom", &["socketpair"], 0),
    ("sendmsg", &["socketpair"], 0),
    ("recvmsg", &["socketpair"], 0),
    ("setsockopt", &["socket"], 0),
    ("getsockopt", &["socket"], 0),
    (
        "rt_sigsuspend",
        &["rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "kill"],
        0,
    ),
    ("rt_sigreturn", &["rt_sigaction", "kill"], 0),
    ("pause", &["rt_sigaction", "rt_sigreturn", "setitimer"], 0),
    ("setitimer", &[], BY_ALARM),
    ("timer_settime", &["timer_create"], BY_ALARM),
    ("timer_gettime", &["timer_create"], 0),
    ("timer_getoverrun", &["timer_create"], 0),
    ("timer_delete", &["timer_create"], 0),
    ("clone", &["exit"], 0),
];

const ACCEPTING: &[&str] = &["socket", "bind", "listen", "getsockname", "connect"];

const BY_SIGNALS: &[&str] = &["rt_sigprocmask", "kill", "read"];

/// By SIGALRM, which a timer has sent.
const BY_ALARM: i32 = 142;

fn each_call_works_under_the_filter_of_its_own() {
    let program = guest("bare/alone.c");
    let calls: Vec<&str> = torov_abi::names()
        .filter(|name| torov_calls::is_supported(name))
        .collect();
    assert!(MORE.iter().all(|(name, ..)| calls.contains(name)));
    let mut wrong = Vec::new();
    for name in calls {
        let more = MORE.iter().find(|(known, ..)| *known == name);
        let (needs, expected) = more.map_or((&[][..], 0), |(_, needs, status)| (*needs, *status));
        let top = folder("alone");
        let (data, input) = (top.join("data"), top.join("input"));
        fs::create_dir_all(data.join("folder")).expect("the folder is new");
        fs::write(data.join("file"), "abcdefgh").expect("the folder is ours");
        symlink("file", data.join("link")).expect("the name is free");
        fs::write(&input, "abcdefgh").expect("the folder is ours");
        let list: Vec<String> = ["exit_group", name]
            .iter()
            .chain(needs)
            .map(|call| format!("{call:?}"))
            .collect();
        let profile = top.join("alone.toml");
        let text = format!("[syscalls]\nallow = [{}]\n", list.join(", "));
        fs::write(&profile, text).expect("the folder is ours");
        let input = File::options().read(true).write(true).open(input);
        let output = Command::new(torov())
            // Without the ring: its thread would lend calls of the host to those that have to do without.
            .args(["run", "--ring", "off", "--wall", "60s", "-m"])
            .arg(format!("{}:/data:rw", data.display()))
            .arg(&profile)
            .arg("--")
            .arg(&program)
            .arg(name)
            .stdin(Stdio::from(input.expect("it was written")))
            .output()
            .expect("torov can be started");
        if output.status.code() != Some(expected) {
            let errors = String::from_utf8_lossy(&output.stderr);
            wrong.push(format!("{name}: {} {errors}", output.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
