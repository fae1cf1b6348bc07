//! A folder of the host under an image that uses it: files that change, and a server that dies.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};

use super::TIMEOUT;
use crate::build::{self, Extras, Image, Profile};
use crate::qemu::{Machine, Running};
use crate::run::Wish;
use crate::test::cells::Cell;
use crate::test::client::{Client, Response};
use crate::test::server::{self, Server, Setting};
use crate::test::share;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

const CHANGES: &str = "e2e: web-server notices that files of a share change";
const STANDSTILL: &str = "e2e: web-server answers others while the host of a share stands still";
const OUTAGE: &str = "e2e: a share whose server dies is an error and no hang";
/// The image of the second case.
const READER: &str = "test-share";

/// A busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs all cases.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    for (name, image, case) in [
        (
            CHANGES,
            server::NAME,
            changes as fn(&Workspace, Image) -> Result<()>,
        ),
        (STANDSTILL, server::NAME, standstill),
        (OUTAGE, READER, outage),
    ] {
        if !tally.wants(name) {
            continue;
        }
        let extras = Extras {
            virtio_fs: image == server::NAME,
            ..Extras::default()
        };
        match build::build_with(workspace, image, Profile::Release, extras) {
            Ok(image) => {
                let workspace = workspace.clone();
                tally.case(name, TIMEOUT, move || case(&workspace, image));
            }
            Err(error) => tally.record(name, Err(error)),
        }
    }
}

/// A server of `folder`.
fn serve(workspace: &Workspace, image: Image, folder: &Path) -> Result<Server> {
    let setting = Setting {
        image,
        machine: Machine::Microvm,
        memory: None,
        cell: Cell::PLAIN,
        archive: None,
        share: Some(folder.to_owned()),
        tap: None,
        monitor: None,
    };
    Server::start(workspace, &setting)
}

/// More clients wait for their files than a loop of events could hold up, and others are answered meanwhile.
fn standstill(workspace: &Workspace, image: Image) -> Result<()> {
    const WAITING: usize = 8;
    let folder = empty(workspace, "standing")?;
    let large: Vec<u8> = (0..500_000).map(toro_abi::share::pattern).collect();
    fs::write(folder.join("index.html"), "index")?;
    fs::write(folder.join("large"), &large)?;
    let mut server = serve(workspace, image, &folder)?;
    let address = server.address;
    server
        .servers
        .iter()
        .try_for_each(|host| host.pause(true))?;
    let waiting: Vec<Client> = (0..WAITING)
        .map(|_| {
            let mut client = Client::connect(address)?;
            client.send(b"GET /large HTTP/1.1\r\nHost: toro\r\n\r\n")?;
            Ok(client)
        })
        .collect::<Result<_>>()?;
    // No file is needed for these answers; new connections and old ones get them.
    let mut patient = Client::connect(address)?;
    for _ in 0..3 {
        patient.request("BREW", "/large", "")?.expect(501)?;
        let mut other = Client::connect(address)?;
        other.request("DELETE", "/large", "")?.expect(405)?;
    }
    server.running.check_alive()?;
    server
        .servers
        .iter()
        .try_for_each(|host| host.pause(false))?;
    for mut client in waiting {
        let answer = client.receive(false)?.expect(200)?;
        ensure!(answer.body == large, "the large file differs");
    }
    server.check_alive()
}

fn changes(workspace: &Workspace, image: Image) -> Result<()> {
    let folder = empty(workspace, "changing")?;
    let index = folder.join("index.html");
    let large: Vec<u8> = (0..3_000_000).map(toro_abi::share::pattern).collect();
    fs::write(&index, "one")?;
    fs::write(folder.join("large"), &large)?;
    let mut server = serve(workspace, image, &folder)?;
    let address = server.address;
    let first = until(address, "/", "", |answer| answer.body == b"one")?;
    let tag = first.header("etag").context("a file has a tag")?.to_owned();
    let known = format!("If-None-Match: {tag}\r\n");
    until(address, "/", &known, |answer| answer.status == 304)?;
    let time = first.header("last-modified").context("and a time")?;
    let since = format!("If-Modified-Since: {time}\r\n");
    until(address, "/", &since, |answer| answer.status == 304)?;
    // By its size.
    fs::write(&index, "three")?;
    until(address, "/", &known, |answer| answer.body == b"three")?;
    // By its time.
    let second = get(address, "/", "")?;
    let tag = second.header("etag").context("a file has a tag")?;
    let known = format!("If-None-Match: {tag}\r\n");
    fs::write(&index, "eight")?;
    let later = SystemTime::now() + Duration::from_secs(100);
    File::options()
        .write(true)
        .open(&index)?
        .set_modified(later)?;
    until(address, "/", &known, |answer| answer.body == b"eight")?;
    let newer = get(address, "/", &since)?.expect(200)?;
    ensure!(newer.header("last-modified") != Some(time), "no new time");
    get(address, "/large", "Range: bytes=1000000-1000099\r\n")?
        .expect(206)
        .and_then(|part| {
            ensure!(
                part.body == large[1_000_000..1_000_100],
                "the range differs"
            );
            Ok(())
        })?;
    // By another file in its place, as editors save.
    fs::write(folder.join("new"), "replaced")?;
    fs::rename(folder.join("new"), &index)?;
    until(address, "/", "", |answer| answer.body == b"replaced")?;
    until(address, "/added", "", |answer| answer.status == 404)?;
    fs::write(folder.join("added"), "added")?;
    until(address, "/added", "", |answer| answer.body == b"added")?;
    fs::remove_file(folder.join("added"))?;
    until(address, "/added", "", |answer| answer.status == 404)?;
    ensure!(
        get(address, "/large", "")?.body == large,
        "the large file differs"
    );
    server.check_alive()
}

fn get(address: SocketAddr, path: &str, headers: &str) -> Result<Response> {
    Client::connect(address)?.request("GET", path, headers)
}

/// Asks again and again until the answer is as it should be. A file that changes while it is sent ends the connection.
fn until(
    address: SocketAddr,
    path: &str,
    headers: &str,
    is_right: impl Fn(&Response) -> bool,
) -> Result<Response> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = get(address, path, headers);
        match answer {
            Ok(answer) if is_right(&answer) => return Ok(answer),
            Ok(answer) if Instant::now() > deadline => {
                let body = String::from_utf8_lossy(&answer.body);
                bail!("{path} is {} {body:.40} for {PATIENCE:?}", answer.status);
            }
            Err(error) if Instant::now() > deadline => return Err(error),
            _ => {}
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The server is killed while it is used, and another one takes its place: QEMU does not go there, but the image lives.
fn outage(workspace: &Workspace, image: Image) -> Result<()> {
    let package = workspace.appliance(READER)?;
    let mut wish = Wish::of(package, Machine::Q35)?;
    wish.append = "mount=/share:virtiofs:fs0 patience=5 -- outage".to_owned();
    let vm = wish.vm(workspace, package, &image)?;
    share::prepare(&vm.shares)?;
    let mut servers = vm.serve()?;
    let mut running = Running::start(&vm.command())?;
    let start = running.wait_for(0, "outage: reading works")?;
    for server in &mut servers {
        server.kill()?;
    }
    let killed = running.lines().len().max(start);
    let failed = running.wait_for(killed, "outage: reading fails: the device does not answer")?;
    let _others = vm.serve()?;
    let mut beat = failed;
    for _ in 0..3 {
        beat = running.wait_for(beat, "outage: beat")?;
    }
    // It fails again, and soon: nobody waits for long.
    running.wait_for(beat, "outage: reading ")?;
    running.check_alive()
}

/// An empty folder for a test.
fn empty(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let folder = workspace.target("test")?.join(name);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
