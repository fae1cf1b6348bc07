//! Programs that cargo builds from crates.io into the project's own folder, `.tools`, where no other project sees them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process;

/// The folder, in the project's own.
fn folder() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).join(".tools")
}

/// Where the program of crate `name` lies, once it is there.
pub(super) fn path(name: &str) -> PathBuf {
    folder().join("bin").join(name)
}

/// Whether exactly this version was built.
pub(super) fn is_there(name: &str, version: &str) -> bool {
    let list = fs::read_to_string(folder().join(".crates.toml")).unwrap_or_default();
    path(name).is_file() && lists(&list, name, version)
}

/// Whether cargo's list of what it has installed names this version.
fn lists(list: &str, name: &str, version: &str) -> bool {
    let entry = format!("\"{name} {version} (");
    list.lines().any(|line| line.starts_with(&entry))
}

/// The command that builds it.
pub(super) fn command(name: &str, version: &str) -> Command {
    let mut cargo = process::cargo();
    cargo.args(["install", "--locked", "--version", version, "--root"]);
    cargo.arg(folder()).arg(name);
    cargo
}

/// Builds it. Cargo shows how far it is.
pub(super) fn install(name: &str, version: &str) -> Result<()> {
    let mut cargo = command(name, version);
    eprintln!("{}", process::shown(&cargo));
    eprintln!("this takes a few minutes, once");
    process::run(&mut cargo).with_context(|| {
        format!("cargo could not build {name} {version}; it needs crates.io and a C linker")
    })
}

#[cfg(test)]
mod tests {
    use super::lists;

    #[test]
    fn only_the_version_that_is_wanted_counts() {
        let list = "[v1]\n\"virtiofsd 1.14.0 (registry+https://github.com/rust-lang/crates.io-index)\" = [\"virtiofsd\"]\n";
        assert!(lists(list, "virtiofsd", "1.14.0"));
        assert!(!lists(list, "virtiofsd", "1.14"));
        assert!(!lists(list, "virtiofsd", "1.13.0"));
        assert!(!lists(list, "virtio", "1.14.0"));
        assert!(!lists("", "virtiofsd", "1.14.0"));
    }
}
