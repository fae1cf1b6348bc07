//! Socket devices that lie to `echo-vsock`: one on each core, while it serves over TCP.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use anyhow::{Context as _, Result, ensure};
use toro_liar::RingLie;
use toro_liar::sockets::{Packet, Sockets, Step};

use super::{PATIENCE, Scenario, Siege, arm, machine};
use crate::build::{self, Profile};
use crate::qemu::{Forward, Machine, Memory, Running};
use crate::run::Wish;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

const IMAGE: &str = "echo-vsock";
const KIND: &str = "socket device";
/// The port of the echo.
const PORT: u32 = 7;
const CID: u32 = 3;

/// Operations.
const REQUEST: u16 = 1;
const RESPONSE: u16 = 2;
const RESET: u16 = 3;
const BYTES: u16 = 5;
const CREDIT: u16 = 6;
const ASK_CREDIT: u16 = 7;

/// Boots the machine.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    let names: Vec<&str> = scenarios().iter().map(|one| one.name).collect();
    machine(KIND, &names, tally, || besiege(workspace), echoes);
}

/// Connects, and gets back what it sends.
fn works() -> [Step; 2] {
    [
        Step::Ask(Packet::new(REQUEST, PORT, &[]), RESPONSE),
        Step::Go(Packet::new(BYTES, PORT, b"hello"), BYTES),
    ]
}

/// Works before each lie and after the last.
fn between(lies: Vec<Step>) -> Sockets {
    let mut steps = works().to_vec();
    for lie in lies {
        steps.push(lie);
        steps.extend(works());
    }
    Sockets::new(CID, steps)
}

fn scenarios() -> Vec<Scenario> {
    let odd = |op, change: fn(&mut Packet)| {
        let mut packet = Packet::new(op, PORT, b"bytes");
        change(&mut packet);
        Step::Say(packet)
    };
    let headers = vec![
        Step::Raw(Vec::new()),
        Step::Raw(vec![0; 10]),
        Step::Raw(vec![0xff; 44]),
        odd(99, |_| {}),
        odd(BYTES, |packet| packet.kind = 2),
        odd(REQUEST, |packet| packet.kind = 77),
        odd(BYTES, |packet| packet.claims = 1 << 20),
        odd(BYTES, |packet| packet.claims = u32::MAX),
        odd(BYTES, |packet| packet.claims = 1),
        odd(BYTES, |packet| packet.from = 1 << 40),
        odd(BYTES, |packet| packet.to = 9),
        odd(RESPONSE, |_| {}),
        odd(REQUEST, |packet| packet.flags = u32::MAX),
    ];
    let credit = vec![
        odd(CREDIT, |packet| packet.credit = (0, 0)),
        odd(CREDIT, |packet| packet.credit = (0, u32::MAX)),
        odd(CREDIT, |packet| packet.credit = (u32::MAX, u32::MAX)),
        odd(CREDIT, |packet| packet.credit = (u32::MAX, 1 << 31)),
        odd(ASK_CREDIT, |packet| packet.credit = (0, 1)),
        // Who connects without room for an answer is not one to wait for.
        odd(REQUEST, |packet| packet.credit = (0, 0)),
    ];
    let count = |steps: &[Step]| u32::try_from(steps.len()).expect("a few");
    let (bad_headers, bad_credit) = (count(&headers), count(&credit));
    let given_up = "vsock: given up: the device ";
    vec![
        Scenario::new("headers that make no sense", between(headers))
            .lies(bad_headers)
            .answers(2 * bad_headers + 2),
        Scenario::new("credit that makes no sense", between(credit))
            .lies(bad_credit)
            .answers(2 * bad_credit + 2),
        // A device that was given up is started anew, and works then.
        Scenario::new(
            "an id out of range, and then none",
            between(vec![Step::Receive(RingLie::IdOutOfRange)]),
        )
        .says(given_up)
        .answers(4),
        Scenario::new(
            "more written than fits, and then none",
            between(vec![Step::Receive(RingLie::TooLong)]),
        )
        .says("bytes written of 16384")
        .answers(4),
        Scenario::new(
            "an index that goes back, and then none",
            between(vec![Step::Send(RingLie::IndexBack, PORT)]),
        )
        .answers(5),
        Scenario::new(
            "another context id, and a port where nobody listens",
            Sockets::new(
                CID,
                vec![
                    Step::Rename(77),
                    Step::Rename(CID),
                    Step::Ask(Packet::new(BYTES, 9999, b"x"), RESET),
                    Step::Ask(Packet::new(REQUEST, 9999, &[]), RESET),
                ],
            ),
        )
        .lies(2)
        .answers(2),
        Scenario::new("the end in the middle", {
            Sockets::new(CID, [&works()[..], &[Step::Disconnect]].concat())
        })
        .answers(2),
        Scenario::new("no proper context id", Sockets::new(1, Vec::new()))
            .says("vsock#: the device cannot be used: the device gives this machine no proper context id")
            .lies(0),
    ]
}

fn besiege(workspace: &Workspace) -> Result<Siege> {
    let image = build::build(workspace, IMAGE, Profile::Release)?;
    let package = workspace.appliance(IMAGE)?;
    let scenarios = scenarios();
    let mut wish = Wish::of(package, Machine::Pc)?;
    let forward = Forward::from_free_port(7)?;
    wish.ports = vec![forward];
    wish.vsock = None;
    wish.memory = Memory::MIB * 128;
    wish.cores = u32::try_from(scenarios.len())?;
    let cores: Vec<String> = (0..scenarios.len())
        .map(|number| format!("vsock{number}:{number}"))
        .collect();
    wish.append = format!("{} log=info dedicate={}", wish.append, cores.join(","));
    let mut vm = wish.vm(workspace, package, &image)?;
    let device = "-device vhost-user-vsock-pci,disable-legacy=on,chardev=liar#";
    let attacks = arm(workspace, &mut vm, KIND, scenarios, 0, device)?;
    let running = Running::start(&vm.command())?;
    running.wait_for(0, "listening on port 7")?;
    Ok(Siege {
        running,
        port: forward.host,
        attacks,
    })
}

/// The honest way: TCP.
fn echoes(siege: &Siege) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, siege.port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"hello")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).context("no answer")?;
    ensure!(&answer == b"hello", "it says {answer:?}");
    Ok(())
}
