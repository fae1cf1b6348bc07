//! What a user gets wrong: each error names its cause and a remedy.

use std::env;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::TIMEOUT;
use crate::test::tally::Tally;

/// A wrong call: its name, its words, what the complaint must hold.
const WRONG: &[(&str, &[&str], &[&str])] = &[
    (
        "e2e: an unknown appliance",
        &["run", "nosuch"],
        &["`nosuch`", "hello", "web-server"],
    ),
    (
        "e2e: an unknown machine",
        &["run", "hello", "--machine", "vax"],
        &["vax", "microvm", "q35", "iso"],
    ),
    (
        "e2e: a missing share folder",
        &["run", "web-server", "--share", "/no/such/folder"],
        &["/no/such/folder", "--share"],
    ),
    (
        "e2e: a missing archive folder",
        &["run", "web-server", "--archive", "/no/such/folder"],
        &["/no/such/folder", "--archive"],
    ),
    (
        "e2e: a port that is none",
        &["run", "web-server", "--port", "http"],
        &["`http`", "8080:80"],
    ),
    (
        "e2e: too little memory for the image",
        &["run", "hello", "--memory", "1M"],
        &["1M is too little memory", "--memory"],
    ),
    (
        "e2e: no cores",
        &["run", "hello", "--cores", "0"],
        &["at least one core"],
    ),
];

/// Calls this program wrongly.
pub(super) fn run(tally: &mut Tally) {
    for (name, words, expected) in WRONG {
        tally.case(name, TIMEOUT, move || complains(words, expected));
    }
    tally.case("e2e: a port in use", TIMEOUT, || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let forward = format!("{port}:80");
        let words = ["run", "web-server", "--port", &forward];
        complains(&words, &[&port.to_string(), "in use", "--port"])
    });
}

fn complains(words: &[&str], expected: &[&str]) -> Result<()> {
    let mut command = Command::new(env::current_exe()?);
    let output = command.args(words).stdin(Stdio::null()).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "it did not fail");
    for text in expected {
        ensure!(
            complaint.contains(text),
            "`{text}` is not in the complaint:\n{complaint}"
        );
    }
    Ok(())
}
