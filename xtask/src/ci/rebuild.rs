//! Whether two builds of one source are the same file: here, and from nothing in a copy in another folder.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::build::{self, Profile};
use crate::workspace::Workspace;

/// The images that are compared: the smallest, and one with a network stack and files.
const IMAGES: &[&str] = &["hello", "web-server"];

/// What is not source, wherever it lies.
const LEFT_OUT: &[&str] = &["target", ".git", ".tools"];

/// Builds both and compares them.
pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let copied = std::env::temp_dir().join(format!("toro-rebuild-{}", std::process::id()));
    let result = compare(workspace, &copied);
    // What cannot be removed is only in the way of a folder for temporary files.
    let _ = fs::remove_dir_all(&copied);
    result
}

fn compare(workspace: &Workspace, copied: &Path) -> Result<()> {
    eprintln!("ci: copying the source to {}", copied.display());
    copy(&workspace.root, copied)?;
    let copy = Workspace::load_from(copied)?;
    for name in IMAGES {
        let here = fs::read(build::build(workspace, name, Profile::Release)?.path)?;
        let there = fs::read(build::build(&copy, name, Profile::Release)?.path)?;
        let differing = here
            .iter()
            .zip(&there)
            .position(|(here, there)| here != there);
        ensure!(
            here == there,
            "two builds of {name} differ: {} and {} bytes, the first difference at {}",
            here.len(),
            there.len(),
            differing.unwrap_or(here.len().min(there.len()))
        );
        eprintln!("ci: {name}: {} bytes, the same in both builds", here.len());
    }
    Ok(())
}

/// Copies a folder without what is not source.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let entries = fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        if LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    Ok(())
}
