//! Serves the files of its archive over HTTP/1.1.
//!
//! What a request means is decided in `toro-http`, this program moves bytes: on the event loop of its core, or in an image that can mount
//! more than its archive with a thread for each connection, which may wait for a disk or the host. Takes `port=N`, and `root=/share` for the
//! folder whose files it serves.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod files;
mod serve;
mod waiting;

use core::net::{Ipv4Addr, SocketAddrV4};

const DEFAULT_PORT: u16 = 80;

toro::main!(main);

fn main() {
    let (port, root) = match words() {
        Ok(words) => words,
        Err(word) => {
            toro::println!(
                "web-server: cannot understand `{word}`; it takes port=1 to port=65535 and root=/folder"
            );
            toro::exit(toro::ExitCode::Failure);
        }
    };
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
    let served = if toro::fs::HAS_MOUNTS {
        waiting::serve(address, root)
    } else {
        let serving = toro::net::serve_on_each_core(address, move || serve::Server::new(root));
        serving.map(|serving| {
            toro::println!("web-server: listening on port {port}");
            toro::net::keep_serving(serving);
        })
    };
    if let Err(error) = served {
        toro::println!("web-server: cannot listen on port {port}: {error}");
        toro::exit(toro::ExitCode::Failure);
    }
}

/// The port and the folder from the command line; `Err` is the word that is not understood.
fn words() -> Result<(u16, &'static str), &'static str> {
    let (mut port, mut root) = (DEFAULT_PORT, "");
    for word in toro::env::args() {
        if let Some(folder) = word.strip_prefix("root=") {
            root = folder;
            continue;
        }
        let number = word
            .strip_prefix("port=")
            .and_then(|number| number.parse().ok());
        port = number.filter(|number| *number != 0).ok_or(word)?;
    }
    Ok((port, root))
}
