//! Sends back what it gets on port 7, over sockets to the host and over TCP: one service for both.
//!
//! A socket device belongs to one core, and so does what listens behind it: there is one service for each device, on its core.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::net::{Ipv4Addr, SocketAddrV4};

use toro::devices::{self, Class};
use toro::net::{Conn, Output, Service};
use toro::time::Duration;
use toro::{thread, vsock};

/// The port of RFC 862.
const PORT: u16 = 7;

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(300);

toro::main!(main);

fn main() {
    let all = devices::all().iter();
    for device in all.filter(|device| device.name.class == Class::Socket) {
        let spawned = thread::Builder::new()
            .name("sockets")
            .spawn_on(device.core, serve_host);
        if let Err(error) = spawned {
            toro::println!("echo-vsock: {}: {error}", device.name);
        }
    }
    match toro::net::serve_on_each_core(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT), || Echo) {
        Ok(serving) => {
            toro::println!("echo-vsock: listening on port {PORT}");
            serving.for_ever()
        }
        Err(error) => {
            toro::println!("echo-vsock: cannot listen on port {PORT}: {error}");
            toro::exit(toro::ExitCode::Failure);
        }
    }
}

/// Serves the device of this core.
fn serve_host() {
    match vsock::serve(u32::from(PORT), Echo) {
        Ok(serving) => serving.for_ever(),
        Err(error) => toro::println!("echo-vsock: cannot serve the host: {error}"),
    }
}

struct Echo;

/// Written for any stack: it asks for no address.
impl<A: Copy + 'static> Service<A> for Echo {
    type Connection = ();

    fn connected(&mut self, conn: &mut Conn<A>, _: &mut Output<'_>) -> Option<()> {
        conn.set_timeout(Some(IDLE));
        Some(())
    }

    fn received(
        &mut self,
        (): &mut (),
        conn: &mut Conn<A>,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> usize {
        conn.set_timeout(Some(IDLE));
        output.write(input)
    }
}
