//! `cargo xtask ci`: what must hold before a change goes in. Every step is a command that a person can run.

mod deep;
mod rebuild;

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Result, ensure};

use self::deep::Part;
use crate::workspace::Workspace;
use crate::{process, test, tidy};

/// The arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Take longer and look closer: documentation, sanitizers, fuzz targets, whole models, and a hundred thousand connections.
    #[arg(long)]
    deep: bool,
    /// Only this part of what is deep; may be given again.
    #[arg(long, value_enum, conflicts_with = "checks_only")]
    only: Vec<Part>,
    /// How many seconds each fuzz target runs.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    fuzz: u64,
    /// Everything but the tests.
    #[arg(long)]
    checks_only: bool,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let time = Duration::from_secs(args.fuzz);
    if !args.only.is_empty() {
        let mut parts = args.only.iter();
        parts.try_for_each(|part| part.run(&workspace, time))?;
        return Ok(ExitCode::SUCCESS);
    }
    step(&workspace, &["fmt", "--all", "--check"])?;
    clippy(&workspace)?;
    eprintln!("ci: tidy");
    let findings = tidy::check(&workspace)?;
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    ensure!(findings.is_empty(), "tidy found {} places", findings.len());
    if args.deep {
        step(&workspace, &["doc", "--workspace", "--no-deps"])?;
    }
    if args.checks_only {
        return Ok(ExitCode::SUCCESS);
    }
    if args.deep {
        Part::ALL
            .iter()
            .try_for_each(|part| part.run(&workspace, time))?;
    }
    test::main(&test::Args::whole(args.deep))
}

/// Lints in three calls: the test targets of packages that only an image links would define the panic handler twice, and what no
/// appliance picks by itself would not be looked at.
fn clippy(workspace: &Workspace) -> Result<()> {
    let images = workspace.image_only();
    let with = |option| {
        images
            .iter()
            .flat_map(move |name| [option, *name])
            .collect::<Vec<_>>()
    };
    let warnings = &["--", "-D", "warnings"][..];
    let host = [
        &["clippy", "--workspace", "--all-targets"],
        &with("--exclude")[..],
        warnings,
    ];
    step(workspace, &host.concat())?;
    let units = ["toro", "toro-rt"].map(|name| ["--package", name]).concat();
    step(
        workspace,
        &[&["clippy"], &with("--package")[..], warnings].concat(),
    )?;
    step(
        workspace,
        &[&["clippy", "--all-features"], &units[..], warnings].concat(),
    )
}

fn step(workspace: &Workspace, words: &[&str]) -> Result<()> {
    let mut cargo: Command = process::cargo();
    cargo
        .args(words)
        .current_dir(&workspace.root)
        .env("RUSTDOCFLAGS", "-D warnings");
    eprintln!("ci: {}", process::shown(&cargo));
    process::run(&mut cargo)
}
