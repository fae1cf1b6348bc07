//! `cargo xtask profile`: where the guest's instructions go, function by function.
//!
//! A TCG plugin counts how often each block of code runs while `wrk` loads the server, or `redis-benchmark` if it is `resp`; the blocks are summed by
//! the symbol they lie in, read from the image before it was stripped. What was inlined counts for the function
//! that it was inlined into.

use std::collections::HashMap;
use std::fs;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use object::{Object as _, ObjectSymbol as _, SymbolKind};

use super::guests::{self, Kit};
use super::plugin::{Block, Plugin, between};
use super::rounds::Outcome;
use super::{progress, table};
use super::{redis, wrk};
use crate::build::Extras;
use crate::crowd::Crowd;
use crate::netns::{Lab, Tap};
use crate::qemu::Machine;
use crate::setup::{self, Tool};
use crate::workspace::Workspace;

/// The arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The appliance: one that serves HTTP, or `resp`.
    #[arg(default_value = "web-server")]
    appliance: String,
    /// The kind of machine.
    #[arg(long, value_enum, default_value = "pc")]
    machine: Machine,
    /// Keep-alive connections of the load.
    #[arg(long, default_value_t = 10)]
    connections: u32,
    /// What is asked for: `/` is a page of 612 bytes, `/1m.bin` a file of 1 MiB.
    #[arg(long, default_value = "/")]
    path: String,
    /// How long it is loaded.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// What `resp` is asked: `get` or `set`.
    #[arg(long, default_value = "get", value_parser = ["get", "set"])]
    command: String,
    /// Commands under way on each connection to `resp`.
    #[arg(long, default_value_t = 1)]
    pipeline: u32,
    /// Connections that are open meanwhile and silent, after a request each.
    #[arg(long, default_value_t = 0)]
    idle: u32,
    /// How many functions are shown.
    #[arg(long, default_value_t = 40)]
    top: usize,
}

impl Args {
    fn is_resp(&self) -> bool {
        self.appliance == "resp"
    }

    /// Has the server do everything once; `resp` gets the value that `get` asks for.
    fn warm_up(&self, tap: Tap) -> Result<()> {
        if self.is_resp() {
            redis::run(self.commands("set"), tap.guest(), 1_000)?;
        }
        self.load(tap, 1)?;
        Ok(())
    }

    fn commands(&self, command: &'static str) -> redis::Load {
        redis::Load {
            command,
            connections: self.connections,
            pipeline: self.pipeline,
        }
    }

    /// Loads the server for `seconds`, or with as many commands as `resp` answers in about that time.
    fn load(&self, tap: Tap, seconds: u64) -> Result<Outcome> {
        if self.is_resp() {
            let command = if self.command == "set" { "set" } else { "get" };
            return redis::run(self.commands(command), tap.guest(), 10_000 * seconds);
        }
        let load = wrk::Load {
            connections: self.connections,
            path: &self.path,
        };
        wrk::run(load, tap.guest(), seconds)
    }
}

/// What one function executed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Share {
    function: String,
    instructions: u64,
    /// Entries into its blocks: high beside `instructions` means short, branchy code.
    blocks: u64,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    setup::ensure(Tool::BENCH)?;
    let workspace = Workspace::load()?;
    let folder = workspace.target("bench")?;
    let kit = if args.is_resp() {
        Kit::resp(&workspace)?
    } else {
        Kit::server(&workspace, &folder, &args.appliance, Extras::default())?
    };
    let debug = kit
        .debug
        .clone()
        .context("the image has no unstripped file")?;
    let symbols = Symbols::read(&fs::read(&debug)?)?;
    let plugin = Plugin::build(&folder.join("plugin"))?;
    let tap = Lab::enter(1)?.tap(0);
    let counter = plugin.counter("profile", true);
    let guest = kit.guest(args.machine, tap);
    progress(&format!("booting {}", guest.name));
    let (vm, _) = guests::boot_server(&guest, guests::patience(&kit), Some(&counter.argument))?;
    vm.pin()?;
    sleep(Duration::from_secs(1));
    if args.idle > 0 {
        progress(&format!("opening {} idle connections", args.idle));
    }
    let _idle = Crowd::gather((tap.guest(), kit.question.port).into(), args.idle)?;
    args.warm_up(tap)?;
    let before = counter.profile()?;
    progress("profiling");
    let outcome = args.load(tap, args.seconds)?;
    let ran = between(&before, &counter.profile()?);
    ensure!(outcome.requests > 0.0, "the server answered no request");
    println!(
        "{}",
        render(&symbols.shares(&ran), outcome.requests, args.top)
    );
    Ok(ExitCode::SUCCESS)
}

/// The functions of an image by address.
pub(super) struct Symbols {
    starts: Vec<(u64, String)>,
}

impl Symbols {
    pub(super) fn read(elf: &[u8]) -> Result<Self> {
        let file = object::File::parse(elf).context("the unstripped image is no ELF file")?;
        let functions = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text);
        let mut starts: Vec<(u64, String)> = functions
            .filter_map(|symbol| Some((symbol.address(), demangled(symbol.name().ok()?))))
            .collect();
        starts.sort();
        starts.dedup_by_key(|(address, _)| *address);
        ensure!(!starts.is_empty(), "the unstripped image has no symbols");
        Ok(Self { starts })
    }

    fn name_of(&self, address: u64) -> &str {
        let behind = self.starts.partition_point(|(start, _)| *start <= address);
        behind
            .checked_sub(1)
            .map_or("(before the first function)", |index| &self.starts[index].1)
    }

    /// Sums the blocks by function, the largest first.
    pub(super) fn shares(&self, ran: &[Block]) -> Vec<Share> {
        let mut sums: HashMap<&str, (u64, u64)> = HashMap::new();
        for block in ran {
            let sum = sums.entry(self.name_of(block.address)).or_default();
            sum.0 += block.insns * block.runs;
            sum.1 += block.runs;
        }
        let mut shares: Vec<Share> = sums
            .into_iter()
            .map(|(name, (instructions, blocks))| Share {
                function: name.to_owned(),
                instructions,
                blocks,
            })
            .collect();
        shares.sort_by(|a, b| (b.instructions, &a.function).cmp(&(a.instructions, &b.function)));
        shares
    }
}

fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn render(shares: &[Share], requests: f64, top: usize) -> String {
    let total: u64 = shares.iter().map(|share| share.instructions).sum();
    let per_request = table::number(total as f64 / requests);
    let mut out = format!("{per_request} guest instructions for each of {requests}\n\n");
    out.push_str("  share     instr/each     blocks/each  function\n");
    for share in shares.iter().take(top) {
        let percent = 100.0 * share.instructions as f64 / total as f64;
        let each = share.instructions as f64 / requests;
        let blocks = share.blocks as f64 / requests;
        out.push_str(&format!(
            "{percent:6.2}%  {each:13.1}  {blocks:14.1}  {}\n",
            share.function
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Symbols, render};
    use crate::bench::plugin::Block;

    fn symbols() -> Symbols {
        Symbols {
            starts: vec![(0x100, "entry".to_owned()), (0x200, "serve".to_owned())],
        }
    }

    #[test]
    fn sums_blocks_by_the_function_they_lie_in() {
        let block = |address, insns, runs| Block {
            address,
            insns,
            runs,
        };
        let ran = [
            block(0x100, 4, 1),
            block(0x200, 5, 10),
            block(0x2f0, 2, 10),
            block(0x50, 1, 1),
        ];
        let shares = symbols().shares(&ran);
        let found: Vec<_> = shares
            .iter()
            .map(|s| (s.function.as_str(), s.instructions, s.blocks))
            .collect();
        let expected = [
            ("serve", 70, 20),
            ("entry", 4, 1),
            ("(before the first function)", 1, 1),
        ];
        assert_eq!(found, expected);
        let text = render(&shares, 10.0, 1);
        assert!(text.starts_with("7.50 guest instructions for each of 10"));
        assert!(text.contains(" 93.33%") && !text.contains("entry"));
    }
}
