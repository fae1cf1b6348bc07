//! `cargo xtask bench devices`: disk, network card and sockets to the host, next to the same program on Linux.

use std::fs;

use anyhow::Result;

use super::guests::{Hardware, Kit};
use super::io::{self, Args, Load, Way, Work};
use super::plugin::Plugin;
use super::report::Report;
use super::rounds::{self, Client, Effort, Outcome, Peer};
use super::scratch::Scratch;
use crate::netns::Lab;
use crate::qemu::Disk;
use crate::setup::{self, Tool};
use crate::vsock::Sockets;
use crate::workspace::Workspace;

/// Bytes of the disk, which holds no zeros.
const DISK: usize = 64 << 20;
/// The context ids of both guests.
const CIDS: [u32; 2] = [30, 31];

/// Streams and requests.
struct Devices;

impl Client for Devices {
    type Load = Load;
    const CASES: &'static [(&'static str, Load)] = &[
        ("disk: read 4 KiB, depth 1", disk(false, 4096, 1, 3_000)),
        ("disk: read 4 KiB, depth 32", disk(false, 4096, 32, 10_000)),
        ("disk: write 4 KiB, depth 1", disk(true, 4096, 1, 3_000)),
        ("disk: write 4 KiB, depth 32", disk(true, 4096, 32, 10_000)),
        ("disk: read 128 KiB, depth 1", disk(false, BIG, 1, 1_000)),
        ("disk: read 128 KiB, depth 32", disk(false, BIG, 32, 2_000)),
        ("disk: write 128 KiB, depth 1", disk(true, BIG, 1, 1_000)),
        ("disk: write 128 KiB, depth 32", disk(true, BIG, 32, 2_000)),
        ("network: send, 64 B a write", send(TCP, 64, 40_000)),
        ("network: send, 1,500 B a write", send(TCP, 1500, 20_000)),
        ("network: send, 64 KiB a write", send(TCP, LONG, 2_000)),
        ("network: receive, 64 B a write", receive(TCP, 64, 40_000)),
        (
            "network: receive, 1,500 B a write",
            receive(TCP, 1500, 20_000),
        ),
        (
            "network: receive, 64 KiB a write",
            receive(TCP, LONG, 2_000),
        ),
        ("network: round trip of 64 B", echo(TCP, 2_000)),
        ("vsock: send, 64 KiB a write", send(VSOCK, LONG, 1_000)),
        (
            "vsock: receive, 64 KiB a write",
            receive(VSOCK, LONG, 1_000),
        ),
        ("vsock: round trip of 64 B", echo(VSOCK, 2_000)),
    ];
    const WARM_UP: usize = 14;
    const UNIT: &'static str = "operation";

    fn run(load: Load, peer: &Peer<'_>, effort: Effort) -> Result<Outcome> {
        io::run(&load, peer, effort)
    }
}

const BIG: u64 = 128 << 10;
const LONG: u64 = 64 << 10;
const TCP: Way = Way::Tcp;
const VSOCK: Way = Way::Vsock;

const fn disk(is_write: bool, len: u64, depth: u32, count: u64) -> Load {
    let work = Work::Disk {
        is_write,
        depth,
        is_random: true,
    };
    load(work, len, count)
}

const fn send(way: Way, len: u64, count: u64) -> Load {
    load(Work::Send(way), len, count)
}

const fn receive(way: Way, len: u64, count: u64) -> Load {
    load(Work::Receive(way), len, count)
}

const fn echo(way: Way, count: u64) -> Load {
    load(Work::Echo(way), 64, count)
}

const fn load(work: Work, len: u64, count: u64) -> Load {
    Load {
        work,
        len,
        count,
        before: &[],
    }
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<()> {
    setup::ensure(&[Tool::VhostDeviceVsock])?;
    let workspace = Workspace::load()?;
    let folder = workspace.target("bench")?;
    let common = &args.common;
    let scratch = Scratch::new()?;
    let toro = hardware(&scratch, "toro", CIDS[0])?;
    let linux = hardware(&scratch, "linux", CIDS[1])?;
    let kits = rounds::kits(
        common,
        || Kit::io(&workspace, toro, None, ""),
        || Kit::linux_io(&folder, linux, ""),
    )?;
    let plugin = Plugin::build(&folder.join("plugin"))?;
    let lab = Lab::enter(2)?;
    let mut report = Report::new("devices");
    rounds::compare::<Devices>(&mut report, &kits, &lab, args.machine, common, &plugin)?;
    report.note(format!(
        "Medians over interleaved runs under TCG on {}, one guest core; ratio = toro / reference, taken between",
        args.machine.name()
    ));
    report.note("neighbouring runs. An operation is a request to the disk, or a write to the stream. Instructions are counted in runs of their own.");
    report.write(&folder)
}

/// A disk in memory, and sockets.
fn hardware(scratch: &Scratch, name: &str, cid: u32) -> Result<Hardware> {
    let path = scratch.path(&format!("{name}.img"));
    fs::write(&path, vec![0x5a; DISK])?;
    Ok(Hardware {
        disks: vec![Disk::new(path)],
        shares: Vec::new(),
        vsock: Some(Sockets::new(cid, scratch.folder(), name)?),
        ..Hardware::default()
    })
}
