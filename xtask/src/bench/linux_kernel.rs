//! The kernels of the references: Debian's for virtual machines, and the leanest that its source makes.
//!
//! The stripped kernel is what a determined engineer would set against a unikernel: `make tinyconfig` and what
//! `linux_stripped.config` adds, built from Debian's `linux-source`. Either is made once, then kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use super::progress;
use crate::setup::{self, Tool};
use crate::{packages, process};

const OPTIONS: &str = include_str!("linux_stripped.config");

/// Which kernel a Linux guest has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kernel {
    /// Debian's kernel for virtual machines (linux-image-cloud-amd64).
    Debian,
    /// Debian's source without all that a server can do without; the first use builds it, which takes some ten minutes.
    Stripped,
}

impl Kernel {
    /// What it is made of besides its packages.
    pub(crate) fn recipe(self) -> &'static str {
        match self {
            Self::Debian => "",
            Self::Stripped => OPTIONS,
        }
    }

    /// Writes the kernel to `path`, uncompressed, as QEMU enters it by its PVH note. Returns where its modules are, if it has any.
    ///
    /// `folder` keeps what it is made of.
    pub(crate) fn make(self, folder: &Path, path: &Path) -> Result<Option<PathBuf>> {
        match self {
            Self::Debian => {
                let tree = packages::kernel(folder)?;
                fs::write(path, unpack(&only_kernel(&tree)?)?)?;
                Ok(Some(tree))
            }
            Self::Stripped => {
                let shared = folder.with_file_name("linux-stripped");
                fs::copy(stripped(&shared)?, path)?;
                Ok(None)
            }
        }
    }
}

fn only_kernel(tree: &Path) -> Result<PathBuf> {
    let boot = fs::read_dir(tree.join("boot")).context("the kernel's package has no /boot")?;
    let found = boot
        .flatten()
        .map(|entry| entry.path())
        .find(|path| is_named(path, "vmlinuz-"));
    found.context("the kernel's package has no vmlinuz")
}

fn is_named(path: &Path, prefix: &str) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

/// The ELF inside a bzImage (Linux, Documentation/arch/x86/boot.rst: `payload_offset`, `payload_length`).
fn unpack(path: &Path) -> Result<Vec<u8>> {
    let image = fs::read(path)?;
    let word = |at: usize| -> Result<usize> {
        let bytes = image.get(at..at + 4).context("the kernel is too short")?;
        Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
    };
    let sectors = usize::from(*image.get(0x1f1).context("the kernel is too short")?);
    let start = (if sectors == 0 { 4 } else { sectors } + 1) * 512 + word(0x248)?;
    let payload = image
        .get(start..start + word(0x24c)?)
        .context("the kernel has no payload")?;
    let tool = match payload {
        [0x02, 0x21, 0x4c, 0x18, ..] => "lz4",
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0xfd, b'7', b'z', ..] => "xz",
        _ => bail!("the kernel is packed in an unknown way"),
    };
    let packed = path.with_file_name("payload");
    fs::write(&packed, payload)?;
    // The payload ends in its unpacked length, about which the tools complain.
    let output = Command::new(tool).arg("-dc").arg(&packed).output();
    let unpacked = output
        .with_context(|| format!("cannot run `{tool}` (package {tool})"))?
        .stdout;
    fs::remove_file(&packed)?;
    ensure!(
        unpacked.starts_with(b"\x7fELF"),
        "{tool} did not find a kernel in {}",
        path.display()
    );
    Ok(unpacked)
}

/// The stripped kernel in `folder`, built there if it is not.
fn stripped(folder: &Path) -> Result<PathBuf> {
    let (kernel, stamp) = (folder.join("vmlinux"), folder.join("options"));
    if fs::read_to_string(&stamp).is_ok_and(|old| old == OPTIONS) {
        return Ok(kernel);
    }
    setup::ensure(Tool::KERNEL)?;
    fs::create_dir_all(folder)?;
    let source = source(folder)?;
    progress("building the stripped kernel (once; some ten minutes)");
    make(&source, &["tinyconfig"])?;
    let options = folder.join("added");
    fs::write(&options, OPTIONS)?;
    let merge = source.join("scripts/kconfig/merge_config.sh");
    process::output(
        Command::new("sh")
            .arg(merge)
            .args(["-m", ".config"])
            .arg(fs::canonicalize(&options)?)
            .current_dir(&source),
    )?;
    make(&source, &["olddefconfig"])?;
    check(&fs::read_to_string(source.join(".config"))?)?;
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    make(&source, &[&format!("-j{jobs}"), "vmlinux"])?;
    process::run(
        Command::new("objcopy")
            .args(["-S", "-R", ".comment"])
            .arg(source.join("vmlinux"))
            .arg(&kernel),
    )?;
    // Above a gigabyte; the package stays.
    fs::remove_dir_all(&source)?;
    fs::write(&stamp, OPTIONS)?;
    Ok(kernel)
}

/// An option that the source does not know, or that lacks what it depends on, is dropped in silence.
fn check(config: &str) -> Result<()> {
    let wanted = OPTIONS.lines().filter(|line| line.ends_with("=y"));
    let lost: Vec<&str> = wanted
        .filter(|option| !config.lines().any(|line| line == *option))
        .collect();
    ensure!(
        lost.is_empty(),
        "the kernel's source does not take {}",
        lost.join(", ")
    );
    Ok(())
}

/// The kernel's source below `folder`, unpacked.
fn source(folder: &Path) -> Result<PathBuf> {
    let find = || -> Result<Option<PathBuf>> {
        let entries = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
        let mut trees = entries.filter(|path| path.join("Kconfig").is_file());
        Ok(trees.next())
    };
    if let Some(tree) = find()? {
        return Ok(tree);
    }
    let package = packages::kernel_source()?;
    let tree = packages::alone(folder, &package)?;
    let archive = tree.join(format!("usr/src/{package}.tar.xz"));
    process::run(
        Command::new("tar")
            .arg("-xJf")
            .arg(&archive)
            .arg("-C")
            .arg(folder),
    )?;
    find()?.with_context(|| format!("{package} holds no source"))
}

/// Runs the kernel's makefile, which says only what goes wrong.
fn make(source: &Path, what: &[&str]) -> Result<()> {
    process::output(
        Command::new("make")
            .arg("-s")
            .args(what)
            .current_dir(source),
    )?;
    Ok(())
}
