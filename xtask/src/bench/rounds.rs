//! Two servers under the same loads, in turns: the frame of `bench http`, `kv`, `devices` and `files`.
//!
//! Both VMs stay booted and take turns; the one that waits is stopped, so it costs nothing. The client and the rest
//! of QEMU share one core, the vCPU has the other. Instructions are counted in runs of their own.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::guests::{self, Kit};
use super::plugin::{Plugin, between};
use super::profile::{self, Symbols};
use super::report::Report;
use super::vm::Vm;
use super::{Common, progress};
use crate::netns::{Lab, Tap};
use crate::qemu::Machine;
use crate::vsock::Sockets;

/// How many functions a profile shows.
const FUNCTIONS: usize = 20;

/// What a client found.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Requests that were answered.
    pub(crate) requests: f64,
    /// Answered requests per second.
    pub(crate) rate: f64,
    /// How long an answer took, where that was measured.
    pub(crate) latency: Option<Latency>,
    /// MiB that were moved per second; 0 where the requests are what counts.
    pub(crate) throughput: f64,
    /// Frames on the wire per second, both ways, where they were counted.
    pub(crate) frames: Option<f64>,
    /// Failed connects, reads and writes, time-outs, and answers that were no success.
    pub(crate) errors: f64,
}

/// How long answers took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Latency {
    /// Half of the requests were answered within this time, in milliseconds.
    pub(crate) p50_ms: f64,
    /// 99 of 100 requests were answered within this time, in milliseconds.
    pub(crate) p99_ms: f64,
}

impl Latency {
    /// Of answers that took so many milliseconds each; `None` if there were none.
    pub(crate) fn of(mut times: Vec<f64>) -> Option<Self> {
        times.sort_by(f64::total_cmp);
        let last = times.len().checked_sub(1)?;
        Some(Self {
            p50_ms: times[last / 2],
            p99_ms: times[last * 99 / 100],
        })
    }
}

/// How a client finds a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer<'a> {
    pub(super) tap: Tap,
    /// Its sockets of this host, if it has some.
    pub(super) vsock: Option<&'a Sockets>,
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
    /// What a load consists of: requests, say.
    const UNIT: &'static str = "request";

    /// Has the server do what goes before `load` and is not measured.
    fn prepare(_load: Self::Load, _peer: &Peer<'_>) -> Result<()> {
        Ok(())
    }

    /// Puts `load` on the server at `peer` from the client's core.
    fn run(load: Self::Load, peer: &Peer<'_>, effort: Effort) -> Result<Outcome>;
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
    ensure!(
        C::CASES.iter().any(|(name, _)| common.wants(name)),
        "no case has `{}` in its name",
        common.only
    );
    if common.profile {
        let mut ours = kits.iter().filter(|kit| kit.reference().is_none());
        let kit = ours.next().context("--no-toro leaves nothing to profile")?;
        return profiles::<C>(kit, machine, common, lab.tap(0), plugin);
    }
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
        let side = Self { kit, tap, vm };
        C::run(C::CASES[C::WARM_UP].1, &side.peer(), Effort::Little)?;
        Ok(side)
    }

    /// How a client finds this side.
    pub(super) fn peer(&self) -> Peer<'_> {
        self.kit.peer(self.tap)
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
        let peer = self.peer();
        C::prepare(load, &peer)?;
        let before = self.vm.cpu_time();
        let outcome = C::run(load, &peer, effort)?;
        let cpu = self.vm.cpu_time().since(before);
        self.vm.pause()?;
        if outcome.errors > 0.0 {
            report.note(format!("{case}: {} errors with {name}", outcome.errors));
        }
        enter(
            report,
            C::UNIT,
            case,
            self.kit.reference(),
            &outcome,
            cpu.vcpu,
        );
        Ok(())
    }
}

/// Enters what a client found, and the CPU time that the guest took for it.
fn enter(
    report: &mut Report,
    unit: &str,
    case: &str,
    reference: Option<&str>,
    outcome: &Outcome,
    vcpu: Duration,
) {
    let mut add = |metric: &str, unit: &str, value: f64| {
        report.series(case, metric, unit).add(reference, value);
    };
    // A clock that has not moved makes no rate.
    let seconds = vcpu.as_secs_f64().max(1e-6);
    add("rate", &format!("{unit}s/s"), outcome.rate);
    if let Some(latency) = outcome.latency {
        add("latency, median", "ms", latency.p50_ms);
        add("latency, 99th percentile", "ms", latency.p99_ms);
    }
    if let Some(frames) = outcome.frames {
        add("frames on the wire", "frames/s", frames);
    }
    if outcome.throughput > 0.0 {
        add("throughput", "MiB/s", outcome.throughput);
    }
    let each_us = seconds * 1e6 / outcome.requests.max(1.0);
    add(&format!("guest CPU per {unit}"), "µs", each_us);
    add(
        "rate for a guest CPU-second",
        &format!("{unit}s/s"),
        outcome.requests / seconds,
    );
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
    for &case in C::CASES.iter().filter(|(name, _)| common.wants(name)) {
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
    let peer = kit.peer(tap);
    C::run(C::CASES[C::WARM_UP].1, &peer, Effort::Little)?;
    let metric = format!("guest instructions per {}", C::UNIT);
    for &(case, load) in C::CASES.iter().filter(|(name, _)| common.wants(name)) {
        for _ in 0..common.runs(3, 1) {
            progress(&format!("{case}: instructions of {}", kit.name()));
            C::prepare(load, &peer)?;
            let before = executed()?;
            let outcome = C::run(load, &peer, Effort::Little)?;
            let each = (executed()? - before) / outcome.requests.max(1.0);
            report
                .series(case, &metric, "instructions")
                .add(kit.reference(), each);
        }
    }
    Ok(())
}

/// Prints where the instructions of each load go.
fn profiles<C: Client>(
    kit: &Kit,
    machine: Machine,
    common: &Common,
    tap: Tap,
    plugin: &Plugin,
) -> Result<()> {
    let debug = kit.debug.as_ref().context("the image has no symbols")?;
    let symbols = Symbols::read(&fs::read(debug)?)?;
    let counter = plugin.counter(kit.name(), true);
    let guest = kit.guest(machine, tap);
    let (vm, _) = guests::boot_server(&guest, guests::patience(kit), Some(&counter.argument))?;
    vm.pin()?;
    let peer = kit.peer(tap);
    C::run(C::CASES[C::WARM_UP].1, &peer, Effort::Little)?;
    for &(case, load) in C::CASES.iter().filter(|(name, _)| common.wants(name)) {
        C::prepare(load, &peer)?;
        let before = counter.profile()?;
        let outcome = C::run(load, &peer, Effort::Little)?;
        let shares = symbols.shares(&between(&before, &counter.profile()?));
        let table = profile::render(&shares, outcome.requests, FUNCTIONS);
        println!("{case}: {table}");
    }
    Ok(())
}
