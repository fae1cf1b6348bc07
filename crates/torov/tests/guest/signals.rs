//! Signals: to the program itself, between its threads, and from outside.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, ExitStatus};

use crate::harness::{Case, check, check_error, guest, run, start};

pub(crate) const CASES: &[Case] = &[
    (
        "handlers_leave_wide_registers_alone",
        handlers_leave_wide_registers_alone,
    ),
    (
        "signals_are_as_linux_delivers_them",
        signals_are_as_linux_delivers_them,
    ),
    (
        "signals_come_at_every_moment_of_a_call",
        signals_come_at_every_moment_of_a_call,
    ),
    (
        "signals_without_a_frame_end_the_program",
        signals_without_a_frame_end_the_program,
    ),
    (
        "signals_from_outside_reach_the_program",
        signals_from_outside_reach_the_program,
    ),
];

fn signals_are_as_linux_delivers_them() {
    for ring in ["on", "off"] {
        let words = ["run", "-a", "@poll,write", "--ring", ring];
        check(&run(&words, &guest("signals.c"), &[]), 0, "ok\n");
    }
}

fn signals_come_at_every_moment_of_a_call() {
    for ring in ["on", "off"] {
        let words = ["run", "-a", "@poll", "--ring", ring];
        let output = run(&words, &guest("signals.c"), &["storm", "3000"]);
        check(&output, 0, "ok\n");
    }
}

fn signals_without_a_frame_end_the_program() {
    let end = |what: &str, piece: &str| {
        let output = run(&["run"], &guest("signals.c"), &[what]);
        check_error(&output, 139, piece);
    };
    end("small-stack", "no room on the stack for SIGUSR1");
    end("bad-return", "a return from a signal without its frame");
    end("segv-in-handler", "a null pointer");
}

/// Starts a program that waits, sends it a signal, and returns its status and what it said.
fn interrupt(args: &[&str], signal: &str) -> (ExitStatus, String, String) {
    let mut child = start(&["run", "--wall", "100s"], &guest("signals.c"), args);
    let mut out = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let mut line = String::new();
    out.read_line(&mut line).expect("the pipe can be read");
    assert_eq!(line, "ready\n");
    let sent = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(sent.expect("there is kill").success());
    let (mut said, mut errors) = (String::new(), String::new());
    out.read_to_string(&mut said).expect("the pipe can be read");
    let mut err = child.stderr.take().expect("it is a pipe");
    err.read_to_string(&mut errors)
        .expect("the pipe can be read");
    (child.wait().expect("the child is ours"), said, errors)
}

fn signals_from_outside_reach_the_program() {
    // Waiting, and computing.
    for args in [&["wait"][..], &["wait", "busy"]] {
        let (status, said, errors) = interrupt(args, "-TERM");
        assert_eq!(status.code(), Some(7), "{errors}");
        assert_eq!(said, "stopped\n");
    }
    let (status, _, errors) = interrupt(&["wait-by-default"], "-INT");
    assert_eq!(status.code(), Some(130), "{errors}");
    assert!(errors.contains("ended by SIGINT"), "{errors}");
    // What has no default but to be ignored does nothing: the next one ends it.
    let (status, ..) = interrupt(&["wait"], "-KILL");
    assert_eq!(status.code(), None);
}

fn handlers_leave_wide_registers_alone() {
    check(
        &run(&["run", "-a", "@signals"], &guest("probe.c"), &["wide"]),
        0,
        "ok\n",
    );
}
