//! `cargo xtask bench`: measures images next to a Linux guest, and writes a table, a plot and JSON.
//!
//! [`boot`], [`http`], [`kv`], [`devices`], [`files`] and [`kernel`] are the verbs; all fill a [`report`]. What is booted is described in [`guests`], watched
//! in [`vm`], asked by [`probe`], loaded by [`wrk`], [`redis`], [`io`] and [`churn`], counted by [`plugin`]. Nothing leaves the
//! namespace of [`crate::netns`], and nothing survives the program. [`profile`] is a verb of its own. `docs/benchmarks.md` tells the method.

mod boot;
pub(crate) mod churn;
mod content;
mod cpio;
mod devices;
mod files;
mod floor;
mod footprint;
mod guests;
mod http;
mod io;
mod kernel;
mod kv;
mod linux_guest;
mod linux_kernel;
mod memory;
mod pages;
mod plot;
mod plugin;
mod probe;
pub(crate) mod proc;
pub(crate) mod profile;
mod redis;
mod report;
mod rounds;
mod scratch;
mod stats;
mod table;
mod units;
mod vm;
mod wrk;

use std::process::ExitCode;

use anyhow::Result;

use crate::setup::{self, Tool};

/// The arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, clap::Subcommand)]
enum Bench {
    /// Start-up times, image sizes, smallest memory, cost of idling.
    Boot(boot::Args),
    /// The web server under load: rates, latencies, CPU time, instructions.
    Http(http::Args),
    /// The key-value service under load, next to redis-server.
    Kv(kv::Args),
    /// Disk, network card and sockets to the host, next to the same program on Linux.
    Devices(io::Args),
    /// File systems, next to the same program on Linux.
    Files(io::Args),
    /// Threads, timers and memory: in an image, and next to the same work on the host.
    Kernel(kernel::Args),
}

/// What every benchmark takes.
#[derive(Debug, clap::Args)]
struct Common {
    /// A rough answer within a minute.
    #[arg(long)]
    quick: bool,
    /// How often each thing is measured.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: Option<u16>,
    /// Without the Linux guest.
    #[arg(long)]
    no_reference: bool,
    /// Without the images of this project: checks the harness itself.
    #[arg(long)]
    no_toro: bool,
    /// Only the cases whose name holds this text.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Instead of all that: where the instructions of our image go, function by function.
    #[arg(long)]
    profile: bool,
}

impl Common {
    /// The number of rounds: what the user says, else `usual`, else `quick`.
    fn runs(&self, usual: usize, quick: usize) -> usize {
        self.runs
            .map_or(if self.quick { quick } else { usual }, usize::from)
    }

    /// Whether the case of that name is to be measured.
    fn wants(&self, case: &str) -> bool {
        case.contains(&self.only)
    }
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    setup::ensure(Tool::BENCH)?;
    match &args.bench {
        Bench::Boot(args) => boot::main(args)?,
        Bench::Http(args) => http::main(args)?,
        Bench::Kv(args) => kv::main(args)?,
        Bench::Devices(args) => devices::main(args)?,
        Bench::Files(args) => files::main(args)?,
        Bench::Kernel(args) => kernel::main(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what is being done, for it takes a while.
fn progress(text: &str) {
    eprintln!("bench: {text}");
}
