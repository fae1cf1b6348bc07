//! More connections at a time than their rings have room for: all are answered, and new ones get in, among them and afterwards.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::load;
use crate::crowd::Crowd;
use crate::qemu::Memory;
use crate::test::Depth;
use crate::test::server::Server;

pub(super) const NAME: &str = "e2e: a crowd on little memory is answered and newcomers get in";

/// Statistics come once a second, on a machine that is not too busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// The memory of the machine: with rings for all it would hold a fifth of the connections of [`holds`].
pub(super) fn memory(depth: Depth) -> Memory {
    Memory::MIB * depth.pick(32, 32, 256)
}

/// Connections are made, all are answered again and again for a while, and short ones come and go among them.
pub(super) fn holds(server: &Server, depth: Depth) -> Result<()> {
    let count = depth.pick(500, 1_000, 10_000);
    let time = Duration::from_secs(depth.pick(0, 0, 60));
    let begun = Instant::now();
    let mut crowd = Crowd::gather(server.address, count)?;
    let gathered = begun.elapsed();
    let asleep = wait_for_sleepers(server, u64::from(count))?;
    let begun = Instant::now();
    loop {
        crowd.ask_all()?;
        if begun.elapsed() >= time {
            break;
        }
    }
    let asked = begun.elapsed();
    let begun = Instant::now();
    let newcomers = depth.pick(200, 500, 2_000);
    for number in 0..newcomers {
        load::once(server.address).with_context(|| format!("newcomer {number}"))?;
        crowd.keep()?;
    }
    let came = begun.elapsed();
    crowd.ask_all()?;
    drop(crowd);
    for number in 0..depth.pick(200, 500, 20_000) {
        load::once(server.address).with_context(|| format!("connection {number} in a row"))?;
    }
    eprintln!(
        "crowd: {count} connections came within {gathered:?}, {asleep} slept then; all answered for {asked:?}; {newcomers} newcomers within {came:?}"
    );
    Ok(())
}

/// Waits until the server says that so many connections are open and some of them asleep; returns how many.
fn wait_for_sleepers(server: &Server, open: u64) -> Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lines = server.running.lines();
        let last = lines.iter().rev().find_map(|line| counts(line));
        if let Some((_, asleep)) = last.filter(|&(all, asleep)| all >= open && asleep > 0) {
            return Ok(asleep);
        }
        ensure!(
            Instant::now() < deadline,
            "{open} connections and some asleep, but the statistics say {last:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Connections open and asleep.
fn counts(line: &str) -> Option<(u64, u64)> {
    let counts = line.strip_prefix("stats: ")?;
    let count = |what| {
        counts
            .split(", ")
            .find_map(|part| part.strip_suffix(what))?
            .parse()
            .ok()
    };
    Some((count(" connections open")?, count(" asleep")?))
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn reads_what_is_open_and_asleep() {
        let line = "stats: heap 4 of 6 bytes in use, 30 connections open, 7 in TIME-WAIT, 9 accepted, 12 given up half open, 20 asleep";
        assert_eq!(counts(line), Some((30, 20)));
        assert_eq!(counts("stats: heap 4 of 6 bytes in use"), None);
    }
}
