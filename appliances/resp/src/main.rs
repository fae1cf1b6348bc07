//! Keeps keys and values in memory and speaks the protocol of Redis: `PING`, `ECHO`, `GET`, `SET`, `DEL`, `EXISTS`,
//! `INCR`, `DBSIZE`, `COMMAND`, `HELLO` and `QUIT`.
//!
//! Takes `port=N` and `maxmemory=N` (bytes, or with `K` or `M`). Half of the memory by default; what would need more is
//! refused.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod command;
mod serve;
mod store;

use core::net::{Ipv4Addr, SocketAddrV4};

const DEFAULT_PORT: u16 = 6379;

toro::main!(main);

fn main() {
    let options = match Options::read() {
        Ok(options) => options,
        Err(word) => {
            toro::println!(
                "resp: cannot understand `{word}`; it takes port=1 to port=65535 and maxmemory=16M"
            );
            toro::exit(toro::ExitCode::Failure);
        }
    };
    let port = options.port;
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
    match toro::net::serve(address, serve::Server::new(options.memory)) {
        Ok(serving) => {
            toro::println!("resp: listening on port {port}");
            toro::net::keep_serving(serving);
        }
        Err(error) => {
            toro::println!("resp: cannot listen on port {port}: {error}");
            toro::exit(toro::ExitCode::Failure);
        }
    }
}

/// What the command line says.
struct Options {
    port: u16,
    /// Bytes that keys and values may take.
    memory: usize,
}

impl Options {
    /// `Err` is the word that is not understood.
    fn read() -> Result<Self, &'static str> {
        let mut options = Self {
            port: DEFAULT_PORT,
            memory: toro::mem::stats().free / 2,
        };
        for word in toro::env::args() {
            let understood = match word.split_once('=') {
                Some(("port", number)) => number
                    .parse()
                    .ok()
                    .filter(|port| *port != 0)
                    .map(|port| options.port = port),
                Some(("maxmemory", size)) => bytes(size).map(|bytes| options.memory = bytes),
                _ => None,
            };
            understood.ok_or(word)?;
        }
        Ok(options)
    }
}

/// A number of bytes, KiB or MiB.
fn bytes(text: &str) -> Option<usize> {
    let (number, unit) = match text.strip_suffix(['M', 'm']) {
        Some(number) => (number, 1 << 20),
        None => match text.strip_suffix(['K', 'k']) {
            Some(number) => (number, 1 << 10),
            None => (text, 1),
        },
    };
    number.parse::<usize>().ok()?.checked_mul(unit)
}
