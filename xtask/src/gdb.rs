//! `cargo xtask gdb`: boots an appliance with the debugger inside, and connects gdb to it.
//!
//! The image is built for that: not optimised, so that every variable and line is there, and with the unit `gdb`. It waits for gdb before
//! `main`. gdb gets the unstripped image, whose sources it finds in this workspace.

use std::fs::{self, File};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::build::{self, Extras, Image, Profile};
use crate::process;
use crate::qemu::{Machine, Vm};
use crate::run::Wish;
use crate::setup::{self, Tool};
use crate::vsock::Backend;
use crate::workspace::{Package, Workspace};

/// The port of a socket device at which the debugger listens.
const PORT: u32 = 2345;

/// The context id of a machine whose debugger listens there.
const CID: u32 = 3;

/// What gdb's socket leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Over {
    /// The second serial port of the machine.
    #[default]
    Serial,
    /// A virtio console of the debugger's own.
    Console,
    /// A virtio socket device of the debugger's own.
    Vsock,
}

/// What the image prints when its debugger has opened the port. What gdb sent before would be lost.
pub(crate) const LISTENS: &str = "gdb: listens";

/// From start to there, on a busy machine.
const BOOT_TIMEOUT: Duration = Duration::from_secs(300);

/// How often the console is looked at.
const POLL: Duration = Duration::from_millis(20);

/// What is said to gdb first.
const SETTINGS: &[&str] = &[
    "set confirm off",
    // Frames end where the thread does; this guards against one that is broken.
    "set backtrace limit 200",
    // A machine that has much else to do may be silent for long.
    "set remotetimeout 100",
];

/// The arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The appliance, a folder in `appliances/`.
    appliance: String,
    /// Where to stop first: `main` is that of the appliance, else a function or FILE:LINE as gdb names it; may be given again.
    #[arg(long = "break", value_name = "PLACE")]
    breaks: Vec<String>,
    /// Runs the commands of this file instead of asking for some, and ends with the status of gdb.
    #[arg(long, value_name = "FILE")]
    test_script: Option<PathBuf>,
    /// The kind of machine.
    #[arg(long, value_enum, default_value = "pc")]
    machine: Machine,
    /// The number of cores.
    #[arg(long)]
    cores: Option<u32>,
    /// What the debugger talks over.
    #[arg(long, value_enum, default_value_t)]
    over: Over,
    /// Words for the kernel command line.
    #[arg(long, value_name = "WORDS", default_value = "")]
    append: String,
    /// Starts no gdb, but says how: for an editor, or another terminal.
    #[arg(long, conflicts_with = "test_script")]
    wait: bool,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    if args.machine == Machine::Iso {
        bail!(
            "a disc carries a command line of its own; debug the same image with --machine pc, q35 or microvm"
        );
    }
    setup::ensure(Tool::needed_by(args.machine))?;
    setup::ensure(&[Tool::Gdb])?;
    let workspace = Workspace::load()?;
    let package = workspace.appliance(&args.appliance)?;
    let image = build(&workspace, package)?;
    let mut wish = Wish::of(package, args.machine)?;
    wish.cores = args.cores.unwrap_or(wish.cores);
    wish.append = format!("{} {}", args.append, wish.append);
    wish.ports
        .iter()
        .try_for_each(crate::qemu::Forward::check_free)?;
    let folder = workspace.target("run")?;
    let socket = folder.join(socket_name(&package.name));
    if args.over == Over::Vsock {
        setup::ensure(&[Tool::VhostDeviceVsock])?;
    }
    let way = Way {
        over: args.over,
        socket: &socket,
        options: ",wait",
    };
    let vm = vm(&wish, &workspace, package, &image, way)?;
    // It ends with the virtual machine.
    let _bridge = Bridge::start(&vm, way)?;
    let mut gdb = command(&workspace, &image, &socket);
    for place in &args.breaks {
        gdb.arg("-ex")
            .arg(format!("break {}", named(place, package)));
    }
    for forward in &wish.ports {
        eprintln!("port {} leads to the appliance", forward.host);
    }
    if args.wait {
        println!("{}", process::shown(&gdb));
        return process::run(&mut vm.command()).map(|()| ExitCode::SUCCESS);
    }
    let console = folder.join(format!("{}-gdb.log", package.name));
    eprintln!("what the image prints is in {}", console.display());
    let mut machine = Started::new(&vm, &console)?;
    machine.wait_until_it_listens(&console)?;
    match &args.test_script {
        Some(script) => gdb.args(["-batch", "-x"]).arg(script),
        None => gdb.args(["-ex", "info threads"]),
    };
    // Ctrl-C is for gdb, which stops the image with it.
    ctrlc::set_handler(|| {})?;
    let status = gdb.status().context("cannot start gdb")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What an image for a debugger has.
fn extras() -> Extras {
    Extras {
        lines: true,
        gdb: true,
        // For `monitor trace`; it notes nothing unless the command line says `trace=on`.
        trace: true,
        ..Extras::default()
    }
}

/// Compiles the appliance for a debugger.
pub(crate) fn build(workspace: &Workspace, package: &Package) -> Result<Image> {
    build::build_with(workspace, &package.name, Profile::Debug, extras())
}

/// The socket in `target/run` that gdb connects to.
fn socket_name(appliance: &str) -> String {
    format!("{appliance}-gdb.sock")
}

/// How gdb comes to the debugger of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'a> {
    pub(crate) over: Over,
    /// The socket that gdb connects to.
    pub(crate) socket: &'a Path,
    /// What follows the port on the command line: `,wait` makes the image wait before `main`.
    pub(crate) options: &'a str,
}

/// The machine of `wish` with a device more, at which the image's debugger listens.
pub(crate) fn vm(
    wish: &Wish,
    workspace: &Workspace,
    package: &Package,
    image: &Image,
    way: Way<'_>,
) -> Result<Vm> {
    let port = match way.over {
        Over::Serial => "ttyS1".to_owned(),
        // Those of the appliance come first.
        Over::Console => format!("console{}", usize::from(!wish.console_ports.is_empty())),
        Over::Vsock if wish.vsock.is_some() => bail!(
            "{} has sockets of its own; debug it with --over console",
            package.name
        ),
        Over::Vsock => format!("vsock0:{PORT}"),
    };
    let wish = Wish {
        append: format!("log=info gdb={port}{} {}", way.options, wish.append),
        vsock: wish.vsock.or((way.over == Over::Vsock).then_some(CID)),
        ..wish.clone()
    };
    let mut vm = wish.vm(workspace, package, image)?;
    // Whoever looks for the socket must not find that of the machine before.
    let _ = fs::remove_file(way.socket);
    let path = way.socket.display().to_string().replace(',', ",,");
    let backend = format!("socket,id=gdb,path={path},server=on,wait=off");
    let devices = match way.over {
        // A microvm makes one serial port by itself; the second is a card for all of them.
        Over::Serial => vec!["isa-serial,index=1,chardev=gdb".to_owned()],
        Over::Console => {
            let console = match vm.machine {
                Machine::Microvm => "virtio-serial-device",
                Machine::Pc | Machine::Q35 | Machine::Iso => "virtio-serial-pci,disable-legacy=on",
            };
            let port = "virtconsole,chardev=gdb,bus=gdb.0".to_owned();
            vec![format!("{console},id=gdb,max_ports=1"), port]
        }
        Over::Vsock => return Ok(vm),
    };
    vm.extra.extend(["-chardev".to_owned(), backend]);
    for device in devices {
        vm.extra.extend(["-device".to_owned(), device]);
    }
    Ok(vm)
}

/// What joins gdb, which knows only plain sockets, to the socket device of a machine. It ends with this value.
#[derive(Debug)]
pub(crate) struct Bridge(#[expect(dead_code, reason = "it is kept")] Backend);

impl Bridge {
    /// Starts the back end of the socket device, before the machine; and whoever connects to the socket of `way` is connected to the
    /// debugger. Nothing if gdb connects to QEMU itself.
    pub(crate) fn start(vm: &Vm, way: Way<'_>) -> Result<Option<Self>> {
        let Some(sockets) = vm.vsock.clone().filter(|_| way.over == Over::Vsock) else {
            return Ok(None);
        };
        let backend = Backend::start(&sockets)?;
        let listener = UnixListener::bind(way.socket)
            .with_context(|| format!("cannot listen at {}", way.socket.display()))?;
        thread::spawn(move || {
            // One gdb after the other. What goes wrong ends its connection, which it tells.
            while let Ok((gdb, _)) = listener.accept() {
                if let Ok(image) = sockets.connect(PORT, BOOT_TIMEOUT) {
                    drop(join(&gdb, &image));
                }
            }
        });
        Ok(Some(Self(backend)))
    }
}

/// Carries bytes both ways until one side ends.
fn join(gdb: &UnixStream, image: &UnixStream) -> io::Result<()> {
    // gdb may be silent for as long as it likes.
    image.set_read_timeout(None)?;
    let (mut from, mut to) = (image.try_clone()?, gdb.try_clone()?);
    let answers = thread::spawn(move || {
        let copied = io::copy(&mut from, &mut to);
        drop(to.shutdown(Shutdown::Both));
        copied
    });
    let copied = io::copy(&mut &*gdb, &mut &*image);
    image.shutdown(Shutdown::Both)?;
    drop(answers.join());
    copied.map(drop)
}

/// A gdb that knows the image and its sources, and connects to it.
pub(crate) fn command(workspace: &Workspace, image: &Image, socket: &Path) -> Command {
    let mut gdb = Command::new(Tool::Gdb.program());
    gdb.arg("-quiet").arg(&image.debug);
    let connect = [
        format!("directory {}", workspace.root.display()),
        format!("target remote {}", socket.display()),
    ];
    let settings = SETTINGS.iter().map(ToString::to_string);
    for command in settings.chain(connect) {
        gdb.arg("-ex").arg(command);
    }
    gdb
}

/// The name by which gdb knows a place: `main` is that of the appliance.
fn named(place: &str, package: &Package) -> String {
    if place == "main" {
        format!("{}::main", package.name.replace('-', "_"))
    } else {
        place.to_owned()
    }
}

/// A machine whose console is a file. It ends with this value.
struct Started(Child);

impl Started {
    fn new(vm: &Vm, console: &Path) -> Result<Self> {
        let context = || format!("cannot write {}", console.display());
        let output = File::create(console).with_context(context)?;
        let qemu = vm.command();
        let mut command = process::mortal(qemu.get_program());
        command.args(qemu.get_args());
        // A group of its own, which the terminal does not send Ctrl-C to.
        command.process_group(0).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        command.spawn().map(Self).context("cannot start QEMU")
    }
}

impl Started {
    fn wait_until_it_listens(&mut self, console: &Path) -> Result<()> {
        let deadline = Instant::now() + BOOT_TIMEOUT;
        loop {
            let said = fs::read(console)?;
            let said = String::from_utf8_lossy(&said);
            if said.contains(LISTENS) {
                return Ok(());
            }
            if self.0.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("the image does not come to its debugger; it says:\n{said}");
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // A failure means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{extras, socket_name};

    /// The set-up for VS Code names files of this verb: who copies it must find them.
    #[test]
    fn the_set_up_for_an_editor_names_the_files_that_are_made() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/debugging.md");
        let page = std::fs::read_to_string(page).expect("the page is there");
        let image = format!("web-server{}.debug", extras().suffix());
        let socket = format!("/target/run/{}", socket_name("web-server"));
        let mut set_ups = page
            .match_indices("    {\n        \"name\"")
            .map(|(start, _)| {
                let text = page[start..].split("\n\n").next().expect("it ends");
                let set_up: serde_json::Value = serde_json::from_str(text).expect("it is JSON");
                set_up
            });
        for place in ["/miDebuggerServerAddress", "/target/parameters/0"] {
            let set_up = set_ups.next().expect("there are two of them");
            for (place, end) in [("/program", &image), (place, &socket)] {
                let value = set_up.pointer(place).and_then(|value| value.as_str());
                let value = value.expect("it is a path");
                assert!(value.ends_with(end), "{place} is {value}, not {end}");
            }
        }
    }
}
