//! What calls by the ring leave behind, and calls in batches.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Case, check, folder, guest, run, run_into, torov};

pub(crate) const CASES: &[Case] = &[
    ("batches_are_made_in_order", batches_are_made_in_order),
    ("batches_hold_any_call", batches_hold_any_call),
    (
        "what_is_denied_is_denied_in_a_batch",
        what_is_denied_is_denied_in_a_batch,
    ),
    (
        "joined_writes_answer_as_linux_does",
        joined_writes_answer_as_linux_does,
    ),
    (
        "joined_writes_end_where_the_host_has_no_more_room",
        joined_writes_end_where_the_host_has_no_more_room,
    ),
    (
        "joined_writes_stop_at_the_limit_of_output",
        joined_writes_stop_at_the_limit_of_output,
    ),
    (
        "stats_count_writes_of_batches",
        stats_count_writes_of_batches,
    ),
    ("rust_makes_batches", rust_makes_batches),
    ("calls_keep_the_flags", calls_keep_the_flags),
];

fn batches_are_made_in_order() {
    let file = folder("batch").join("bytes");
    for mode in ["on", "auto", "off"] {
        let words = ["run", "--ring", mode];
        let status = run_into(&file, &words, &guest("batch.c"), &["bytes", "20000"]);
        assert_eq!(status, Some(0), "{mode}");
        let text = fs::read_to_string(&file).expect("it was written");
        let expected = format!("{}ok\n", "abcdefghij".repeat(2000));
        assert!(text == expected, "{mode}: {} bytes", text.len());
    }
}

fn batches_hold_any_call() {
    for mode in ["on", "off"] {
        let words = ["run", "--ring", mode, "-a", "pipe,pipe2"];
        check(&run(&words, &guest("batch.c"), &["edges"]), 0, "ok\n");
    }
}

fn what_is_denied_is_denied_in_a_batch() {
    let profile = folder("denied-batch").join("profile.toml");
    let text = "[syscalls]\nallow = [\"@start\", \"write\", \"getppid\"]\n";
    fs::write(&profile, text).expect("it can be written");
    let profile = profile.display().to_string();
    for mode in ["on", "off"] {
        let words = ["run", &profile, "--ring", mode];
        check(&run(&words, &guest("batch.c"), &["denied"]), 0, "ok\n");
    }
}

/// Runs `joined.c` natively and in the machine on both ways, each in a new folder below a shell that says `before` first, and
/// compares what they say.
fn compare(name: &str, what: &str, before: &str) {
    let program = guest("joined.c").display().to_string();
    let below = |words: &[&str]| -> Output {
        let script = format!("{before} exec \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "sh"]).args(words);
        shell.output().expect("there is a shell")
    };
    let at = folder(name);
    let shown = at.display().to_string();
    let native = below(&[&program, what, &shown]);
    let expected = String::from_utf8_lossy(&native.stdout).into_owned();
    assert!(
        native.status.success() && expected.lines().count() >= 4,
        "{native:?}"
    );
    for ring in ["--ring=on", "--ring=off"] {
        let at = folder(name);
        let mount = format!("{}:/data:rw", at.display());
        let allow = "@files,@stdio,pipe2,dup,pread64,pwrite64";
        let run = [torov(), "run", ring, "-a", allow, "-m", &mount, "--"];
        let output = below(&[&run[..], &[&program, what, "/data"]].concat());
        check(&output, 0, &expected);
    }
}

fn joined_writes_answer_as_linux_does() {
    compare("joined", "plain", "");
}

/// Below a limit for files of the host, whose signal nobody wants: the calls fail then.
fn joined_writes_end_where_the_host_has_no_more_room() {
    compare("joined-cut", "cut", "trap '' XFSZ; ulimit -f 9;");
}

fn joined_writes_stop_at_the_limit_of_output() {
    for ring in ["on", "off"] {
        let at = folder("joined-much");
        let profile = at.join("profile.toml");
        // Enough for ten of sixteen, and for a part of the next.
        let text = "[limits]\noutput = \"1050\"\n[syscalls]\nallow = [\"@start\", \"@files\", \"write\"]\n";
        fs::write(&profile, text).expect("it can be written");
        let profile = profile.display().to_string();
        let mount = format!("{}:/data:rw", at.display());
        let words = ["run", &profile, "--ring", ring, "-m", &mount];
        let output = run(&words, &guest("joined.c"), &["much", "/data"]);
        assert_eq!(output.status.code(), Some(137), "{output:?}");
        assert_eq!(length(&at.join("much")), 1000, "{ring}");
    }
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).expect("it is there").len()
}

fn stats_count_writes_of_batches() {
    for ring in ["on", "off"] {
        let words = ["stats", "--json", "--ring", ring];
        let output = run(&words, &guest("batch.c"), &["bytes", "1600"]);
        let json = String::from_utf8_lossy(&output.stderr);
        // All of them, and the one that says `ok`.
        assert!(
            json.contains("{\"name\":\"write\",\"count\":1601,\"errors\":0,"),
            "{json}"
        );
    }
}

fn calls_keep_the_flags() {
    for mode in ["on", "off"] {
        let words = ["run", "--ring", mode];
        check(
            &run(&words, &guest("batch.c"), &["kept", "5000"]),
            0,
            "ok\n",
        );
    }
}

fn rust_makes_batches() {
    let program = guest("../../torov-batch/examples/batch.rs");
    let expected: String = (0..160).map(|line| format!("line {line}\n")).collect();
    for mode in ["on", "off"] {
        let words = ["run", "--ring", mode];
        check(&run(&words, &program, &[]), 0, &expected);
    }
}
