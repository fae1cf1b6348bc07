//! Shared folders that lie to `web-server`: its own pages are in the archive, and requests for files of the folders bring the lies out.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use toro_liar::RingLie;
use toro_liar::folder::{About, Folder, Lie};

use super::{PATIENCE, Scenario, Siege, arm, machine};
use crate::build::{self, Extras, Profile};
use crate::qemu::{Forward, Machine, Running};
use crate::run::Wish;
use crate::test::server::{self, NAME};
use crate::test::tally::Tally;
use crate::workspace::Workspace;

const KIND: &str = "folder";
const LEFT_OUT: &str = "mount=/lie#:virtiofs:fs#:optional: ";
const SILENT: &str = "fs#: the host does not answer";

/// How long the image waits for an answer: each silence takes as long, and the honest folder of a busy machine may not.
const HOST_PATIENCE: Duration = Duration::from_secs(3);

/// More than any answer has.
const MOST: u64 = 4 << 20;

/// Boots the machine.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    let names: Vec<&str> = scenarios().iter().map(|one| one.name).collect();
    machine(KIND, &names, tally, || besiege(workspace), serves);
}

fn scenarios() -> Vec<Scenario> {
    let ring = |about, lie| Folder::new(about, Lie::Ring(lie));
    let bytes = |about, at, bytes: &[u8]| Folder::new(about, Lie::Bytes(at, bytes.to_vec()));
    let length = |about, len| Folder::new(about, Lie::Length(len));
    use About::{Init, Lookup, Open, Read};
    vec![
        Scenario::new("no lie", Folder::new(Read, Lie::None)).lies(0),
        Scenario::new("an id out of range", ring(Lookup, RingLie::IdOutOfRange))
            .says("`liar#` was given up: the device returns chain 65536"),
        Scenario::new(
            "the id of nothing in flight",
            ring(Open, RingLie::IdOfNothing),
        )
        .says("`liar#` was given up: the device returns chain 1"),
        Scenario::new("the same id twice", ring(Read, RingLie::Twice))
            .says("`liar#` was given up: the device claims 2 chains of 1"),
        Scenario::new("more written than fits", ring(Read, RingLie::TooLong))
            .says("`liar#` was given up: the device claims"),
        Scenario::new("nothing written", ring(Lookup, RingLie::Empty)),
        Scenario::new("an index far ahead", ring(Open, RingLie::IndexAhead))
            .says("`liar#` was given up: the device claims 100"),
        Scenario::new("an index that goes back", ring(Lookup, RingLie::IndexBack))
            .says("`liar#` was given up: the device claims 6553"),
        Scenario::new("descriptors rewritten", ring(Lookup, RingLie::Rewritten)),
        Scenario::new("another's number", bytes(Lookup, 8, &[0xff; 8])).says("was answered with"),
        Scenario::new("another's number at first", bytes(Init, 8, &[0xff; 8])).says(LEFT_OUT),
        Scenario::new("a protocol of the future", bytes(Init, 16, &[99])).says(LEFT_OUT),
        Scenario::new(
            "an error that is none",
            bytes(Lookup, 4, &[0xf1, 0xd8, 0xff, 0xff]),
        ),
        Scenario::new("a positive error", bytes(Open, 4, &[5, 0, 0, 0])),
        Scenario::new("a short answer", length(Lookup, 20)),
        Scenario::new("more bytes than were asked for", length(Read, 1 << 21)),
        Scenario::new("fewer bytes than the file has", length(Read, 16)),
        Scenario::new("a length of nothing", Folder::new(Lookup, Lie::Claims(0))),
        Scenario::new(
            "a length of 4 GiB",
            Folder::new(Read, Lie::Claims(u32::MAX)),
        ),
        Scenario::new("a file of 16 EiB", bytes(Lookup, 64, &[0xff; 8])),
        Scenario::new("a file that is nothing", bytes(Lookup, 16, &[0; 8])),
        Scenario::new("no answer", ring(Read, RingLie::Never)).says(SILENT),
        Scenario::new(
            "an answer that comes too late",
            Folder::new(Read, Lie::Late(2 * HOST_PATIENCE)),
        )
        .says(SILENT)
        .answers(1),
        Scenario::new("work without interrupts", ring(Open, RingLie::Silent)),
        Scenario::new("the end in the middle", Folder::new(Read, Lie::Disconnect)).says(SILENT),
    ]
}

fn besiege(workspace: &Workspace) -> Result<Siege> {
    let extras = Extras {
        virtio_fs: true,
        ..Extras::default()
    };
    let image = build::build_with(workspace, NAME, Profile::Release, extras)?;
    let package = workspace.appliance(NAME)?;
    let scenarios = scenarios();
    let mut wish = Wish::of(package, Machine::Pc)?;
    let forward = Forward::from_free_port(80)?;
    wish.ports = vec![forward];
    let patience = HOST_PATIENCE.as_secs();
    wish.append = format!("{} log=info patience={patience}", wish.append);
    for number in 0..scenarios.len() {
        let mount = format!(" mount=/lie{number}:virtiofs:fs{number}:optional");
        wish.append.push_str(&mount);
    }
    let mut vm = wish.vm(workspace, package, &image)?;
    let device = "-device vhost-user-fs-pci,chardev=liar#,tag=liar#";
    let attacks = arm(workspace, &mut vm, KIND, scenarios, 0, device)?;
    let running = Running::start(&vm.command())?;
    running.wait_for(0, "listening on port 80")?;
    Ok(Siege {
        running,
        port: forward.host,
        attacks,
    })
}

/// Asks for the file of every folder. Only the honest one must have it, each request has an end, and none takes the server along.
fn serves(siege: &Siege) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, siege.port));
    for (number, (scenario, _)) in siege.attacks.iter().enumerate() {
        let about = || format!("with {}\n{}", scenario.name, siege.running.tail());
        let answer = fetch(address, &format!("/lie{number}/file")).with_context(about)?;
        let is_file = answer.ends_with(&Folder::FILE);
        ensure!(number != 0 || is_file, "the honest folder's file differs");
        server::check_answers(address).with_context(about)?;
    }
    Ok(())
}

/// All that comes for a request until the connection ends, in whatever way; a length that is claimed is not believed.
fn fetch(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: toro\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    match stream.take(MOST).read_to_end(&mut answer) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => {
            Err(error).context("the connection does not end")
        }
        _ => Ok(answer),
    }
}
