//! Keeps records that clients append over TCP. What it has acknowledged survives a crash and a power cut.
//!
//! Takes `file=PATH`, a file of any mount (`/data/journal` if nothing is said), or `disk=NAME`, a disk without a file system of the
//! boot core: `blk0`, `blk0p1`. A client on port 7000 sends lines:
//!
//! ```text
//! append TEXT   ok NUMBER      the record is on stable storage; numbers begin with 0
//! get NUMBER    record TEXT    or `none`
//! count         count NUMBER
//!               error REASON   to any of them
//! ```
//!
//! What comes in one packet shares a sync, and so do clients that wait for one.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod session;

use alloc::rc::Rc;
use core::fmt;
use core::net::Ipv4Addr;

use toro::fs::OpenOptions;
use toro::net::TcpListener;
use toro::sync::Mutex;
use toro::{env, thread};
use toro_journal::{Journal, Medium, Raw};

const PORT: u16 = 7000;

/// The stack of a session, in bytes: a sync runs through the file system on it.
const STACK: usize = 64 << 10;

toro::main!(main);

fn main() {
    if let Some(disk) = argument("disk=") {
        match toro_partition::open(disk) {
            Ok(store) => replay(Raw::new(store), disk),
            Err(error) => fail(format_args!("cannot open {disk}: {error}")),
        }
    }
    let path = argument("file=").unwrap_or("/data/journal");
    let mut options = OpenOptions::new();
    match options.read(true).write(true).create(true).open(path) {
        Ok(file) => replay(file, path),
        Err(error) => fail(format_args!(
            "cannot open {path}: {error}; mount a file system there, as in mount=/data:fat:blk0, or name another with file="
        )),
    }
}

fn argument(name: &str) -> Option<&'static str> {
    env::args().find_map(|word| word.strip_prefix(name))
}

fn fail(reason: fmt::Arguments<'_>) -> ! {
    toro::println!("durable-log: {reason}");
    toro::exit(toro::ExitCode::Failure)
}

/// Replays the journal and serves it for ever.
fn replay<M: Medium + 'static>(medium: M, name: &str) -> ! {
    let journal = match Journal::open(medium) {
        Ok(journal) => journal,
        Err(error) => fail(format_args!("cannot replay {name}: {error}")),
    };
    let records = journal.records();
    let journal = Rc::new(Mutex::new(journal));
    session::REQUESTS.announce();
    let listener = match TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)) {
        Ok(listener) => listener,
        Err(error) => fail(format_args!("cannot listen on port {PORT}: {error}")),
    };
    toro::println!("durable-log: {records} records in {name}, listening on port {PORT}");
    loop {
        let Ok((stream, peer)) = listener.accept() else {
            fail(format_args!("the network has ended"));
        };
        let journal = Rc::clone(&journal);
        // Without memory for a stack the stream is dropped, which ends the connection.
        let spawned = thread::Builder::new()
            .name("session")
            .stack_size(STACK)
            .spawn(move || session::run(&stream, &journal));
        if let Err(error) = spawned {
            toro::log::warn!("{peer} is turned away: {error}");
        }
    }
}
