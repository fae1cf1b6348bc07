//! `cargo xtask iso`: a disc that boots an appliance through GRUB and multiboot2.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::build::{self, Image, Profile};
use crate::qemu::Machine;
use crate::run::Wish;
use crate::setup::Tool;
use crate::workspace::Workspace;
use crate::{process, setup};

/// The arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The appliance, a folder in `appliances/`.
    appliance: String,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let package = workspace.appliance(&args.appliance)?;
    setup::ensure(Tool::needed_by(Machine::Iso))?;
    let wish = Wish::of(package, Machine::Iso)?;
    let image = build::build(&workspace, &package.name, Profile::Release)?;
    let archive = wish
        .archive(&workspace, package)?
        .map(|archive| archive.path);
    let disc = make(
        &workspace,
        &package.name,
        &image,
        archive.as_deref(),
        &wish.append,
    )?;
    println!("{}", disc.display());
    Ok(ExitCode::SUCCESS)
}

/// Makes the disc and returns its path.
pub(crate) fn make(
    workspace: &Workspace,
    name: &str,
    image: &Image,
    archive: Option<&Path>,
    append: &str,
) -> Result<PathBuf> {
    let folder = workspace.target("iso")?;
    let tree = folder.join(format!("{name}.tree"));
    let boot = tree.join("boot");
    fs::create_dir_all(boot.join("grub"))
        .with_context(|| format!("cannot make the folder {}", boot.display()))?;
    fs::copy(&image.path, boot.join("image.elf")).context("cannot copy the image")?;
    match archive {
        Some(archive) => drop(fs::copy(archive, boot.join("archive.tar"))?),
        None => drop(fs::remove_file(boot.join("archive.tar"))),
    }
    let config = grub_config(append, archive.is_some());
    fs::write(boot.join("grub/grub.cfg"), config).context("cannot write grub.cfg")?;
    let disc = folder.join(format!("{name}.iso"));
    let mut grub = Command::new("grub-mkrescue");
    grub.args([
        "--directory",
        "/usr/lib/grub/i386-pc",
        "--compress",
        "xz",
        "--output",
    ]);
    process::output(grub.arg(&disc).arg(&tree))?;
    eprintln!("{name}: the disc is {}", disc.display());
    Ok(disc)
}

/// Boots at once, and speaks on the serial line if something is wrong.
fn grub_config(append: &str, has_archive: bool) -> String {
    let module = if has_archive {
        "module2 /boot/archive.tar archive\n"
    } else {
        ""
    };
    format!(
        "serial --unit=0 --speed=115200\nterminal_input serial\nterminal_output serial\n\
         multiboot2 /boot/image.elf {}\n{module}boot\n",
        escaped(append)
    )
}

/// Words of the command line, as GRUB's shell wants them.
fn escaped(append: &str) -> String {
    append
        .split_whitespace()
        .map(|word| format!("'{}'", word.replace('\'', "")))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::grub_config;

    #[test]
    fn the_disc_boots_the_image_with_its_words_and_its_archive() {
        let config = grub_config("ip=10.0.2.15/24,gw=10.0.2.2 -- a;b", true);
        assert!(
            config
                .contains("multiboot2 /boot/image.elf 'ip=10.0.2.15/24,gw=10.0.2.2' '--' 'a;b'\n")
        );
        assert!(config.contains("module2 /boot/archive.tar"));
        assert!(!grub_config("", false).contains("module2"));
    }
}
