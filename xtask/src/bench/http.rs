//! `cargo xtask bench http`: the web server under load, next to nginx on Linux.
//!
//! Both VMs stay booted and take turns; the one that waits is stopped, so it costs nothing. The client and the rest
//! of QEMU share one core, the vCPU has the other.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::churn::{ChurnReport, churn};
use super::guests::{self, Kit};
use super::plugin::Plugin;
use super::report::Report;
use super::vm::Vm;
use super::wrk::{self, Load, Outcome};
use super::{Common, proc, progress};
use crate::netns::{Lab, Tap};
use crate::qemu::Machine;
use crate::workspace::Workspace;

/// The loads, in order: name in the results, connections, path.
const CASES: [(&str, Load<'static>); 4] = [
    (
        "612 B page, 1 connection",
        Load {
            connections: 1,
            path: "/",
        },
    ),
    (
        "612 B page, 10 connections",
        Load {
            connections: 10,
            path: "/",
        },
    ),
    (
        "612 B page, 100 connections",
        Load {
            connections: 100,
            path: "/",
        },
    ),
    (
        "1 MiB file, 10 connections",
        Load {
            connections: 10,
            path: "/1m.bin",
        },
    ),
];

/// The arguments of `bench http`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// The machine type of both guests.
    #[arg(long, value_enum, default_value = "pc")]
    machine: Machine,
    /// The cores of both guests, and the queue pairs of their cards.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    cores: u32,
    /// Instead of all that: bursts of load, then N short connections in a row.
    #[arg(long, value_name = "N")]
    churn: Option<u32>,
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
        kits.push(Kit::server(&workspace, &folder, "web-server", args.cores)?);
    }
    if !common.no_reference {
        kits.push(Kit::linux(&folder)?);
    }
    ensure!(
        !kits.is_empty(),
        "--no-toro and --no-reference leave nothing to measure"
    );
    let plugin = Plugin::build(&folder.join("plugin"))?;
    let lab = Lab::enter_with(2, args.cores)?;
    let mut report = Report::new(if args.churn.is_some() {
        "churn"
    } else {
        "http"
    });
    if let Some(connections) = args.churn {
        for (index, kit) in kits.iter().enumerate() {
            let side = Side::boot(kit, args.machine, lab.tap(index))?;
            churn_case(&mut report, &side, connections)?;
        }
    } else {
        rates(&mut report, &kits, &lab, args)?;
        for (index, kit) in kits.iter().enumerate() {
            instructions(&mut report, kit, args, lab.tap(index), &plugin)?;
        }
        report.note(format!(
            "Medians over interleaved runs of wrk under TCG, guest cores: {}; ratio = toro / reference,",
            args.cores
        ));
        report.note(
            "taken between neighbouring runs. Instructions are counted in runs of their own.",
        );
    }
    report.write(&folder)
}

impl<'a> Side<'a> {
    fn boot(kit: &'a Kit, machine: Machine, tap: Tap) -> Result<Self> {
        progress(&format!("booting {} on {}", kit.name(), machine.name()));
        let guest = kit.guest(machine, tap);
        let (vm, _) = guests::boot_server(&guest, guests::patience(kit), None)?;
        vm.pin()?;
        // Work left over from the start, and the first translation of the code, are not what is measured.
        wrk::run(CASES[1].1, tap.guest(), 1)?;
        Ok(Self { kit, tap, vm })
    }

    /// Loads this side and enters what came out.
    fn measure(&self, report: &mut Report, case: &str, load: Load<'_>, seconds: u64) -> Result<()> {
        progress(&format!("{case}: {}", self.kit.name()));
        self.vm.resume()?;
        let before = self.vm.cpu_time();
        let outcome = wrk::run(load, self.tap.guest(), seconds)?;
        let cpu = self.vm.cpu_time().since(before);
        self.vm.pause()?;
        self.check(report, case, &outcome);
        let vcpu_us = cpu.vcpu.as_secs_f64() * 1e6 / outcome.requests.max(1.0);
        let reference = self.kit.reference();
        report
            .series(case, "rate", "requests/s")
            .add(reference, outcome.rate);
        report
            .series(case, "latency, median", "ms")
            .add(reference, outcome.p50_ms);
        report
            .series(case, "latency, 99th percentile", "ms")
            .add(reference, outcome.p99_ms);
        report
            .series(case, "guest CPU for a request", "µs")
            .add(reference, vcpu_us);
        Ok(())
    }

    fn check(&self, report: &mut Report, case: &str, outcome: &Outcome) {
        if outcome.errors > 0.0 {
            report.note(format!(
                "{case}: {} errors with {}",
                outcome.errors,
                self.kit.name()
            ));
        }
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
    let (runs, seconds) = (
        args.common.runs(5, 2),
        if args.common.quick { 1 } else { 3 },
    );
    for (case, load) in CASES {
        for run in 0..runs {
            let mut order: Vec<&Side<'_>> = sides.iter().collect();
            if run % 2 == 1 {
                order.reverse();
            }
            for side in order {
                side.measure(report, case, load, seconds)?;
            }
        }
    }
    Ok(())
}

/// Guest instructions for a request, and for a second of doing nothing.
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
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 instructions")]
    let executed = || counter.executed().map(|count| count as f64);
    report
        .series("boot", "guest instructions", "instructions")
        .add(kit.reference(), executed()?);
    sleep(Duration::from_secs(2));
    let before = executed()?;
    sleep(Duration::from_secs(2));
    let idle = (executed()? - before) / 2.0;
    report
        .series("idle", "guest instructions", "instructions/s")
        .add(kit.reference(), idle);
    for (case, load) in CASES {
        for _ in 0..args.common.runs(3, 1) {
            progress(&format!("{case}: instructions of {}", kit.name()));
            let before = executed()?;
            let outcome = wrk::run(load, tap.guest(), 1)?;
            let each = (executed()? - before) / outcome.requests.max(1.0);
            report
                .series(case, "guest instructions for a request", "instructions")
                .add(kit.reference(), each);
        }
    }
    Ok(())
}

/// Two bursts of keep-alive load, then short connections in a row.
fn churn_case(report: &mut Report, side: &Side<'_>, connections: u32) -> Result<()> {
    for burst in 1..=2 {
        progress(&format!("burst {burst} of load on {}", side.kit.name()));
        wrk::run(CASES[2].1, side.tap.guest(), 2)?;
    }
    let before = proc::resident_kib(side.vm.pid()).context("QEMU has ended")?;
    let name = side.kit.name();
    let address = SocketAddr::new(side.tap.guest().into(), 80);
    let result = churn(address, connections, |so_far| {
        let ChurnReport {
            tried,
            answered,
            longest,
            ..
        } = so_far;
        progress(&format!(
            "{name}: {answered} of {tried} answered, longest {} ms",
            longest.as_millis()
        ));
    });
    let after = proc::resident_kib(side.vm.pid()).context("QEMU has ended")?;
    enter_churn(report, side.kit, &result, connections);
    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 KiB")]
    let grown = after as f64 - before as f64;
    let case = format!("{connections} short connections");
    report
        .series(&case, "growth of QEMU's memory", "KiB")
        .add(side.kit.reference(), grown);
    Ok(())
}

fn enter_churn(report: &mut Report, kit: &Kit, result: &ChurnReport, connections: u32) {
    let case = format!("{connections} short connections");
    let mut add = |metric: &str, unit: &str, value: f64| {
        report
            .series(&case, metric, unit)
            .add(kit.reference(), value);
    };
    add("rate", "connections/s", result.rate());
    add(
        "longest connection",
        "ms",
        result.longest.as_secs_f64() * 1000.0,
    );
    add(
        "resets and refusals",
        "connections",
        f64::from(result.resets),
    );
    add("time-outs", "connections", f64::from(result.timeouts));
    add(
        "other errors",
        "connections",
        f64::from(result.other_errors),
    );
    if !result.is_clean(connections) {
        report.fail(format!(
            "{} answered {} of {connections}",
            kit.name(),
            result.answered
        ));
    }
}
