//! Sends back what it receives on port 7: `echo` with blocking sockets and a thread for each connection.
//!
//! Takes `late=MILLISECONDS`: how long it lets the first clients wait. What they send meanwhile is kept.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::net::Ipv4Addr;
use core::time::Duration;

use toro::net::{TcpListener, TcpStream};
use toro::thread;

/// A client that says nothing for so long is sent away.
const PATIENCE: Duration = Duration::from_secs(60);

toro::main!(main);

fn main() {
    let listener = match TcpListener::bind((Ipv4Addr::UNSPECIFIED, 7)) {
        Ok(listener) => listener,
        Err(error) => {
            toro::println!("echo-threads: cannot listen on port 7: {error}");
            toro::exit(toro::ExitCode::Failure);
        }
    };
    toro::println!("echo-threads: listening on port 7");
    thread::sleep(late());
    while let Ok((stream, _)) = listener.accept() {
        // Without memory for a stack the stream is dropped, which ends the connection.
        if let Err(error) = thread::Builder::new()
            .name("echo")
            .spawn(move || echo(&stream))
        {
            toro::log::warn!("a client is turned away: {error}");
        }
    }
}

fn late() -> Duration {
    let late = toro::env::args().find_map(|word| word.strip_prefix("late=")?.parse().ok());
    Duration::from_millis(late.unwrap_or(0))
}

fn echo(stream: &TcpStream) {
    stream.set_read_timeout(Some(PATIENCE));
    let mut bytes = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(&bytes[..len]).is_err() {
            return;
        }
    }
}
