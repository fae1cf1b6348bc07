//! The ToroV monitor as people get it: released, optimised as one and linked statically, which its own tests are not.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::TIMEOUT;
use crate::process;
use crate::test::tally::Tally;

/// The examples, and how what they print ends.
const EXAMPLES: &[(&str, &str)] = &[
    ("hello", "Hello from ToroV\n"),
    ("hello.rs", "Hello from Rust\n"),
    ("threads", "20000 20000 20000 4\n"),
];

/// Runs all of them.
pub(super) fn run(tally: &mut Tally) {
    for &(example, end) in EXAMPLES {
        let name = format!("e2e: the static ToroV runs {example}");
        if Path::new("/dev/kvm").exists() {
            tally.case(&name, TIMEOUT, move || runs(example, end));
        } else {
            tally.skip(&name, "this machine has no /dev/kvm");
        }
    }
}

fn runs(example: &str, end: &str) -> Result<()> {
    let printed = process::output(Command::new(env::current_exe()?).args(["torov", example]))?;
    ensure!(printed.ends_with(end), "it printed {printed:?}");
    Ok(())
}
