//! [`Recipe`]: how a manifest describes a disk that is made for the run.
//!
//! `16M`, and behind it any of: `ro` (it is only read), `mbr` (one partition, behind a table), a file system (`fat12`, `fat16`,
//! `fat32`, `ext2`, `ext4`; `ext4=FOLDER` holds what is in that folder of the package), and `fail=read@SECTOR`, `fail=write` or
//! `fail=flush` (the disk fails in that).

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};

use super::Memory;
use crate::process;

/// Where the only partition begins, in sectors: at 1 MiB, as everywhere.
const PARTITION: u64 = 2048;

/// A disk to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    size: Memory,
    pub(super) is_read_only: bool,
    pub(super) has_table: bool,
    pub(super) format: Option<Format>,
    /// What the file system holds from the start, a folder of the package.
    folder: Option<PathBuf>,
    pub(super) failing: Option<Failing>,
}

/// A file system on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// FAT, with entries of so many bits.
    Fat(u8),
    /// ext2 or ext4.
    Ext(u8),
}

/// Requests that a disk fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failing {
    /// `read`, `write` or `flush`.
    kind: String,
    /// Only those that touch this sector.
    sector: Option<u64>,
}

impl FromStr for Recipe {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split(',');
        let mut recipe = Self {
            size: words.next().unwrap_or("").parse()?,
            is_read_only: false,
            has_table: false,
            format: None,
            folder: None,
            failing: None,
        };
        for word in words {
            let (word, value) = word.split_once('=').unwrap_or((word, ""));
            match word {
                "ro" => recipe.is_read_only = true,
                "mbr" => recipe.has_table = true,
                "fat12" => recipe.format = Some(Format::Fat(12)),
                "fat16" => recipe.format = Some(Format::Fat(16)),
                "fat32" => recipe.format = Some(Format::Fat(32)),
                "ext2" => recipe.format = Some(Format::Ext(2)),
                "ext4" => recipe.format = Some(Format::Ext(4)),
                "fail" => recipe.failing = Some(value.parse()?),
                _ => bail!(
                    "{word}: a disk is `16M`, and behind it `ro`, `mbr`, `fat12`, `fat16`, `fat32`, `ext2`, `ext4` or `fail=`"
                ),
            }
            if word.starts_with("ext") && !value.is_empty() {
                recipe.folder = Some(value.into());
            }
        }
        Ok(recipe)
    }
}

impl FromStr for Failing {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, sector) = match text.split_once('@') {
            Some((kind, sector)) => (
                kind,
                Some(
                    sector
                        .parse()
                        .with_context(|| format!("{sector} is no sector"))?,
                ),
            ),
            None => (text, None),
        };
        ensure!(
            ["read", "write", "flush"].contains(&kind),
            "a disk fails in read, write or flush, as in fail=write or fail=read@4096"
        );
        Ok(Self {
            kind: kind.to_owned(),
            sector,
        })
    }
}

impl Failing {
    /// The rule, as QEMU's `blkdebug` takes it, behind a comma.
    pub(super) fn rule(&self) -> String {
        let sector = self
            .sector
            .map(|sector| format!(",inject-error.0.sector={sector}"));
        format!(
            ",inject-error.0.event=none,inject-error.0.iotype={},inject-error.0.errno=5,inject-error.0.once=off{}",
            self.kind,
            sector.unwrap_or_default()
        )
    }
}

impl Format {
    /// The programs that tell whether the file system in `path` is whole, as commands.
    pub(crate) fn checker(self, path: &Path) -> Command {
        let mut command = tool(match self {
            Self::Fat(_) => "fsck.fat",
            Self::Ext(_) => "e2fsck",
        });
        match self {
            Self::Fat(_) => command.args(["-n", "-v"]),
            Self::Ext(_) => command.args(["-n", "-f"]),
        };
        command.arg(path);
        command
    }

    /// The command that makes it in `path`, from byte `start` on.
    fn maker(self, path: &Path, start: u64, len: u64, folder: Option<&Path>) -> Command {
        let kib = (len / 1024).to_string();
        match self {
            Self::Fat(bits) => {
                let mut command = tool("mkfs.fat");
                command.args([
                    "-F",
                    &bits.to_string(),
                    "--offset",
                    &(start / 512).to_string(),
                ]);
                command.arg(path).arg(kib);
                command
            }
            Self::Ext(version) => {
                let mut command = tool("mke2fs");
                command.args(["-q", "-F", "-t", &format!("ext{version}")]);
                command.args(["-E", &format!("offset={start},root_owner=0:0")]);
                if let Some(folder) = folder {
                    command.arg("-d").arg(folder);
                }
                command.arg(path).arg(format!("{kib}k"));
                command
            }
        }
    }
}

impl Recipe {
    /// Makes the disk; what an earlier run left there is gone. Sparse, so that only what is written takes room.
    pub(super) fn make(&self, path: &Path, package: &Path) -> Result<()> {
        let size = self.size.bytes();
        let start = if self.has_table { PARTITION * 512 } else { 0 };
        ensure!(start < size, "a disk with a partition has more than 1 MiB");
        let made = File::create(path).and_then(|mut file| {
            file.set_len(size)?;
            if self.has_table {
                file.seek(SeekFrom::Start(446))?;
                file.write_all(&table(size / 512 - PARTITION))?;
            }
            Ok(())
        });
        made.with_context(|| format!("cannot make the disk {}", path.display()))?;
        let Some(format) = self.format else {
            return Ok(());
        };
        let folder = self.folder.as_ref().map(|folder| package.join(folder));
        process::output(&mut format.maker(path, start, size - start, folder.as_deref()))
            .map(drop)
            .context("`cargo xtask setup` installs what makes file systems")
    }
}

/// The end of a MBR: a partition of Linux from [`PARTITION`] on, three empty entries, the signature.
fn table(sectors: u64) -> [u8; 66] {
    let mut table = [0; 66];
    table[4] = 0x83;
    let start = u32::try_from(PARTITION).expect("it is small");
    table[8..12].copy_from_slice(&start.to_le_bytes());
    let sectors = u32::try_from(sectors).unwrap_or(u32::MAX);
    table[12..16].copy_from_slice(&sectors.to_le_bytes());
    table[64..].copy_from_slice(&[0x55, 0xaa]);
    table
}

/// A program that may lie where only root's `PATH` looks.
fn tool(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env(
        "PATH",
        std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin",
    );
    command
}

#[cfg(test)]
mod tests {
    use super::{Failing, Format, Recipe};

    #[test]
    fn words_follow_the_size() {
        let recipe: Recipe = "8M,ro,mbr,ext4=files".parse().unwrap();
        assert!(recipe.is_read_only && recipe.has_table);
        assert_eq!(recipe.format, Some(Format::Ext(4)));
        assert_eq!(recipe.folder.unwrap().to_str(), Some("files"));
        let failing: Recipe = "8M,fat16,fail=read@77".parse().unwrap();
        let expected = Failing {
            kind: "read".to_owned(),
            sector: Some(77),
        };
        assert_eq!(failing.failing, Some(expected));
        for wrong in ["", "8M,", "8M,ntfs", "8M,fail=seek", "8M,fail=read@x"] {
            assert!(wrong.parse::<Recipe>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_table_has_one_partition() {
        let table = super::table(30_720);
        assert_eq!(&table[8..16], &[0, 8, 0, 0, 0, 120, 0, 0]);
    }
}
