//! The real gdb, looking at programs in virtual machines.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::{Case, check_error, folder, guest, run, start};

pub(crate) const CASES: &[Case] = &[
    ("gdb_stops_steps_and_changes", gdb_stops_steps_and_changes),
    ("gdb_sees_threads", gdb_sees_threads),
    ("gdb_sees_a_crash", gdb_sees_a_crash),
    ("gdb_watches_memory", gdb_watches_memory),
    ("gdb_sees_wide_registers", gdb_sees_wide_registers),
    (
        "gdb_sees_faults_before_their_handlers",
        gdb_sees_faults_before_their_handlers,
    ),
    ("gdb_opens_a_core_file", gdb_opens_a_core_file),
    (
        "gdb_finds_all_threads_in_a_core_file",
        gdb_finds_all_threads_in_a_core_file,
    ),
    ("gdb_stops_what_runs", gdb_stops_what_runs),
    (
        "gdb_comes_by_a_socket_and_goes",
        gdb_comes_by_a_socket_and_goes,
    ),
];

/// Whether there is a gdb to test with; if not, it says so.
fn has_gdb() -> bool {
    let there = Command::new("gdb").arg("--version").output().is_ok();
    if !there {
        println!("no gdb here: see cargo xtask setup");
    }
    there
}

/// Whether the processor has wide registers.
fn has_avx() -> bool {
    let processor = fs::read_to_string("/proc/cpuinfo").expect("Linux tells of it");
    processor.contains(" avx ")
}

/// Starts the program below `--gdb ADDRESS`, and returns it with the address that gdb is to take.
fn waiting(address: &str, args: &[&str]) -> (Child, String, BufReader<std::process::ChildStderr>) {
    let words = ["run", "--wall", "100s", "--gdb", address];
    let mut child = start(&words, &guest("debugged.c"), args);
    let mut errors = BufReader::new(child.stderr.take().expect("it is a pipe"));
    let mut line = String::new();
    errors.read_line(&mut line).expect("the pipe can be read");
    let target = line
        .trim()
        .strip_prefix("torov: waiting for gdb: target remote ");
    let target = target.unwrap_or_else(|| panic!("{line}")).to_owned();
    (child, target, errors)
}

fn gdb(target: &str) -> Command {
    // One that hangs is not to hang the tests.
    let mut gdb = Command::new("timeout");
    gdb.args(["--foreground", "--signal=KILL", "300", "gdb"])
        .args(["--nx", "--batch", "-q"])
        .arg(guest("debugged.c"))
        .args(["-ex", "set pagination off", "-ex", "set confirm off"])
        .args(["-ex", "set tcp connect-timeout 60"])
        .args(["-ex", "set remotetimeout 60"])
        .args(["-ex", &format!("target remote {target}")]);
    gdb
}

/// Runs gdb with `commands` against the program, and returns what gdb and the program said, and the program's status.
#[track_caller]
fn session(address: &str, args: &[&str], commands: &[&str]) -> (String, String, Option<i32>) {
    let (mut child, target, _errors) = waiting(address, args);
    let mut gdb = gdb(&target);
    for command in commands {
        gdb.args(["-ex", command]);
    }
    let output = gdb.output().expect("gdb can be started");
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let mut text = String::new();
    let mut out = child.stdout.take().expect("it is a pipe");
    out.read_to_string(&mut text).expect("the pipe can be read");
    let status = child.wait().expect("the child is ours");
    (said, text, status.code())
}

/// What gdb says to `commands` about a core file of the program.
fn opened(core: &Path, commands: &[&str]) -> String {
    let mut gdb = Command::new("gdb");
    gdb.args(["--nx", "--batch", "-q"]).arg(guest("debugged.c"));
    gdb.arg(core);
    for command in commands {
        gdb.args(["-ex", command]);
    }
    let output = gdb.output().expect("gdb can be started");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn holds(said: &str, pieces: &[&str]) {
    for piece in pieces {
        assert!(said.contains(piece), "`{piece}` is not in:\n{said}");
    }
}

fn gdb_stops_steps_and_changes() {
    if !has_gdb() {
        return;
    }
    let commands = [
        "info auxv",
        "break main",
        "continue",
        "print counter",
        "set var counter = 100",
        "break half",
        "continue",
        "print $xmm0.v2_double[0]",
        "set var $xmm0.v2_double[0] = 9",
        "print $fs_base != 0",
        "delete",
        "break add",
        "continue",
        "info registers rdi rsi",
        "backtrace",
        "set $before = $pc",
        "stepi",
        "print $pc != $before",
        "finish",
        "print $rax",
        "delete",
        "stepi 200",
        "continue",
    ];
    let (said, text, status) = session(":0", &[], &commands);
    holds(
        &said,
        &[
            "AT_ENTRY",
            "Breakpoint 1, ",
            "$1 = 40",
            "$2 = 1.5",
            "$3 = 1",
            "rdi            0x64",
            "rsi            0x2",
            " in main ",
            "$4 = 1",
            "Value returned is $5 = 102",
            "$6 = 102",
            "exited with code 03",
        ],
    );
    assert_eq!(status, Some(3), "{said}");
    assert_eq!(text, "102 4.5\n", "{said}");
}

fn gdb_sees_threads() {
    if !has_gdb() {
        return;
    }
    let commands = [
        "break add",
        "continue",
        "info threads",
        "thread apply all backtrace 1",
        "stepi 3",
        "set var over = 1",
        "delete",
        "continue",
    ];
    let (said, text, status) = session("127.0.0.1:0", &["threads"], &commands);
    holds(
        &said,
        &[
            "Thread 2",
            "Thread 3",
            "add (",
            "spin",
            "exited with code 03",
        ],
    );
    assert_eq!((status, text.as_str()), (Some(3), "5 0.75\n"), "{said}");
}

fn gdb_sees_a_crash() {
    if !has_gdb() {
        return;
    }
    let commands = ["continue", "backtrace", "print where", "continue"];
    let (said, _, status) = session(":0", &["crash"], &commands);
    holds(
        &said,
        &[
            "SIGSEGV",
            "crash (where=",
            "in main",
            "exited with code 0213",
        ],
    );
    assert_eq!(status, Some(139), "{said}");
}

fn gdb_sees_wide_registers() {
    if !has_gdb() || !has_avx() {
        return;
    }
    let commands = [
        "break half",
        "continue",
        "set var $ymm9.v8_int32[7] = 4711",
        "stepi 3",
        "print $ymm9.v8_int32",
        "delete",
        "continue",
    ];
    let (said, text, status) = session(":0", &[], &commands);
    holds(&said, &["4711}"]);
    assert_eq!((status, text.as_str()), (Some(3), "42 0.75\n"), "{said}");
}

fn gdb_watches_memory() {
    if !has_gdb() {
        return;
    }
    for (words, new, end) in [
        (&[][..], "New value = 42", "42 0.75\n"),
        (&["threads"], "New value = 3", "5 0.75\n"),
    ] {
        let commands = [
            "break main",
            "continue",
            "watch counter",
            "continue",
            "backtrace 1",
            "delete",
            "continue",
        ];
        let (said, text, status) = session(":0", words, &commands);
        // The thread that has written tells of it, not the one that spins.
        holds(
            &said,
            &["atchpoint 2: counter", "Old value = 40", new, "add (a="],
        );
        assert!(!said.contains(" spin ("), "{said}");
        assert_eq!((status, text.as_str()), (Some(3), end), "{said}");
    }
}

fn gdb_sees_faults_before_their_handlers() {
    if !has_gdb() {
        return;
    }
    let commands = ["continue", "backtrace", "continue"];
    let (said, text, status) = session(":0", &["mend"], &commands);
    holds(&said, &["SIGSEGV", "#0  crash (", "in main"]);
    assert_eq!((status, text.as_str()), (Some(3), "42 0.75\n"), "{said}");
    let commands = ["handle SIGSEGV nostop noprint pass", "continue"];
    let (said, text, status) = session(":0", &["mend"], &commands);
    holds(&said, &["exited with code 03"]);
    assert_eq!((status, text.as_str()), (Some(3), "42 0.75\n"), "{said}");
    // Without the signal the same instruction fails again.
    let commands = ["continue", "signal 0", "continue"];
    let (said, _, status) = session(":0", &["mend"], &commands);
    assert_eq!(said.matches("received signal SIGSEGV").count(), 2, "{said}");
    assert_eq!(status, Some(3), "{said}");
}

fn gdb_opens_a_core_file() {
    let core = folder("core").join("core");
    let words = ["run", "--core", &core.display().to_string()];
    let output = run(&words, &guest("debugged.c"), &["crash"]);
    check_error(&output, 139, "SIGSEGV: writing to 0x0, a null pointer");
    // Names, even without gdb.
    check_error(&output, 139, " crash+0x");
    if !has_gdb() {
        return;
    }
    let commands = [
        "backtrace",
        "print where",
        "print counter",
        "info auxv",
        "print $fs_base != 0",
    ];
    let said = opened(&core, &commands);
    holds(
        &said,
        &[
            "SIGSEGV",
            "crash (where=",
            " in main ",
            "$1 = ",
            "$2 = 40",
            "AT_ENTRY",
            "$3 = 1",
        ],
    );
}

fn gdb_finds_all_threads_in_a_core_file() {
    let core = folder("threads-core").join("core");
    let words = ["run", "--core", &core.display().to_string()];
    let output = run(&words, &guest("debugged.c"), &["both"]);
    check_error(&output, 139, "SIGSEGV: writing to 0x0, a null pointer");
    if !has_gdb() {
        return;
    }
    let commands = [
        "info threads",
        "thread apply all backtrace 1",
        if has_avx() {
            "print $ymm0.v8_int32"
        } else {
            "print $xmm0.v4_int32"
        },
    ];
    let said = opened(&core, &commands);
    holds(&said, &["* 1 ", "  2 ", "#0  crash (", " spin (", "$1 = {"]);
    assert!(!said.contains("unavailable"), "{said}");
}

fn gdb_stops_what_runs() {
    if !has_gdb() {
        return;
    }
    let (mut child, target, _errors) = waiting(":0", &["spin"]);
    let mut gdb = gdb(&target);
    gdb.args(["-ex", "continue", "-ex", "print begun", "-ex", "kill"]);
    gdb.stdout(Stdio::piped()).stderr(Stdio::piped());
    let gdb = gdb.spawn().expect("gdb can be started");
    // Once the program has spoken it runs, and gdb waits for it.
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("it is a pipe"));
    out.read_line(&mut line).expect("the pipe can be read");
    assert_eq!(line, "spinning\n");
    let sent = Command::new("kill")
        .args(["-INT", &gdb.id().to_string()])
        .status();
    assert!(sent.expect("there is kill").success());
    let output = gdb.wait_with_output().expect("gdb is ours");
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    holds(&said, &["SIGINT", "$1 = "]);
    let status = child.wait().expect("the child is ours");
    assert_eq!(status.code(), Some(137), "{said}");
}

fn gdb_comes_by_a_socket_and_goes() {
    if !has_gdb() {
        return;
    }
    let path = folder("gdb").join("door");
    let commands = ["break add", "continue", "detach"];
    let (said, text, status) = session(&path.display().to_string(), &[], &commands);
    holds(&said, &["Breakpoint 1, ", "etached"]);
    // Its breakpoint is gone, and the program has run to its end.
    assert_eq!((status, text.as_str()), (Some(3), "42 0.75\n"), "{said}");
}
