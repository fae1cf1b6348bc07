//! Moves data as it is told to, for `cargo xtask bench devices` and `cargo xtask bench files`.
//!
//! It listens at port 7000, over TCP and over vsock if there is one. A client sends one line, a [`command`](crate::command), and gets one back when
//! that is done: `done`, or `error: ` and what went wrong. Streams carry the data of their own commands; disks and files are
//! commanded over either. `xtask/src/bench/linux_io.c` is the same program for Linux.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod command;
mod disk;
mod files;
mod places;
mod stream;

use core::net::Ipv4Addr;
use core::time::Duration;

use toro::net::TcpListener;
use toro::vsock::VsockListener;
use toro::{thread, vsock};

use crate::stream::Stream;

/// Where clients find it, over TCP and over vsock.
const PORT: u16 = 7000;
/// A client that says nothing for so long is sent away.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of the stack of each thread: file systems walk through it.
const STACK: usize = 128 << 10;

toro::main!(main);

fn main() {
    if vsock::cid().is_some() {
        let builder = thread::Builder::new().name("vsock").stack_size(STACK);
        if let Err(error) = builder.spawn(serve_vsock) {
            fail(&error);
        }
    }
    let builder = thread::Builder::new().name("tcp").stack_size(STACK);
    match builder.spawn(serve_tcp).map(thread::JoinHandle::join) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => fail(&error),
        Err(error) => fail(&error),
    }
}

/// One client at a time, as the program for Linux.
fn serve_tcp() {
    let listener = match TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)) {
        Ok(listener) => listener,
        Err(error) => fail(&error),
    };
    toro::println!("bench-io: listening on port {PORT}");
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nodelay(true);
        stream.set_read_timeout(Some(PATIENCE));
        serve(&stream);
    }
}

fn serve_vsock() {
    let listener = match VsockListener::bind(u32::from(PORT)) {
        Ok(listener) => listener,
        Err(error) => fail(&error),
    };
    while let Ok((stream, _)) = listener.accept() {
        stream.set_read_timeout(Some(PATIENCE));
        serve(&stream);
    }
}

/// Carries out the command of one client. One that goes without a word was only looking whether somebody listens.
fn serve(stream: &impl Stream) {
    let mut line = [0; 256];
    let Some(line) = stream::read_line(stream, &mut line) else {
        return;
    };
    let answer = match command::obey(stream, line) {
        Ok(()) => alloc::string::String::from("done\n"),
        Err(trouble) => alloc::format!("error: {trouble}\n"),
    };
    // A client that has gone does not want to know.
    let _ = stream.write_all(answer.as_bytes());
}

fn fail(error: &dyn core::fmt::Display) -> ! {
    toro::println!("bench-io: cannot serve at port {PORT}: {error}");
    toro::exit(toro::ExitCode::Failure);
}
