//! `cargo xtask VERB`: builds, runs, tests and measures Toro. One file per verb.
//!
//! Read [`build`] and [`image`] for how an appliance becomes one bootable ELF, and [`qemu`] for how it is booted:
//! every argument that QEMU gets is made there.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod build;
mod ci;
mod core_file;
mod crowd;
mod gdb;
mod image;
mod iso;
mod netns;
mod packages;
mod pcap;
mod process;
mod qemu;
mod run;
mod setup;
mod source;
mod symbolize;
mod test;
mod tidy;
mod torov;
mod trace;
mod vsock;
mod workspace;

/// Builds, runs, tests and measures Toro.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Builds an appliance; the last line printed is the path of the finished image.
    Build(build::Args),
    /// Boots an appliance under QEMU with the machine that its manifest describes.
    Run(run::Args),
    /// Boots an appliance with the debugger inside and connects gdb to it.
    Gdb(gdb::Args),
    /// Opens the core file that an image has left when it failed, or takes it out of a disk.
    Core(core_file::Args),
    /// Boots an appliance and writes down what its network cards receive and send, for Wireshark.
    Pcap(pcap::Args),
    /// Boots an appliance and writes down what happens on its cores, for Perfetto or Chromium; or where it spends its time, as a flame graph.
    Trace(trace::Args),
    /// Makes a bootable GRUB ISO of an appliance.
    Iso(iso::Args),
    /// Measures images next to a Linux guest.
    Bench(bench::Args),
    /// Runs every test; the last line is the total.
    Test(test::Args),
    /// Runs all checks and tests, as before a change goes in.
    Ci(ci::Args),
    /// Checks the rules of the house that no lint knows.
    Tidy(tidy::Args),
    /// Shows where the guest instructions of a web server go, function by function.
    Profile(bench::profile::Args),
    /// Names the functions, files and lines of a backtrace, from the debug information of the image that printed it.
    Symbolize(symbolize::Args),
    /// Builds the ToroV monitor and runs an example program in it.
    Torov(torov::Args),
    /// Installs the programs that the other verbs need.
    Setup(setup::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Build(args) => build::main(&args),
        Verb::Run(args) => run::main(&args),
        Verb::Gdb(args) => gdb::main(&args),
        Verb::Core(args) => core_file::main(&args),
        Verb::Pcap(args) => pcap::main(&args),
        Verb::Trace(args) => trace::main(&args),
        Verb::Iso(args) => iso::main(&args),
        Verb::Bench(args) => bench::main(&args),
        Verb::Test(args) => test::main(&args),
        Verb::Ci(args) => ci::main(&args),
        Verb::Tidy(args) => tidy::main(&args),
        Verb::Profile(args) => bench::profile::main(&args),
        Verb::Symbolize(args) => symbolize::main(&args),
        Verb::Torov(args) => torov::main(&args),
        Verb::Setup(args) => setup::main(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
