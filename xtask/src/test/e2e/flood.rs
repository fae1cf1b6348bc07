//! A flood of connection requests from sources that do not exist, and who still gets in.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::netns::{Tap, Wire};
use crate::test::Depth;
use crate::test::client::Client;
use crate::test::server::Server;

pub(super) const NAME: &str = "e2e: clients get in through a flood of connection requests";

/// Requests sent in a second; fewer on a machine that is too busy.
const RATE: u32 = 10_000;
/// The table of half-open connections holds as many: before that the flood does not bite.
const TABLE: u32 = 4096;
/// Statistics come once a second, on a machine that is not too busy.
const PATIENCE: Duration = Duration::from_secs(300);
/// The flood ends by then, whatever becomes of the clients.
const LONGEST: Duration = Duration::from_secs(240);

/// While the flood lasts, every client connects and is answered.
pub(super) fn lets_clients_in(server: &Server, tap: Tap, depth: Depth) -> Result<()> {
    let address = server.address;
    let (clients, least) = (depth.pick(20, 40, 200), depth.pick(0, 0, 116_000));
    let wire = tap.wire()?;
    let (sent, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    let mut took: Vec<Duration> = Vec::new();
    thread::scope(|scope| -> Result<()> {
        let flooding = scope.spawn(|| flood(&wire, tap.guest(), address.port(), &sent, &is_over));
        while sent.load(Ordering::Relaxed) < 2 * TABLE && !flooding.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
        let outcome = (0..clients).try_for_each(|number| {
            let begun = Instant::now();
            once(address).with_context(|| format!("client {number}"))?;
            took.push(begun.elapsed());
            ensure!(
                !flooding.is_finished(),
                "client {number} got in only after the flood"
            );
            Ok(())
        });
        while outcome.is_ok() && sent.load(Ordering::Relaxed) < least && !flooding.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
        is_over.store(true, Ordering::Relaxed);
        flooding.join().expect("the flood does not panic")?;
        outcome
    })?;
    let given_up = wait_for_given_up(server)?;
    took.sort_unstable();
    let slow = took[took.len() * 99 / 100];
    eprintln!(
        "flood: {} requests, {given_up} given up; {clients} clients got in, half within {:?}, 99 of 100 within {slow:?}",
        sent.into_inner(),
        took[took.len() / 2]
    );
    Ok(())
}

/// How many requests the server has given up, as its statistics say: none, and the flood was none.
fn wait_for_given_up(server: &Server) -> Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lines = server.running.lines();
        let mut counts = lines.iter().rev().filter_map(|line| given_up(line));
        if let Some(count) = counts.find(|&count| count > 0) {
            return Ok(count);
        }
        ensure!(Instant::now() < deadline, "no request was given up");
        thread::sleep(Duration::from_millis(100));
    }
}

fn given_up(line: &str) -> Option<u64> {
    let counts = line.strip_prefix("stats: ")?.split(", ");
    let count = counts
        .into_iter()
        .find_map(|part| part.strip_suffix(" given up half open"));
    count?.parse().ok()
}

fn once(address: SocketAddr) -> Result<()> {
    let mut client = Client::connect(address)?;
    client.get("/")?.expect(200)?;
    Ok(())
}

/// Sends requests until `is_over`, or for as long as is decent.
fn flood(
    wire: &Wire,
    guest: Ipv4Addr,
    port: u16,
    sent: &AtomicU32,
    is_over: &AtomicBool,
) -> Result<()> {
    let begun = Instant::now();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    while !is_over.load(Ordering::Relaxed) && begun.elapsed() < LONGEST {
        let due = begun.elapsed().as_micros() * u128::from(RATE) / 1_000_000;
        let number = sent.load(Ordering::Relaxed);
        if u128::from(number) >= due {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        if wire.send(&request(random, guest, port))? {
            sent.store(number + 1, Ordering::Relaxed);
        } else {
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

/// A SYN from a source between 20.0.0.0 and 83.255.255.255.
fn request(random: u64, guest: Ipv4Addr, port: u16) -> Vec<u8> {
    let word = random.to_be_bytes();
    let source = [20 + word[0] % 64, word[1], word[2], word[3]];
    let mut frame = vec![0x52, 0x54, 0, 0x12, 0x34, 0x56, 2, 0, 0, 0, 0, 9, 8, 0];
    let mut ip = vec![0x45, 0, 0, 44, 0, 0, 0, 0, 64, 6, 0, 0];
    ip.extend(source);
    ip.extend(guest.octets());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    let mut tcp = vec![0x40 | word[4] >> 2, word[5]];
    tcp.extend(port.to_be_bytes());
    tcp.extend(&word[2..6]);
    tcp.extend([0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 5, 0xb4]);
    let mut pseudo = [&source[..], &guest.octets(), &[0, 6, 0, 24]].concat();
    pseudo.extend(&tcp);
    let sum = checksum(&pseudo);
    tcp[16..18].copy_from_slice(&sum);
    frame.extend(ip);
    frame.extend(tcp);
    frame
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks_exact(2);
    let sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let folded = (sum & 0xffff) + (sum >> 16);
    let [_, _, high, low] = (!folded).to_be_bytes();
    [high, low]
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{checksum, given_up, request};

    #[test]
    fn reads_what_was_given_up() {
        let line = "stats: heap 4 of 6 bytes in use, 3 connections open, 7 in TIME-WAIT, 9 accepted, 12 given up half open";
        assert_eq!(given_up(line), Some(12));
        assert_eq!(given_up("warn: something else"), None);
    }

    #[test]
    fn requests_have_sums_that_add_up_and_different_sources() {
        let guest = Ipv4Addr::new(10, 77, 0, 2);
        let (one, two) = (request(1 << 40, guest, 80), request(5 << 50, guest, 80));
        assert_eq!(one.len(), 58);
        assert_eq!(checksum(&one[14..34]), [0, 0]);
        let pseudo = [&one[26..34], &[0, 6, 0, 24], &one[34..]].concat();
        assert_eq!(checksum(&pseudo), [0, 0]);
        assert_ne!(one[26..30], two[26..30]);
    }
}
