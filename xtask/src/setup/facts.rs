//! [`Facts`]: what this machine is, as far as installing depends on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::unistd::geteuid;

/// What this machine is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The release of Debian, as in `bookworm`; `None` on its relatives.
    pub(crate) codename: Option<String>,
    /// Names and versions of the QEMU packages that are installed.
    pub(crate) qemu_packages: Vec<(String, String)>,
    /// The files that say where packages come from.
    pub(crate) sources: Vec<(PathBuf, String)>,
}

impl Facts {
    /// Looks around.
    pub(crate) fn gather() -> Result<Self> {
        if !Path::new("/usr/bin/apt-get").exists() {
            bail!(
                "this machine has no apt; install QEMU for x86, the GRUB tools, xorriso, mtools, curl, wrk, \
                 iproute2 and gdb with its own package manager"
            );
        }
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        Ok(Self {
            codename: debian_codename(&release),
            qemu_packages: qemu_packages()?,
            sources: sources(),
        })
    }
}

/// Whether this process may install packages.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

fn debian_codename(release: &str) -> Option<String> {
    let value = |key: &str| {
        release
            .lines()
            .find_map(|line| Some(line.strip_prefix(key)?.trim_matches('"').to_owned()))
    };
    (value("ID=")? == "debian")
        .then(|| value("VERSION_CODENAME="))
        .flatten()
}

fn qemu_packages() -> Result<Vec<(String, String)>> {
    let mut dpkg = Command::new("dpkg-query");
    dpkg.args([
        "-W",
        "-f",
        "${db:Status-Status} ${Package} ${Version}\n",
        "qemu-*",
    ]);
    // It fails if no package matches, which is an answer too.
    let output = dpkg.output().context("cannot start dpkg-query")?;
    Ok(installed(&String::from_utf8_lossy(&output.stdout)))
}

fn installed(listing: &str) -> Vec<(String, String)> {
    listing
        .lines()
        .filter_map(|line| line.strip_prefix("installed ")?.split_once(' '))
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect()
}

fn sources() -> Vec<(PathBuf, String)> {
    let folder = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten();
    let mut paths: Vec<PathBuf> = folder.map(|entry| entry.path()).collect();
    paths.push("/etc/apt/sources.list".into());
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| Some((fs::read_to_string(&path).ok()?, path)))
        .map(|(text, path)| (path, text))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{debian_codename, installed};

    #[test]
    fn only_debian_has_a_codename() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        assert_eq!(debian_codename(debian).as_deref(), Some("bookworm"));
        assert_eq!(debian_codename("ID=ubuntu\nVERSION_CODENAME=noble\n"), None);
        assert_eq!(debian_codename(""), None);
    }

    #[test]
    fn packages_that_are_not_installed_do_not_count() {
        let listing = "installed qemu-utils 1:10.0.2~bpo12+1\nnot-installed qemu-user \n";
        assert_eq!(
            installed(listing),
            [("qemu-utils".to_owned(), "1:10.0.2~bpo12+1".to_owned())]
        );
    }
}
