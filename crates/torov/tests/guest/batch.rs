//! What calls by the ring leave behind, and calls in batches.

use std::fs;

use crate::harness::{Case, check, folder, guest, run, run_into};

pub(crate) const CASES: &[Case] = &[
    ("batches_are_made_in_order", batches_are_made_in_order),
    ("batches_hold_any_call", batches_hold_any_call),
    (
        "what_is_denied_is_denied_in_a_batch",
        what_is_denied_is_denied_in_a_batch,
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
