//! `metrics=PORT` on the command line, or `metrics=vsock:PORT`: a thread that answers `/metrics` for Prometheus and `/` with the status page.
//!
//! One client at a time: a scrape takes well under a millisecond, and whoever is slow is sent away after [`PATIENCE`].
//! The thread lives on the core that owns the first network card, or the first socket device.

#[cfg(feature = "files")]
mod counted;
mod network;
mod storage;

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::net::Ipv4Addr;
use core::time::Duration;

use embedded_io::{Read, Write};
use log::{error, info};
use toro_http::{Limits, Method, Parsed, Status, Target};
use toro_metrics::{Kind, PAGE, Requests, Text};
use toro_net::TcpListener;
use toro_time::Instant;

#[cfg(feature = "files")]
pub(crate) use self::counted::counted;
use self::storage::Operations;
use crate::{drivers, environment};

/// How long a client may take for its request, and for reading the answer.
const PATIENCE: Duration = Duration::from_secs(5);

const PLAIN: &str = "text/plain; charset=utf-8";
/// The text format of Prometheus.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const PAGES: &str = "a status page at /, for Prometheus at /metrics";
const LOST: &str = "the status page is at /, the metrics are at /metrics\n";

const LIMITS: Limits = Limits {
    head_bytes: 4096,
    body: 0,
    ..Limits::DEFAULT
};

/// Starts the thread, if the command line asks for it.
pub(crate) fn start() {
    let Some(text) = environment::value("metrics") else {
        return;
    };
    let (device, port, serve): (_, _, fn(u16)) = match text.strip_prefix("vsock:") {
        #[cfg(feature = "vsock")]
        Some(port) => ("vsock0", port, serve_host),
        _ => ("net0", text, serve_network),
    };
    let Some(port) = port.parse().ok().filter(|&port: &u16| port > 0) else {
        return error!(
            "metrics={text}: a port from 1 to 65535, or with the unit vsock one of the host's sockets, as in vsock:9100; no metrics are served"
        );
    };
    // What is answered until the first client comes counts as well.
    Requests::count_all();
    let core = drivers::owner_of(device).unwrap_or(0);
    let spawned = toro_sched::Builder::new()
        .name("metrics")
        .stack_size(32 * 1024)
        .spawn_on(core, move || serve(port));
    if let Err(reason) = spawned {
        error!("metrics: {reason}");
    }
}

fn serve_network(port: u16) {
    let listener = match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
        Ok(listener) => listener,
        Err(reason) => return error!("metrics={port}: cannot listen: {reason}"),
    };
    info!("metrics: on port {port}, {PAGES}");
    serve(|| {
        let (client, _) = listener.accept().ok()?;
        client.set_read_timeout(Some(PATIENCE));
        client.set_write_timeout(Some(PATIENCE));
        Some(client)
    });
}

/// The host alone: its sockets know no address of the network.
#[cfg(feature = "vsock")]
fn serve_host(port: u16) {
    let listener = match toro_vsock::VsockListener::bind(u32::from(port)) {
        Ok(listener) => listener,
        Err(reason) => return error!("metrics=vsock:{port}: cannot listen: {reason}"),
    };
    info!("metrics: on port {port} of the sockets to the host, {PAGES}");
    serve(|| {
        let (client, _) = listener.accept().ok()?;
        client.set_read_timeout(Some(PATIENCE));
        client.set_write_timeout(Some(PATIENCE));
        Some(client)
    });
}

/// Answers one client after the other, for as long as any is accepted. One that fails is forgotten.
fn serve<S: Read + Write>(accept: impl Fn() -> Option<S>) {
    while let Some(mut client) = accept() {
        let _ = answer(&mut client);
    }
}

/// Reads one request and answers it, unless the client leaves before.
fn answer<S: Read + Write>(client: &mut S) -> Result<(), S::Error> {
    let mut input = vec![0; LIMITS.head_bytes];
    let mut len = 0;
    let answer = loop {
        match toro_http::parse(&input[..len], &LIMITS) {
            Parsed::Complete { request, .. } => break reply(request.method, request.target),
            Parsed::Invalid(status) => break page(status, PLAIN, "", true),
            Parsed::Partial => match client.read(&mut input[len..])? {
                0 => return Ok(()),
                more => len += more,
            },
        }
    };
    client.write_all(answer.as_bytes())
}

fn reply(method: Method, target: Target<'_>) -> String {
    let has_body = method != Method::Head;
    let path = match (method, target) {
        (Method::Get | Method::Head, Target::Path { path, .. }) => path,
        _ => return page(Status::MethodNotAllowed, PLAIN, "", true),
    };
    match path {
        "/metrics" => page(Status::Ok, PROMETHEUS, &collect(), has_body),
        "/" => page(Status::Ok, "text/html; charset=utf-8", PAGE, has_body),
        _ => page(Status::NotFound, PLAIN, LOST, has_body),
    }
}

fn page(status: Status, kind: &str, body: &str, has_body: bool) -> String {
    format!(
        "HTTP/1.1 {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n{}",
        status.text(),
        body.len(),
        if has_body { body } else { "" }
    )
}

/// What one core counts.
struct Core {
    heap: toro_mem::Stats,
    sched: toro_sched::Stats,
    net: Option<toro_net::Stats>,
    /// The vectors that have arrived, and how often.
    interrupts: Vec<(u8, u32)>,
    mounts: Vec<String>,
    disks: Vec<(String, Operations)>,
    files: Vec<(String, Operations)>,
}

fn interrupts() -> Vec<(u8, u32)> {
    let mut all = Vec::new();
    toro_irq::each_arrival(|vector, count| all.push((vector, count)));
    all
}

#[cfg(feature = "files")]
fn mounts() -> Vec<String> {
    let mut all = Vec::new();
    toro_vfs::mount_points(|path| all.push(format!("/{}", path.trim_start_matches('/'))));
    all
}

#[cfg(feature = "files")]
fn files() -> Vec<(String, Operations)> {
    counted::counts()
}

#[cfg(not(feature = "files"))]
fn mounts() -> Vec<String> {
    Vec::new()
}

#[cfg(not(feature = "files"))]
fn files() -> Vec<(String, Operations)> {
    Vec::new()
}

/// Asks every core what it counts; blocks until all have said it.
fn collect() -> String {
    let ask = || Core {
        heap: toro_mem::stats(),
        sched: toro_sched::stats(),
        net: toro_net::is_init().then(toro_net::stats),
        interrupts: interrupts(),
        mounts: mounts(),
        disks: storage::disks(),
        files: files(),
    };
    let asked = toro_sched::on_each_core("metrics", ask).unwrap_or_default();
    let cores: Vec<(String, Core)> = asked
        .into_iter()
        .enumerate()
        .filter_map(|(number, core)| Some((format!("{number}"), core.ok()?)))
        .collect();
    let mut text = Text::default();
    let up = Instant::now().as_nanos();
    text.family(
        "toro_uptime_seconds",
        Kind::Gauge,
        "Time since the image was entered.",
    );
    text.sample(&[], seconds(u128::from(up)));
    text.family("toro_cores", Kind::Gauge, "Cores that run.");
    text.sample(&[], toro_sched::cores());
    heap(&mut text, &cores);
    scheduler(&mut text, &cores);
    network::network(&mut text, &cores);
    devices(&mut text, &cores);
    let disks = cores.iter().map(|(number, core)| (number, &core.disks));
    storage::DISKS.write(&mut text, disks);
    let files = cores.iter().map(|(number, core)| (number, &core.files));
    storage::MOUNTS.write(&mut text, files);
    Requests::write_all(&mut text, toro_sched::cores());
    text.finish()
}

fn devices(text: &mut Text, cores: &[(String, Core)]) {
    text.family(
        "toro_interrupts_total",
        Kind::Counter,
        "Interrupts of devices and wake-ups by other cores that were taken in.",
    );
    for (number, core) in cores {
        for (vector, count) in &core.interrupts {
            let vector = format!("{vector}");
            text.sample(&[("core", number), ("vector", &vector)], count);
        }
    }
    if cores.iter().all(|(_, core)| core.mounts.is_empty()) {
        return;
    }
    text.family(
        "toro_fs_mount_info",
        Kind::Gauge,
        "1 for each file system that is mounted.",
    );
    for (number, core) in cores {
        for path in &core.mounts {
            text.sample(&[("core", number), ("path", path)], 1);
        }
    }
}

fn seconds(ns: u128) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

/// A row of a table of families: name, kind, help, and how to find the value.
type Row<T> = (&'static str, Kind, &'static str, fn(&T) -> u64);

fn heap(text: &mut Text, cores: &[(String, Core)]) {
    const ROWS: &[Row<toro_mem::Stats>] = &[
        (
            "toro_heap_total_bytes",
            Kind::Gauge,
            "Memory that the core's heap can hand out.",
            |heap| heap.total as u64,
        ),
        (
            "toro_heap_in_use_bytes",
            Kind::Gauge,
            "Memory in objects.",
            |heap| heap.in_use as u64,
        ),
        (
            "toro_heap_free_bytes",
            Kind::Gauge,
            "Memory in pages that nobody uses.",
            |heap| heap.free as u64,
        ),
        (
            "toro_heap_high_water_bytes",
            Kind::Gauge,
            "The most memory that was not free at one time.",
            |heap| heap.high_water as u64,
        ),
        (
            "toro_heap_allocations_total",
            Kind::Counter,
            "Objects handed out.",
            |heap| heap.allocations,
        ),
        (
            "toro_heap_frees_total",
            Kind::Counter,
            "Objects that came back.",
            |heap| heap.frees,
        ),
    ];
    for &(name, kind, help, value) in ROWS {
        text.family(name, kind, help);
        for (number, core) in cores {
            text.sample(&[("core", number)], value(&core.heap));
        }
    }
}

fn scheduler(text: &mut Text, cores: &[(String, Core)]) {
    const ROWS: &[Row<toro_sched::Stats>] = &[
        (
            "toro_core_threads",
            Kind::Gauge,
            "Threads that have begun and not ended.",
            |sched| sched.threads as u64,
        ),
        (
            "toro_core_switches_total",
            Kind::Counter,
            "Changes from one thread to another.",
            |sched| sched.switches,
        ),
    ];
    for &(name, kind, help, value) in ROWS {
        text.family(name, kind, help);
        for (number, core) in cores {
            text.sample(&[("core", number)], value(&core.sched));
        }
    }
    text.family(
        "toro_core_idle_seconds_total",
        Kind::Counter,
        "Time in which no thread was ready.",
    );
    for (number, core) in cores {
        text.sample(&[("core", number)], seconds(core.sched.idle.as_nanos()));
    }
}
