//! What calls answer on Linux and below ToroV, held against each other.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Case, folder, guest, profile, run};

pub(crate) const CASES: &[Case] = &[("calls_answer_as_linux_does", calls_answer_as_linux_does)];

/// The table of what differs.
const TABLE: &str = "../../docs/conformance.md";

/// A folder with the links that the program expects, which everyone may change: it gives root's rights up.
fn prepared(name: &str) -> PathBuf {
    let folder = folder(name);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("the folder is ours");
    for (target, link) in [
        ("loop", "loop"),
        ("file", "link"),
        ("absent", "gone"),
        ("folder", "way"),
    ] {
        symlink(target, folder.join(link)).expect("the folder can be written");
    }
    folder
}

/// The answers by their cases, which have their number before them: some have the same name.
fn answers(text: &[u8]) -> BTreeMap<usize, (String, String)> {
    let text = String::from_utf8_lossy(text);
    let cases = text.lines().enumerate().map(|(at, line)| {
        let (case, answer) = line.rsplit_once(": ").expect("a case and an answer");
        (at, (case.to_owned(), answer.to_owned()))
    });
    cases.collect()
}

fn calls_answer_as_linux_does() {
    let program = guest("conformance.c");
    let native = Command::new(&program)
        .current_dir(prepared("native"))
        .output()
        .expect("it can be started");
    assert!(native.status.success(), "{native:?}");
    let mount = format!("{}:/data:rw", prepared("virtual").display());
    let profile = profile("conformance.toml");
    let output = run(&["run", "-m", &mount, &profile], &program, &[]);
    assert!(output.status.success(), "{output:?}");
    let (linux, here) = (answers(&native.stdout), answers(&output.stdout));
    assert_eq!(linux.len(), here.len(), "not the same cases");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE);
    let table = fs::read_to_string(path).expect("the table is there");
    let mut known: BTreeMap<&str, &str> = table
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            Some((cells.next()?, cells.nth(1)?))
        })
        .skip(1)
        .collect();
    let mut wrong = Vec::new();
    for (at, (case, answer)) in here {
        let (other, expected) = &linux[&at];
        assert_eq!(case, *other, "not the same cases");
        let listed = known.remove(case.as_str());
        if answer != *expected && listed != Some(&answer) {
            wrong.push(format!("{case}: {answer}, on Linux {expected}"));
        } else if answer == *expected && listed.is_some() {
            wrong.push(format!("{case}: as on Linux, but listed"));
        }
    }
    wrong.extend(
        known
            .keys()
            .map(|case| format!("{case}: listed, but no case")),
    );
    assert!(wrong.is_empty(), "see {TABLE}:\n{}", wrong.join("\n"));
}
