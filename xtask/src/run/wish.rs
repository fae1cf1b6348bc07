//! [`Wish`]: a machine as a manifest and the words of a user describe it, before there are files and processes for it.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use toro_archive::Archive;

use super::{Args, OPERATOR};
use crate::build::{Extras, Image};
use crate::qemu::{Boot, ConsolePort, Disk, Forward, Machine, Memory, Net, Share, Vm};
use crate::setup::Tool;
use crate::vsock::Sockets;
use crate::workspace::{MachineWish, Package, Workspace};
use crate::{iso, setup};

/// What an image boots with: the answers of the command line and of the manifest, joined.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) machine: Machine,
    pub(crate) cores: u32,
    pub(crate) memory: Memory,
    pub(crate) ports: Vec<Forward>,
    pub(crate) net: bool,
    pub(crate) rng: bool,
    pub(crate) balloon: bool,
    pub(crate) disks: Disks,
    pub(crate) console_ports: Vec<ConsolePort>,
    /// The folder whose files become the archive.
    pub(crate) archive: Option<PathBuf>,
    pub(crate) share: Shared,
    /// The context id, if there are to be sockets.
    pub(crate) vsock: Option<u32>,
    pub(crate) append: String,
    pub(crate) kvm: bool,
    /// Properties that every device of a kind has, as `-global` takes them.
    pub(crate) globals: Vec<String>,
    /// What the appliance learns of a shared folder may be believed for a second: fewer requests, but changes of this side show later.
    pub(crate) remembers: bool,
    /// What the image is built with besides what its manifest says.
    pub(crate) extras: Extras,
}

/// The folder of the host that a machine sees.
#[derive(Clone, Debug)]
pub(crate) enum Shared {
    None,
    /// An empty one, made for the run.
    Scratch,
    Given(PathBuf),
}

/// The disks of a machine.
#[derive(Clone, Debug)]
pub(crate) enum Disks {
    /// These files.
    Given(Vec<Disk>),
    /// Made for the run, as these words say.
    Scratch(Vec<String>),
}

impl Disks {
    fn make(&self, workspace: &Workspace, package: &Package) -> Result<Vec<Disk>> {
        let sizes = match self {
            Self::Given(disks) => return Ok(disks.clone()),
            Self::Scratch(sizes) if sizes.is_empty() => return Ok(Vec::new()),
            Self::Scratch(sizes) => sizes,
        };
        let folder = workspace.target("disk")?;
        let numbered = sizes.iter().enumerate();
        numbered
            .map(|(number, size)| {
                Disk::scratch(
                    size,
                    &folder,
                    &format!("{}-{number}", package.name),
                    package.folder(),
                )
                .with_context(|| format!("in {}", package.manifest_path.display()))
            })
            .collect()
    }
}

impl Wish {
    pub(super) fn new(package: &Package, args: &Args) -> Result<Self> {
        let mut wish = Self::of(package, args.machine)?;
        wish.cores = args.cores.unwrap_or(wish.cores);
        wish.memory = args.memory.unwrap_or(wish.memory);
        if !args.port.is_empty() {
            wish.ports.clone_from(&args.port);
        }
        if args.archive.is_some() {
            wish.archive.clone_from(&args.archive);
        }
        if let Some(folder) = &args.share {
            wish.share(package, folder);
        }
        if !args.args.is_empty() {
            wish.append = command_line(&package.toro().machine.append, &args.args);
        }
        wish.append = format!("{} {}", args.append, wish.append).trim().to_owned();
        wish.pick_named(package);
        if let Some(port) = args.metrics {
            wish.append = format!("metrics={port} {}", wish.append).trim().to_owned();
            wish.ports.push(Forward {
                host: port,
                guest: port,
                udp: false,
            });
        }
        wish.kvm = args.kvm;
        wish.extras.ipv6 = args.ipv6;
        wish.extras.timestamps = args.timestamps;
        wish.extras.large_windows = args.large_windows;
        if args.core.is_some() {
            let count = match &args.disk[..] {
                [] => package.toro().machine.disks.len(),
                disks => disks.len(),
            };
            wish.append = format!("core=blk{count} {}", wish.append).trim().to_owned();
        }
        if !args.disk.is_empty() {
            wish.disks = Disks::Given(args.disk.clone());
        }
        if !args.console_port.is_empty() {
            wish.console_ports.clone_from(&args.console_port);
        }
        if args.operator {
            wish.open_port(OPERATOR)?;
        }
        wish.vsock = args.vsock.or(wish.vsock);
        wish.balloon |= args.balloon;
        wish.rng = (wish.rng || args.rng) && !args.no_rng;
        Ok(wish)
    }

    /// What the manifest of `package` says, for a machine of that kind.
    pub(crate) fn of(package: &Package, machine: Machine) -> Result<Self> {
        let wish: &MachineWish = &package.toro().machine;
        let context = || format!("in {}", package.manifest_path.display());
        let memory = wish
            .memory
            .as_deref()
            .map(str::parse)
            .transpose()
            .with_context(context)?;
        let ports: Result<Vec<Forward>, _> = wish.ports.iter().map(|port| port.parse()).collect();
        let console_ports: Result<Vec<ConsolePort>, _> =
            wish.console_ports.iter().map(|port| port.parse()).collect();
        Ok(Self {
            machine,
            cores: wish.cores.unwrap_or(1),
            memory: memory.unwrap_or(Memory::MIB * 128),
            ports: ports.with_context(context)?,
            net: wish.net,
            rng: package.picks("random"),
            balloon: package.picks("balloon"),
            disks: Disks::Scratch(wish.disks.clone()),
            console_ports: console_ports.with_context(context)?,
            vsock: wish.vsock,
            share: match wish.share {
                true => Shared::Scratch,
                false => Shared::None,
            },
            archive: wish
                .archive
                .as_ref()
                .map(|folder| package.folder().join(folder)),
            append: command_line(&wish.append, &wish.args),
            kvm: false,
            globals: Vec::new(),
            remembers: false,
            extras: Extras::default(),
        })
    }

    /// Adds a console port for the unit `name`, which its words for the kernel start at a port of the same name unless they say otherwise.
    pub(crate) fn open_port(&mut self, name: &str) -> Result<()> {
        if !self.append.contains(&format!("{name}=")) {
            self.append = format!("{name}={name} {}", self.append).trim().to_owned();
        }
        if !self.console_ports.iter().any(|port| port.name == name) {
            self.console_ports.push(name.parse()?);
        }
        Ok(())
    }

    /// Takes other ports of this host, which nothing uses.
    pub(crate) fn on_free_ports(&mut self) -> Result<()> {
        for forward in &mut self.ports {
            forward.host = Forward::from_free_port(forward.guest)?.host;
        }
        Ok(())
    }

    /// Finds what cannot work before anything is built.
    pub(super) fn check(&self) -> Result<()> {
        if self.cores == 0 {
            bail!("a machine has at least one core; say --cores 1 or more");
        }
        if self.kvm && !Path::new("/dev/kvm").exists() {
            bail!("this machine has no /dev/kvm; run without --kvm");
        }
        if let Some(folder) = self.archive.as_deref().filter(|folder| !folder.is_dir()) {
            bail!(
                "{} should be archived and is no folder; make it, or name another with --archive",
                folder.display()
            );
        }
        if let Shared::Given(folder) = &self.share {
            Share::check(folder)?;
        }
        if let Disks::Given(disks) = &self.disks {
            disks.iter().try_for_each(Disk::check)?;
        }
        self.ports.iter().try_for_each(Forward::check_free)
    }

    /// Makes the archive, and the disc if one is booted, and describes the machine.
    pub(crate) fn vm(&self, workspace: &Workspace, package: &Package, image: &Image) -> Result<Vm> {
        let archive = self.archive(workspace, package)?;
        if let Some(archive) = &archive {
            eprintln!("archive: {} files, {} bytes", archive.files, archive.len);
        }
        self.check_memory(image, archive.as_ref())?;
        let initrd = archive.map(|archive| archive.path);
        let boot = if self.machine == Machine::Iso {
            Boot::Disc(iso::make(
                workspace,
                &package.name,
                image,
                initrd.as_deref(),
                &self.append,
            )?)
        } else {
            Boot::Kernel {
                elf: image.path.clone(),
                initrd,
                append: self.append.clone(),
            }
        };
        let net = if self.ports.is_empty() && !self.net {
            Net::None
        } else {
            Net::User(self.ports.clone())
        };
        Ok(Vm {
            cores: self.cores,
            memory: self.memory,
            net,
            ipv6: self.extras.ipv6 || package.picks("ipv6"),
            rng: self.rng,
            balloon: self.balloon,
            disks: self.disks.make(workspace, package)?,
            shares: self.shares(workspace, package)?,
            console_ports: self.placed_ports(workspace, package)?,
            vsock: self.sockets(workspace, package)?,
            kvm: self.kvm,
            globals: self.globals.clone(),
            ..Vm::new(self.machine, boot)
        })
    }

    /// The folder of the host, with a socket for its server.
    fn shares(&self, workspace: &Workspace, package: &Package) -> Result<Vec<Share>> {
        let folder = match &self.share {
            Shared::None => return Ok(Vec::new()),
            Shared::Given(folder) => folder.clone(),
            Shared::Scratch => {
                let folder = workspace.target("share")?.join(&package.name);
                // What an earlier run left there is gone.
                drop(fs::remove_dir_all(&folder));
                fs::create_dir_all(&folder)
                    .with_context(|| format!("cannot make {}", folder.display()))?;
                folder
            }
        };
        setup::ensure(&[Tool::Virtiofsd])?;
        let name = format!("{}-fs0-{}.sock", package.name, std::process::id());
        let socket = workspace.target("run")?.join(name);
        Ok(Vec::from([Share {
            folder,
            socket,
            remembers: self.remembers,
        }]))
    }

    /// Builds in what the words for the kernel ask for, kinds of file systems and `idle=poll`, as far as the appliance does not pick it itself.
    fn pick_named(&mut self, package: &Package) {
        let Self { append, extras, .. } = self;
        let words = append.split_whitespace().take_while(|word| *word != "--");
        extras.idle_poll |=
            words.clone().any(|word| word == "idle=poll") && !package.picks("idle-poll");
        let mounts = words.filter_map(|word| word.strip_prefix("mount="));
        for kind in mounts.filter_map(|mount| mount.split(':').nth(1)) {
            let (unit, feature) = match kind {
                "fat" => (&mut extras.fat, "fat"),
                "ext4" => (&mut extras.ext4, "ext4"),
                "ram" => (&mut extras.ramfs, "ramfs"),
                "virtiofs" => (&mut extras.virtio_fs, "virtio-fs"),
                // Nothing to build in: an image that mounts anything names a kind that it does not know.
                _ => continue,
            };
            *unit |= !package.picks(feature);
        }
    }

    /// Has the appliance see `folder` at /share, unless its words for the kernel say where.
    pub(crate) fn share(&mut self, package: &Package, folder: &Path) {
        self.extras.virtio_fs = !package.picks("virtio-fs");
        self.share = Shared::Given(folder.to_owned());
        if !self.append.contains(":virtiofs:") {
            self.append = format!("mount=/share:virtiofs:fs0 {}", self.append);
        }
    }

    /// The console ports, each with a socket.
    fn placed_ports(&self, workspace: &Workspace, package: &Package) -> Result<Vec<ConsolePort>> {
        if self.console_ports.is_empty() {
            return Ok(Vec::new());
        }
        let folder = workspace.target("run")?;
        let placed = |port: &ConsolePort| port.placed(&folder, &package.name);
        Ok(self.console_ports.iter().map(placed).collect())
    }

    /// Where its virtio sockets lead to, if it has any.
    fn sockets(&self, workspace: &Workspace, package: &Package) -> Result<Option<Sockets>> {
        let Some(cid) = self.vsock else {
            return Ok(None);
        };
        Sockets::new(cid, &workspace.target("run")?, &package.name).map(Some)
    }

    /// Archives the files that the appliance wants to see, if it wants any.
    pub(crate) fn archive(
        &self,
        workspace: &Workspace,
        package: &Package,
    ) -> Result<Option<Archive>> {
        let Some(folder) = &self.archive else {
            return Ok(None);
        };
        // Another run of the same appliance, at the same time, may want to see another folder.
        let mut hasher = DefaultHasher::new();
        folder.hash(&mut hasher);
        let name = format!("{}-{:016x}.tar", package.name, hasher.finish());
        let path = workspace.target("archive")?.join(name);
        toro_archive::write(folder, &path).map(Some)
    }

    /// QEMU would load an image over the end of memory without a word.
    fn check_memory(&self, image: &Image, archive: Option<&Archive>) -> Result<()> {
        let needed = image.facts.end + archive.map_or(0, |archive| archive.len);
        if self.memory.bytes() < needed {
            let enough = needed.div_ceil(1 << 20);
            bail!(
                "{} is too little memory: the image and its archive alone end at {needed:#x}; \
                 give it more than --memory {enough}M",
                self.memory
            );
        }
        Ok(())
    }
}

/// The kernel's words, then `--`, then the service's.
fn command_line(words: &str, args: &[String]) -> String {
    if args.is_empty() {
        words.to_owned()
    } else {
        format!("{words} -- {}", args.join(" "))
    }
    .trim()
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::command_line;

    #[test]
    fn arguments_of_the_service_follow_two_dashes() {
        let args = ["--port".to_owned(), "80".to_owned()];
        assert_eq!(command_line("ip=dhcp", &args), "ip=dhcp -- --port 80");
        assert_eq!(command_line("", &args), "-- --port 80");
        assert_eq!(command_line("ip=dhcp", &[]), "ip=dhcp");
        assert_eq!(command_line("", &[]), "");
    }
}
