//! `cargo xtask bench kernel`: what threads, timers and memory cost, in an image and next to the same work on the host.
//!
//! An emulator's nanoseconds say nothing beside those of the host. So the image is asked for instructions, which QEMU
//! counts exactly where its time stamp counter is their number (`-icount`), and Toro's own code also runs as a program of
//! the host (`crates/toro-bench-host`), next to one that does the same work with std, tokio and glibc. The image's time
//! under TCG is there to be compared with other images under TCG, and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use toro_abi::sample::Sample;

use super::report::Report;
use super::vm::{Guest, Vm};
use super::{Common, progress, units};
use crate::build::{self, Profile};
use crate::process;
use crate::qemu::{Machine, Memory};
use crate::workspace::Workspace;

/// The image.
pub(super) const IMAGE: &str = "bench-kernel";
/// The programs of the host: the package, and what each measures.
const PACKAGE: &str = "toro-bench-host";
const PROGRAMS: [&str; 2] = ["bench-toro", "bench-reference"];
/// The profile of Cargo.toml for them.
const PROFILE: &str = "native";
/// Who measures what is compared with the rest.
const TORO: &str = "toro";
/// An image must be done by then.
const PATIENCE: Duration = Duration::from_secs(120);

/// The arguments of `bench kernel`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// The kind of machine that the image runs on.
    #[arg(long, value_enum, default_value = "q35")]
    machine: Machine,
    /// Instead of all that: what it costs that the image can be traced.
    #[arg(long)]
    units: bool,
}

/// What an image counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Instructions,
    Nanoseconds,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let folder = workspace.target("bench")?;
    let common = &args.common;
    if args.units {
        return units::kernel(&workspace, &folder, args.machine, common);
    }
    let image = (!common.no_toro)
        .then(|| build::build(&workspace, IMAGE, Profile::Release))
        .transpose()?;
    let programs = programs(&workspace, common)?;
    let mut report = Report::new("kernel");
    if let Some(image) = &image {
        progress("counting the instructions of the image");
        guest(&mut report, args, &image.path, Unit::Instructions)?;
    }
    let runs = common.runs(7, 2);
    for run in 0..runs {
        progress(&format!("round {} of {runs}", run + 1));
        native(&mut report, &programs, run, common.quick)?;
        if let Some(image) = &image {
            guest(&mut report, args, &image.path, Unit::Nanoseconds)?;
        }
    }
    explain(&mut report);
    report.write(&folder)
}

/// The programs of the host that are wanted, built.
fn programs(workspace: &Workspace, common: &Common) -> Result<Vec<PathBuf>> {
    let target = workspace.target(PROFILE)?;
    let mut cargo = process::cargo();
    cargo.args(["build", "--package", PACKAGE, "--profile", PROFILE]);
    cargo.arg("--target-dir").arg(&target);
    process::run(cargo.current_dir(&workspace.root))?;
    let wanted = [!common.no_toro, !common.no_reference];
    let programs = PROGRAMS.iter().zip(wanted).filter(|(_, wanted)| *wanted);
    Ok(programs
        .map(|(name, _)| target.join(PROFILE).join(name))
        .collect())
}

/// Runs the programs of the host once, in an order that flips each round.
fn native(report: &mut Report, programs: &[PathBuf], run: usize, quick: bool) -> Result<()> {
    let mut order: Vec<&PathBuf> = programs.iter().collect();
    if run % 2 == 1 {
        order.reverse();
    }
    for program in order {
        let mut command = Command::new(program);
        command.args(quick.then_some("quick"));
        let output = process::output(&mut command)?;
        for sample in output.lines().filter_map(Sample::parse) {
            let by = (sample.by != TORO).then_some(sample.by);
            let series = report.series(sample.name, "native time", "ns");
            series.add(by, sample.each());
        }
    }
    Ok(())
}

/// Boots the image once and enters what it prints.
fn guest(report: &mut Report, args: &Args, kernel: &Path, unit: Unit) -> Result<()> {
    let (metric, short) = match unit {
        Unit::Instructions => ("guest instructions", "instructions"),
        Unit::Nanoseconds => ("guest time under TCG", "ns"),
    };
    for (name, each) in run(args.machine, kernel, "", unit, args.common.quick)? {
        report.series(&name, metric, short).add(None, each);
    }
    Ok(())
}

/// Boots the image once, with further `words` for the kernel, and returns what each workload takes.
pub(super) fn run(
    machine: Machine,
    kernel: &Path,
    words: &str,
    unit: Unit,
    quick: bool,
) -> Result<Vec<(String, f64)>> {
    let quick = if quick { " quick" } else { "" };
    let guest = Guest {
        name: IMAGE.to_owned(),
        machine,
        kernel: kernel.to_owned(),
        initrd: None,
        append: format!("{words} -- {}{quick}", unit.name()),
        memory: Memory::MIB * 512,
        cores: 2,
        counts: unit == Unit::Instructions,
        tap: None,
        question: super::probe::HTTP,
        hardware: super::guests::Hardware::default(),
        failures_forgiven: 0,
    };
    let vm = Vm::start(&guest, None)?;
    if vm.wait_for_line("bench-kernel: done", PATIENCE).is_none() {
        return vm.fail("the image did not come to its end");
    }
    let lines = vm.console();
    let samples = lines.iter().filter_map(|line| Sample::parse(line));
    Ok(samples
        .map(|sample| (sample.name.to_owned(), sample.each()))
        .collect())
}

impl Unit {
    /// The word that the image knows.
    fn name(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Nanoseconds => "nanoseconds",
        }
    }
}

fn explain(report: &mut Report) {
    for line in [
        "One operation each. Guest instructions are exact on one core; where two take turns, those of both are counted.",
        "native time: Toro's own code as a program of the host, next to what the host has. ratio = toro / reference.",
        "guest time under TCG: an emulator's, to be compared with that of other images and nothing else.",
    ] {
        report.note(line);
    }
}
