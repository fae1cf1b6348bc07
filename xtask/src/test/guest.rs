//! Ring 3: the images `appliances/test-*` on every machine.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::cells::{self, Cell};
use super::peers::Peers;
use super::report::Report;
use super::sides::{self, Group};
use super::tally::Tally;
use super::{Depth, disks, failure, ports, share, sockets};
use crate::build::{self, Extras, Image, Profile};
use crate::qemu::{Machine, Running, Verdict};
use crate::run::Wish;
use crate::workspace::{Package, Workspace};

/// After the report an image has so long to end.
const END_TIMEOUT: Duration = Duration::from_secs(300);

/// A machine that an image is booted on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) machine: Machine,
    /// The number of cores, `None` for that of the manifest.
    pub(super) cores: Option<u32>,
    /// What is special about it.
    pub(super) cell: Cell,
}

/// Boots every test image on every machine, and some on special ones.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally, depth: Depth) {
    let images = workspace.appliances().into_iter();
    let images = images.filter(|package| package.name.starts_with("test-"));
    let group = |package| -> Group<'_> {
        Box::new(move |workspace, tally| on_all(workspace, package, tally, depth))
    };
    sides::run(workspace, tally, images.map(group).collect());
}

/// Boots a test image on every machine that is wanted.
fn on_all(workspace: &Workspace, package: &Package, tally: &mut Tally, depth: Depth) {
    let machines = depth.pick(
        &[Machine::Pc, Machine::Microvm][..],
        &Machine::ALL,
        &Machine::ALL,
    );
    let settings = settings(package, machines, depth);
    let (name, is_wanted) = (&package.name, |start: &str| may_hold_wanted(tally, start));
    let any = |setting: &Setting| is_wanted(&setting.prefix(name));
    let fails = !package.toro().test.failures.is_empty();
    let may_fail = fails && is_wanted(&format!("guest: {name}"));
    if !may_fail && !settings.iter().any(any) {
        return;
    }
    eprintln!("ring 3: {}", package.name);
    let extras = Extras {
        // Reports of failures must name lines.
        lines: fails,
        ..Extras::default()
    };
    match build::build_with(workspace, &package.name, Profile::Release, extras) {
        Ok(image) => {
            failure::run(workspace, package, &image, tally);
            for setting in settings {
                if !may_hold_wanted(tally, &setting.prefix(&package.name)) {
                    continue;
                }
                on_machine(workspace, package, &image, setting, tally);
            }
        }
        Err(error) => tally.record(&format!("guest: {}", package.name), Err(error)),
    }
}

/// The machines of an image: the plain ones, then the special ones.
fn settings(package: &Package, machines: &[Machine], depth: Depth) -> Vec<Setting> {
    let mut settings = Vec::new();
    for &machine in machines {
        settings.extend(
            cores(package, machine, depth)
                .into_iter()
                .map(|cores| Setting {
                    machine,
                    cores,
                    cell: Cell::PLAIN,
                }),
        );
    }
    settings.extend(cells::of(&package.name, depth));
    settings
}

/// The numbers of cores to boot with: all of the manifest's where the machine is one of the two kinds that differ, else the largest.
fn cores(package: &Package, machine: Machine, depth: Depth) -> Vec<Option<u32>> {
    let test = &package.toro().test;
    if !test.failures.is_empty() && test.cores.is_empty() {
        return Vec::new();
    }
    let listed = &test.cores;
    let all = depth != Depth::Quick && matches!(machine, Machine::Q35 | Machine::Microvm);
    match listed.last() {
        None => vec![None],
        Some(_) if all => listed.iter().copied().map(Some).collect(),
        Some(&most) => vec![Some(most)],
    }
}

/// Whether a case can be wanted whose name begins with `start`: its whole name is known only when it runs.
fn may_hold_wanted(tally: &Tally, start: &str) -> bool {
    tally.filter().is_none_or(|filter| {
        let image = start.strip_prefix("guest: ").unwrap_or(start);
        start.contains(filter) || filter.contains(image) || !is_elsewhere(filter)
    })
}

/// Whether a name with `filter` in it is in another ring, or in the image that is named.
fn is_elsewhere(filter: &str) -> bool {
    ["e2e", "host", "guest: ", "test-"]
        .iter()
        .any(|start| filter.starts_with(start))
}

impl Setting {
    /// What the names of its cases begin with.
    fn prefix(&self, image: &str) -> String {
        let cores = self.cores.map(|cores| format!(" with {cores} cores"));
        let special = (!self.cell.name.is_empty()).then(|| format!(" with {}", self.cell.name));
        let with = [cores, special].map(Option::unwrap_or_default).concat();
        format!("guest: {image} on {}{with}: ", self.machine.name())
    }
}

fn on_machine(
    workspace: &Workspace,
    package: &Package,
    image: &Image,
    setting: Setting,
    tally: &mut Tally,
) {
    let prefix = setting.prefix(&package.name);
    let boot = || match boot(workspace, package, image, setting) {
        Ok(cases) => cases
            .into_iter()
            .map(|(name, result)| {
                (
                    format!("{prefix}{name}"),
                    result.map_err(|why| anyhow!(why)),
                )
            })
            .collect(),
        Err(error) => vec![(format!("{prefix}boot"), Err(error))],
    };
    let cases: Vec<Case> = boot();
    let failed = cases.iter().find_map(|(name, result)| {
        let error = result.as_ref().err()?;
        tally.wants(name).then_some((name, error))
    });
    let second = match failed {
        Some((name, error)) if tally.second_chance(name, error) => boot(),
        _ => return record(tally, cases),
    };
    for (name, result) in cases {
        let fails_again = || {
            second
                .iter()
                .any(|(again, end)| *again == name && end.is_err())
        };
        if let Err(error) = result
            && !fails_again()
        {
            tally.unsteady(&name, &error);
        }
    }
    record(tally, second);
}

/// A case and how it ended.
type Case = (String, Result<()>);

fn record(tally: &mut Tally, cases: Vec<Case>) {
    for (name, result) in cases {
        if tally.wants(&name) {
            tally.record(&name, result);
        }
    }
}

/// Boots the image and follows its report to the end.
fn boot(
    workspace: &Workspace,
    package: &Package,
    image: &Image,
    setting: Setting,
) -> Result<Vec<(String, Result<(), String>)>> {
    let patience = setting.cell.patience;
    let mut wish = Wish::of(package, setting.machine)?;
    wish.cores = setting.cores.unwrap_or(wish.cores);
    setting.cell.change(&mut wish);
    wish.on_free_ports()?;
    let peers = package.toro().test.peers;
    let peers = peers.then(|| Peers::start(wish.ports.first().map(|port| port.host)));
    let peers = peers.transpose().context("cannot play the network")?;
    if let Some(peers) = &peers {
        let has_words = wish.append.split(' ').any(|word| word == "--");
        let dashes = if has_words { "" } else { "-- " };
        wish.append = format!(
            "{} {} {dashes}{}",
            peers.kernel_words(),
            wish.append,
            peers.words()
        );
    }
    let vm = wish.vm(workspace, package, image)?;
    let shared = share::prepare(&vm.shares)?;
    let servers = vm.serve()?;
    let mut host = sockets::Host::start(vm.vsock.as_ref())?;
    let mut running = Running::start(&vm.command()).context("cannot boot the image")?;
    let mut players = ports::Players::start(&vm.console_ports);
    let mut report = Report::default();
    let mut index = 0;
    let mut deadline = Instant::now() + patience;
    while let Some(line) = running.line(index, deadline) {
        players.hear(&line);
        host.hear(&line);
        if report.feed(&line) {
            deadline = Instant::now() + patience;
        }
        index += 1;
    }
    let why = match running.wait(END_TIMEOUT) {
        Ok(verdict) => verdict.to_string(),
        Err(_) => format!("nothing came for {patience:?}"),
    };
    let ended = running.wait(Duration::ZERO).ok();
    let lines = running.lines();
    let mut cases = report.finish(&format!("{why}\n{}", running.tail()));
    cases.extend(disks::compare(&lines, &vm.disks));
    // The other ends of its ports see the end of the machine, if nothing else.
    drop((running, servers));
    cases.extend(shared.compare(&lines));
    cases.extend(disks::whole(&vm.disks));
    cases.extend(players.finish());
    cases.extend(host.finish());
    let all_passed = cases.iter().all(|(_, result)| result.is_ok());
    if all_passed && ended != Some(Verdict::Success) {
        cases.push(("exit".to_owned(), Err(why)));
    }
    Ok(cases)
}
