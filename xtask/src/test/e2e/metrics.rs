//! `metrics=` in the web server: its text before Prometheus' own parser, its status page in a browser.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::TIMEOUT;
use crate::build::{self, Extras, Profile};
use crate::packages;
use crate::qemu::{Forward, Machine, Running};
use crate::run::Wish;
use crate::setup::{self, Tool};
use crate::test::chromium;
use crate::test::client::Client;
use crate::test::server::{self, Server};
use crate::test::tally::Tally;
use crate::vsock::Backend;
use crate::workspace::Workspace;

/// The port of the metrics in the guest.
const PORT: u16 = 9100;
/// Asked of the web server before anybody looks.
const REQUESTS: usize = 20;

type Case = (&'static str, fn(&Path, SocketAddr) -> Result<()>);

const CASES: &[Case] = &[
    ("e2e: metrics count what was served", counts),
    ("e2e: promtool accepts the metrics", promtool),
    ("e2e: metrics have a page for each error", errors),
    ("e2e: the status page draws in a browser", browser),
];

/// Other services that count: what a client says on a connection, line by line, and what is answered to each.
struct Service {
    name: &'static str,
    appliance: &'static str,
    /// By which the metrics call it.
    service: &'static str,
    port: u16,
    talk: &'static [(&'static str, &'static str)],
    /// What else the metrics must say.
    more: fn(&Path, &str) -> Result<()>,
}

const HOST: &str = "e2e: metrics are served over the sockets to the host";

const SERVICES: &[Service] = &[
    Service {
        name: "e2e: metrics count the commands of resp",
        appliance: "resp",
        service: "resp",
        port: 6379,
        talk: &[
            ("SET key value", "+OK"),
            ("PING", "+PONG"),
            ("DEL key", ":1"),
        ],
        more: |_, _| Ok(()),
    },
    Service {
        name: "e2e: metrics count what echo sends back",
        appliance: "echo",
        service: "echo",
        port: 7,
        talk: &[("one", "one"), ("two", "two"), ("three", "three")],
        more: |_, _| Ok(()),
    },
    Service {
        name: "e2e: metrics count the lines of durable-log, its files and its disk",
        appliance: "durable-log",
        service: "durable-log",
        port: 7000,
        talk: &[
            ("append first", "ok 0"),
            ("append second", "ok 1"),
            ("get 1", "record second"),
            ("count", "count 2"),
        ],
        more: storage,
    },
];

/// Boots each of them with metrics, and a web server with metrics on two cores, and asks it.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    for service in SERVICES {
        let workspace = workspace.clone();
        tally.case(service.name, TIMEOUT, move || counted(&workspace, service));
    }
    {
        let workspace = workspace.clone();
        tally.case(HOST, TIMEOUT, move || to_the_host(&workspace));
    }
    if !CASES.iter().any(|(name, _)| tally.wants(name)) {
        return;
    }
    let (_running, address) = match start(workspace) {
        Ok(started) => started,
        Err(error) => return tally.record("e2e: web-server with metrics starts", Err(error)),
    };
    for &(name, case) in CASES {
        let workspace = workspace.clone();
        let body = move || case(&workspace.target("test")?, address);
        tally.case(name, TIMEOUT, body);
    }
}

fn start(workspace: &Workspace) -> Result<(Running, SocketAddr)> {
    let package = workspace.appliance(server::NAME)?;
    let extras = Extras {
        metrics: true,
        ..Extras::default()
    };
    let image = build::build_with(workspace, server::NAME, Profile::Release, extras)?;
    let mut wish = Wish::of(package, Machine::Q35)?;
    wish.cores = 2;
    wish.append = format!("metrics={PORT}");
    let (web, metrics) = (Forward::from_free_port(80)?, Forward::from_free_port(PORT)?);
    wish.ports = vec![web, metrics];
    let vm = wish.vm(workspace, package, &image)?;
    let mut server = Server::boot(&vm, SocketAddr::from(([127, 0, 0, 1], web.host)))?;
    for _ in 0..REQUESTS {
        Client::connect(server.address)?.get("/")?.expect(200)?;
    }
    server.check_alive()?;
    let address = SocketAddr::from(([127, 0, 0, 1], metrics.host));
    Ok((server.running, address))
}

/// A service counts each of its requests, in buckets that add up.
fn counted(workspace: &Workspace, service: &Service) -> Result<()> {
    let package = workspace.appliance(service.appliance)?;
    let extras = Extras {
        metrics: true,
        ..Extras::default()
    };
    let image = build::build_with(workspace, service.appliance, Profile::Debug, extras)?;
    let mut wish = Wish::of(package, Machine::Q35)?;
    wish.append = format!("{} log=info metrics={PORT}", wish.append);
    let ports = [
        Forward::from_free_port(service.port)?,
        Forward::from_free_port(PORT)?,
    ];
    wish.ports = ports.into();
    let running = Running::start(&wish.vm(workspace, package, &image)?.command())?;
    let [address, metrics] = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port.host)));
    running.wait_for(0, "metrics: on port")?;
    running.wait_for(0, "listening on port")?;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    for (said, expected) in service.talk {
        // In one piece, for an echo counts pieces.
        stream.write_all(format!("{said}\r\n").as_bytes())?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        ensure!(
            line.trim_end() == *expected,
            "`{line}` instead of `{expected}` to `{said}`"
        );
    }
    let text = fetch(metrics)?;
    let of = |part: &str, more: &str| {
        let name = service.service;
        let labels = format!("{{service=\"{name}\",core=\"0\"{more}}}");
        sample(
            &text,
            &format!("toro_request_duration_seconds_{part}{labels}"),
        )
    };
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let said = service.talk.len() as f64;
    let [count, all] = [of("count", "")?, of("bucket", ",le=\"+Inf\"")?];
    // The last one is counted behind its answer, which may have come before.
    ensure!(
        (said - 1.0..=said).contains(&count) && count == all,
        "{count} requests, {all} in buckets, of {said}:\n{text}"
    );
    ensure!(of("sum", "")? > 0.0, "they took no time:\n{text}");
    (service.more)(&workspace.target("test")?, &text)
}

/// `metrics=vsock:PORT`: no address of the network leads there.
fn to_the_host(workspace: &Workspace) -> Result<()> {
    setup::ensure(&[Tool::VhostDeviceVsock])?;
    let package = workspace.appliance("echo-vsock")?;
    let extras = Extras {
        metrics: true,
        ..Extras::default()
    };
    let image = build::build_with(workspace, &package.name, Profile::Debug, extras)?;
    let mut wish = Wish::of(package, Machine::Q35)?;
    wish.append = format!("{} log=info metrics=vsock:{PORT}", wish.append);
    wish.on_free_ports()?;
    let vm = wish.vm(workspace, package, &image)?;
    let sockets = vm.vsock.as_ref().context("a socket device")?;
    let _backend = Backend::start(sockets)?;
    let running = Running::start(&vm.command())?;
    running.wait_for(0, &format!("metrics: on port {PORT} of the sockets"))?;
    let mut stream = sockets.connect(u32::from(PORT), TIMEOUT)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: toro\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, text) = answer
        .split_once("\r\n\r\n")
        .context("an answer has a head")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let cores = sample(text, "toro_cores")?;
    ensure!(cores >= 1.0, "{cores} cores");
    Ok(())
}

/// What reached a file was written, synced and flushed to a disk.
fn storage(folder: &Path, text: &str) -> Result<()> {
    let of = |family: &str, label: &str, operation: &str| {
        let labels = format!("{{{label},core=\"0\",operation=\"{operation}\"}}");
        sample(text, &format!("toro_{family}_total{labels}"))
    };
    for (kind, label, sync) in [
        ("fs", "path=\"/data\"", "sync"),
        ("disk", "disk=\"blk0\"", "flush"),
    ] {
        for operation in ["read", "write", sync] {
            for family in ["operations", "operation_seconds"] {
                let value = of(&format!("{kind}_{family}"), label, operation)?;
                ensure!(value > 0.0, "no {operation} of {label}:\n{text}");
            }
            let failed = of(&format!("{kind}_errors"), label, operation)?;
            ensure!(failed == 0.0, "{failed} failed:\n{text}");
        }
        let [read, written] = ["read", "write"].map(|way| of(&format!("{kind}_bytes"), label, way));
        ensure!(read? > 0.0 && written? > 0.0, "no bytes moved:\n{text}");
    }
    checked(folder, text)
}

fn fetch(address: SocketAddr) -> Result<String> {
    let answer = Client::connect(address)?.get("/metrics")?.expect(200)?;
    Ok(String::from_utf8(answer.body)?)
}

/// The value of the sample that begins with `start`.
fn sample(text: &str, start: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(start));
    let value = line.with_context(|| format!("no `{start}` in\n{text}"))?;
    Ok(value.trim().parse()?)
}

fn counts(_: &Path, address: SocketAddr) -> Result<()> {
    let text = fetch(address)?;
    let requests = sample(
        &text,
        "toro_request_duration_seconds_count{service=\"http\",core=\"0\"}",
    )?;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let asked = REQUESTS as f64;
    ensure!(requests >= asked, "{requests} requests instead of {asked}");
    let accepted = sample(&text, "toro_net_accepted_total{core=\"0\"}")?;
    ensure!(accepted > asked, "{accepted} connections");
    ensure!(sample(&text, "toro_cores")? == 2.0, "not two cores");
    let mounted = sample(&text, "toro_fs_mount_info{core=\"0\",path=\"/\"}")?;
    ensure!(mounted == 1.0, "the archive is mounted {mounted} times");
    let interrupts = text
        .lines()
        .filter_map(|line| line.strip_prefix("toro_interrupts_total{core=\"0\",vector="));
    let interrupts = interrupts.filter_map(|rest| rest.split_once("} ")?.1.parse::<f64>().ok());
    ensure!(
        interrupts.sum::<f64>() > 0.0,
        "the card does not interrupt:\n{text}"
    );
    for core in ["0", "1"] {
        let total = sample(&text, &format!("toro_heap_total_bytes{{core=\"{core}\"}}"))?;
        let used = sample(&text, &format!("toro_heap_in_use_bytes{{core=\"{core}\"}}"))?;
        ensure!(
            0.0 < used && used < total,
            "{used} of {total} bytes on core {core}"
        );
        let threads = sample(&text, &format!("toro_core_threads{{core=\"{core}\"}}"))?;
        ensure!(threads >= 1.0, "{threads} threads on core {core}");
    }
    Ok(())
}

fn promtool(folder: &Path, address: SocketAddr) -> Result<()> {
    checked(folder, &fetch(address)?)
}

/// Prometheus' own parser has nothing to say about it.
fn checked(folder: &Path, text: &str) -> Result<()> {
    let tree = packages::alone(&folder.join("packages"), "prometheus")?;
    let mut check = Command::new(tree.join("usr/bin/promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run promtool")?;
    let mut input = check.stdin.take().context("promtool has no input")?;
    input.write_all(text.as_bytes())?;
    drop(input);
    let output = check.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success() && said.is_empty(), "{said}");
    Ok(())
}

fn errors(_: &Path, address: SocketAddr) -> Result<()> {
    Client::connect(address)?.get("/nothing")?.expect(404)?;
    let mut client = Client::connect(address)?;
    client.send(b"POST /metrics HTTP/1.1\r\nHost: toro\r\nContent-Length: 0\r\n\r\n")?;
    client.receive(false)?.expect(405)?;
    let mut client = Client::connect(address)?;
    client.send(b"nonsense\r\n\r\n")?;
    client.receive(false)?.expect(400)?;
    // A client that says nothing and leaves does not keep the others out.
    drop(Client::connect(address)?);
    fetch(address).map(drop)
}

fn browser(folder: &Path, address: SocketAddr) -> Result<()> {
    let url = format!("http://{address}/");
    let page = chromium::show(folder, &url, &["--dump-dom"])?;
    let page = String::from_utf8_lossy(&page);
    ensure!(
        page.contains("<span id=\"state\" class=\"\">up "),
        "the page got no figures:\n{page}"
    );
    let (_, rows) = page
        .split_once("<tbody id=\"cores\">")
        .context("the page has no table of cores")?;
    let rows = rows.split("</tbody>").next().unwrap_or_default();
    ensure!(rows.matches("<tr>").count() == 2, "not two cores: {rows}");
    let storage = "<tbody id=\"storage\"><tr><td>/</td>";
    ensure!(page.contains(storage), "the archive is not shown:\n{page}");
    ensure!(
        !page.contains("id=\"busy\">-<"),
        "no core was seen busy or idle"
    );
    let picture = folder.join("status-page.png");
    let argument = format!("--screenshot={}", picture.display());
    chromium::show(folder, &url, &[&argument, "--window-size=400,1400"])?;
    let png = fs::read(&picture)?;
    ensure!(
        png.starts_with(b"\x89PNG") && png.len() > 10_000,
        "the picture is empty"
    );
    Ok(())
}
