//! [`Server`]: a web-server image that runs and answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::cells::Cell;
use super::client::Client;
use crate::build::Image;
use crate::netns::Tap;
use crate::qemu::{FileServer, Forward, Machine, Memory, Monitor, Net, Running, Vm};
use crate::run::Wish;
use crate::workspace::Workspace;

/// The appliance.
pub(super) const NAME: &str = "web-server";

/// From start to first answer, on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(300);

/// The port in the guest.
const PORT: u16 = 80;

/// What a server is started with.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) image: Image,
    pub(super) machine: Machine,
    /// Its memory, `None` for what its manifest says.
    pub(super) memory: Option<Memory>,
    /// What is special about its machine.
    pub(super) cell: Cell,
    /// The folder of its archive, `None` for its own.
    pub(super) archive: Option<PathBuf>,
    /// The folder of this machine that it serves instead, while that may change.
    pub(super) share: Option<PathBuf>,
    /// The tap that it is joined by, `None` for user networking.
    pub(super) tap: Option<Tap>,
    /// Where QEMU's monitor listens, if anywhere.
    pub(super) monitor: Option<PathBuf>,
}

/// A web server in a virtual machine. It ends with this value.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) running: Running,
    pub(super) address: SocketAddr,
    /// What runs beside it, as long.
    pub(super) servers: Vec<FileServer>,
}

impl Server {
    /// Boots it and waits for its first answer.
    pub(super) fn start(workspace: &Workspace, setting: &Setting) -> Result<Self> {
        let package = workspace.appliance(NAME)?;
        let mut wish = Wish::of(package, setting.machine)?;
        wish.memory = setting.memory.unwrap_or(wish.memory);
        setting.cell.change(&mut wish);
        if setting.archive.is_some() {
            wish.archive.clone_from(&setting.archive);
        }
        if let Some(folder) = &setting.share {
            wish.share(package, folder);
            wish.append = format!("{} -- root=/share", wish.append);
        }
        let forward = Forward::from_free_port(PORT)?;
        wish.ports = vec![forward];
        let mut address = SocketAddr::from((Ipv4Addr::LOCALHOST, forward.host));
        if let Some(tap) = setting.tap {
            address = SocketAddr::from((tap.guest(), PORT));
            wish.append = format!(
                "ip={}/24,gw={} stats=1 {}",
                tap.guest(),
                tap.host(),
                wish.append
            )
            .trim()
            .to_owned();
        }
        let mut vm = wish.vm(workspace, package, &setting.image)?;
        if let Some(tap) = setting.tap {
            vm.net = Net::Tap(tap.name(), tap.queues());
        }
        if let Some(path) = &setting.monitor {
            vm.extra.extend(Monitor::arguments(path));
        }
        Self::boot(&vm, address)
    }

    /// Boots `vm`, whose server answers at `address`, and waits for its first answer.
    pub(super) fn boot(vm: &Vm, address: SocketAddr) -> Result<Self> {
        let servers = vm.serve()?;
        let mut server = Self {
            servers,
            running: Running::start(&vm.command())?,
            address,
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            self.running.check_alive()?;
            let answer = Client::connect(self.address).and_then(|mut client| client.get("/"));
            match answer {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    let tail = self.running.tail();
                    bail!("no answer within {READY_TIMEOUT:?}: {error:#}\n{tail}")
                }
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Fails unless it still runs and answers a new connection.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        self.running.check_alive()?;
        check_answers(self.address).with_context(|| self.running.tail())
    }
}

/// Fails unless the server answers a new connection.
pub(super) fn check_answers(address: SocketAddr) -> Result<()> {
    let answer = Client::connect(address).and_then(|mut client| client.get("/"));
    answer
        .and_then(|response| response.expect(200))
        .context("the server does not answer any more")?;
    Ok(())
}
