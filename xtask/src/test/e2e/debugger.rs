//! The debugger inside an image: the real gdb, while requests go on, and packets that no gdb would send.

mod cores;
mod packets;
mod server;
mod session;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use self::server::{Debugged, Load};
use crate::build::Image;
use crate::gdb::{self, Over};
use crate::qemu::{Machine, Running};
use crate::run::Wish;
use crate::setup::{self, Tool};
use crate::test::Depth;
use crate::test::gdb::Gdb;
use crate::test::tally::Tally;
use crate::workspace::{Package, Workspace};

/// A case may take so long.
const TIMEOUT: Duration = Duration::from_secs(900);

/// What has to happen soon may take so long, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

const SESSION: &str = "e2e: gdb debugs web-server under load with";

/// Beside the serial port of a pc: the machines interrupt the debugger in different ways.
const WAYS: &[(&str, Over, Machine)] = &[
    (
        "e2e: gdb debugs web-server over a console",
        Over::Console,
        Machine::Microvm,
    ),
    (
        "e2e: gdb debugs web-server over vsock",
        Over::Vsock,
        Machine::Q35,
    ),
];
const PACKETS: &str = "e2e: the debugger lives through damaged packets";
const OFF: &str = "e2e: a debugger that was not asked for is silent";

/// Runs all of them.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally, depth: Depth) {
    let session = |cores: u32| format!("{SESSION} {cores} cores");
    let cores = depth.pick(&[2][..], &[1, 2], &[1, 2, 4]);
    let wanted = cores.iter().any(|&cores| tally.wants(&session(cores)))
        || WAYS.iter().any(|(name, ..)| tally.wants(name))
        || tally.wants(PACKETS)
        || tally.wants(OFF);
    if !wanted {
        return;
    }
    let built = setup::ensure(&[Tool::Gdb]).and_then(|()| {
        let package = workspace.appliance(crate::test::server::NAME)?.clone();
        let image = gdb::build(workspace, &package)?;
        Ok((package, image))
    });
    let (package, image) = match built {
        Ok(built) => built,
        Err(error) => return tally.record("e2e: web-server is built for gdb", Err(error)),
    };
    for &cores in cores {
        let (workspace, package, image) = (workspace.clone(), package.clone(), image.clone());
        let at = At {
            over: Over::Serial,
            machine: Machine::Pc,
            cores,
        };
        tally.case(&session(cores), TIMEOUT, move || {
            debugs(&workspace, &package, &image, at)
        });
    }
    for &(name, over, machine) in WAYS {
        let (workspace, package, image) = (workspace.clone(), package.clone(), image.clone());
        let at = At {
            over,
            machine,
            cores: 2,
        };
        tally.case(name, TIMEOUT, move || {
            if over == Over::Vsock {
                setup::ensure(&[Tool::VhostDeviceVsock])?;
            }
            debugs(&workspace, &package, &image, at)
        });
    }
    {
        let (workspace, package, image) = (workspace.clone(), package.clone(), image.clone());
        tally.case(OFF, TIMEOUT, move || is_off(&workspace, &package, &image));
    }
    let (workspace, count) = (workspace.clone(), depth.pick(300, 2000, 50_000));
    tally.case(PACKETS, TIMEOUT * 10, move || {
        packets::live_through(&workspace, &package, &image, count)
    });
}

/// Where a web server runs, and how its debugger is reached.
#[derive(Clone, Copy, Debug)]
struct At {
    over: Over,
    machine: Machine,
    cores: u32,
}

/// The whole session.
fn debugs(workspace: &Workspace, package: &Package, image: &Image, at: At) -> Result<()> {
    let place = session::place(package)?;
    let mut server = Debugged::start(workspace, package, image, at, ",wait")?;
    let load = Load::start(server.address);
    let command = gdb::command(workspace, image, &server.socket);
    let (mut gdb, said) = Gdb::start(&command)?;
    ensure!(
        !said.contains("rror"),
        "gdb cannot connect:\n{said}\n{}",
        server.running.tail()
    );
    gdb.check("backtrace", &["toro_rt::start::toro_start"])?;
    session::run(&mut gdb, &load, &place, at.cores).with_context(|| server.running.tail())?;
    gdb.check("detach", &["detached"])?;
    drop(gdb);
    load.goes_on(20)?;
    // Another gdb finds the image as it runs, and leaves it so.
    let (mut gdb, said) = Gdb::start(&command)?;
    ensure!(
        !said.contains("rror"),
        "gdb cannot connect again:\n{said}\n{}",
        server.running.tail()
    );
    gdb.check("info threads", &["\"net\"", "\"boot\""])?;
    gdb.check("detach", &["detached"])?;
    load.goes_on(20)?;
    server.running.check_alive()
}

/// The image has a debugger and the machine a port for it, but the command line does not say so.
fn is_off(workspace: &Workspace, package: &Package, image: &Image) -> Result<()> {
    let mut wish = Wish::of(package, Machine::Pc)?;
    wish.on_free_ports()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, wish.ports[0].host));
    let name = format!("toro-{}-off.gdb", std::process::id());
    let socket = std::env::temp_dir().join(name);
    let _ = std::fs::remove_file(&socket);
    let mut vm = wish.vm(workspace, package, image)?;
    let backend = format!("socket,id=gdb,path={},server=on,wait=off", socket.display());
    vm.extra.extend(["-chardev".to_owned(), backend]);
    let port = "isa-serial,index=1,chardev=gdb".to_owned();
    vm.extra.extend(["-device".to_owned(), port]);
    let mut running = Running::start(&vm.command())?;
    let load = Load::start(address);
    load.goes_on(1).with_context(|| running.tail())?;
    let mut stream = UnixStream::connect(&socket)?;
    let _ = std::fs::remove_file(&socket);
    // Ctrl-C, and the question why it has stopped.
    stream.write_all(b"\x03$?#3f")?;
    // A debugger would hold the server now.
    load.goes_on(20).with_context(|| running.tail())?;
    stream.set_nonblocking(true)?;
    let answer = stream.read(&mut [0; 64]);
    let is_silent = matches!(&answer, Err(error) if error.kind() == ErrorKind::WouldBlock);
    ensure!(is_silent, "it answers: {answer:?}");
    let listens = |line: &String| line.contains(gdb::LISTENS);
    ensure!(!running.lines().iter().any(listens), "{}", running.tail());
    running.check_alive()
}
