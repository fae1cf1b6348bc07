//! Two servers under the same loads, in turns: the frame of `bench http` and `bench kv`.
//!
//! Both VMs stay booted and take turns; the one that waits is stopped, so it costs nothing. The client and the rest
//! of QEMU share one core, the vCPU has the other. Instructions are counted in runs of their own.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::guests::{self, Kit};
use super::plugin::Plugin;
use super::report::Report;
use super::vm::Vm;
use super::{Common, progress};
use crate::netns::{Lab, Tap};
use crate::qemu::Machine;

/// What a client found.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Requests that were answered.
    pub(crate) requests: f64,
    /// Answered requests per second.
    pub(crate) rate: f64,
    /// Half of the requests were answered within this time, in milliseconds.
    pub(crate) p50_ms: f64,
    /// 99 of 100 requests were answered within this time, in milliseconds.
    pub(crate) p99_ms: f64,
    /// Failed connects, reads and writes, time-outs, and answers that were no success.
    pub(crate) errors: f64,
}

/// How much of a load is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// A little: to translate the code, or to count.
    Little,
    /// A quick run, which is measured.
    Quick,
    /// What a figure is made of.
    Full,
}

/// A client that puts one load after the other on a server.
pub(super) trait Client {
    /// One load.
    type Load: Copy + 'static;
    /// The loads, in order, each with its name in the results.
    const CASES: &'static [(&'static str, Self::Load)];
    /// The load that warms a server up.
    const WARM_UP: usize;

    /// Puts `load` on the server at `address` from the client's core.
    fn run(load: Self::Load, address: Ipv4Addr, effort: Effort) -> Result<Outcome>;
}

/// One of the two that are compared, booted and warm.
pub(super) struct Side<'a> {
    pub(super) kit: &'a Kit,
    pub(super) tap: Tap,
    pub(super) vm: Vm,
}

/// Who takes part: this project's server, then the reference.
///
/// # Errors
/// Fails if one cannot be made, or nobody is left.
pub(super) fn kits(
    common: &Common,
    toro: impl FnOnce() -> Result<Kit>,
    reference: impl FnOnce() -> Result<Kit>,
) -> Result<Vec<Kit>> {
    let toro = (!common.no_toro).then(toro).transpose()?;
    let reference = (!common.no_reference).then(reference).transpose()?;
    ensure!(
        toro.is_some() || reference.is_some(),
        "--no-toro and --no-reference leave nothing to measure"
    );
    Ok(toro.into_iter().chain(reference).collect())
}

/// Measures rates, latencies and CPU time in turns, then counts instructions.
pub(super) fn compare<C: Client>(
    report: &mut Report,
    kits: &[Kit],
    lab: &Lab,
    machine: Machine,
    common: &Common,
    plugin: &Plugin,
) -> Result<()> {
    rates::<C>(report, kits, lab, machine, common)?;
    for (index, kit) in kits.iter().enumerate() {
        instructions::<C>(report, kit, machine, common, lab.tap(index), plugin)?;
    }
    Ok(())
}

impl<'a> Side<'a> {
    pub(super) fn boot<C: Client>(kit: &'a Kit, machine: Machine, tap: Tap) -> Result<Self> {
        progress(&format!("booting {} on {}", kit.name(), machine.name()));
        let guest = kit.guest(machine, tap);
        let (vm, _) = guests::boot_server(&guest, guests::patience(kit), None)?;
        vm.pin()?;
        // Work left over from the start, and the first translation of the code, are not what is measured.
        C::run(C::CASES[C::WARM_UP].1, tap.guest(), Effort::Little)?;
        Ok(Self { kit, tap, vm })
    }

    /// Loads this side and enters what came out.
    fn measure<C: Client>(
        &self,
        report: &mut Report,
        (case, load): (&str, C::Load),
        effort: Effort,
    ) -> Result<()> {
        let name = self.kit.name();
        progress(&format!("{case}: {name}"));
        self.vm.resume()?;
        let before = self.vm.cpu_time();
        let outcome = C::run(load, self.tap.guest(), effort)?;
        let cpu = self.vm.cpu_time().since(before);
        self.vm.pause()?;
        if outcome.errors > 0.0 {
            report.note(format!("{case}: {} errors with {name}", outcome.errors));
        }
        let vcpu_us = cpu.vcpu.as_secs_f64() * 1e6 / outcome.requests.max(1.0);
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

/// Rates, latencies and CPU time, all sides taking turns.
fn rates<C: Client>(
    report: &mut Report,
    kits: &[Kit],
    lab: &Lab,
    machine: Machine,
    common: &Common,
) -> Result<()> {
    let mut sides = Vec::new();
    for (index, kit) in kits.iter().enumerate() {
        let side = Side::boot::<C>(kit, machine, lab.tap(index))?;
        side.vm.pause()?;
        sides.push(side);
    }
    let effort = if common.quick {
        Effort::Quick
    } else {
        Effort::Full
    };
    for &case in C::CASES {
        for run in 0..common.runs(5, 2) {
            // Each round in the other direction, so that no side always follows the same neighbour.
            let mut order: Vec<&Side<'_>> = sides.iter().collect();
            if run % 2 == 1 {
                order.reverse();
            }
            for side in order {
                side.measure::<C>(report, case, effort)?;
            }
        }
    }
    Ok(())
}

/// Guest instructions for the boot, for a second of doing nothing, and for a request.
fn instructions<C: Client>(
    report: &mut Report,
    kit: &Kit,
    machine: Machine,
    common: &Common,
    tap: Tap,
    plugin: &Plugin,
) -> Result<()> {
    let counter = plugin.counter(kit.name(), false);
    let guest = kit.guest(machine, tap);
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
    C::run(C::CASES[C::WARM_UP].1, tap.guest(), Effort::Little)?;
    for &(case, load) in C::CASES {
        for _ in 0..common.runs(3, 1) {
            progress(&format!("{case}: instructions of {}", kit.name()));
            let before = executed()?;
            let outcome = C::run(load, tap.guest(), Effort::Little)?;
            let each = (executed()? - before) / outcome.requests.max(1.0);
            report
                .series(case, "guest instructions for a request", "instructions")
                .add(kit.reference(), each);
        }
    }
    Ok(())
}
