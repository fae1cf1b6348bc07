//! `cargo xtask run`: boots an appliance under QEMU with the machine that its manifest describes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use anyhow::{Context as _, Result};

use crate::build::{self, Extras, Profile};
use crate::qemu::{ConsolePort, Disk, Forward, Machine, Memory, Monitor};
use crate::setup::Tool;
use crate::vsock::Backend;
use crate::workspace::Workspace;
use crate::{core_file, process, setup};

/// The console port of the operator.
pub(crate) const OPERATOR: &str = "operator";

mod asking;
mod execution;
pub(crate) mod listener;
mod wish;

use listener::Listener;
pub(crate) use wish::{Disks, Wish};

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
