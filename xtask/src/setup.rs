//! `cargo xtask setup`: installs the programs that the other verbs need.
//!
//! As root it calls apt itself, otherwise it prints the one line to type. It never removes a package. What has to be
//! done is decided in [`plan`], from facts alone. What Debian does not have, cargo builds into the project's own folder
//! ([`built`]), for which nobody has to be root.

mod built;
mod facts;
mod plan;
mod sources;
mod tools;

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use self::facts::Facts;
pub(crate) use self::facts::is_root;
use self::plan::Plan;
use self::tools::Source;
pub(crate) use self::tools::Tool;
use crate::process;

/// The arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only say what is missing.
    #[arg(long)]
    check: bool,
    /// Print the commands instead of running them.
    #[arg(long)]
    dry_run: bool,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let missing = tools::missing(Tool::ALL);
    for tool in Tool::ALL {
        let state = if missing.contains(tool) {
            "missing"
        } else {
            "installed"
        };
        eprintln!("{:<20} {state}", tool.program());
    }
    if missing.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if args.check {
        bail!(
            "{} programs are missing; `cargo xtask setup` installs them",
            missing.len()
        );
    }
    if args.dry_run {
        show(&missing)?;
    } else {
        install(&missing)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes sure that `tools` are there: installs what is missing as root, else says how.
pub(crate) fn ensure(tools: &[Tool]) -> Result<()> {
    let missing = tools::missing(tools);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|tool| tool.program()).collect();
    eprintln!("missing: {}; installing", names.join(", "));
    install(&missing)?;
    let still = tools::missing(tools);
    if let Some(tool) = still.first() {
        let source = match tool.source() {
            Source::Package(name) => format!("its package {name}"),
            Source::Crate { version, .. } => format!("version {version} of its crate"),
        };
        bail!(
            "{} is still missing after {source} was installed",
            tool.path().display()
        );
    }
    Ok(())
}

/// Prints what [`install`] would do.
fn show(missing: &[Tool]) -> Result<()> {
    if missing.iter().any(is_package) {
        println!("{}", Plan::new(&Facts::gather()?, missing).shell());
    }
    for (name, version) in crates(missing) {
        println!("{}", process::shown(&built::command(name, version)));
    }
    Ok(())
}

/// Packages first: what cargo builds may need them.
fn install(missing: &[Tool]) -> Result<()> {
    if missing.iter().any(is_package) {
        install_packages(&Plan::new(&Facts::gather()?, missing))?;
    }
    crates(missing).try_for_each(|(name, version)| built::install(name, version))
}

fn is_package(tool: &Tool) -> bool {
    matches!(tool.source(), Source::Package(_))
}

/// Names and versions of the crates among `missing`.
fn crates(missing: &[Tool]) -> impl Iterator<Item = (&'static str, &'static str)> {
    missing.iter().filter_map(|tool| match tool.source() {
        Source::Crate { version, .. } => Some((tool.program(), version)),
        Source::Package(_) => None,
    })
}

fn install_packages(plan: &Plan) -> Result<()> {
    if !is_root() {
        bail!(
            "programs are missing; this line installs them:\n\n    {}\n",
            plan.sudo()
        );
    }
    if let Some(edit) = &plan.edit {
        eprintln!("adding the suite {} to {}", edit.suite, edit.path.display());
        fs::write(&edit.path, &edit.text)
            .with_context(|| format!("cannot write {}", edit.path.display()))?;
    }
    for words in plan.commands() {
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env("DEBIAN_FRONTEND", "noninteractive");
        eprintln!("{}", process::shown(&command));
        process::run(&mut command).context("apt could not install what is missing")?;
    }
    Ok(())
}
