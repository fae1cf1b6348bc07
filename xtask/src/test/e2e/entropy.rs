//! What an image says of its random numbers where the machine has a source for them, and where it has none.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::TIMEOUT;
use crate::build::{self, Image, Profile};
use crate::qemu::{Forward, Machine, Running};
use crate::run::Wish;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

const NAME: &str = "e2e: a machine without random numbers is told of it";
/// An image that wants them.
const IMAGE: &str = "resp";
/// A processor without RDRAND and RDSEED.
const POOR: &str = "qemu64";
const COMPLAINT: &str = "entropy: no RDSEED, no RDRAND and no virtio-rng";
/// From start to service, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Boots it three times.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    if !tally.wants(NAME) {
        return;
    }
    match build::build(workspace, IMAGE, Profile::Release) {
        Ok(image) => {
            let workspace = workspace.clone();
            tally.case(NAME, TIMEOUT, move || complains(&workspace, &image));
        }
        Err(error) => tally.record(NAME, Err(error)),
    }
}

fn complains(workspace: &Workspace, image: &Image) -> Result<()> {
    for (cpu, has_device, is_weak) in [
        (Some(POOR), false, true),
        (Some(POOR), true, false),
        (None, false, false),
    ] {
        let package = workspace.appliance(IMAGE)?;
        let mut wish = Wish::of(package, Machine::Pc)?;
        wish.ports = vec![Forward::from_free_port(6379)?];
        wish.rng = has_device;
        let mut vm = wish.vm(workspace, package, image)?;
        vm.cpu = cpu.map(str::to_owned);
        let running = Running::start(&vm.command())?;
        let complaint = complaint(&running)?;
        ensure!(
            complaint == is_weak,
            "processor {cpu:?}, device {has_device}: complaint {complaint}\n{}",
            running.tail()
        );
    }
    Ok(())
}

/// Whether it has complained by the time it serves.
fn complaint(running: &Running) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    let (mut number, mut found) = (0, false);
    while let Some(line) = running.line(number, deadline) {
        number += 1;
        found |= line.contains(COMPLAINT);
        if line.contains("listening") {
            return Ok(found);
        }
    }
    bail!("it does not come up\n{}", running.tail())
}
