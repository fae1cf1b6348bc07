//! `cargo xtask bench kv`: the key-value service under load, next to redis-server on Linux.
//!
//! As in [`http`](super::http): both VMs stay booted and take turns, the client shares a core with the rest of QEMU, and
//! instructions are counted in runs of their own.

use anyhow::{Result, ensure};

use super::guests::{self, Kit};
use super::plugin::Plugin;
use super::redis::{self, Load};
use super::report::Report;
use super::vm::Vm;
use super::{Common, progress};
use crate::netns::{Lab, Tap};
use crate::qemu::Machine;
use crate::workspace::Workspace;

/// The loads, in order: name in the results, and how many commands are sent in a quick run.
const CASES: [(&str, Load, u64); 5] = [
    ("GET, 1 connection", load("get", 1, 1), 2_000),
    ("GET, 50 connections", load("get", 50, 1), 10_000),
    ("SET, 50 connections", load("set", 50, 1), 10_000),
    (
        "GET, 50 connections, 16 at a time",
        load("get", 50, 16),
        64_000,
    ),
    (
        "SET, 50 connections, 16 at a time",
        load("set", 50, 16),
        64_000,
    ),
];

const fn load(command: &'static str, connections: u32, pipeline: u32) -> Load {
    Load {
        command,
        connections,
        pipeline,
    }
}

/// The arguments of `bench kv`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// The machine type of both guests.
    #[arg(long, value_enum, default_value = "pc")]
    machine: Machine,
}

/// One of the two that are compared, booted.
struct Side<'a> {
    kit: &'a Kit,
    tap: Tap,
    vm: Vm,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let folder = workspace.target("bench")?;
    let common = &args.common;
    let mut kits = Vec::new();
    if !common.no_toro {
        kits.push(Kit::resp(&workspace)?);
    }
    if !common.no_reference {
        kits.push(Kit::redis(&folder)?);
    }
    ensure!(
        !kits.is_empty(),
        "--no-toro and --no-reference leave nothing to measure"
    );
    let plugin = Plugin::build(&folder.join("plugin"))?;
    let lab = Lab::enter(2)?;
    let mut report = Report::new("kv");
    rates(&mut report, &kits, &lab, args)?;
    for (index, kit) in kits.iter().enumerate() {
        instructions(&mut report, kit, args, lab.tap(index), &plugin)?;
    }
    report.note("Medians over interleaved runs of redis-benchmark under TCG, one guest core; ratio = toro / reference,");
    report.note("taken between neighbouring runs. Instructions are counted in runs of their own.");
    report.write(&folder)
}

impl<'a> Side<'a> {
    fn boot(kit: &'a Kit, machine: Machine, tap: Tap) -> Result<Self> {
        progress(&format!("booting {} on {}", kit.name(), machine.name()));
        let guest = kit.guest(machine, tap);
        let (vm, _) = guests::boot_server(&guest, guests::patience(kit), None)?;
        vm.pin()?;
        // Work left over from the start, the first translation of the code, and a value for GET to find.
        redis::run(CASES[2].1, tap.guest(), CASES[2].2)?;
        Ok(Self { kit, tap, vm })
    }

    /// Loads this side and enters what came out.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
    fn measure(&self, report: &mut Report, case: &str, load: Load, requests: u64) -> Result<()> {
        progress(&format!("{case}: {}", self.kit.name()));
        self.vm.resume()?;
        let before = self.vm.cpu_time();
        let outcome = redis::run(load, self.tap.guest(), requests)?;
        let cpu = self.vm.cpu_time().since(before);
        self.vm.pause()?;
        let vcpu_us = cpu.vcpu.as_secs_f64() * 1e6 / requests as f64;
        let reference = self.kit.reference();
        let mut add = |metric: &str, unit: &str, value: f64| {
            report.series(case, metric, unit).add(reference, value);
        };
        add("rate", "requests/s", outcome.rate);
        add("latency, median", "ms", outcome.p50_ms);
        add("latency, 99th percentile", "ms", outcome.p99_ms);
        add("guest CPU for a request", "µs", vcpu_us);
        Ok(())
    }
}

/// Rates, latencies and CPU time, both sides taking turns.
fn rates(report: &mut Report, kits: &[Kit], lab: &Lab, args: &Args) -> Result<()> {
    let mut sides = Vec::new();
    for (index, kit) in kits.iter().enumerate() {
        let side = Side::boot(kit, args.machine, lab.tap(index))?;
        side.vm.pause()?;
        sides.push(side);
    }
    let factor = if args.common.quick { 1 } else { 3 };
    for (case, load, requests) in CASES {
        for run in 0..args.common.runs(5, 2) {
            let mut order: Vec<&Side<'_>> = sides.iter().collect();
            if run % 2 == 1 {
                order.reverse();
            }
            for side in order {
                side.measure(report, case, load, requests * factor)?;
            }
        }
    }
    Ok(())
}

/// Guest instructions for a request.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52 instructions")]
fn instructions(
    report: &mut Report,
    kit: &Kit,
    args: &Args,
    tap: Tap,
    plugin: &Plugin,
) -> Result<()> {
    let counter = plugin.counter(kit.name(), false);
    let guest = kit.guest(args.machine, tap);
    let (vm, _) = guests::boot_server(&guest, guests::patience(kit), Some(&counter.argument))?;
    vm.pin()?;
    redis::run(CASES[2].1, tap.guest(), 1000)?;
    for (case, load, requests) in CASES {
        for _ in 0..args.common.runs(3, 1) {
            progress(&format!("{case}: instructions of {}", kit.name()));
            let before = counter.executed()?;
            redis::run(load, tap.guest(), requests)?;
            let each = (counter.executed()? - before) as f64 / requests as f64;
            report
                .series(case, "guest instructions for a request", "instructions")
                .add(kit.reference(), each);
        }
    }
    Ok(())
}
