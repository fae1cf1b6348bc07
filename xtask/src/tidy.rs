//! `cargo xtask tidy`: the rules of the house that no lint knows.
//!
//! Each rule is a function from facts to [`Finding`]s, so that its tests can make it fail: [`floors`] looks at the
//! manifests, [`rules`] at one file at a time, [`statics`] at all of them together, [`pages`] at the documents.

mod floors;
mod pages;
mod rules;
mod source;
mod statics;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use self::source::Source;
use crate::workspace::{Package, Workspace};

/// The arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    place: String,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Runs the verb.
pub(crate) fn main(_: &Args) -> Result<ExitCode> {
    let findings = check(&Workspace::load()?)?;
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    eprintln!("tidy: {} findings", findings.len());
    Ok(if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Checks the whole workspace.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = floors::check(&workspace.packages);
    let mut sources = Vec::new();
    for package in &workspace.packages {
        sources.extend(read(workspace, package)?);
    }
    for source in &sources {
        findings.extend(rules::check(source));
        if let Some(warning) = rules::long(source) {
            eprintln!("tidy: warning: {warning}");
        }
    }
    for edge in floors::dev_edges(&workspace.packages) {
        eprintln!("tidy: for tests only: {edge}");
    }
    let found = statics::list(&sources);
    eprintln!("tidy: statics: {}", found.join(", "));
    if let Ok(text) = fs::read_to_string(workspace.root.join("docs/ARCHITECTURE.md")) {
        findings.extend(statics::compare(&found, &text));
    }
    findings.extend(pages::check(&workspace.root)?);
    eprintln!(
        "tidy: {} files in {} crates",
        sources.len(),
        workspace.packages.len()
    );
    Ok(findings)
}

/// Reads every Rust file of `package`.
fn read(workspace: &Workspace, package: &Package) -> Result<Vec<Source>> {
    let mut paths = Vec::new();
    walk(package.folder(), &mut paths)?;
    paths.sort();
    let kind = source::Kind::of(package, &workspace.root);
    let read = |path: PathBuf| {
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let short = path
            .strip_prefix(&workspace.root)
            .unwrap_or(&path)
            .display()
            .to_string();
        Ok(Source::new(kind.clone(), &short, &text))
    };
    paths.into_iter().map(read).collect()
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            walk(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}
