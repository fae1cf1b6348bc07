//! Rings 1 and 2: what `cargo test` runs on the host.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

use super::Depth;
use super::tally::Tally;
use crate::process;
use crate::workspace::Workspace;

/// What loom runs: a crate, and where in it the models are.
const MODELS: &[(&str, &[&str])] = &[
    ("toro-queue", &["--test", "*"]),
    ("toro-mem", &["--lib", "model"]),
    ("torov-ring", &["--test", "loom"]),
];

/// The crates with cases that are ignored because they take long.
const LONG: &[&str] = &["toro-fat", "toro-net", "toro-ramfs", "torov", "torov-calls"];

/// Runs the tests of every crate that the host can link.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    eprintln!("ring 1 and 2: the crates on the host");
    let mut command = command(workspace, tally.filter());
    if let Err(error) = follow(&mut command, tally) {
        tally.record("host: cargo test", Err(error));
    }
}

/// Runs the models of what cores share, in every order with at most so many changes of the thread; more if `depth` is deep.
pub(super) fn models(workspace: &Workspace, tally: &mut Tally, depth: Depth) {
    let preemptions = depth.pick(None, Some("2"), Some("3"));
    let (Some(preemptions), None) = (preemptions, tally.filter()) else {
        return;
    };
    eprintln!("ring 2: models");
    for (package, tests) in MODELS {
        let mut cargo = process::cargo();
        cargo.args([
            "test",
            "--release",
            "--color",
            "never",
            "--package",
            package,
        ]);
        cargo
            .arg("--target-dir")
            .arg(workspace.root.join("target/loom"));
        cargo.args(*tests);
        cargo
            .env("RUSTFLAGS", "--cfg loom")
            .env("LOOM_MAX_PREEMPTIONS", preemptions)
            .current_dir(&workspace.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if let Err(error) = follow(&mut cargo, tally) {
            tally.record("host: models", Err(error));
        }
    }
}

/// Runs the cases that are ignored because they take long, optimised.
pub(super) fn long(workspace: &Workspace, tally: &mut Tally) {
    if tally.filter().is_some() {
        return;
    }
    eprintln!("ring 2: what takes long");
    let mut cargo = process::cargo();
    cargo.args(["test", "--release", "--color", "never", "--no-fail-fast"]);
    for name in LONG {
        cargo.args(["--package", name]);
    }
    cargo
        .args(["--", "--ignored"])
        .current_dir(&workspace.root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if let Err(error) = follow(&mut cargo, tally) {
        tally.record("host: what takes long", Err(error));
    }
}

fn command(workspace: &Workspace, filter: Option<&str>) -> Command {
    let mut cargo = process::cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast", "--color", "never"]);
    cargo
        .current_dir(&workspace.root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    for name in workspace.image_only() {
        cargo.args(["--exclude", name]);
    }
    if let Some(filter) = filter {
        cargo.args(["--", filter.trim_start_matches("host: ")]);
    }
    cargo
}

/// Counts the cases as cargo prints them.
fn follow(cargo: &mut Command, tally: &mut Tally) -> Result<()> {
    let mut child = cargo.spawn().context("cannot start cargo")?;
    let output = child.stdout.take().expect("standard output is a pipe");
    let mut failures = 0;
    for line in BufReader::new(output).lines() {
        let line = line?;
        match case(&line) {
            Some((name, Outcome::Ok)) => tally.record(&format!("host: {name}"), Ok(())),
            Some((name, Outcome::Failed)) => {
                failures += 1;
                tally.record(
                    &format!("host: {name}"),
                    Err(anyhow!("its output is below")),
                );
            }
            Some((name, Outcome::Ignored)) => tally.skip(&format!("host: {name}"), "ignored"),
            None if is_noise(&line) => {}
            None => println!("        {line}"),
        }
    }
    let status = child.wait()?;
    if !status.success() && failures == 0 {
        bail!("cargo test ended with {status}");
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Ok,
    Failed,
    Ignored,
}

/// Reads `test NAME ... ok`.
fn case(line: &str) -> Option<(&str, Outcome)> {
    let (name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let outcome = match outcome.split(',').next()?.trim() {
        "ok" => Outcome::Ok,
        "FAILED" => Outcome::Failed,
        "ignored" => Outcome::Ignored,
        _ => return None,
    };
    Some((name.trim_end_matches(" - should panic"), outcome))
}

/// What cargo prints around the cases.
fn is_noise(line: &str) -> bool {
    line.trim().is_empty()
        || line == "failures:"
        || ["running ", "test result: ", "all doctests ran"]
            .iter()
            .any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::{Outcome, case, is_noise};

    #[test]
    fn lines_of_cargo_are_told_apart() {
        assert_eq!(
            case("test tcp::opens ... ok"),
            Some(("tcp::opens", Outcome::Ok))
        );
        assert_eq!(
            case("test tcp::opens ... FAILED"),
            Some(("tcp::opens", Outcome::Failed))
        );
        assert_eq!(
            case("test a - should panic ... ok"),
            Some(("a", Outcome::Ok))
        );
        assert_eq!(
            case("test a ... ignored, why"),
            Some(("a", Outcome::Ignored))
        );
        let doc = "test src/lib.rs - open (line 3) - compile ... ok";
        assert_eq!(
            case(doc),
            Some(("src/lib.rs - open (line 3) - compile", Outcome::Ok))
        );
        assert_eq!(case("test result: ok. 3 passed; 0 failed"), None);
        assert!(is_noise("test result: ok. 3 passed; 0 failed"));
        assert!(is_noise("running 3 tests"));
        assert!(!is_noise("thread 'x' panicked at src/lib.rs"));
    }
}
