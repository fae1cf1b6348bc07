//! `cargo xtask run`: boots an appliance under QEMU with the machine that its manifest describes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use anyhow::{Context as _, Result, bail};
use toro_archive::Archive;

use crate::build::{self, Extras, Image, Profile};
use crate::qemu::{Boot, ConsolePort, Disk, Forward, Machine, Memory, Monitor, Net, Share, Vm};
use crate::setup::Tool;
use crate::vsock::{Backend, Sockets};
use crate::workspace::{MachineWish, Package, Workspace};
use crate::{core_file, iso, process, setup};

/// The console port of the operator.
pub(crate) const OPERATOR: &str = "operator";

mod asking;
mod execution;
pub(crate) mod listener;

use listener::Listener;

/// The arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The appliance, a folder in `appliances/`.
    appliance: String,
    /// The kind of machine.
    #[arg(long, value_enum, default_value = "pc")]
    machine: Machine,
    /// The number of cores.
    #[arg(long)]
    cores: Option<u32>,
    /// The memory, as in 64M or 1G.
    #[arg(long)]
    memory: Option<Memory>,
    /// A port of this machine that leads to a port of the appliance, as in 8080:80; may be given again.
    #[arg(long, value_name = "HOST:GUEST")]
    port: Vec<Forward>,
    /// A folder of this machine that the appliance reads and writes while it runs, at /share unless `--append mount=...` says where.
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,
    /// The folder whose files are in the archive that comes with the image, instead of the one in its manifest.
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// A disk: a raw image file, only read if `,ro` follows; may be given again. Without it an appliance that wants disks gets empty ones.
    #[arg(long, value_name = "FILE[,ro]")]
    disk: Vec<Disk>,
    /// A console port that the appliance opens by its name; its other end is a socket, in target/run unless its path follows. May be given
    /// again. The port called `console` shows the log.
    #[arg(long, value_name = "NAME[=PATH]")]
    console_port: Vec<ConsolePort>,
    /// Give the appliance sockets to this host, under this context id (3 or more); says where programs of this host find them.
    #[arg(long, value_name = "CID")]
    vsock: Option<u32>,
    /// Add a virtio source of random bytes; an appliance that picks the unit `random` has one anyway.
    #[arg(long, conflicts_with = "no_rng")]
    rng: bool,
    /// Leave the virtio source of random bytes out.
    #[arg(long)]
    no_rng: bool,
    /// Build the metrics in, and serve them and a status page at this port of this machine and of the appliance.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    metrics: Option<u16>,
    /// Build in that the image can say what every thread of every core does, which Ctrl-\ asks for: to see a deadlock.
    #[arg(long)]
    dump: bool,
    /// Build the operator's console in, at a console port whose socket is said: `ps`, `netstat`, `mem`, `log` and more.
    #[arg(long)]
    operator: bool,
    /// Build IPv6 in, and let QEMU's network have it too, with a router.
    #[arg(long)]
    ipv6: bool,
    /// Build timestamps of TCP in, for peers that have them too.
    #[arg(long)]
    timestamps: bool,
    /// Build windows of up to a MiB in, for peers that send much over a long way.
    #[arg(long)]
    large_windows: bool,
    /// Have a failure write a core file there, which `cargo xtask core FILE` opens. Without a failure there is none.
    #[arg(long, value_name = "FILE")]
    core: Option<PathBuf>,
    /// Build in that free memory is given back to this machine, and add the device for it.
    #[arg(long)]
    balloon: bool,
    /// Words for the kernel command line, as in "log=debug ip=dhcp".
    #[arg(long, value_name = "WORDS", default_value = "")]
    append: String,
    /// Use the processor's virtualisation; needs /dev/kvm.
    #[arg(long)]
    kvm: bool,
    /// Print the command of QEMU, but do not run it.
    #[arg(long)]
    dry_run: bool,
    /// Arguments of the service.
    #[arg(last = true)]
    args: Vec<String>,
}

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

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    boot(args, None)
}

impl Args {
    /// The name of the appliance.
    pub(crate) fn appliance(&self) -> &str {
        &self.appliance
    }
}

/// Boots what `args` describe, with a unit that `listener` reads, if there is one.
pub(crate) fn boot(args: &Args, listener: Option<&dyn Listener>) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let package = workspace.appliance(&args.appliance)?;
    let mut wish = Wish::new(package, args)?;
    if let Some(listener) = listener {
        wish.open_port(listener.unit())?;
        wish.append = format!("{} {}", listener.words(), wish.append)
            .trim()
            .to_owned();
    }
    wish.check()?;
    if !args.dry_run {
        setup::ensure(Tool::needed_by(wish.machine))?;
        if wish.vsock.is_some() {
            setup::ensure(&[Tool::VhostDeviceVsock])?;
        }
    }
    let mut extras = Extras {
        metrics: args.metrics.is_some(),
        dump: args.dump,
        operator: args.operator,
        balloon: args.balloon,
        shutdown: !package.picks("shutdown"),
        core_file: args.core.is_some(),
        ..wish.extras
    };
    if let Some(listener) = listener {
        listener.pick(&mut extras);
    }
    let image = build::build_with(&workspace, &package.name, Profile::Release, extras)?;
    let mut vm = wish.vm(&workspace, package, &image)?;
    if let Some(core) = args.core.as_ref().filter(|_| !args.dry_run) {
        vm.disks.push(core_file::disk(core, wish.memory)?);
    }
    let monitor = Monitor::path("run");
    vm.extra.extend(Monitor::arguments(&monitor));
    let mut command = vm.command();
    if let Some(sockets) = &vm.vsock {
        eprintln!("{}", process::shown(&sockets.command()));
    }
    eprintln!("{}", process::shown(&command));
    let serves = |forward: &&Forward| !forward.udp && Some(forward.host) != args.metrics;
    for forward in wish.ports.iter().filter(serves) {
        eprintln!(
            "{} will answer at http://127.0.0.1:{}/",
            package.name, forward.host
        );
    }
    if let Some(port) = args.metrics {
        eprintln!(
            "its status page is at http://127.0.0.1:{port}/, what Prometheus scrapes at /metrics"
        );
    }
    for port in &vm.console_ports {
        let path = port.path.as_deref().unwrap_or(Path::new("nowhere"));
        eprintln!("port {} is the socket {}", port.name, path.display());
    }
    if let Some(port) = vm.console_ports.iter().find(|port| port.name == OPERATOR)
        && let Some(path) = &port.path
    {
        eprintln!(
            "the operator's console: socat READLINE UNIX:{}",
            path.display()
        );
    }
    if let Some(sockets) = &vm.vsock {
        eprintln!("{sockets}");
    }
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if args.dump {
        asking::start(monitor.clone())?;
    }
    let _servers = vm.serve()?;
    // It ends with the virtual machine.
    let _backend = vm.vsock.as_ref().map(Backend::start).transpose()?;
    let begin = |listener: &dyn Listener| {
        let port = vm
            .console_ports
            .iter()
            .find(|port| port.name == listener.unit());
        let socket = port.and_then(|port| port.path.clone());
        listener.listen(socket.context("the unit has no port")?, &image, &monitor)
    };
    let listening = listener.map(begin).transpose()?;
    if listener.is_some_and(Listener::takes_output) {
        command.stdout(io::stderr());
    }
    eprintln!("Ctrl-C ends {}", package.name);
    let ended = execution::run(&mut command, &package.name, &monitor);
    drop(fs::remove_file(&monitor));
    if let Some(core) = &args.core {
        core_file::settle(core)?;
    }
    if let Some(listening) = listening {
        eprintln!("{}", listening.join().expect("it does not panic")?);
    }
    ended
}

impl Wish {
    fn new(package: &Package, args: &Args) -> Result<Self> {
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
    fn check(&self) -> Result<()> {
        if self.cores == 0 {
            bail!("a machine has at least one core; say --cores 1 or more");
        }
        if self.kvm && !Path::new("/dev/kvm").exists() {
            bail!("this machine has no /dev/kvm; run without --kvm");
        }
        if let Some(folder) = self.archive.as_deref().filter(|folder| !folder.is_dir()) {
            bail!(
                "the folder {} that should be archived is not there; make it, or name another with --archive",
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
        let path = workspace
            .target("archive")?
            .join(format!("{}.tar", package.name));
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
