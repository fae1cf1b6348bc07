//! The operator's console of a web server: who may look in, what is seen, and what needs more rights.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::TIMEOUT;
use crate::build::{self, Extras, Profile};
use crate::qemu::{Forward, Machine, Verdict};
use crate::run::{OPERATOR, Wish};
use crate::test::client::Client;
use crate::test::server::{self, Server};
use crate::test::tally::Tally;
use crate::workspace::Workspace;

const LOOKS: &str = "e2e: an operator can look into an image and do no more";
const CONTROLS: &str = "e2e: an operator with the right to ends an image";

/// No answer may take longer, and no end.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the console says when it waits for a command.
const PROMPT: &[u8] = b"> ";

/// Runs both.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    for (name, case) in [
        (LOOKS, looks as fn(&Workspace) -> Result<()>),
        (CONTROLS, controls),
    ] {
        let workspace = workspace.clone();
        tally.case(name, TIMEOUT, move || case(&workspace));
    }
}

/// Commands, and what their answers must hold.
const ANSWERS: &[(&str, &[&str])] = &[
    ("help", &["netstat", "shutdown"]),
    ("ps", &["core 0:", "net ", "operator", "core 1:"]),
    ("mem", &["core 0:", "core 1:", "bytes in use"]),
    (
        "netstat",
        &[
            "core 0: 10.0.2.15",
            "listens     0.0.0.0:80",
            "10.0.2.15:80 10.0.2.2:",
        ],
    ),
    ("ping 10.0.2.2", &["10.0.2.2 answers after"]),
    ("ping 10.0.2.77", &["10.0.2.77:"]),
    ("mounts", &["  /\n"]),
    ("log", &["web-server: listening on port 80"]),
    ("level", &["info"]),
    (
        "trace",
        &[
            "tracing is on",
            "core 0:",
            "core 1:",
            " switch",
            " packet in",
        ],
    ),
    ("level debug", &["one may only look here"]),
    ("trace stop", &["one may only look here"]),
    ("shutdown", &["one may only look here"]),
    ("rm -rf /", &["there is no command `rm`"]),
    ("ping nobody", &["`nobody` makes no sense there"]),
    ("", &[]),
    ("uptime", &[" s\n"]),
];

fn looks(workspace: &Workspace) -> Result<()> {
    let (mut server, path) = start(workspace, extras(), OPERATOR, "operator trace=on")?;
    // A connection that stays, for `netstat` to show.
    let mut client = Client::connect(server.address)?;
    client.get("/")?.expect(200)?;
    for round in 0..2 {
        let mut console = Console::open(&path)?;
        for (command, expected) in ANSWERS {
            let answer = console.ask(command)?;
            for text in *expected {
                ensure!(
                    answer.contains(text),
                    "round {round}: no `{text}` after `{command}`:\n{answer}"
                );
            }
        }
        let answer = console.ask(&"x".repeat(10_000))?;
        ensure!(answer.contains("no line of text"), "{answer}");
        // The next operator finds the console as the first did.
    }
    client.get("/")?.expect(200)?;
    server.check_alive()
}

fn controls(workspace: &Workspace) -> Result<()> {
    let (mut server, path) = start(workspace, extras(), OPERATOR, "operator,control")?;
    let mut console = Console::open(&path)?;
    console.ask("level debug")?;
    let level = console.ask("level")?;
    ensure!(level.contains("debug"), "the level is {level}");
    for (command, state) in [
        ("trace start", "tracing is on"),
        ("trace stop", "tracing is off"),
    ] {
        console.ask(command)?;
        let answer = console.ask("trace")?;
        ensure!(answer.contains(state), "after `{command}`: {answer}");
    }
    let answer = console.ask("level loud")?;
    ensure!(answer.contains("`loud` is no level"), "{answer}");
    console.stream.write_all(b"shutdown\n")?;
    let verdict = server.running.wait(PATIENCE)?;
    ensure!(verdict == Verdict::Success, "{verdict}");
    Ok(())
}

fn extras() -> Extras {
    Extras {
        operator: true,
        trace: true,
        ..Extras::default()
    }
}

/// Boots a web server with the unit `unit`, which is started by `unit=word`; returns it with the socket of the unit's console port.
pub(super) fn start(
    workspace: &Workspace,
    extras: Extras,
    unit: &str,
    word: &str,
) -> Result<(Server, PathBuf)> {
    let package = workspace.appliance(server::NAME)?;
    let image = build::build_with(workspace, server::NAME, Profile::Release, extras)?;
    let mut wish = Wish::of(package, Machine::Q35)?;
    wish.cores = 2;
    wish.append = format!("log=info {unit}={word}");
    wish.open_port(unit)?;
    let folder = workspace.target("test")?;
    for port in &mut wish.console_ports {
        // Not where a `run` of the same appliance has its own.
        *port = port.placed(&folder, &format!("{}-{}", package.name, std::process::id()));
    }
    let path = wish.console_ports.iter().find_map(|port| port.path.clone());
    let path = path.context("the console has no socket")?;
    let _ = fs::remove_file(&path);
    let forward = Forward::from_free_port(80)?;
    wish.ports = vec![forward];
    let vm = wish.vm(workspace, package, &image)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, forward.host));
    Ok((Server::boot(&vm, address)?, path))
}

struct Console {
    stream: UnixStream,
}

impl Console {
    fn open(path: &PathBuf) -> Result<Self> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("no socket at {}", path.display()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut console = Self { stream };
        console.answer()?;
        Ok(console)
    }

    fn ask(&mut self, command: &str) -> Result<String> {
        self.stream.write_all(format!("{command}\n").as_bytes())?;
        self.answer().with_context(|| format!("after `{command}`"))
    }

    /// Reads up to the next prompt, which nothing follows.
    fn answer(&mut self) -> Result<String> {
        let mut answer = Vec::new();
        let mut bytes = [0; 4096];
        while !answer.ends_with(PROMPT) {
            let len = self.stream.read(&mut bytes)?;
            ensure!(
                len > 0,
                "the console has closed after `{}`",
                String::from_utf8_lossy(&answer)
            );
            answer.extend_from_slice(&bytes[..len]);
        }
        answer.truncate(answer.len() - PROMPT.len());
        Ok(String::from_utf8(answer)?)
    }
}
