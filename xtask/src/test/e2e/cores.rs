//! `scheduler`, `inter-core` and `mpi`: images that check themselves, measure, and end.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::TIMEOUT;
use crate::build::{self, Image, Profile};
use crate::qemu::{Machine, Running, Verdict};
use crate::run::Wish;
use crate::test::tally::Tally;
use crate::workspace::{Package, Workspace};

/// From start to power-off, on a busy machine.
const END_TIMEOUT: Duration = Duration::from_secs(600);

/// An appliance, and the line that says that all was right.
const IMAGES: &[(&str, &str)] = &[
    ("scheduler", "waits across cores: verified"),
    ("inter-core", "messages: verified"),
    ("mpi", "collectives: verified"),
];

/// Boots each with 1, 2 and 4 cores.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    for &(appliance, line) in IMAGES {
        let name = |cores: u32| format!("e2e: {appliance} is right with {cores} cores");
        let cores: Vec<u32> = [1, 2, 4]
            .into_iter()
            .filter(|&cores| tally.wants(&name(cores)))
            .collect();
        if cores.is_empty() {
            continue;
        }
        let built = workspace.appliance(appliance).cloned().and_then(|package| {
            let image = build::build(workspace, appliance, Profile::Release)?;
            Ok((package, image))
        });
        match built {
            Ok((package, image)) => {
                for cores in cores {
                    let (workspace, package, image) =
                        (workspace.clone(), package.clone(), image.clone());
                    tally.case(&name(cores), TIMEOUT, move || {
                        verifies(&workspace, &package, &image, cores, line)
                    });
                }
            }
            Err(error) => tally.record(&format!("e2e: {appliance}"), Err(error)),
        }
    }
}

/// It says that all was right and powers off.
fn verifies(
    workspace: &Workspace,
    package: &Package,
    image: &Image,
    cores: u32,
    line: &str,
) -> Result<()> {
    let mut wish = Wish::of(package, Machine::Q35)?;
    wish.cores = cores;
    let mut running = Running::start(&wish.vm(workspace, package, image)?.command())?;
    let verdict = running.wait(END_TIMEOUT)?;
    let tail = running.tail();
    ensure!(verdict == Verdict::Success, "{verdict}\n{tail}");
    let verified = running.lines().iter().any(|said| said.contains(line));
    ensure!(verified, "it did not say `{line}`\n{tail}");
    Ok(())
}
