//! Programs that only compute, print and run threads.

use std::fs;
use std::process::Command;

use crate::harness::{
    Case, check, check_error, folder, guest, profile, run, run_into, run_into_below, torov,
};

pub(crate) const CASES: &[Case] = &[
    ("c_says_hello", c_says_hello),
    ("rust_says_hello", rust_says_hello),
    ("statuses_are_passed_on", statuses_are_passed_on),
    ("threads_run_at_once", threads_run_at_once),
    ("rust_threads_run_at_once", rust_threads_run_at_once),
    ("memory_comes_and_goes", memory_comes_and_goes),
    ("locks_outlive_their_owners", locks_outlive_their_owners),
    ("every_byte_is_written_once", every_byte_is_written_once),
    (
        "bytes_by_the_ring_are_written_once",
        bytes_by_the_ring_are_written_once,
    ),
    (
        "a_guest_that_scribbles_on_the_ring_ends",
        a_guest_that_scribbles_on_the_ring_ends,
    ),
    ("shared_pages_stay", shared_pages_stay),
    ("limits_end_a_program", limits_end_a_program),
    ("what_cannot_be_run_is_told", what_cannot_be_run_is_told),
];

fn c_says_hello() {
    let output = run(
        &["run", &profile("hello.toml")],
        &guest("hello.c"),
        &["a test"],
    );
    check(&output, 0, "Hello from a test\n");
}

fn rust_says_hello() {
    check(
        &run(&["run"], &guest("hello.rs"), &[]),
        0,
        "Hello from Rust\n",
    );
    let output = run(&["run"], &guest("hello.rs"), &["panic"]);
    check_error(&output, 101, "on purpose");
}

fn statuses_are_passed_on() {
    for status in [0, 1, 42, 255] {
        let output = run(&["run"], &guest("probe.c"), &["exit", &status.to_string()]);
        check(&output, status, "");
    }
    check_error(
        &run(&["run"], &guest("probe.c"), &["abort"]),
        134,
        "SIGABRT",
    );
}

fn threads_run_at_once() {
    check(
        &run(&["run"], &guest("threads.c"), &[]),
        0,
        "20000 20000 20000 4\n",
    );
}

fn rust_threads_run_at_once() {
    check(
        &run(&["run"], &guest("hello.rs"), &["threads"]),
        0,
        "8000\n",
    );
}

fn memory_comes_and_goes() {
    check(&run(&["run"], &guest("probe.c"), &["reuse"]), 0, "ok\n");
}

fn locks_outlive_their_owners() {
    check(&run(&["run"], &guest("probe.c"), &["robust"]), 0, "ok\n");
}

fn every_byte_is_written_once() {
    let output = run(&["run"], &guest("probe.c"), &["write", "20000"]);
    check(&output, 0, &format!("{}ok\n", "abcdefghij".repeat(2000)));
}

fn bytes_by_the_ring_are_written_once() {
    let file = folder("ring").join("bytes");
    for mode in ["on", "auto", "off"] {
        let words = ["run", "--ring", mode];
        let status = run_into(&file, &words, &guest("probe.c"), &["write", "50000"]);
        assert_eq!(status, Some(0), "{mode}");
        let text = fs::read_to_string(&file).expect("it was written");
        assert!(
            text == format!("{}ok\n", "abcdefghij".repeat(5000)),
            "{mode}: {} bytes",
            text.len()
        );
    }
}

/// What takes long, for `--ignored`.
pub(crate) const LONG: &[Case] = &[(
    "a_million_bytes_are_written_once",
    a_million_bytes_are_written_once,
)];

fn a_million_bytes_are_written_once() {
    let file = folder("million").join("bytes");
    let one_processor = ["taskset", "-c", "0"];
    // On one processor poller and program take turns: each byte costs the longest wait.
    for (mode, before, tens) in [
        ("on", &[][..], 100_000),
        ("auto", &[], 100_000),
        ("on", &one_processor, 10_000),
    ] {
        let words = ["run", "--ring", mode];
        let count = (10 * tens).to_string();
        let args = ["write", count.as_str()];
        let status = run_into_below(before, &file, &words, &guest("probe.c"), &args);
        assert_eq!(status, Some(0), "{mode} {before:?}");
        let text = fs::read_to_string(&file).expect("it was written");
        assert!(
            text == format!("{}ok\n", "abcdefghij".repeat(tens)),
            "{mode} {before:?}: {} bytes",
            text.len()
        );
    }
}

fn a_guest_that_scribbles_on_the_ring_ends() {
    let file = folder("scribble").join("bytes");
    let words = ["run", "--ring", "on", "--wall", "250s"];
    let status = run_into(&file, &words, &guest("probe.c"), &["scribble", "5000"]);
    // It may do itself any harm; the monitor neither fails nor waits for ever.
    assert!(
        status.is_some_and(|status| ![101, 124, 125].contains(&status)),
        "{status:?}"
    );
}

fn shared_pages_stay() {
    check(
        &run(&["run", "--ring", "on"], &guest("probe.c"), &["sealed"]),
        0,
        "ok\n",
    );
}

fn limits_end_a_program() {
    let probe = guest("probe.c");
    check_error(
        &run(&["run", "--wall", "200ms"], &probe, &["spin"]),
        124,
        "limit `wall`",
    );
    check_error(
        &run(&["run", "--cpu", "100ms"], &probe, &["spin"]),
        152,
        "limit `cpu`",
    );
    check_error(
        &run(&["run", "--memory", "4M"], &probe, &["eat"]),
        139,
        "SIGSEGV",
    );
}

fn what_cannot_be_run_is_told() {
    let status = |words: &[&str]| {
        let output = Command::new(torov())
            .args(words)
            .output()
            .expect("torov can be started");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, text) = status(&["run", "/no/such/program"]);
    assert!(
        code == Some(127) && text.contains("/no/such/program"),
        "{text}"
    );
    let (code, text) = status(&["run", &profile("hello.c")]);
    assert!(code == Some(126) && text.contains("no ELF file"), "{text}");
    // Every Debian has it, and it is linked dynamically.
    let (code, text) = status(&["run", "/bin/sh"]);
    assert!(code == Some(126) && text.contains("crt-static"), "{text}");
    let (code, text) = status(&["run", "-a", "wirte", "/bin/true"]);
    assert!(
        code == Some(125) && text.contains("did you mean `write`"),
        "{text}"
    );
}
