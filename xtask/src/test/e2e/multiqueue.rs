//! Images behind a card with several queue pairs: a stack on each core.
//!
//! The tap chooses the queue of a connection by its addresses and ports, so many connections meet every core.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::TIMEOUT;
use crate::build::{self, Extras, Profile};
use crate::netns::{Lab, Tap};
use crate::qemu::{Machine, Net, Running};
use crate::run::Wish;
use crate::setup;
use crate::test::Depth;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

/// Cores of the guest, and queues of the tap.
const CORES: u32 = 4;
/// Connections at a time: enough that none of four cores goes without by chance.
const CLIENTS: usize = 96;
/// No step waits longer, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
/// What each client sends and gets back.
const BYTES: usize = 200_000;

/// Appliances, what they show, and on how many cores they have connections.
const CASES: [(&str, &str, usize); 2] = [
    (
        "echo",
        "e2e: echo serves on every core of a card with four queue pairs",
        4,
    ),
    (
        "echo-threads",
        "e2e: a listener of one core is reached through every queue pair",
        1,
    ),
];

/// Runs the first, and with `--deep` both: each has an image of its own.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally, depth: Depth) {
    for &(appliance, name, serving) in &CASES[..depth.pick(0, 1, 2)] {
        if !tally.wants(name) {
            continue;
        }
        if !setup::is_root() {
            tally.skip(name, "only root can make a tap");
            continue;
        }
        let workspace = workspace.clone();
        // The namespace is that of a thread, and a case has one of its own.
        tally.case(name, TIMEOUT * 2, move || {
            let lab = Lab::enter_with(1, CORES)?;
            serves(&workspace, appliance, lab.tap(0), serving)
        });
    }
}

fn serves(workspace: &Workspace, appliance: &str, tap: Tap, serving: usize) -> Result<()> {
    let extras = Extras {
        multiqueue: true,
        ..Extras::default()
    };
    let image = build::build_with(workspace, appliance, Profile::Release, extras)?;
    let package = workspace.appliance(appliance)?;
    let mut wish = Wish::of(package, Machine::Q35)?;
    wish.cores = CORES;
    wish.append = format!(
        "ip={}/24,gw={} log=info stats=1 {}",
        tap.guest(),
        tap.host(),
        wish.append
    );
    let mut vm = wish.vm(workspace, package, &image)?;
    vm.net = Net::Tap(tap.name(), tap.queues());
    let mut running = Running::start(&vm.command())?;
    running.wait_for(0, "listening")?;
    let pairs = format!("{CORES} queue pairs");
    let has_pairs = running.lines().iter().any(|line| line.contains(&pairs));
    ensure!(has_pairs, "no line says `{pairs}`\n{}", running.tail());
    let address = SocketAddr::from((tap.guest(), 7));
    echo_all(address).with_context(|| running.tail())?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let accepted = accepted(&running.lines());
        let (all, cores) = (
            accepted.iter().sum::<u64>(),
            accepted.iter().filter(|&&n| n > 0),
        );
        if all == CLIENTS as u64 && cores.count() == serving {
            return running.check_alive();
        }
        if Instant::now() > deadline {
            bail!("connections by core: {accepted:?}\n{}", running.tail());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// All clients connect, then all send and get back what they sent.
fn echo_all(address: SocketAddr) -> Result<()> {
    let clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|number| {
            let client = TcpStream::connect_timeout(&address, PATIENCE)
                .with_context(|| format!("client {number}"))?;
            client.set_read_timeout(Some(PATIENCE))?;
            client.set_write_timeout(Some(PATIENCE))?;
            Ok(client)
        })
        .collect::<Result<_>>()?;
    thread::scope(|scope| {
        let work = |(number, client)| {
            scope.spawn(move || echo(client, number).with_context(|| format!("client {number}")))
        };
        let workers: Vec<_> = clients.iter().enumerate().map(work).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("no client panics"))
    })
}

fn echo(client: &TcpStream, number: usize) -> Result<()> {
    let sent: Vec<u8> = (0..=250).cycle().skip(number).take(BYTES).collect();
    thread::scope(|scope| {
        let writer = scope.spawn(|| -> Result<()> {
            let mut client = client;
            client.write_all(&sent)?;
            Ok(client.shutdown(Shutdown::Write)?)
        });
        let mut received = Vec::new();
        let mut reader = client;
        reader.read_to_end(&mut received)?;
        writer.join().expect("the writer does not panic")?;
        ensure!(
            received == sent,
            "{} bytes came back, or other ones",
            received.len()
        );
        Ok(())
    })
}

/// How many connections each core has accepted, as the last lines of its statistics say.
fn accepted(lines: &[String]) -> Vec<u64> {
    let of = |core: u32| {
        let start = match core {
            0 => "stats: heap ".to_owned(),
            _ => format!("stats: core {core}: heap "),
        };
        let last = lines.iter().rev().find(|line| line.starts_with(&start))?;
        let count = last
            .split(", ")
            .find_map(|part| part.strip_suffix(" accepted"));
        count?.parse().ok()
    };
    (0..CORES).map(|core| of(core).unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::accepted;

    #[test]
    fn reads_the_connections_of_each_core() {
        let lines = [
            "stats: heap 41 of 62 bytes in use, 3 connections open, 7 in TIME-WAIT, 9 accepted",
            "stats: core 2: heap 41 of 62 bytes in use, 0 connections open, 0 in TIME-WAIT, 5 accepted",
            "stats: core 2: heap 41 of 62 bytes in use, 0 connections open, 0 in TIME-WAIT, 8 accepted, 0 given up half open",
        ];
        assert_eq!(accepted(&lines.map(str::to_owned)), [9, 0, 8, 0]);
    }
}
