//! `cargo xtask build`: compiles an appliance and finishes its image.
//!
//! One cargo call for each image, because cargo unifies the features of all that it builds together: in one
//! call for all of them `hello` would get a network card. The flags of images differ from those of programs of the
//! host, so they have a target folder of their own.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;
use crate::{image, process};

/// The target is that of the host: what images need of it comes with a plain stable toolchain.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Images lie where the linker put them, and backtraces follow frame pointers.
const RUSTFLAGS: &[&str] = &[
    "-Crelocation-model=static",
    "-Cforce-frame-pointers=yes",
    // No padding before loops, and comparisons instead of small tables of jumps: 1 % smaller, and no more instructions per request.
    "-Cllvm-args=-align-loops=1",
    "-Cllvm-args=-min-jump-table-entries=8",
];

/// The arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The appliance, a folder in `appliances/`.
    appliance: String,
    /// With optimisation, as `run`, `test` and `bench` build.
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    extras: Extras,
}

/// What an image can have besides what its appliance picks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Extras {
    /// Put a table of lines into the image, so that its backtraces name file and line.
    #[arg(long)]
    pub(crate) lines: bool,
    /// Let every core have a network stack of its own, where the card has a queue pair for it.
    #[arg(long)]
    pub(crate) multiqueue: bool,
    /// Put IPv6 into the image; its addresses come from routers, or from `ip6=` on its command line.
    #[arg(long)]
    pub(crate) ipv6: bool,
    /// Let segments of TCP have timestamps, where the peer has them too.
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// Let receive windows grow to a MiB.
    #[arg(long)]
    pub(crate) large_windows: bool,
    /// Put the metrics and the status page into the image; `metrics=9100` on its command line starts them.
    #[arg(long)]
    pub(crate) metrics: bool,
    /// Put the driver of shared folders into the image, for `mount=/share:virtiofs:fs0`.
    #[arg(long)]
    pub(crate) virtio_fs: bool,
    /// Put FAT and disks into the image, for `mount=/data:fat:blk0`.
    #[arg(long)]
    pub(crate) fat: bool,
    /// Put ext2, 3 and 4, to read, and disks into the image, for `mount=/data:ext4:blk0`.
    #[arg(long)]
    pub(crate) ext4: bool,
    /// Put file systems in memory into the image, for `mount=/tmp:ram:16M`.
    #[arg(long)]
    pub(crate) ramfs: bool,
    /// Put the report into the image of what every thread of every core does.
    #[arg(long)]
    pub(crate) dump: bool,
    /// Let the machine's power button end the image in order, as `cargo xtask run` does.
    #[arg(long)]
    pub(crate) shutdown: bool,
    /// Put the operator's console into the image; `operator=operator` on its command line starts it.
    #[arg(long)]
    pub(crate) operator: bool,
    /// Put packet capture into the image; `pcap=pcap` on its command line starts it.
    #[arg(long)]
    pub(crate) pcap: bool,
    /// Put tracing into the image; `trace=trace` on its command line starts it.
    #[arg(long)]
    pub(crate) trace: bool,
    /// Let the image give free memory back to the host, through a virtio balloon.
    #[arg(long)]
    pub(crate) balloon: bool,
    /// Put the debugger into the image; `gdb=ttyS1` on its command line starts it.
    #[arg(long)]
    pub(crate) gdb: bool,
    /// Let a core look for work before it halts, for `idle=poll`: where the image has processors of the host to itself.
    #[arg(long)]
    pub(crate) idle_poll: bool,
    /// Have a failure write a core file, to the device that `core=blk1` on the command line names.
    #[arg(long)]
    pub(crate) core_file: bool,
}

/// How much the compiler takes care of speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Fast to compile, checks overflow, and is as it was written to a debugger.
    Debug,
    /// Fast to run.
    Release,
}

/// A finished image.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// The finished ELF: loaded segments only.
    pub(crate) path: PathBuf,
    /// The ELF as it was linked, with its sections and debug information.
    pub(crate) debug: PathBuf,
    /// What is known of it.
    pub(crate) facts: image::Facts,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let profile = if args.release {
        Profile::Release
    } else {
        Profile::Debug
    };
    let image = build_with(&workspace, &args.appliance, profile, args.extras)?;
    println!("{}", image.path.display());
    Ok(ExitCode::SUCCESS)
}

/// Compiles the appliance `name`, finishes its image and says how large it became.
pub(crate) fn build(workspace: &Workspace, name: &str, profile: Profile) -> Result<Image> {
    build_with(workspace, name, profile, Extras::default())
}

/// As [`build`], with `extras`: the image is then a file of its own, named after them.
pub(crate) fn build_with(
    workspace: &Workspace,
    name: &str,
    profile: Profile,
    extras: Extras,
) -> Result<Image> {
    workspace.appliance(name)?;
    let target_dir = workspace.images()?;
    // The linker's output has one name for all extras: who builds the same appliance with others waits until this is finished.
    let lock = target_dir.join("finishing.lock");
    let context = || format!("cannot lock {}", lock.display());
    let lock = File::create(&lock).with_context(context)?;
    lock.lock().with_context(context)?;
    eprintln!("building {name}");
    let mut cargo = cargo(name, profile, &target_dir, &workspace.root);
    process::run(cargo.args(extras.features()))?;
    let folder = target_dir.join(TARGET).join(profile.folder());
    let image = finish(&folder, name, extras, &workspace.root)?;
    eprintln!(
        "{name}: {}, the unstripped image is {}",
        image.facts,
        image.debug.display()
    );
    Ok(image)
}

impl Extras {
    /// Their names, which are features of the facade too.
    fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (self.lines, "lines"),
            (self.multiqueue, "multiqueue"),
            (self.idle_poll, "idle-poll"),
            (self.ipv6, "ipv6"),
            (self.timestamps, "timestamps"),
            (self.large_windows, "large-windows"),
            (self.metrics, "metrics"),
            (self.virtio_fs, "virtio-fs"),
            (self.fat, "fat"),
            (self.ext4, "ext4"),
            (self.ramfs, "ramfs"),
            (self.dump, "dump"),
            (self.shutdown, "shutdown"),
            (self.operator, "operator"),
            (self.pcap, "pcap"),
            (self.trace, "trace"),
            (self.balloon, "balloon"),
            (self.gdb, "gdb"),
            (self.core_file, "core-file"),
        ]
        .into_iter()
        .filter_map(|(wanted, name)| wanted.then_some(name))
    }

    /// What makes cargo build them in.
    fn features(self) -> Vec<String> {
        self.names()
            .flat_map(|name| ["--features".to_owned(), format!("toro/{name}")])
            .collect()
    }

    /// What follows the name of an image that has them.
    pub(crate) fn suffix(self) -> String {
        self.names().map(|name| format!("-{name}")).collect()
    }
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

fn cargo(name: &str, profile: Profile, target_dir: &Path, root: &Path) -> Command {
    let mut cargo = process::cargo();
    cargo.args([
        "build",
        "--package",
        name,
        "--bin",
        name,
        "--target",
        TARGET,
    ]);
    cargo.arg("--target-dir").arg(target_dir).current_dir(root);
    cargo
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags().join("\x1f"))
        .env_remove("RUSTFLAGS");
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    cargo
}

/// The flags of images: also none of this machine's paths in them, which makes them smaller and the same everywhere.
fn rustflags() -> Vec<String> {
    let mut flags: Vec<String> = RUSTFLAGS.iter().map(ToString::to_string).collect();
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let sources = home.map(|home| home.join("registry/src"));
    for registry in sources
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .flatten()
    {
        flags.push(format!(
            "--remap-path-prefix={}/=",
            registry.path().display()
        ));
    }
    flags
}

/// Writes `NAME.elf` and `NAME.debug` beside what cargo linked.
fn finish(folder: &Path, name: &str, extras: Extras, root: &Path) -> Result<Image> {
    let linked = folder.join(name);
    let elf = fs::read(&linked).with_context(|| format!("cannot read {}", linked.display()))?;
    let (finished, facts) = image::finish(&elf, extras.lines.then_some(root))
        .with_context(|| format!("cannot finish {}", linked.display()))?;
    let name = format!("{name}{}", extras.suffix());
    let path = folder.join(format!("{name}.elf"));
    let debug = folder.join(format!("{name}.debug"));
    replace(&path, |new| fs::write(new, &finished))?;
    replace(&debug, |new| fs::copy(&linked, new).map(drop))?;
    Ok(Image { path, debug, facts })
}
/// Puts a new file in the place of an old one, which a machine may be booting from.
fn replace(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let written = write(new.as_ref()).and_then(|()| fs::rename(&new, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}
