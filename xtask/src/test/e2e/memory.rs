//! What the server holds when everybody has left: the lines that `stats=` makes an image print.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::load;
use crate::test::Depth;
use crate::test::server::Server;

pub(super) const NAME: &str =
    "e2e: short connections after bursts do not stall and leave no memory behind";

/// TIME-WAIT lasts ten seconds; a leak lasts longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// Tables that have grown may stay, and slabs with room in them.
const SLACK: u64 = 64 * 1024;

/// One line of an image with `stats=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    heap: u64,
    connections: u64,
    time_wait: u64,
}

impl Held {
    fn parse(line: &str) -> Option<Self> {
        let numbers = line.strip_prefix("stats: heap ")?;
        let mut words = numbers.split_ascii_whitespace();
        let mut number = |skip| words.nth(skip)?.parse().ok();
        Some(Self {
            heap: number(0)?,
            connections: number(5)?,
            time_wait: number(2)?,
        })
    }

    fn nobody_there(self) -> bool {
        self.connections == 0 && self.time_wait == 0
    }
}

/// A server that is warm (its pools have grown to what the load needs) holds no more after many connections than before.
pub(super) fn comes_back(server: &Server, depth: Depth) -> Result<()> {
    // Enough to fill the table of closed connections.
    load::churn(
        server.address,
        depth.pick(Depth::Quick, Depth::Normal, Depth::Normal),
    )?;
    let before = settled(server, Held::nobody_there)?.heap;
    load::churn(server.address, depth)?;
    settled(server, |held| {
        held.nobody_there() && held.heap <= before + SLACK
    })
    .with_context(|| format!("{before} bytes were in use before"))?;
    Ok(())
}

/// What it holds once that `is_settled`, in a line that it prints from now on or in its last, for it prints only what has changed.
fn settled(server: &Server, is_settled: impl Fn(Held) -> bool) -> Result<Held> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lines = server.running.lines();
        let last = lines.iter().rev().find_map(|line| Held::parse(line));
        match last {
            Some(last) if is_settled(last) => return Ok(last),
            last if Instant::now() > deadline => bail!("after {PATIENCE:?} it holds {last:?}"),
            _ => thread::sleep(Duration::from_millis(200)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Held;

    #[test]
    fn reads_a_line_of_statistics() {
        let line = "stats: heap 412320 of 62210048 bytes in use, 3 connections open, 7 in TIME-WAIT, 9 accepted";
        let held = Held::parse(line).expect("the line is well formed");
        assert_eq!(
            (held.heap, held.connections, held.time_wait),
            (412_320, 3, 7)
        );
        assert_eq!(Held::parse("warn: something else"), None);
    }
}
