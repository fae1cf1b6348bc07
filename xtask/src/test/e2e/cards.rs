//! An image with two cards on different networks: a core, a stack and an address of its own for each.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::TIMEOUT;
use crate::build::{self, Extras, Image, Profile};
use crate::qemu::{Forward, Machine, Net, Running};
use crate::run::Wish;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

const NAME: &str = "e2e: echo serves on two cards of different networks";
const APPLIANCE: &str = "echo";
/// The port of its echo.
const PORT: u16 = 7;
/// An address may take its time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs the case. The image is the one of the case with several queue pairs.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    if !tally.wants(NAME) {
        return;
    }
    let extras = Extras {
        multiqueue: true,
        ..Extras::default()
    };
    match build::build_with(workspace, APPLIANCE, Profile::Release, extras) {
        Err(error) => tally.record(NAME, Err(error)),
        Ok(image) => {
            let workspace = workspace.clone();
            tally.case(NAME, TIMEOUT, move || serve_on_both(&workspace, &image));
        }
    }
}

fn serve_on_both(workspace: &Workspace, image: &Image) -> Result<()> {
    let package = workspace.appliance(APPLIANCE)?;
    let mut wish = Wish::of(package, Machine::Q35)?;
    wish.cores = 2;
    wish.append = format!("dedicate=net1:1 log=info {}", wish.append);
    let first = Forward::from_free_port(PORT)?;
    let second = Forward::from_free_port(PORT)?;
    let mut vm = wish.vm(workspace, package, image)?;
    vm.net = Net::User(vec![first]);
    let network = format!(
        "user,id=net1,ipv4=on,ipv6=off,net=10.9.8.0/24{}",
        second.qemu()
    );
    let card = "virtio-net-pci,disable-legacy=on,netdev=net1,mac=52:54:00:12:34:57,romfile=";
    vm.extra = ["-netdev", &network, "-device", card]
        .map(str::to_owned)
        .into();
    let mut running = Running::start(&vm.command())?;
    running.wait_for(0, "echo: listening")?;
    for forward in [first, second] {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, forward.host));
        let echo = until_it_answers(address);
        echo.with_context(|| format!("{address}\n{}", running.tail()))?;
    }
    running.check_alive()
}

/// QEMU takes connections before the image has an address, and ends them.
fn until_it_answers(address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match echo(address) {
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(100)),
            Ok(()) => return Ok(()),
        }
    }
}

fn echo(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE / 5))?;
    let text = b"from one network or the other";
    stream.write_all(text)?;
    let mut answer = [0; 29];
    stream.read_exact(&mut answer)?;
    ensure!(answer == *text, "{answer:?}");
    Ok(())
}
