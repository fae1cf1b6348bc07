//! Network cards that lie to `web-server`: each is on a core of its own, and the first core serves behind an honest card.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use toro_liar::RingLie;
use toro_liar::card::{Card, Step};

use super::{Scenario, Siege, arm, machine};
use crate::build::{self, Profile};
use crate::qemu::{Forward, Machine, Memory, Running};
use crate::run::Wish;
use crate::test::server::{self, NAME};
use crate::test::tally::Tally;
use crate::workspace::Workspace;

const KIND: &str = "card";
/// The machine's address, on every card.
const ADDRESS: [u8; 4] = [10, 0, 2, 15];

/// Feature bits.
const GUEST_CSUM: u64 = 1 << 1;
const VERSION_1: u64 = 1 << 32;

/// Boots the machines.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    for scenarios in [scenarios as fn() -> Vec<Scenario>, more_scenarios] {
        let names: Vec<&str> = scenarios().iter().map(|one| one.name).collect();
        let besiege = || besiege(workspace, scenarios());
        machine(KIND, &names, tally, besiege, |siege| {
            server::check_answers(SocketAddr::from((Ipv4Addr::LOCALHOST, siege.port)))
        });
    }
}

/// A frame with that header, and `len` bytes behind it.
fn frame(header: [u8; 12], len: usize) -> Step {
    let mut bytes = header.to_vec();
    bytes.resize(header.len() + len, 0x45);
    Step::Frame(bytes)
}

/// Asks before each step and after the last: the machine must answer still.
fn between(steps: Vec<Step>) -> Card {
    let mut all = vec![Step::Ask];
    for step in steps {
        all.extend([step, Step::Ask]);
    }
    Card::new(ADDRESS, all)
}

/// Asks, tells a lie about a frame, and that is that.
fn ends(step: Step) -> Card {
    Card::new(ADDRESS, vec![Step::Ask, step])
}

fn scenarios() -> Vec<Scenario> {
    let header = |bytes: &[(usize, u8)]| {
        let mut header = [0; 12];
        header[10] = 1;
        for &(at, byte) in bytes {
            header[at] = byte;
        }
        header
    };
    let malformed = vec![
        Step::Frame(Vec::new()),
        Step::Frame(vec![0xff; 11]),
        frame(header(&[]), 0),
        frame(header(&[]), 13),
        // A large segment of no kind, one of a kind without its checksum, a checksum behind the frame.
        frame(header(&[(1, 3)]), 100),
        frame(header(&[(1, 1), (4, 1)]), 100),
        frame(header(&[(0, 1), (6, 0xff), (7, 0xff)]), 100),
        frame(header(&[(0, 1), (6, 34), (8, 0xff), (9, 0xff)]), 100),
        // In no buffer at all.
        frame(header(&[(10, 0)]), 100),
        frame([0xff; 12], 100),
    ];
    let quiet = [
        RingLie::Empty,
        RingLie::Rewritten,
        RingLie::Never,
        RingLie::Silent,
    ];
    let lies = u32::try_from(malformed.len()).expect("a few");
    vec![
        Scenario::new("frames and headers that make no sense", between(malformed))
            .lies(lies - 1)
            .answers(lies),
        Scenario::new("buffers that come back empty, silently or never", {
            between(quiet.map(Step::Receive).to_vec())
        })
        .lies(4)
        .answers(5),
        Scenario::new("a storm of interrupts", between(vec![Step::Storm])).answers(2),
        Scenario::new(
            "an id out of range",
            ends(Step::Receive(RingLie::IdOutOfRange)),
        )
        .says("net: given up: the device returns chain 655"),
        Scenario::new("the same id twice", ends(Step::Receive(RingLie::Twice)))
            .says("net: given up: the device returns chain "),
        Scenario::new(
            "more written than fits",
            ends(Step::Receive(RingLie::TooLong)),
        )
        .says("bytes written of"),
        Scenario::new(
            "an index far ahead",
            ends(Step::Receive(RingLie::IndexAhead)),
        )
        .says("net: given up: the device claims 100"),
    ]
}

fn more_scenarios() -> Vec<Scenario> {
    let mut many = [0; 12];
    (many[10], many[11]) = (0xff, 0xff);
    vec![
        Scenario::new(
            "an index that goes back",
            ends(Step::Receive(RingLie::IndexBack)),
        )
        .says("net: given up: the device claims 65535 chains"),
        Scenario::new("a packet in 65535 buffers", ends(frame(many, 100)))
            .says("net: given up: the device claims a packet in 65535 buffers of 1"),
        Scenario::new(
            "a frame that was sent twice",
            ends(Step::Send(RingLie::Twice)),
        )
        .answers(2),
        Scenario::new("a frame that is never sent", {
            between(vec![Step::Send(RingLie::Never); 3])
        })
        .lies(3)
        .answers(7),
        Scenario::new("the end in the middle", ends(Step::Disconnect)),
        Scenario::new("no version 1", between(Vec::new()).featured(VERSION_1, 0))
            .with(",disable-legacy=off")
            .says("a legacy device (before virtio 1.0), which is not supported")
            .lies(0),
        Scenario::new("large segments without checksums", {
            between(Vec::new()).featured(GUEST_CSUM, 0)
        })
        .lies(0)
        .answers(1),
    ]
}

fn besiege(workspace: &Workspace, scenarios: Vec<Scenario>) -> Result<Siege> {
    let image = build::build(workspace, NAME, Profile::Release)?;
    let package = workspace.appliance(NAME)?;
    let mut wish = Wish::of(package, Machine::Pc)?;
    let forward = Forward::from_free_port(80)?;
    wish.ports = vec![forward];
    wish.memory = Memory::MIB * 128;
    wish.cores = u32::try_from(1 + scenarios.len())?;
    let cores: Vec<String> = (1..wish.cores)
        .map(|number| format!("net{number}:{number}"))
        .collect();
    wish.append = format!(
        "{} log=info ip=10.0.2.15/24,gw=10.0.2.2 dedicate={}",
        wish.append,
        cores.join(",")
    );
    let mut vm = wish.vm(workspace, package, &image)?;
    let device = "-netdev vhost-user,id=lie#,chardev=liar# \
                  -device virtio-net-pci,disable-legacy=on,romfile=,netdev=lie#,mac=52:54:00:00:01:0#";
    let attacks = arm(workspace, &mut vm, KIND, scenarios, 1, device)?;
    let running = Running::start(&vm.command())?;
    running.wait_for(0, "listening on port 80")?;
    Ok(Siege {
        running,
        port: forward.host,
        attacks,
    })
}
