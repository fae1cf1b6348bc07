//! Images that fail on purpose, once in each way that their manifest lists: each says what happened, and ends as a failure.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::tally::Tally;
use crate::build::Image;
use crate::qemu::{Machine, Running, Verdict};
use crate::run::Wish;
use crate::symbolize;
use crate::workspace::{Failure, Package, Workspace};

/// From start to the end of the report, on a busy machine.
const END_TIMEOUT: Duration = Duration::from_secs(300);

/// A case may take so long.
const TIMEOUT: Duration = Duration::from_secs(900);

/// Boots the image once for each way to fail.
pub(super) fn run(workspace: &Workspace, package: &Package, image: &Image, tally: &mut Tally) {
    for failure in &package.toro().test.failures {
        let name = format!("guest: {}: {}", package.name, failure.name);
        let (workspace, package) = (workspace.clone(), package.clone());
        let (image, failure) = (image.clone(), failure.clone());
        tally.case(&name, TIMEOUT, move || {
            reports(&workspace, &package, &image, &failure)
        });
    }
}

fn reports(
    workspace: &Workspace,
    package: &Package,
    image: &Image,
    failure: &Failure,
) -> Result<()> {
    let mut wish = Wish::of(package, Machine::Q35)?;
    wish.append.clone_from(&failure.append);
    let mut vm = wish.vm(workspace, package, image)?;
    vm.extra.extend_from_slice(&failure.qemu);
    let _servers = vm.serve()?;
    let mut running = Running::start(&vm.command())?;
    let verdict = running.wait(END_TIMEOUT)?;
    let console = running.lines().join("\n    | ");
    let expected = if failure.powers_off {
        Verdict::Success
    } else {
        Verdict::Failure
    };
    ensure!(verdict == expected, "{verdict}\n    | {console}");
    let missing = first_missing(&console, &failure.console);
    if let Some(text) = missing {
        bail!("`{text}` is not on the console, or not in its place\n    | {console}");
    }
    if failure.symbolized.is_empty() {
        return Ok(());
    }
    let report = running.lines().join("\n");
    let symbolized = symbolize::of(&report, Some(&image.debug), workspace)?;
    match first_missing(&symbolized, &failure.symbolized) {
        Some(text) => bail!("`{text}` is not in the symbolized report\n{symbolized}"),
        None => Ok(()),
    }
}

/// The first of `wanted` that does not follow those before it in `console`.
fn first_missing<'a>(console: &str, wanted: &'a [String]) -> Option<&'a str> {
    let mut rest = console;
    for text in wanted {
        match rest.split_once(text.as_str()) {
            Some((_, behind)) => rest = behind,
            None => return Some(text),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::first_missing;

    #[test]
    fn texts_must_come_in_their_order() {
        let check = |wanted: &[&str], expected| {
            let wanted: Vec<String> = wanted.iter().map(|&text| text.to_owned()).collect();
            assert_eq!(first_missing("one two three", &wanted), expected);
        };
        check(&["one", "three"], None);
        check(&["two", "one"], Some("one"));
        check(&["one", "one"], Some("one"));
        check(&["four"], Some("four"));
    }
}
