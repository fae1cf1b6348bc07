//! `cargo xtask bench http`: the web server under load, next to nginx or a bare epoll loop on Linux.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use super::churn::{ChurnReport, churn};
use super::guests::Kit;
use super::linux_guest::Server;
use super::linux_kernel::Kernel;
use super::plugin::Plugin;
use super::report::Report;
use super::rounds::{self, Client, Effort, Outcome, Peer, Side};
use super::wrk::{self, Load};
use super::{Common, proc, progress, units};
use crate::build::Extras;
use crate::netns::Lab;
use crate::qemu::Machine;
use crate::workspace::Workspace;

/// The loads of `wrk`.
pub(super) struct Wrk;

/// The load of a burst, among the cases.
const BURST: Load<'static> = Load {
    connections: 100,
    path: "/",
};

impl Client for Wrk {
    type Load = Load<'static>;
    const CASES: &'static [(&'static str, Self::Load)] = &[
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
        ("612 B page, 100 connections", BURST),
        (
            "1 MiB file, 10 connections",
            Load {
                connections: 10,
                path: "/1m.bin",
            },
        ),
    ];
    const WARM_UP: usize = 1;

    fn run(load: Self::Load, peer: &Peer<'_>, effort: Effort) -> Result<Outcome> {
        let seconds = if effort == Effort::Full { 3 } else { 1 };
        wrk::run(load, peer.tap.guest(), seconds)
    }
}

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
    /// The reference's web server.
    #[arg(long, value_enum, default_value = "nginx")]
    against: Against,
    /// The reference's kernel.
    #[arg(long, value_enum, default_value = "debian")]
    kernel: Kernel,
    /// Our image looks for work for a while before it halts, on its processor of the host (`idle=poll`).
    #[arg(long)]
    idle_poll: bool,
    /// Instead of all that: what it costs that the image can be looked into, by a trace and by metrics, and what it grows by.
    #[arg(long)]
    units: bool,
    /// Instead of all that: bursts of load, then N short connections in a row.
    #[arg(long, value_name = "N")]
    churn: Option<u32>,
}

impl Args {
    /// Our image.
    fn server(&self, workspace: &Workspace, folder: &Path) -> Result<Kit> {
        let extras = Extras {
            multiqueue: self.cores > 1,
            idle_poll: self.idle_poll,
            ..Extras::default()
        };
        let mut kit = Kit::server(workspace, folder, "web-server", extras)?;
        if self.idle_poll {
            kit.also("idle=poll");
        }
        Ok(kit)
    }
}

/// What serves on Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Against {
    /// Debian's nginx.
    Nginx,
    /// A bare epoll loop in C with one page, whatever is asked: nothing on Linux does less for a request.
    Epoll,
}

impl Against {
    fn server(self) -> Server {
        match self {
            Self::Nginx => Server::Nginx,
            Self::Epoll => Server::Epoll,
        }
    }
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let folder = workspace.target("bench")?;
    let common = &args.common;
    if args.units {
        return units::http(&workspace, &folder, args.machine, common);
    }
    let kits = rounds::kits(
        common,
        || args.server(&workspace, &folder),
        || Kit::linux(&folder, args.against.server(), args.kernel),
    )?;
    let plugin = Plugin::build(&folder.join("plugin"))?;
    let lab = Lab::enter_with(2, args.cores)?;
    let mut report = Report::new(if args.churn.is_some() {
        "churn"
    } else {
        "http"
    });
    if let Some(connections) = args.churn {
        for (index, kit) in kits.iter().enumerate() {
            let side = Side::boot::<Wrk>(kit, args.machine, lab.tap(index))?;
            churn_case(&mut report, &side, connections)?;
        }
    } else {
        rounds::compare::<Wrk>(&mut report, &kits, &lab, args.machine, common, &plugin)?;
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

/// Two bursts of keep-alive load, then short connections in a row.
fn churn_case(report: &mut Report, side: &Side<'_>, connections: u32) -> Result<()> {
    for burst in 1..=2 {
        progress(&format!("burst {burst} of load on {}", side.kit.name()));
        wrk::run(BURST, side.tap.guest(), 2)?;
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
