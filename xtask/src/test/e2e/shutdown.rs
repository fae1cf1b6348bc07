//! How images end in order: by the machine's power button, and by Ctrl-C at `cargo xtask run`.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::TIMEOUT;
use crate::build::{self, Extras, Profile};
use crate::qemu::{Forward, Machine, Monitor, Running, Verdict};
use crate::run::Wish;
use crate::test::client::Client;
use crate::test::server::{self, Server};
use crate::test::tally::Tally;
use crate::workspace::Workspace;

const CTRL_C: &str = "e2e: Ctrl-C has a service end in order";
const CTRL_C_TWICE: &str = "e2e: Ctrl-C again ends the virtual machine";
const SYNCS: &str = "e2e: the power button ends an image that does not wait for it";

/// The machines, with their cores.
const MACHINES: &[(Machine, u32)] = &[(Machine::Pc, 1), (Machine::Q35, 2), (Machine::Microvm, 2)];

/// Building, booting and answering may take so long, and so may ending.
const READY_TIMEOUT: Duration = Duration::from_secs(300);
const END_TIMEOUT: Duration = Duration::from_secs(300);

/// A file that no ring and no socket buffer holds.
const LARGE: usize = 8 << 20;

/// Runs all of them.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    for &(machine, cores) in MACHINES {
        let name = format!(
            "e2e: the power button has a service end in order on {}",
            machine.name()
        );
        let workspace = workspace.clone();
        tally.case(&name, TIMEOUT, move || button(&workspace, machine, cores));
    }
    for (name, case) in [
        (SYNCS, awaits_nothing as fn(&Workspace) -> Result<()>),
        (CTRL_C, ctrl_c),
        (CTRL_C_TWICE, ctrl_c_twice),
    ] {
        let workspace = workspace.clone();
        tally.case(name, TIMEOUT, move || case(&workspace));
    }
}

/// A folder with a page and a large file.
fn site(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target("test")?.join("shutdown");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("index.html"), "<p>here</p>")?;
    fs::write(folder.join("large.bin"), large())?;
    Ok(folder)
}

fn large() -> Vec<u8> {
    (0..=u8::MAX).cycle().step_by(7).take(LARGE).collect()
}

/// Presses the button of a web server while one client reads a large file and another rests on its connection.
fn button(workspace: &Workspace, machine: Machine, cores: u32) -> Result<()> {
    let package = workspace.appliance(server::NAME)?;
    let extras = Extras {
        shutdown: true,
        ..Extras::default()
    };
    let image = build::build_with(workspace, server::NAME, Profile::Release, extras)?;
    let mut wish = Wish::of(package, machine)?;
    wish.cores = cores;
    wish.archive = Some(site(workspace)?);
    wish.append = "log=info".to_owned();
    let forward = Forward::from_free_port(80)?;
    wish.ports = vec![forward];
    let path = Monitor::path(&format!("button-{}", machine.name()));
    let mut vm = wish.vm(workspace, package, &image)?;
    vm.extra.extend(Monitor::arguments(&path));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, forward.host));
    let mut server = Server::boot(&vm, address)?;
    let outcome = leave(&mut server, &path);
    let _ = fs::remove_file(&path);
    outcome.with_context(|| server.running.tail())
}

fn leave(server: &mut Server, monitor: &Path) -> Result<()> {
    let mut resting = Client::connect(server.address)?;
    resting.get("/")?.expect(200)?;
    let mut reading = Client::connect(server.address)?;
    reading.send(b"GET /large.bin HTTP/1.1\r\nHost: toro\r\n\r\n")?;
    reading.wait_for_input()?;
    Monitor::connect(monitor)?.ask("system_powerdown")?;
    resting.expect_end().context("the connection at rest")?;
    let answer = reading.receive(false)?.expect(200)?;
    ensure!(answer.body == large(), "the file is not what it was");
    reading
        .expect_end()
        .context("the connection with the large file")?;
    drop((resting, reading));
    let verdict = server.running.wait(END_TIMEOUT)?;
    ensure!(verdict == Verdict::Success, "{verdict}");
    let told = server.running.lines();
    ensure!(
        told.iter()
            .any(|line| line.contains("the service has 30 s to end")),
        "nobody told of the button"
    );
    Ok(())
}

/// `durable-log` syncs before it acknowledges, and so has nothing to do at the end.
fn awaits_nothing(workspace: &Workspace) -> Result<()> {
    let package = workspace.appliance("durable-log")?;
    let image = build::build(workspace, "durable-log", Profile::Release)?;
    let mut wish = Wish::of(package, Machine::Pc)?;
    wish.on_free_ports()?;
    wish.append = format!("log=info {}", wish.append);
    let path = Monitor::path("button-log");
    let mut vm = wish.vm(workspace, package, &image)?;
    vm.extra.extend(Monitor::arguments(&path));
    let mut running = Running::start(&vm.command())?;
    let outcome = press_when_up(&mut running, &path);
    let _ = fs::remove_file(&path);
    outcome.with_context(|| running.tail())
}

fn press_when_up(running: &mut Running, monitor: &Path) -> Result<()> {
    let deadline = Instant::now() + READY_TIMEOUT;
    let is_up = |line: String| line.contains("listening on port");
    let mut lines = (0..).map_while(|index| running.line(index, deadline));
    ensure!(lines.any(is_up), "it does not come up");
    Monitor::connect(monitor)?.ask("system_powerdown")?;
    let verdict = running.wait(END_TIMEOUT)?;
    ensure!(verdict == Verdict::Success, "{verdict}");
    Ok(())
}

/// Interrupts a service at rest.
fn ctrl_c(workspace: &Workspace) -> Result<()> {
    let mut run = Started::new(workspace, &["run"])?;
    server::check_answers(run.address)?;
    run.interrupt()?;
    let status = run.ended()?;
    ensure!(status.code() == Some(0), "it ended with {status}");
    run.check_nothing_is_left()
}

/// Interrupts a service that has a client that does not read, and so does not end soon.
fn ctrl_c_twice(workspace: &Workspace) -> Result<()> {
    let mut run = Started::new(workspace, &["run"])?;
    let mut client = Client::connect(run.address)?;
    client.send(b"GET /large.bin HTTP/1.1\r\nHost: toro\r\n\r\n")?;
    client.wait_for_input()?;
    run.interrupt()?;
    run.wait_for("Ctrl-C again")?;
    run.interrupt()?;
    let status = run.ended()?;
    ensure!(status.code() == Some(130), "it ended with {status}");
    run.check_nothing_is_left()
}

/// `cargo xtask run web-server`, or another verb that does as much. It is killed with this value.
pub(super) struct Started {
    run: Child,
    told: BufReader<std::process::ChildStderr>,
    pub(super) address: SocketAddr,
}

impl Started {
    /// Starts it and waits until it takes connections.
    pub(super) fn new(workspace: &Workspace, verb: &[&str]) -> Result<Self> {
        let port = Forward::from_free_port(80)?.host;
        let mut command = Command::new(env::current_exe()?);
        command.args(verb);
        let forward = format!("{port}:80");
        command.args([server::NAME, "--port", &forward, "--archive"]);
        command.arg(site(workspace)?);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut run = command.spawn()?;
        let told = BufReader::new(run.stderr.take().expect("standard error is a pipe"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut started = Self { run, told, address };
        started.wait_for("Ctrl-C ends")?;
        let deadline = Instant::now() + READY_TIMEOUT;
        while let Err(error) = server::check_answers(address) {
            if Instant::now() > deadline {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(started)
    }

    /// Reads what it tells up to a line with `text`.
    fn wait_for(&mut self, text: &str) -> Result<()> {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            if self.told.read_line(&mut line)? == 0 {
                bail!("it ended without a word of `{text}`");
            }
        }
        Ok(())
    }

    pub(super) fn interrupt(&self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.run.id())?);
        Ok(kill(pid, Signal::SIGINT)?)
    }

    pub(super) fn ended(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + END_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(status) = self.run.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("it did not end within {END_TIMEOUT:?}")
    }

    fn check_nothing_is_left(&self) -> Result<()> {
        let refused = TcpStream::connect(self.address).is_err();
        ensure!(refused, "QEMU is still there");
        let port = format!("127.0.0.1:{}-", self.address.port());
        ensure!(!is_left(&port)?, "QEMU is still there");
        Ok(())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Whatever went wrong, nothing is left behind.
        drop(self.run.kill());
        drop(self.run.wait());
    }
}

/// Whether a process with `text` in its command line runs.
fn is_left(text: &str) -> Result<bool> {
    let processes = fs::read_dir("/proc")
        .context("cannot read /proc")?
        .flatten();
    // One that ends meanwhile has no command line any more.
    let mut lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    Ok(lines.any(|line| String::from_utf8_lossy(&line).contains(text)))
}
