//! `cargo xtask bench boot`: how fast images start, how large they are, how little they need.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::guests::{self, Kit};
use super::linux_guest::Server;
use super::linux_kernel::Kernel;
use super::plugin::Plugin;
use super::report::Report;
use super::stats::paired_difference;
use super::vm::Vm;
use super::{Common, footprint, progress};
use crate::build::Extras;
use crate::netns::{Lab, Tap};
use crate::qemu::Machine;
use crate::workspace::Workspace;

/// The arguments of `bench boot`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Also measure the machines pc and q35.
    #[arg(long)]
    all: bool,
}

/// What the guests are made of; what could not be made or is not wanted is missing.
#[derive(Debug)]
pub(super) struct Kits {
    pub(super) floor: Kit,
    pub(super) hello: Option<Kit>,
    pub(super) web_server: Option<Kit>,
    pub(super) linux: Option<Kit>,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let folder = workspace.target("bench")?;
    let kits = Kits::make(&workspace, &folder, &args.common)?;
    let plugin = Plugin::build(&folder.join("plugin"))?;
    let tap = Lab::enter(1)?.tap(0);
    let mut report = Report::new("boot");
    let machines: &[Machine] = if args.all {
        &[Machine::Microvm, Machine::Pc, Machine::Q35]
    } else {
        &[Machine::Microvm]
    };
    for &machine in machines {
        start_times(&mut report, &kits, machine, tap, args.common.runs(9, 3))?;
        entry_to_main(&mut report, &kits, machine, tap, args.common.runs(5, 2))?;
        instructions(&mut report, &kits, machine, tap, &plugin)?;
    }
    footprint::measure(&mut report, &kits, tap, args.common.quick)?;
    report.note("Times are medians over interleaved runs under TCG; \"above the floor\" is the difference to");
    report.note("the do-nothing image booted in the same round. ratio = toro / reference.");
    report.write(&folder)
}

impl Kits {
    fn make(workspace: &Workspace, folder: &Path, common: &Common) -> Result<Self> {
        let toro = !common.no_toro;
        Ok(Self {
            floor: Kit::floor(folder)?,
            hello: toro.then(|| Kit::hello(workspace)).transpose()?,
            web_server: toro
                .then(|| Kit::server(workspace, folder, "web-server", Extras::default()))
                .transpose()?,
            linux: (!common.no_reference)
                .then(|| Kit::linux(folder, Server::Nginx, Kernel::Debian))
                .transpose()?,
        })
    }

    /// The images of this project.
    pub(super) fn ours(&self) -> impl Iterator<Item = &Kit> {
        self.hello.iter().chain(&self.web_server)
    }
}

/// One image that is booted in every round.
struct Runner<'a> {
    kit: &'a Kit,
    /// The line that ends the measurement; without one it is the first answer over HTTP.
    line: Option<&'static str>,
    times: Vec<f64>,
    failure: Option<String>,
}

fn start_times(
    report: &mut Report,
    kits: &Kits,
    machine: Machine,
    tap: Tap,
    runs: usize,
) -> Result<()> {
    let runner = |kit, line| Runner {
        kit,
        line,
        times: Vec::new(),
        failure: None,
    };
    let mut runners = vec![runner(&kits.floor, Some("."))];
    runners.extend(kits.hello.iter().map(|kit| runner(kit, Some("hello"))));
    runners.extend(
        kits.web_server
            .iter()
            .chain(&kits.linux)
            .map(|kit| runner(kit, None)),
    );
    for run in 0..runs {
        progress(&format!(
            "boot on {}: round {} of {runs}",
            machine.name(),
            run + 1
        ));
        // Each round in the other direction, so that no image always follows the same neighbour.
        let mut order: Vec<&mut Runner<'_>> = runners.iter_mut().collect();
        if run % 2 == 1 {
            order.reverse();
        }
        for runner in order {
            runner.boot(machine, tap)?;
        }
    }
    enter(report, machine, &runners);
    Ok(())
}

impl Runner<'_> {
    /// Boots once; an image that fails is not tried again.
    fn boot(&mut self, machine: Machine, tap: Tap) -> Result<()> {
        if self.failure.is_some() {
            return Ok(());
        }
        let (guest, patience) = (self.kit.guest(machine, tap), guests::patience(self.kit));
        let time = match self.line {
            None => guests::boot_server(&guest, patience, None).map(|(_, time)| time),
            Some(text) => {
                let vm = Vm::start(&guest, None)?;
                match vm.wait_for_line(text, patience) {
                    Some(time) => Ok(time),
                    None => vm.fail(&format!("{}: the line `{text}` did not come", guest.name)),
                }
            }
        };
        match time {
            Ok(time) => self.times.push(milliseconds(time)),
            Err(error) => self.failure = Some(format!("{error:#}")),
        }
        Ok(())
    }
}

/// Enters the times into the report, whole and above the floor.
fn enter(report: &mut Report, machine: Machine, runners: &[Runner<'_>]) {
    let floor = &runners[0].times;
    let case = machine.name();
    for runner in runners {
        if let Some(failure) = &runner.failure {
            report.fail(failure);
        }
        let goal = match (runner.line, runner.kit.reference()) {
            (Some("."), _) => {
                let series = report.series(case, "do-nothing image: start to its line", "ms");
                runner
                    .times
                    .iter()
                    .for_each(|&t| series.add(Some("do-nothing PVH image"), t));
                continue;
            }
            (Some(_), _) => format!("{}: start to first line", runner.kit.name()),
            (None, _) => "web-server: start to first HTTP 200".to_owned(),
        };
        let reference = runner.kit.reference();
        let series = report.series(case, &goal, "ms");
        runner
            .times
            .iter()
            .for_each(|&time| series.add(reference, time));
        let series = report.series(case, &format!("{goal}, above the floor"), "ms");
        let above = paired_difference(&runner.times, floor);
        above
            .into_iter()
            .for_each(|time| series.add(reference, time));
    }
}

/// Reads from the log of each image how long it took from its entry to `main`.
fn entry_to_main(
    report: &mut Report,
    kits: &Kits,
    machine: Machine,
    tap: Tap,
    runs: usize,
) -> Result<()> {
    for kit in kits.ours() {
        for _ in 0..runs {
            let mut guest = kit.guest(machine, tap);
            guest.append = format!("{} log=info", guest.append).trim_start().to_owned();
            let vm = Vm::start(&guest, None)?;
            let came = vm.wait_for_line("main after", Duration::from_secs(5));
            let time = vm.console().iter().find_map(|line| main_after(line));
            let Some(time) = came.and(time) else {
                report.note(format!(
                    "{}: the log does not say when main began",
                    guest.name
                ));
                break;
            };
            let metric = format!("{}: guest entry to main", kit.name());
            report.series(machine.name(), &metric, "µs").add(None, time);
        }
    }
    Ok(())
}

/// Counts what `hello` executes from its entry to power-off: the part of boot time that no load on the host changes.
fn instructions(
    report: &mut Report,
    kits: &Kits,
    machine: Machine,
    tap: Tap,
    plugin: &Plugin,
) -> Result<()> {
    let count = |kit: &Kit| -> Result<Option<f64>> {
        let counter = plugin.counter("boot", false);
        let mut vm = Vm::start(&kit.guest(machine, tap), Some(&counter.argument))?;
        let ended = vm.wait_for_end(guests::patience(kit));
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 instructions")]
        ended
            .then(|| counter.executed().map(|count| count as f64))
            .transpose()
    };
    let Some(hello) = &kits.hello else {
        return Ok(());
    };
    let metric = "hello: guest instructions, above the floor";
    match (count(&kits.floor)?, count(hello)?) {
        (Some(floor), Some(whole)) => {
            report
                .series(machine.name(), metric, "instructions")
                .add(None, whole - floor);
        }
        _ => report.fail(format!("hello does not power off {}", machine.name())),
    }
    Ok(())
}

/// The microseconds in a line like `info boot: main after 812 us`.
fn main_after(line: &str) -> Option<f64> {
    let (_, after) = line.split_once("main after ")?;
    after.split_whitespace().next()?.parse().ok()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::main_after;

    #[test]
    fn reads_the_time_of_main_from_the_log() {
        assert_eq!(
            main_after("[    0.001] info boot: main after 812 us"),
            Some(812.0)
        );
        assert_eq!(
            main_after("boot: main after 1500 us (budget 5000)"),
            Some(1500.0)
        );
        assert_eq!(main_after("hello from Toro"), None);
    }
}
