//! Sends bytes to an echo and wants them back, over many connections at once: `cargo xtask test` puts bad weather between.
//!
//! Takes `to=ADDRESS` of the echo, `count=NUMBER` of transfers, `at-once=NUMBER` of them, and `len=BYTES` of each, 1 MiB
//! unless it is said.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::cell::Cell;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

use embedded_io_async::{Read, Write};
use toro::net::TcpStream;
use toro::task;
use toro::time::{Duration, Instant};

/// The port of RFC 862.
const PORT: u16 = 7;
/// How long it may take to get an address.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that are made and compared at a time.
const PIECE: usize = 4096;

toro::main!(main);

fn main() {
    let Some(host) = word::<IpAddr>("to=") else {
        toro::println!("transfers: to whom? say -- to=ADDRESS");
        toro::exit(toro::ExitCode::Failure);
    };
    if host.is_ipv6() && toro::net::wait_for_address6(false, Instant::now() + PATIENCE).is_none() {
        toro::println!("transfers: there is no address of IPv6");
        toro::exit(toro::ExitCode::Failure);
    }
    let count = word("count=").unwrap_or(10);
    let at_once: usize = word("at-once=").unwrap_or(10);
    let len = word("len=").unwrap_or(1 << 20);
    let next = Rc::new(Cell::new(0));
    let workers: Vec<_> = (0..at_once)
        .map(|_| {
            let next = Rc::clone(&next);
            task::spawn(work((host, PORT).into(), next, count, len))
        })
        .collect();
    for worker in workers {
        if worker.join() != Ok(Ok(())) {
            toro::exit(toro::ExitCode::Failure);
        }
    }
    toro::println!("transfers: {count} of {len} bytes each way");
    toro::exit(toro::ExitCode::Success);
}

fn word<T: FromStr>(name: &str) -> Option<T> {
    toro::env::args().find_map(|word| word.strip_prefix(name)?.parse().ok())
}

/// One transfer after the other, while there are any left.
async fn work(
    to: SocketAddr,
    next: Rc<Cell<usize>>,
    count: usize,
    len: usize,
) -> Result<(), String> {
    while next.get() < count {
        let number = next.replace(next.get() + 1);
        transfer(to, number, len)
            .await
            .inspect_err(|reason| toro::println!("transfers: number {number}: {reason}"))?;
    }
    Ok(())
}

async fn transfer(to: SocketAddr, number: usize, len: usize) -> Result<(), String> {
    let stream = TcpStream::connected(to).await;
    let stream = Rc::new(stream.map_err(|error| error.to_string())?);
    let writer = Rc::clone(&stream);
    let sender = task::spawn(async move { send(&*writer, number, len).await });
    let compared = compare(&*stream, number, len).await;
    let sent = sender
        .await
        .map_err(|_| "the sender has panicked".to_owned())?;
    sent.and(compared)
}

async fn send(mut writer: impl Write, number: usize, len: usize) -> Result<(), String> {
    let mut piece = [0; PIECE];
    for start in (0..len).step_by(PIECE) {
        let piece = &mut piece[..PIECE.min(len - start)];
        fill(piece, number, start);
        let written = writer.write_all(piece).await;
        written.map_err(|error| format!("after {start} bytes were written: {error}"))?;
    }
    Ok(())
}

async fn compare(mut reader: impl Read, number: usize, len: usize) -> Result<(), String> {
    let (mut piece, mut expected) = ([0; PIECE], [0; PIECE]);
    for start in (0..len).step_by(PIECE) {
        let end = PIECE.min(len - start);
        let read = reader.read_exact(&mut piece[..end]).await;
        read.map_err(|error| format!("after {start} bytes were read: {error}"))?;
        fill(&mut expected[..end], number, start);
        if piece[..end] != expected[..end] {
            return Err(format!(
                "other bytes than were sent came back behind {start}"
            ));
        }
    }
    Ok(())
}

/// The bytes of transfer `number` from `start` on: no two places of a megabyte look alike for long.
fn fill(piece: &mut [u8], number: usize, start: usize) {
    for (at, word) in piece.chunks_mut(8).enumerate() {
        let place = (start / 8 + at + 1) ^ (number + 1) << 40;
        let mixed = (place ^ place >> 15).wrapping_mul(0xd168_aaad_0f2d_6a75);
        let mixed = mixed ^ mixed >> 27;
        word.copy_from_slice(&mixed.to_le_bytes()[..word.len()]);
    }
}
