//! `cargo xtask bench kv`: the key-value service under load, next to redis-server on Linux.

use anyhow::Result;

use super::Common;
use super::guests::Kit;
use super::linux_guest::Server;
use super::linux_kernel::Kernel;
use super::plugin::Plugin;
use super::redis::{self, Load};
use super::report::Report;
use super::rounds::{self, Client, Effort, Outcome, Peer};
use crate::netns::Lab;
use crate::qemu::Machine;
use crate::workspace::Workspace;

/// The loads of `redis-benchmark`, each with how many commands are sent in a quick run.
struct RedisBenchmark;

impl Client for RedisBenchmark {
    type Load = (Load, u64);
    const CASES: &'static [(&'static str, Self::Load)] = &[
        ("GET, 1 connection", (load("get", 1, 1), 2_000)),
        ("GET, 50 connections", (load("get", 50, 1), 10_000)),
        ("SET, 50 connections", (load("set", 50, 1), 10_000)),
        (
            "GET, 50 connections, 16 at a time",
            (load("get", 50, 16), 64_000),
        ),
        (
            "SET, 50 connections, 16 at a time",
            (load("set", 50, 16), 64_000),
        ),
    ];
    /// It leaves a value for GET to find.
    const WARM_UP: usize = 2;

    fn run((load, quick): Self::Load, peer: &Peer<'_>, effort: Effort) -> Result<Outcome> {
        let factor = if effort == Effort::Full { 3 } else { 1 };
        redis::run(load, peer.tap.guest(), quick * factor)
    }
}

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
    /// The reference's kernel.
    #[arg(long, value_enum, default_value = "debian")]
    kernel: Kernel,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let folder = workspace.target("bench")?;
    let common = &args.common;
    let kits = rounds::kits(
        common,
        || Kit::resp(&workspace),
        || Kit::linux(&folder, Server::Redis, args.kernel),
    )?;
    let plugin = Plugin::build(&folder.join("plugin"))?;
    let lab = Lab::enter(2)?;
    let mut report = Report::new("kv");
    rounds::compare::<RedisBenchmark>(&mut report, &kits, &lab, args.machine, common, &plugin)?;
    report.note("Medians over interleaved runs of redis-benchmark under TCG, one guest core; ratio = toro / reference,");
    report.note("taken between neighbouring runs. Instructions are counted in runs of their own.");
    report.write(&folder)
}
