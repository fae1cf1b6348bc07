//! `cargo xtask test`: every test of the project, ring by ring.
//!
//! [`host`] runs what cargo can run, [`guest`] boots the test images on every machine, [`e2e`] drives whole images
//! from outside. Each case is one line, the last line is the total.

mod cells;
mod chromium;
mod client;
mod disks;
mod e2e;
mod failure;
mod gdb;
mod guest;
mod host;
mod names;
mod narrow;
mod peers;
mod ports;
mod relay;
mod report;
mod server;
mod share;
mod sides;
mod soak;
mod sockets;
mod tally;
mod tree;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use self::tally::Tally;
use crate::setup::{self, Tool};
use crate::workspace::Workspace;

/// So many cases in virtual machines may fail once and pass when they are run again.
const SECOND_CHANCES: usize = 3;

/// The arguments of the verb.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Fewer machines and smaller numbers.
    #[arg(long, conflicts_with = "deep")]
    quick: bool,
    /// Larger numbers: a hundred thousand connections in a row.
    #[arg(long)]
    deep: bool,
    /// Only this ring.
    #[arg(long, value_enum)]
    ring: Option<Ring>,
    /// Only the torture image, for this long, as in 90s, 10m or 1h.
    #[arg(long, value_name = "TIME", value_parser = soak::parse_time, conflicts_with_all = ["quick", "deep", "ring", "filter"])]
    soak: Option<Duration>,
    /// No second chance for a case that fails in a virtual machine; --deep and --soak give none either.
    #[arg(long)]
    strict: bool,
    /// The seed of the torture image and of the weather between two machines, to do again what was done.
    #[arg(long)]
    seed: Option<u64>,
    /// Only cases whose name holds this text.
    filter: Option<String>,
}

/// Where a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Ring {
    /// On the host, under cargo.
    Host,
    /// In a test image.
    Guest,
    /// Outside of an image that runs.
    E2e,
}

/// How much is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    Quick,
    Normal,
    Deep,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let wants = |ring| args.ring.is_none_or(|only| only == ring);
    if args.ring != Some(Ring::Host) {
        setup::ensure(Tool::TEST)?;
    }
    let depth = match (args.quick, args.deep) {
        (true, _) => Depth::Quick,
        (_, true) => Depth::Deep,
        _ => Depth::Normal,
    };
    let strict = args.strict || args.soak.is_some() || depth == Depth::Deep;
    let mut tally = Tally::new(args.filter.clone(), if strict { 0 } else { SECOND_CHANCES });
    if let Some(time) = args.soak {
        setup::ensure(Tool::TEST)?;
        soak::run(&workspace, &mut tally, time, args.seed);
        return Ok(finish(&tally));
    }
    if wants(Ring::Host) {
        host::run(&workspace, &mut tally);
        host::models(&workspace, &mut tally, depth);
        if depth == Depth::Deep {
            host::long(&workspace, &mut tally);
        }
    }
    if wants(Ring::Guest) {
        guest::run(&workspace, &mut tally, depth);
    }
    if wants(Ring::E2e) {
        e2e::run(&workspace, &mut tally, depth, args.seed);
    }
    Ok(finish(&tally))
}

/// Prints the total.
fn finish(tally: &Tally) -> ExitCode {
    if let Some(longest) = tally.longest() {
        eprint!("what took longest, with what was built for it:\n{longest}");
    }
    if let Some(filter) = tally.filter().filter(|_| tally.is_empty()) {
        eprintln!(
            "no case has `{filter}` in its name; a run prints all names, as `e2e: hello on q35`"
        );
    }
    println!("{tally}");
    if tally.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Args {
    /// Everything.
    pub(crate) fn whole(deep: bool) -> Self {
        Self {
            quick: false,
            deep,
            ring: None,
            soak: None,
            strict: false,
            seed: None,
            filter: None,
        }
    }
}

impl Depth {
    /// One number for each depth.
    fn pick<T>(self, quick: T, normal: T, deep: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Normal => normal,
            Self::Deep => deep,
        }
    }
}
