//! Disks that lie to `durable-log`: its own is honest, and it tries to mount all others.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use toro_liar::RingLie;
use toro_liar::disk::{Disk, Lie};

use super::{PATIENCE, Scenario, Siege, arm, case, happens, machine};
use crate::build::{self, Profile};
use crate::qemu::{Disk as File, Forward, Machine, Running};
use crate::run::{Disks, Wish};
use crate::test::Depth;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

const IMAGE: &str = "durable-log";
const KIND: &str = "disk";

/// Feature bits.
const SIZE_MAX: u64 = 1 << 1;
const READ_ONLY: u64 = 1 << 5;
const FLUSH: u64 = 1 << 9;
const VERSION_1: u64 = 1 << 32;

/// What the console says of a disk that was mounted, and of one that was not.
const MOUNTED: &str = "fat blk# at /lie#";
const LEFT_OUT: &str = "mount=/lie#:fat:blk#:optional: ";

type Scenarios = fn(&Arc<Vec<u8>>) -> Vec<Scenario>;

/// The case of an image whose own disk lies while it is used.
const OWN: &str = "its own, in the middle of its work";
/// The case of a disk whose only way to interrupt is a line.
const LINE: &str = "a storm on the line of a disk without messages";
/// So many requests are carried out before.
const HONEST: usize = 40;

/// Boots two machines, or three.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally, depth: Depth) {
    let name = case(KIND, OWN);
    if tally.wants(&name) {
        tally.record(&name, own(workspace));
    }
    let name = case(KIND, LINE);
    if tally.wants(&name) {
        tally.record(&name, line(workspace));
    }
    let all: [Scenarios; 2] = [scenarios, slow_scenarios];
    let nothing = Arc::new(Vec::new());
    for scenarios in &all[..depth.pick(1, 1, 2)] {
        let names: Vec<&str> = scenarios(&nothing).iter().map(|one| one.name).collect();
        machine(
            KIND,
            &names,
            tally,
            || besiege(workspace, *scenarios),
            appends,
        );
    }
}

fn scenarios(bytes: &Arc<Vec<u8>>) -> Vec<Scenario> {
    let disk = |honest, lie| Disk::new(Arc::clone(bytes), honest, lie);
    let ring = |honest, lie| disk(honest, Lie::Ring(lie));
    let fine = || disk(0, Lie::None);
    let odd = |at, bytes: &[u8]| fine().configured(at, bytes);
    vec![
        Scenario::new("an id out of range", ring(0, RingLie::IdOutOfRange))
            .says("returns chain 65536, which it has not")
            .says(LEFT_OUT),
        Scenario::new("the id of nothing in flight", ring(0, RingLie::IdOfNothing))
            .says("returns chain 1, which it has not")
            .says(LEFT_OUT),
        Scenario::new("the same id twice", ring(0, RingLie::Twice))
            .says("claims 2 chains of 1")
            .says(LEFT_OUT),
        Scenario::new("more written than fits", ring(0, RingLie::TooLong))
            .says("bytes written of")
            .says(LEFT_OUT),
        Scenario::new("nothing written", ring(0, RingLie::Empty)).says(LEFT_OUT),
        Scenario::new("an index far ahead", ring(0, RingLie::IndexAhead))
            .says("claims 1000 chains of 1")
            .says(LEFT_OUT),
        Scenario::new("an index that goes back", ring(0, RingLie::IndexBack))
            .says("claims 65535 chains of 1")
            .says(LEFT_OUT),
        Scenario::new("descriptors rewritten", ring(0, RingLie::Rewritten)).says(MOUNTED),
        Scenario::new("a status that is none", disk(0, Lie::Status(7))).says(LEFT_OUT),
        Scenario::new("failure", disk(0, Lie::Status(1))).says(LEFT_OUT),
        Scenario::new("a storm of interrupts", disk(0, Lie::Storm))
            .says(MOUNTED)
            .says("blk: interrupts without work")
            .lies(100),
        Scenario::new("a storm on an interrupt line", disk(0, Lie::Storm))
            .with(",vectors=0")
            .says("no msi-x capability; using interrupt line")
            .says(MOUNTED)
            .lies(100),
        Scenario::new("a size that never rests", disk(0, Lie::Restless))
            .says(MOUNTED)
            .lies(20),
        Scenario::new("a disk that shrinks", disk(0, Lie::Shrinks)),
        Scenario::new("no sectors", odd(0, &[0; 8]))
            .says(LEFT_OUT)
            .lies(0),
        Scenario::new("blocks of 3 bytes", odd(20, &[3, 0, 0, 0]))
            .says("blocks of 3 bytes; using 512")
            .says(MOUNTED)
            .lies(0),
        Scenario::new("more sectors than there can be", odd(0, &[0xff; 8]))
            .says(MOUNTED)
            .lies(0),
        Scenario::new("no version 1", fine().featured(VERSION_1, 0))
            .with(",disable-legacy=off")
            .says("a legacy device (before virtio 1.0), which is not supported")
            .says("mount=/lie#:fat:blk#:optional: there is no such disk")
            .lies(0),
        Scenario::new("a queue too short for a request", fine())
            .with(",queue-size=3")
            .says("blk#: the disk cannot be used: a queue of 2 is too short for a request")
            .lies(0),
        Scenario::new("segments of a byte", odd(8, &[1, 0, 0, 0]))
            .says(MOUNTED)
            .lies(0),
        Scenario::new(
            "no flush, and read-only",
            fine().featured(FLUSH | SIZE_MAX, READ_ONLY),
        )
        .says("blk#: 4096 sectors, blocks of 512 bytes, read-only")
        .lies(0),
        Scenario::new("a queue of 4, and nothing that makes it fast", fine())
            .with(",queue-size=4,indirect_desc=off,event_idx=off")
            .says(MOUNTED)
            .lies(0),
        Scenario::new("a queue of 256", fine())
            .with(",queue-size=256")
            .says(MOUNTED)
            .lies(0),
    ]
}

/// What takes as long as a request may.
fn slow_scenarios(bytes: &Arc<Vec<u8>>) -> Vec<Scenario> {
    let disk = |lie| Disk::new(Arc::clone(bytes), 0, lie);
    vec![
        Scenario::new("no answer", disk(Lie::Ring(RingLie::Never)))
            .says("a request was not answered within 30s")
            .says(LEFT_OUT),
        Scenario::new(
            "an answer that comes too late",
            disk(Lie::Late(Duration::from_secs(35))),
        )
        .says(LEFT_OUT)
        .answers(1),
        Scenario::new("work without interrupts", disk(Lie::Ring(RingLie::Silent))),
        Scenario::new("the end in the middle", disk(Lie::Disconnect)).says(LEFT_OUT),
    ]
}

fn besiege(workspace: &Workspace, scenarios: Scenarios) -> Result<Siege> {
    let scenarios = scenarios(&volume(workspace)?);
    let mounts =
        (1..=scenarios.len()).map(|number| format!(" mount=/lie{number}:fat:blk{number}:optional"));
    let mounts: String = mounts.collect();
    start(workspace, Machine::Pc, scenarios, 1, |wish| {
        wish.append.push_str(&mounts)
    })
}

/// The bytes of an empty volume.
fn volume(workspace: &Workspace) -> Result<Arc<Vec<u8>>> {
    let folder = workspace.target("disk")?;
    let package = workspace.appliance(IMAGE)?;
    let file = File::scratch("2M,fat12", &folder, "liar", package.folder())?;
    Ok(Arc::new(fs::read(&file.path)?))
}

/// Boots the image with liars, the first of which is disk number `first`.
fn start(
    workspace: &Workspace,
    machine: Machine,
    scenarios: Vec<Scenario>,
    first: usize,
    change: impl FnOnce(&mut Wish),
) -> Result<Siege> {
    let image = build::build(workspace, IMAGE, Profile::Release)?;
    let package = workspace.appliance(IMAGE)?;
    let mut wish = Wish::of(package, machine)?;
    let forward = Forward::from_free_port(7000)?;
    wish.ports = vec![forward];
    wish.append.push_str(" log=info");
    change(&mut wish);
    let mut vm = wish.vm(workspace, package, &image)?;
    let device = match machine {
        Machine::Microvm => "vhost-user-blk",
        _ => "vhost-user-blk-pci,disable-legacy=on",
    };
    let device = format!("-device {device},num-queues=1,chardev=liar#");
    let attacks = arm(workspace, &mut vm, KIND, scenarios, first, &device)?;
    let running = Running::start(&vm.command())?;
    running.wait_for(0, "listening on port 7000")?;
    Ok(Siege {
        running,
        port: forward.host,
        attacks,
    })
}

/// The only disk of the image lies while records are appended: an error, and who asks gets answers still.
fn own(workspace: &Workspace) -> Result<()> {
    let lie = Lie::Ring(RingLie::IdOutOfRange);
    let disk = Disk::new(volume(workspace)?, HONEST, lie);
    let scenario = Scenario::new(OWN, disk).says("blk: given up: the device returns chain");
    let mut siege = start(workspace, Machine::Pc, vec![scenario], 0, |wish| {
        wish.disks = Disks::Given(Vec::new());
    })?;
    let mut client = connect(&siege)?;
    let mut records = 0;
    let error = loop {
        let answer = ask(&mut client, &format!("append record {records}"))?;
        if !answer.starts_with("ok ") {
            break answer;
        }
        records += 1;
        ensure!(records < HONEST, "{records} records, and no lie");
    };
    ensure!(error.starts_with("error "), "it says {error}");
    let count = ask(&mut connect(&siege)?, "count")?;
    ensure!(count.starts_with("count "), "it says {count}");
    let (scenario, liar) = &siege.attacks[0];
    happens(&siege.running, scenario, liar, Instant::now() + PATIENCE)?;
    siege.check_calm()
}

/// A disk of microvm, whose interrupt is a line, storms: the line is masked at times, and the disk is used all the same.
fn line(workspace: &Workspace) -> Result<()> {
    let disk = Disk::new(volume(workspace)?, 0, Lie::Storm);
    let scenario = Scenario::new(LINE, disk)
        .says("blk: interrupts without work; from now on they are masked at times")
        .says(MOUNTED)
        .lies(100);
    let mut siege = start(workspace, Machine::Microvm, vec![scenario], 1, |wish| {
        wish.append.push_str(" mount=/lie1:fat:blk1:optional");
    })?;
    let (scenario, liar) = &siege.attacks[0];
    happens(&siege.running, scenario, liar, Instant::now() + PATIENCE)?;
    appends(&siege)?;
    siege.check_calm()
}

/// The honest disk takes a record.
fn appends(siege: &Siege) -> Result<()> {
    let answer = ask(&mut connect(siege)?, "append a record")?;
    ensure!(answer.starts_with("ok "), "it says {answer}");
    Ok(())
}

fn connect(siege: &Siege) -> Result<BufReader<TcpStream>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, siege.port));
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

fn ask(client: &mut BufReader<TcpStream>, line: &str) -> Result<String> {
    client.get_mut().write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    client.read_line(&mut answer).context("no answer")?;
    Ok(answer.trim_end().to_owned())
}
