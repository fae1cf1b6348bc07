//! `cargo xtask bench files`: file systems, next to the same program on Linux.
//!
//! What lies on a disk is read with nothing of it in memory: this project's guest mounts anew, Linux drops its caches. virtiofsd runs with
//! `--cache never`, as for `cargo xtask run`, so that both guests fetch what they read. Writes end in a sync.

use std::path::Path;

use anyhow::Result;

use super::content;
use super::guests::{Hardware, Kit};
use super::io::{self, Args, Load, Work};
use super::plugin::Plugin;
use super::report::Report;
use super::rounds::{self, Client, Effort, Outcome, Peer};
use super::scratch::Scratch;
use crate::netns::Lab;
use crate::qemu::{Disk, Share};
use crate::setup::{self, Tool};
use crate::workspace::Workspace;

/// What both guests mount.
const TORO: &str =
    "mount=/ram:ram:64M mount=/fat:fat:blk0 mount=/ext:ext4:blk1:ro mount=/share:virtiofs:fs0";
const LINUX: &str = "toro_mount=/ram:tmpfs:none,/fat:vfat:disk,/ext:ext4:disk,/share:virtiofs:fs0";

/// Files.
struct Files;

/// The large file in pieces: all of it, and a tenth of that.
const PIECE: u64 = 64 << 10;
const PAGE: u64 = 4096;
const PIECES: u64 = content::LARGE / PIECE;
const PAGES: u64 = 2_000;
const OPENS: u64 = 2_000;

const COLD_FAT: &str = "cold /fat:fat:blk0";
const COLD_EXT: &str = "cold /ext:ext4:blk1:ro";

impl Client for Files {
    type Load = Load;
    const CASES: &'static [(&'static str, Load)] = &[
        ("initrd: read in order", in_order(false, "/big.bin", &[])),
        (
            "initrd: read 4 KiB anywhere",
            anywhere(false, "/big.bin", &[]),
        ),
        ("initrd: open, read, close", opens("/small", &[])),
        (
            "RAM: write in order",
            in_order(true, "/ram/big.bin", &["remove /ram/big.bin"]),
        ),
        (
            "RAM: write 4 KiB anywhere",
            anywhere(true, "/ram/big.bin", &[]),
        ),
        ("RAM: read in order", in_order(false, "/ram/big.bin", &[])),
        (
            "RAM: read 4 KiB anywhere",
            anywhere(false, "/ram/big.bin", &[]),
        ),
        (
            "RAM: open, read, close",
            opens("/ram/small", &["fill /ram/small 100 1024"]),
        ),
        (
            "FAT: write in order",
            in_order(true, "/fat/big.bin", &["remove /fat/big.bin"]),
        ),
        (
            "FAT: write 4 KiB anywhere",
            anywhere(true, "/fat/big.bin", &[COLD_FAT]),
        ),
        (
            "FAT: read in order",
            in_order(false, "/fat/big.bin", &[COLD_FAT]),
        ),
        (
            "FAT: read 4 KiB anywhere",
            anywhere(false, "/fat/big.bin", &[COLD_FAT]),
        ),
        (
            "FAT: open, read, close",
            opens("/fat/small", &["fill /fat/small 100 1024"]),
        ),
        (
            "ext4: read in order",
            in_order(false, "/ext/big.bin", &[COLD_EXT]),
        ),
        (
            "ext4: read 4 KiB anywhere",
            anywhere(false, "/ext/big.bin", &[COLD_EXT]),
        ),
        ("ext4: open, read, close", opens("/ext/small", &[])),
        (
            "virtio-fs: write in order",
            in_order(true, "/share/new.bin", &["remove /share/new.bin"]),
        ),
        (
            "virtio-fs: write 4 KiB anywhere",
            anywhere(true, "/share/new.bin", &[]),
        ),
        (
            "virtio-fs: read in order",
            in_order(false, "/share/big.bin", &[]),
        ),
        (
            "virtio-fs: read 4 KiB anywhere",
            anywhere(false, "/share/big.bin", &[]),
        ),
        ("virtio-fs: open, read, close", opens("/share/small", &[])),
    ];
    const WARM_UP: usize = 2;
    const UNIT: &'static str = "operation";

    fn prepare(load: Load, peer: &Peer<'_>) -> Result<()> {
        io::prepare(&load, peer)
    }

    fn run(load: Load, peer: &Peer<'_>, effort: Effort) -> Result<Outcome> {
        io::run(&load, peer, effort)
    }
}

/// All of the large file, in pieces of 64 KiB.
const fn in_order(is_write: bool, path: &'static str, before: &'static [&'static str]) -> Load {
    let work = Work::File {
        is_write,
        path,
        span: content::LARGE,
        is_random: false,
    };
    Load {
        work,
        len: PIECE,
        count: PIECES,
        before,
    }
}

/// Pages of it.
const fn anywhere(is_write: bool, path: &'static str, before: &'static [&'static str]) -> Load {
    let work = Work::File {
        is_write,
        path,
        span: content::LARGE,
        is_random: true,
    };
    Load {
        work,
        len: PAGE,
        count: PAGES,
        before,
    }
}

/// Small files.
const fn opens(folder: &'static str, before: &'static [&'static str]) -> Load {
    let (files, len) = content::SMALL;
    Load {
        work: Work::Opens { folder, files },
        len: len as u64,
        count: OPENS,
        before,
    }
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<()> {
    setup::ensure(&[Tool::Virtiofsd, Tool::Dosfstools, Tool::E2fsprogs])?;
    let workspace = Workspace::load()?;
    let folder = workspace.target("bench")?;
    let common = &args.common;
    let scratch = Scratch::new()?;
    content::write(&scratch.path("content"))?;
    let archive = scratch.path("content.tar");
    let archive = toro_archive::write(&scratch.path("content"), &archive)?.path;
    let toro = hardware(&scratch, "toro")?;
    let linux = hardware(&scratch, "linux")?;
    let kits = rounds::kits(
        common,
        || Kit::io(&workspace, toro, Some(archive), TORO),
        || Kit::linux_io(&folder, linux, LINUX),
    )?;
    let plugin = Plugin::build(&folder.join("plugin"))?;
    let lab = Lab::enter(2)?;
    let mut report = Report::new("files");
    rounds::compare::<Files>(&mut report, &kits, &lab, args.machine, common, &plugin)?;
    report.note(format!(
        "Medians over interleaved runs under TCG on {}, one guest core; ratio = toro / reference, taken between",
        args.machine.name()
    ));
    report.note("neighbouring runs. In order is 32 MiB in pieces of 64 KiB; writes end in a sync. FAT and ext4 are read with nothing in");
    report.note("memory, but for open, read, close: files of 1 KiB. Instructions are counted in runs of their own.");
    report.write(&folder)
}

/// Two disks and a folder in memory.
fn hardware(scratch: &Scratch, name: &str) -> Result<Hardware> {
    let make = |text: &str, kind: &str| {
        let image = format!("{name}-{kind}");
        Disk::scratch(text, scratch.folder(), &image, scratch.folder())
    };
    let folder = scratch.path(name);
    content::write(&folder)?;
    Ok(Hardware {
        disks: vec![
            make("96M,fat32", "fat")?,
            make("64M,ext4=content,ro", "ext")?,
        ],
        shares: vec![share(&folder, &scratch.path(&format!("{name}.fs")))],
        vsock: None,
        ..Hardware::default()
    })
}

fn share(folder: &Path, socket: &Path) -> Share {
    Share {
        folder: folder.to_owned(),
        socket: socket.to_owned(),
        remembers: false,
    }
}
