//! Debian packages as raw material: fetched, unpacked in a folder of ours, never installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// Debian's kernel for virtual machines, unpacked below `folder`.
pub(crate) fn kernel(folder: &Path) -> Result<PathBuf> {
    let meta = "linux-image-cloud-amd64";
    let dependencies = dependencies(meta)?;
    let image = dependencies
        .iter()
        .find(|name| name.starts_with("linux-image-"));
    let image = image.with_context(|| format!("{meta} names no kernel: run `apt-get update`"))?;
    unpack(folder, "kernel", std::slice::from_ref(image))
}

/// The name of the package with the source of Debian's kernel.
pub(crate) fn kernel_source() -> Result<String> {
    let meta = "linux-source";
    let mut named = dependencies(meta)?.into_iter();
    let source = named.find(|name| name.starts_with("linux-source-"));
    source.with_context(|| format!("{meta} names no source: run `apt-get update`"))
}

/// The package of a server with all the libraries it may need, unpacked below `folder`.
pub(crate) fn server(folder: &Path, package: &str) -> Result<PathBuf> {
    let mut found = BTreeSet::from([package.to_owned()]);
    let mut open = vec![package.to_owned()];
    while let Some(name) = open.pop() {
        let libraries = dependencies(&name)?;
        for library in libraries
            .into_iter()
            .filter(|n| n.starts_with("lib") || n.starts_with("zlib") || n.ends_with("-tools"))
        {
            if found.insert(library.clone()) {
                open.push(library);
            }
        }
    }
    unpack(folder, "server", &found.into_iter().collect::<Vec<_>>())
}

/// One package alone, unpacked below `folder` under its own name.
pub(crate) fn alone(folder: &Path, package: &str) -> Result<PathBuf> {
    unpack(folder, package, &[package.to_owned()])
}

/// The packages that `name` depends on directly, alternatives included.
fn dependencies(name: &str) -> Result<Vec<String>> {
    let listed = process::output(Command::new("apt-cache").args(["depends", name]))
        .with_context(|| format!("Debian's package {name} is needed; run `apt-get update`?"))?;
    let depends = listed.lines().filter_map(|line| {
        line.trim_start_matches([' ', '|'])
            .strip_prefix("Depends: ")
    });
    // A name in angle brackets is a virtual package.
    Ok(depends
        .filter(|name| !name.starts_with('<'))
        .map(str::to_owned)
        .collect())
}

/// Fetches `packages` and unpacks them together into `folder/name`.
fn unpack(folder: &Path, name: &str, packages: &[String]) -> Result<PathBuf> {
    let (tree, downloads) = (folder.join(name), folder.join("packages"));
    fs::create_dir_all(&tree)?;
    fs::create_dir_all(&downloads)?;
    for package in packages {
        eprintln!("fetching {package}");
        let archive = match archive_of(&downloads, package)? {
            Some(archive) => archive,
            None => {
                let mut fetch = Command::new("apt-get");
                fetch
                    .args(["-qq", "download", package])
                    .current_dir(&downloads);
                process::output(&mut fetch)
                    .context("cannot fetch a package; run `apt-get update`?")?;
                archive_of(&downloads, package)?
                    .with_context(|| format!("{package} did not come"))?
            }
        };
        process::run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&tree))?;
    }
    Ok(tree)
}

fn archive_of(downloads: &Path, package: &str) -> Result<Option<PathBuf>> {
    let prefix = format!("{package}_");
    let mut found = fs::read_dir(downloads)?.flatten().map(|entry| entry.path());
    Ok(found.find(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
    }))
}
